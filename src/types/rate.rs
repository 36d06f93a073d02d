//! What replies tell of a provider's limits: read by the provider room, used by the limit room.

use std::time::Duration;

/// Everything that one reply told of limits; mostly nothing, or one entry for requests and one for tokens.
pub type RateReport = Vec<RateTold>;

/// What one reply told of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateTold {
    /// What is counted.
    pub unit: RateUnit,
    /// The time that the limit is meant for, as this provider means it.
    pub per: RatePer,
    /// How much may be used in that time; never 0.
    pub limit: Option<u64>,
    /// How much of it is left.
    pub remaining: Option<u64>,
    /// How long until all of it is there again.
    pub reset: Option<Duration>,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RateUnit {
    /// Calls.
    Requests,
    /// Tokens, input and output together.
    Tokens,
    /// Tokens of requests.
    InputTokens,
    /// Tokens of answers.
    OutputTokens,
}

/// What a provider counts against its token limits, and so what is reserved for a call and what is given back after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Counting {
    /// Input and the output cap (`max_tokens`), when the request arrives: nothing is given back.
    InputAndMaxOutput,
    /// Input and output as used: what was reserved too much is given back.
    #[default]
    Used,
    /// Input alone; output is free.
    InputOnly,
    /// Input and output each against a limit of its own, output as it is written: reserve the mean of answers seen, not
    /// the cap.
    Split,
    /// No token limits are known of it: calls in flight are what it limits. One that is configured nevertheless counts
    /// as [`Counting::Used`].
    None,
}

/// The time that a limit is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RatePer {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// A day.
    Day,
}

impl RatePer {
    /// How long it is.
    #[must_use]
    pub const fn length(self) -> Duration {
        match self {
            Self::Second => Duration::from_secs(1),
            Self::Minute => Duration::from_mins(1),
            Self::Day => Duration::from_hours(24),
        }
    }
}
