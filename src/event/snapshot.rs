//! How far a run is.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::types::{FailureKind, RowCounts, Tally};

/// All figures of one moment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Snapshot {
    /// Since this invocation began.
    #[serde(rename = "elapsed_ms", serialize_with = "as_millis")]
    pub elapsed: Duration,
    /// Where the job's rows stand.
    pub rows: RowCounts,
    /// Whether `rows.total` and `rows.remaining` are final: the input has been counted.
    pub total_known: bool,
    /// Calls in flight.
    pub in_flight: u64,
    /// The sums of this invocation.
    pub sum: Tally,
    /// Rows ended a second, over the last seconds.
    pub rows_per_second: f64,
    /// How long the rest takes at that pace, where it can be told.
    #[serde(rename = "eta_ms", serialize_with = "as_optional_millis")]
    pub eta: Option<Duration>,
    /// The models in use.
    pub models: Vec<ModelView>,
    /// Whether a stop is under way.
    pub draining: bool,
}

/// One model on the screen.
#[derive(Clone, Debug, Serialize)]
pub struct ModelView {
    /// The provider.
    pub provider: String,
    /// The model's name on the wire.
    pub model: String,
    /// Calls in flight.
    pub in_flight: u64,
    /// Rows in line for it.
    pub waiting: u64,
    /// What it can do now.
    pub state: ModelState,
    /// Its requests a minute, as configured: the lower of its own and its provider's.
    pub rpm: Option<u64>,
    /// Its tokens a minute, likewise.
    pub tpm: Option<u64>,
    /// Its requests a day, likewise.
    pub rpd: Option<u64>,
    /// Its sums in this invocation.
    pub tally: Tally,
}

/// What a model can do now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ModelState {
    /// Rows go out as they come.
    #[default]
    Open,
    /// Rows wait for a configured limit.
    Pacing {
        /// How long until the next call goes, in milliseconds: seconds as a rule, hours where a day's requests are sent.
        for_ms: u64,
    },
    /// The provider asked for a pause.
    CoolingDown {
        /// How long it lasts from now, in milliseconds.
        for_ms: u64,
    },
    /// It does not answer, and is probed from time to time.
    Down {
        /// For how long, in milliseconds.
        since_ms: u64,
        /// How long until the next probe, in milliseconds.
        for_ms: u64,
    },
    /// Out of this run.
    Removed {
        /// Why.
        kind: FailureKind,
    },
}

fn as_millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

// serde hands fields over by reference.
#[expect(clippy::ref_option)]
fn as_optional_millis<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => as_millis(duration, serializer),
        None => serializer.serialize_none(),
    }
}
