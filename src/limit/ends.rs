//! How calls end, as far as limits and outages care.

use std::time::Duration;

use tokio::time::Instant;

use super::Sickness;

/// How a call ended. A hint is a wait that the server told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// With an answer.
    Good,
    /// The server refused it for the rate, as with status 429.
    Throttled {
        /// The wait that was told with it.
        hint: Option<Duration>,
    },
    /// The server failed: 5xx, connection, timeout.
    Sick {
        /// The wait that was told with it.
        hint: Option<Duration>,
        /// How much it tells of the server.
        weight: Sickness,
    },
    /// The server is fine and the request is not, as with most of 4xx.
    Neutral {
        /// The wait that was told with it.
        hint: Option<Duration>,
    },
    /// It was given up before its end was known.
    Cut,
}

/// Whether a member is believed to be up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its breaker is closed: calls go.
    Closed,
    /// Its breaker is open, or probing.
    Open,
}

/// Why a call is not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The model was taken out of the run.
    #[error("the model was taken out of the run")]
    Closed,
    /// It does not answer: every member's breaker is open.
    #[error("the model does not answer")]
    Down,
    /// The server told to wait longer than the caller would.
    #[error("the server told to wait")]
    Away {
        /// When the wait is over.
        until: Instant,
    },
}
