//! How replies tell of limits, as different providers do it.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::error::{Hint, go_time};
use super::limits::Unit;

/// Whose headers tell of limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeaderStyle {
    /// Requests and tokens a minute, times as `6m0s`; `retry-after-ms` on a 429.
    #[default]
    OpenAi,
    /// All of a minute, times as dates of the real clock, tokens left to the nearest thousand.
    Anthropic,
    /// OpenAI's names, but requests are those of a day.
    Groq,
    /// A minute's, without times.
    Mistral,
    /// A second's, in whole seconds.
    Together,
    /// Requests a minute and a day, tokens a minute, times in seconds with a fraction.
    Cerebras,
    /// Nothing is told but the hint of a 429.
    None,
}

/// What one limit has to tell.
pub(super) struct Told {
    pub(super) unit: Unit,
    /// For a minute or a day.
    pub(super) limit: u64,
    /// In the window.
    pub(super) remaining: u64,
    /// Until all of it is there again.
    pub(super) reset: Duration,
}

/// The names of the headers for limit, remaining and reset.
type Names = (&'static str, &'static str, Option<&'static str>);

impl HeaderStyle {
    /// How a 429 tells when to come back.
    pub(super) fn hint(self) -> Hint {
        match self {
            Self::OpenAi => Hint::Millis,
            Self::Anthropic | Self::Groq | Self::Mistral | Self::Together | Self::Cerebras | Self::None => {
                Hint::Seconds
            }
        }
    }

    pub(super) fn tell(self, told: &Told, headers: &mut HeaderMap) {
        let Some((limit, remaining, reset)) = self.names(told.unit) else { return };
        headers.insert(HeaderName::from_static(limit), self.limit(told).into());
        headers.insert(HeaderName::from_static(remaining), self.remaining(told).into());
        if let Some(name) = reset
            && let Ok(time) = HeaderValue::try_from(self.time(told.reset))
        {
            headers.insert(HeaderName::from_static(name), time);
        }
    }

    fn names(self, unit: Unit) -> Option<Names> {
        match self {
            Self::OpenAi => openai(unit, Unit::Requests),
            Self::Groq => openai(unit, Unit::DayRequests),
            Self::Anthropic => anthropic(unit),
            Self::Mistral => mistral(unit),
            Self::Together => together(unit),
            Self::Cerebras => cerebras(unit),
            Self::None => None,
        }
    }

    fn limit(self, told: &Told) -> u64 {
        if self == Self::Together { (told.limit / 60).max(1) } else { told.limit }
    }

    fn remaining(self, told: &Told) -> u64 {
        match self {
            Self::Together => told.remaining.min(self.limit(told)),
            Self::Anthropic if told.unit != Unit::Requests => (told.remaining + 500) / 1000 * 1000,
            Self::OpenAi | Self::Anthropic | Self::Groq | Self::Mistral | Self::Cerebras | Self::None => told.remaining,
        }
    }

    fn time(self, time: Duration) -> String {
        match self {
            Self::OpenAi | Self::Groq | Self::Mistral | Self::None => go_time(time),
            Self::Anthropic => date_after(time),
            Self::Together => whole_seconds(time).to_string(),
            Self::Cerebras => time.as_secs_f64().to_string(),
        }
    }
}

/// The next full second after this time from now, in UTC. Clients compare it with the real clock, so it is told by it.
fn date_after(time: Duration) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let second = i64::try_from(whole_seconds(now + time)).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(second).map(|date| date.to_string()).unwrap_or_default()
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Which requests it means differs; nothing is told of others.
fn openai(unit: Unit, requests: Unit) -> Option<Names> {
    if unit == requests {
        let names = ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests");
        return Some((names.0, names.1, Some("x-ratelimit-reset-requests")));
    }
    let tokens = ("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", Some("x-ratelimit-reset-tokens"));
    (unit == Unit::Tokens).then_some(tokens)
}

fn anthropic(unit: Unit) -> Option<Names> {
    match unit {
        Unit::Requests => Some((
            "anthropic-ratelimit-requests-limit",
            "anthropic-ratelimit-requests-remaining",
            Some("anthropic-ratelimit-requests-reset"),
        )),
        Unit::Tokens => Some((
            "anthropic-ratelimit-tokens-limit",
            "anthropic-ratelimit-tokens-remaining",
            Some("anthropic-ratelimit-tokens-reset"),
        )),
        Unit::InputTokens => Some((
            "anthropic-ratelimit-input-tokens-limit",
            "anthropic-ratelimit-input-tokens-remaining",
            Some("anthropic-ratelimit-input-tokens-reset"),
        )),
        Unit::OutputTokens => Some((
            "anthropic-ratelimit-output-tokens-limit",
            "anthropic-ratelimit-output-tokens-remaining",
            Some("anthropic-ratelimit-output-tokens-reset"),
        )),
        Unit::DayRequests => None,
    }
}

fn mistral(unit: Unit) -> Option<Names> {
    match unit {
        Unit::Requests => Some(("x-ratelimit-limit-req-minute", "x-ratelimit-remaining-req-minute", None)),
        Unit::Tokens => Some(("x-ratelimit-limit-tokens-minute", "x-ratelimit-remaining-tokens-minute", None)),
        Unit::DayRequests | Unit::InputTokens | Unit::OutputTokens => None,
    }
}

fn together(unit: Unit) -> Option<Names> {
    match unit {
        Unit::Requests => Some(("x-ratelimit-limit", "x-ratelimit-remaining", Some("x-ratelimit-reset"))),
        Unit::Tokens => Some(("x-tokenlimit-limit", "x-tokenlimit-remaining", None)),
        Unit::DayRequests | Unit::InputTokens | Unit::OutputTokens => None,
    }
}

fn cerebras(unit: Unit) -> Option<Names> {
    match unit {
        Unit::Requests => Some((
            "x-ratelimit-limit-requests-minute",
            "x-ratelimit-remaining-requests-minute",
            Some("x-ratelimit-reset-requests-minute"),
        )),
        Unit::DayRequests => Some((
            "x-ratelimit-limit-requests-day",
            "x-ratelimit-remaining-requests-day",
            Some("x-ratelimit-reset-requests-day"),
        )),
        Unit::Tokens => Some((
            "x-ratelimit-limit-tokens-minute",
            "x-ratelimit-remaining-tokens-minute",
            Some("x-ratelimit-reset-tokens-minute"),
        )),
        Unit::InputTokens | Unit::OutputTokens => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Limits of 600, with 1234 ms to go, as this style tells them.
    fn told(style: HeaderStyle, unit: Unit, remaining: u64) -> Vec<(String, String)> {
        let mut headers = HeaderMap::new();
        style.tell(&Told { unit, limit: 600, remaining, reset: Duration::from_millis(1234) }, &mut headers);
        headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn each_provider_names_limits_and_writes_times_in_its_own_way() {
        let openai = [
            ("x-ratelimit-limit-requests", "600"),
            ("x-ratelimit-remaining-requests", "400"),
            ("x-ratelimit-reset-requests", "1.234s"),
        ];
        assert_eq!(told(HeaderStyle::OpenAi, Unit::Requests, 400), pairs(&openai));
        assert_eq!(told(HeaderStyle::Groq, Unit::DayRequests, 400), pairs(&openai));
        assert_eq!(told(HeaderStyle::Groq, Unit::Requests, 400), []);
        let mistral = [("x-ratelimit-limit-req-minute", "600"), ("x-ratelimit-remaining-req-minute", "400")];
        assert_eq!(told(HeaderStyle::Mistral, Unit::Requests, 400), pairs(&mistral));
        let together = [("x-ratelimit-limit", "10"), ("x-ratelimit-remaining", "10"), ("x-ratelimit-reset", "2")];
        assert_eq!(told(HeaderStyle::Together, Unit::Requests, 400), pairs(&together));
        let cerebras = [
            ("x-ratelimit-limit-tokens-minute", "600"),
            ("x-ratelimit-remaining-tokens-minute", "400"),
            ("x-ratelimit-reset-tokens-minute", "1.234"),
        ];
        assert_eq!(told(HeaderStyle::Cerebras, Unit::Tokens, 400), pairs(&cerebras));
        assert_eq!(told(HeaderStyle::None, Unit::Requests, 400), []);
    }

    #[test]
    fn anthropic_rounds_tokens_and_gives_dates() {
        let [limit, remaining, reset] = &told(HeaderStyle::Anthropic, Unit::InputTokens, 1_600)[..] else { panic!() };
        assert_eq!(limit.0, "anthropic-ratelimit-input-tokens-limit");
        assert_eq!(remaining, &("anthropic-ratelimit-input-tokens-remaining".to_owned(), "2000".to_owned()));
        let date: jiff::Timestamp = reset.1.parse().unwrap();
        let ahead = date.duration_since(jiff::Timestamp::now()).as_secs_f64();
        assert!(ahead > 0.0 && ahead < 2.3, "{ahead}");
        assert_eq!(told(HeaderStyle::Anthropic, Unit::Requests, 44)[1].1, "44");
    }
}
