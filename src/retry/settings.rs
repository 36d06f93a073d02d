//! `[retry]` as checked.

use std::time::Duration;

/// What follows from an answer that breaks the task's rules (`on_invalid`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnInvalid {
    /// The model is told what is wrong with it, and asked again.
    #[default]
    Reask,
    /// The model is asked the same again.
    Retry,
    /// The next model of the route is asked.
    Fallback,
    /// The row fails.
    Fail,
}

/// How often and after which pauses an attempt is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// Attempts for each row and model, the first included; at least 1. 429s do not count.
    pub max_attempts: u32,
    /// The first pause at most; each further one may be twice as long.
    pub backoff_base: Duration,
    /// No pause is longer.
    pub backoff_max: Duration,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self { max_attempts: 5, backoff_base: Duration::from_millis(500), backoff_max: Duration::from_mins(1) }
    }
}
