//! Holds what a reply says against the table of rules.

use http::HeaderMap;

use super::profile::Profile;
use super::rates;
use super::reading::Said;
use super::rules::{Of, RULES, Rule, When};
use crate::types::{FailureKind, RateTold};

/// All that a rule may ask about.
pub(super) struct Evidence<'a> {
    pub(super) profile: Profile,
    pub(super) status: u16,
    pub(super) headers: &'a HeaderMap,
    pub(super) has_body: bool,
    pub(super) said: &'a Said,
    /// Headers or body tell a wait.
    pub(super) tells_wait: bool,
    pub(super) rate: &'a [RateTold],
}

/// What kind of failure it is. A status that no rule knows is the request's fault: nothing says that waiting helps.
pub(super) fn kind(evidence: &Evidence<'_>) -> FailureKind {
    rule(evidence).map_or(FailureKind::InvalidRequest, |rule| rule.kind)
}

/// The first rule that fits.
pub(super) fn rule(evidence: &Evidence<'_>) -> Option<&'static Rule> {
    RULES.iter().find(|rule| {
        rule.of.holds(evidence.profile)
            && rule.statuses.iter().any(|range| range.contains(&evidence.status))
            && rule.when.iter().all(|when| when.holds(evidence))
    })
}

impl Of {
    fn holds(&self, profile: Profile) -> bool {
        match self {
            Self::Any => true,
            Self::Only(profiles) => profiles.contains(&profile),
        }
    }
}

impl When {
    fn holds(&self, evidence: &Evidence<'_>) -> bool {
        let any_in = |text: &str, patterns: &[&str]| patterns.iter().any(|pattern| says(text, pattern));
        match self {
            Self::Code(patterns) => any_in(&evidence.said.codes, patterns),
            Self::Text(patterns) => any_in(&evidence.said.text, patterns),
            Self::Header(name, value) => header_is(evidence.headers, name, value),
            Self::TellsWait => evidence.tells_wait,
            Self::TellsNoWait => !evidence.tells_wait,
            Self::OverLimitAlone => over_limit_alone(&evidence.said.text),
            Self::DayIsUsedUp => rates::day_is_used_up(evidence.rate),
            Self::NoBody => !evidence.has_body,
        }
    }
}

/// Whether the text holds the pattern; `*` in it stands for anything.
fn says(text: &str, pattern: &str) -> bool {
    let mut rest = text;
    pattern.split('*').all(|piece| match rest.find(piece) {
        Some(at) => {
            rest = &rest[at + piece.len()..];
            true
        }
        None => false,
    })
}

fn header_is(headers: &HeaderMap, name: &str, expected: &str) -> bool {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    // Amazon puts an address behind the error's name.
    value.is_some_and(|value| value.split(':').next().unwrap_or(value).trim().eq_ignore_ascii_case(expected))
}

/// "Request too large ...: Limit 30000, Requested 80715" has the codes of a throttle, but waiting does not help.
fn over_limit_alone(text: &str) -> bool {
    if !text.contains("request too large") {
        return false;
    }
    match (number_after(text, "limit "), number_after(text, "requested ")) {
        (Some(limit), Some(requested)) => requested > limit,
        (None, _) | (_, None) => true,
    }
}

fn number_after(text: &str, word: &str) -> Option<u64> {
    text.match_indices(word).find_map(|(at, _)| {
        let rest = &text[at + word.len()..];
        let digits: String = rest.chars().filter(|c| *c != ',').take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    })
}
