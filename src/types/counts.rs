//! How far a job is, in rows.

use serde::{Deserialize, Serialize};

/// Whether a count is left out of what is written, where it is about something rare.
#[must_use]
pub fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Where the job's rows stand, over the selected input: total = succeeded + failed + `failed_before` + remaining.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RowCounts {
    /// All selected rows.
    pub total: u64,
    /// Rows with an answer, of whichever run.
    pub succeeded: u64,
    /// Rows that failed in this run.
    pub failed: u64,
    /// Rows that failed in an earlier run and are not tried again.
    pub failed_before: u64,
    /// Rows without an end.
    pub remaining: u64,
    /// Rows that were done before this invocation.
    pub skipped: u64,
    /// Answers that stopped at the output limit, among those that succeeded.
    pub truncated: u64,
}

impl RowCounts {
    /// Rows that have ended, of whichever run.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.succeeded + self.failed + self.failed_before
    }
}

/// Where a job's rows stand, as its last run told it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RowsNow {
    /// The rows that the last run was about.
    pub rows: RowCounts,
    /// Which part of the job they are, as the command line had it; `None`: all of it.
    pub part: Option<String>,
    /// How many rows the whole job has, where that is known.
    pub job_rows: Option<u64>,
}
