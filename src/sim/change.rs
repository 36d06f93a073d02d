//! What changes while the simulator runs.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;

use super::settings::{SimLimits, SimSettings};
use super::station::Knee;
use super::written;

/// New conditions from some moment on. What is not given stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// When, counted from the start of the simulator; written in seconds.
    #[serde(deserialize_with = "written::seconds")]
    pub at: Duration,
    /// The limits that are given change. What was used of them stays used.
    #[serde(default)]
    pub limits: SimLimits,
    /// How long an answer takes from now on.
    #[serde(default, deserialize_with = "written::maybe_times")]
    pub latency: Option<RangeInclusive<Duration>>,
    /// How many calls the server works on at full speed from now on.
    #[serde(default)]
    pub knee: Option<Knee>,
}

impl SimSettings {
    /// How long an answer takes at this time after the start.
    pub(super) fn latency_at(&self, at: Duration) -> &RangeInclusive<Duration> {
        let mut past = self.changes.iter().rev().filter(|change| change.at <= at);
        past.find_map(|change| change.latency.as_ref()).unwrap_or(&self.latency)
    }

    /// Each knee and when it begins, in order.
    pub(super) fn knees(&self) -> Vec<(Duration, Knee)> {
        let first = self.knee.map(|knee| (Duration::ZERO, knee));
        first.into_iter().chain(self.changes.iter().filter_map(|change| Some((change.at, change.knee?)))).collect()
    }
}
