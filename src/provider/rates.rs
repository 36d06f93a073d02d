//! What a reply's headers tell of limits: which headers a provider sends, and what it means by them, as data.
//!
//! Every reply comes through here, so one that tells nothing costs a few look-ups and no allocation.

use std::time::Duration;

use http::HeaderMap;

use super::profile::Profile;
use super::wait;
use crate::types::{RatePer, RateReport, RateTold, RateUnit};

/// One limit, and the headers that tell of it; an empty name stands for none.
struct Dimension {
    unit: RateUnit,
    period: Period,
    limit: &'static str,
    remaining: &'static str,
    reset: &'static str,
}

/// The time that a limit is meant for.
#[derive(Clone, Copy)]
enum Period {
    /// Always this.
    Fixed(RatePer),
    /// A minute, unless the reset is farther away than a minute's limit can be: then a day.
    ByReset,
}

/// Resets of limits per minute end within a minute; clocks and rounding get as much again.
const MINUTE_AT_MOST: Duration = Duration::from_mins(2);

const fn told_by(unit: RateUnit, period: Period, [limit, remaining, reset]: [&'static str; 3]) -> Dimension {
    Dimension { unit, period, limit, remaining, reset }
}

const PER_SECOND: Period = Period::Fixed(RatePer::Second);
const PER_MINUTE: Period = Period::Fixed(RatePer::Minute);
const PER_DAY: Period = Period::Fixed(RatePer::Day);

const REQUESTS: [&str; 3] =
    ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
const TOKENS: [&str; 3] = ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];

const GENERIC: &[Dimension] =
    &[told_by(RateUnit::Requests, Period::ByReset, REQUESTS), told_by(RateUnit::Tokens, PER_MINUTE, TOKENS)];

#[rustfmt::skip]
const OPENAI: &[Dimension] = &[
    told_by(RateUnit::Requests, Period::ByReset, REQUESTS),
    told_by(RateUnit::Tokens, PER_MINUTE, TOKENS),
    told_by(RateUnit::Tokens, PER_MINUTE, ["x-ratelimit-limit-project-tokens", "x-ratelimit-remaining-project-tokens", "x-ratelimit-reset-project-tokens"]),
];

const GROQ: &[Dimension] =
    &[told_by(RateUnit::Requests, PER_DAY, REQUESTS), told_by(RateUnit::Tokens, PER_MINUTE, TOKENS)];

#[rustfmt::skip]
const ANTHROPIC: &[Dimension] = &[
    told_by(RateUnit::Requests, PER_MINUTE, ["anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"]),
    told_by(RateUnit::InputTokens, PER_MINUTE, ["anthropic-ratelimit-input-tokens-limit", "anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"]),
    told_by(RateUnit::OutputTokens, PER_MINUTE, ["anthropic-ratelimit-output-tokens-limit", "anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"]),
    told_by(RateUnit::Tokens, PER_MINUTE, ["anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"]),
];

#[rustfmt::skip]
const MISTRAL: &[Dimension] = &[
    told_by(RateUnit::Requests, PER_MINUTE, ["x-ratelimit-limit-req-minute", "x-ratelimit-remaining-req-minute", ""]),
    told_by(RateUnit::Tokens, PER_MINUTE, ["x-ratelimit-limit-tokens-minute", "x-ratelimit-remaining-tokens-minute", ""]),
];

#[rustfmt::skip]
const CEREBRAS: &[Dimension] = &[
    told_by(RateUnit::Requests, PER_DAY, ["x-ratelimit-limit-requests-day", "x-ratelimit-remaining-requests-day", "x-ratelimit-reset-requests-day"]),
    told_by(RateUnit::Requests, PER_MINUTE, ["x-ratelimit-limit-requests-minute", "x-ratelimit-remaining-requests-minute", "x-ratelimit-reset-requests-minute"]),
    told_by(RateUnit::Tokens, PER_MINUTE, ["x-ratelimit-limit-tokens-minute", "x-ratelimit-remaining-tokens-minute", "x-ratelimit-reset-tokens-minute"]),
    told_by(RateUnit::Tokens, PER_DAY, ["x-ratelimit-limit-tokens-day", "x-ratelimit-remaining-tokens-day", "x-ratelimit-reset-tokens-day"]),
];

// Its one reset is the wait that it suggests, whichever limit was met.
#[rustfmt::skip]
const TOGETHER: &[Dimension] = &[
    told_by(RateUnit::Requests, PER_SECOND, ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]),
    told_by(RateUnit::Tokens, PER_SECOND, ["x-tokenlimit-limit", "x-tokenlimit-remaining", "x-ratelimit-reset"]),
];

