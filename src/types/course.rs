//! How a run went, besides its sums: what came in over time, and some of what went wrong in its own words. Bounded, however
//! large the run is.

use serde::{Deserialize, Serialize};

use super::{LogLine, Samples, Timeline};

/// How a run went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Course {
    /// What came in over time.
    pub timeline: Timeline,
    /// The first failures of each kind.
    #[serde(skip_serializing_if = "Samples::is_empty")]
    pub samples: Samples,
}

impl Course {
    /// Counts one line of the log.
    pub fn count(&mut self, line: &LogLine) {
        match line {
            LogLine::Carried(carried) => self.merge(&carried.course),
            LogLine::Attempt(_) | LogLine::Outcome(_) | LogLine::Run(_) | LogLine::RunEnd(_) => {
                self.timeline.count(line);
                self.samples.count(line);
            }
        }
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timeline.is_empty() && self.samples.is_empty()
    }

    fn merge(&mut self, other: &Self) {
        self.timeline.merge(&other.timeline);
        self.samples.merge(&other.samples);
    }
}
