//! Why there is no report.

use crate::types::RunNumber;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The job has no such run.
    #[error("there is no run {asked}\n  hint: this job has runs 1 to {last}; --run all sums them up")]
    NoSuchRun {
        /// The number asked for.
        asked: RunNumber,
        /// The last run's number.
        last: RunNumber,
    },
    /// The job has no run yet.
    #[error("nothing has run yet")]
    NoRun,
    /// The figures do not go into the format.
    #[error("cannot write the report: {0}")]
    Encode(String),
}