#[rustfmt::skip]
const FIREWORKS: &[Dimension] = &[
    told_by(RateUnit::Requests, PER_MINUTE, ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", ""]),
    told_by(RateUnit::InputTokens, PER_MINUTE, ["x-ratelimit-limit-tokens-prompt", "x-ratelimit-remaining-tokens-prompt", ""]),
    told_by(RateUnit::InputTokens, PER_MINUTE, ["x-ratelimit-limit-tokens-cache-adjusted-prompt", "x-ratelimit-remaining-tokens-cache-adjusted-prompt", ""]),
    told_by(RateUnit::OutputTokens, PER_MINUTE, ["x-ratelimit-limit-tokens-generated", "x-ratelimit-remaining-tokens-generated", ""]),
];

// Sent with its own refusals only: 20 a minute, or the day's free requests.
const OPENROUTER: &[Dimension] = &[told_by(
    RateUnit::Requests,
    Period::ByReset,
    ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"],
)];

fn dimensions(profile: Profile) -> &'static [Dimension] {
    match profile {
        Profile::OpenAi => OPENAI,
        Profile::Azure | Profile::Generic => GENERIC,
        Profile::Groq => GROQ,
        Profile::Anthropic => ANTHROPIC,
        Profile::Mistral => MISTRAL,
        Profile::Cerebras => CEREBRAS,
        Profile::Together => TOGETHER,
        Profile::Fireworks => FIREWORKS,
        Profile::OpenRouter => OPENROUTER,
        Profile::Gemini
        | Profile::Qwen
        | Profile::DeepSeek
        | Profile::Xai
        | Profile::Ollama
        | Profile::Vllm
        | Profile::LmStudio => &[],
    }
}

/// What these headers tell, at most one entry for a unit and a period.
pub(super) fn read(profile: Profile, headers: &HeaderMap) -> RateReport {
    let mut report = RateReport::new();
    for dimension in dimensions(profile) {
        if let Some(told) = told(dimension, headers) {
            add(&mut report, told);
        }
    }
    report
}

fn told(dimension: &Dimension, headers: &HeaderMap) -> Option<RateTold> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let (limit_text, remaining_text) = (text(dimension.limit), text(dimension.remaining));
    if limit_text.is_none() && remaining_text.is_none() {
        return None;
    }
    let limit = limit_text.and_then(count).filter(|limit| *limit > 0);
    // A limit of 0 or -1 says that there is nothing to tell, and then the rest beside it means nothing either.
    if limit_text.is_some() && limit.is_none() {
        return None;
    }
    let reset = text(dimension.reset).and_then(|reset| wait::until_reset(reset, headers));
    let remaining = remaining_text.and_then(count);
    // Nor does a bare 0: with no limit and no reset beside it, it stands for "unknown".
    let known = limit.is_some() || reset.is_some_and(|reset| !reset.is_zero());
    let remaining = remaining.filter(|remaining| *remaining > 0 || known);
    if limit.is_none() && remaining.is_none() {
        return None;
    }
    Some(RateTold { unit: dimension.unit, per: dimension.period.meant(reset), limit, remaining, reset })
}

impl Period {
    fn meant(self, reset: Option<Duration>) -> RatePer {
        match self {
            Self::Fixed(per) => per,
            Self::ByReset if reset.is_some_and(|reset| reset > MINUTE_AT_MOST) => RatePer::Day,
            Self::ByReset => RatePer::Minute,
        }
    }
}

/// Of two limits on the same thing the tighter one counts.
fn add(report: &mut RateReport, told: RateTold) {
    let room = |told: &RateTold| told.remaining.or(told.limit).unwrap_or(u64::MAX);
    match report.iter_mut().find(|other| other.unit == told.unit && other.per == told.per) {
        Some(other) if room(&told) < room(other) => *other = told,
        Some(_) => {}
        None => report.push(told),
    }
}

/// A whole number as servers write it: `30000`, `30,000`, `12.0`; not `-1`.
fn count(text: &str) -> Option<u64> {
    let digits = text.trim().bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b',');
    let mut digits = digits.filter(u8::is_ascii_digit).peekable();
    digits.peek()?;
    digits.try_fold(0_u64, |number, digit| number.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

/// Until the limits that are used up are there again, as far as their resets were told: the longest.
pub(super) fn until_room(report: &[RateTold]) -> Option<Duration> {
    used_up(report).filter_map(|told| told.reset).max()
}

/// Whether a limit of the day is used up.
pub(super) fn day_is_used_up(report: &[RateTold]) -> bool {
    used_up(report).any(|told| told.per == RatePer::Day)
}

fn used_up(report: &[RateTold]) -> impl Iterator<Item = &RateTold> {
    report.iter().filter(|told| told.remaining == Some(0))
}
