//! What held rows back.

use serde::{Deserialize, Serialize};

use super::RunNumber;

/// How long rows of a run waited for a model, by what they waited for. Not from the log, but from watching the run: a
/// moment may be missing after a kill.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeldBack {
    /// The provider.
    pub provider: String,
    /// The model's name on the wire.
    pub model: String,
    /// For its limits, in milliseconds.
    pub pacing_ms: u64,
    /// For the end of a pause that the provider had asked for.
    pub cooling_down_ms: u64,
    /// For it to answer again.
    pub down_ms: u64,
}

/// The same for all models of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Held {
    /// The run.
    pub run: RunNumber,
    /// Models for which rows waited.
    pub models: Vec<HeldBack>,
}
