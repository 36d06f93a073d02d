//! How a model's name chooses its behaviour.

use std::time::Duration;

/// The names that are listed at `/v1/models`, one for each behaviour.
pub(super) const EXAMPLES: [&str; 11] = [
    "sim",
    "fail-500",
    "flaky-10",
    "slow-1000",
    "hang",
    "limit-60",
    "filter",
    "short-context-1000",
    "truncate",
    "invalid-20",
    "text-only",
];

/// What a name asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Behaviour {
    Normal,
    /// Always fails with this status.
    Fail(u16),
    /// Fails with 500 in this share of the calls.
    Flaky(f64),
    /// Takes this much longer.
    Slow(Duration),
    Hang,
    /// Has a limit of its own, requests a minute.
    Limit(u64),
    Filter,
    /// Refuses prompts of more tokens.
    ShortContext(u64),
    Truncate,
    /// Refuses requests with a `response_format`.
    TextOnly,
    /// Answers with no JSON, though asked for it, in this share of the calls.
    Invalid(f64),
}

impl Behaviour {
    /// Reads a name. One that only looks like a behaviour (`fail-often`) is a normal model.
    pub(super) fn of(model: &str) -> Self {
        match model {
            "hang" => return Self::Hang,
            "filter" => return Self::Filter,
            "truncate" => return Self::Truncate,
            "text-only" => return Self::TextOnly,
            _ => {}
        }
        let Some((name, value)) = model.rsplit_once('-') else { return Self::Normal };
        Self::with_value(name, value).unwrap_or(Self::Normal)
    }

    fn with_value(name: &str, value: &str) -> Option<Self> {
        match name {
            "fail" => value.parse().ok().filter(|status| (400..600).contains(status)).map(Self::Fail),
            "flaky" => share(value).map(Self::Flaky),
            "slow" => value.parse().ok().map(Duration::from_millis).map(Self::Slow),
            "limit" => value.parse().ok().filter(|limit| *limit > 0).map(Self::Limit),
            "short-context" => value.parse().ok().map(Self::ShortContext),
            "invalid" => share(value).map(Self::Invalid),
            _ => None,
        }
    }
}

fn share(percent: &str) -> Option<f64> {
    percent.parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent)).map(|percent| percent / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_name_but_the_plain_one_has_a_behaviour() {
        let normal: Vec<_> = EXAMPLES.into_iter().filter(|name| Behaviour::of(name) == Behaviour::Normal).collect();
        assert_eq!(normal, ["sim"]);
        assert_eq!(Behaviour::of("flaky-2.5"), Behaviour::Flaky(0.025));
        assert_eq!(Behaviour::of("slow-250"), Behaviour::Slow(Duration::from_millis(250)));
    }

    #[test]
    fn a_name_that_only_looks_like_a_behaviour_is_a_normal_model() {
        for name in ["fail-often", "fail-200", "limit-0", "flaky-101", "gpt-4o-mini", "slow", ""] {
            assert_eq!(Behaviour::of(name), Behaviour::Normal, "{name}");
        }
    }
}
