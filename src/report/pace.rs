//! What came in over time, and how long calls took.

use serde::Serialize;

use crate::types::{Course, Latency, Moment};

/// So many steps of time at most, those in which nothing ended included: as many as a chart can show.
const MOST_STEPS: u64 = 120;

/// A run over time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Throughput {
    /// How long a step is.
    pub step_ms: u64,
    /// The steps in which something ended.
    pub steps: Vec<ThroughputStep>,
}

/// What ended in one step of time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ThroughputStep {
    /// When the step begins.
    pub at: Moment,
    /// Rows that ended well.
    pub succeeded: u64,
    /// Rows that ended badly.
    pub failed: u64,
    /// Requests that ended, 429s included.
    pub attempts: u64,
    /// Requests answered by a rate limit.
    pub rate_limited: u64,
    /// Tokens, input and output together.
    pub tokens: u64,
}

impl Throughput {
    /// `None` where it was not recorded.
    pub(super) fn new(course: &Course) -> Option<Self> {
        let timeline = course.timeline.clone().within(MOST_STEPS);
        let steps = timeline.steps().map(|(at, step)| ThroughputStep {
            at: Moment(at),
            succeeded: step.succeeded,
            failed: step.failed,
            attempts: step.attempts,
            rate_limited: step.rate_limited,
            tokens: step.tokens,
        });
        let steps: Vec<ThroughputStep> = steps.collect();
        (!steps.is_empty()).then(|| Self { step_ms: timeline.step_ms(), steps })
    }
}

/// Calls with an answer that took at least this long, and less than that.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LatencyRange {
    /// At least so many milliseconds.
    pub from_ms: u64,
    /// And less than so many.
    pub below_ms: u64,
    /// How many calls.
    pub calls: u64,
}

/// From the shortest to the longest, four ranges for each doubling; those without a call between them included.
pub(super) fn latencies(latency: &Latency) -> Vec<LatencyRange> {
    latency.ranges().map(|(from_ms, below_ms, calls)| LatencyRange { from_ms, below_ms, calls }).collect()
}
