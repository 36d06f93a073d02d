//! The cost report: from the sums of a job's runs to figures by model, provider and task, and from there to JSON, CSV and
//! Markdown. Also the grouping of failed rows, with what to do about each kind.
//!
//! Owns which figures a report has and how they add up. Does not read files, know prices or draw tables for terminals.

mod advice;
mod csv;
mod entry;
mod error;
mod failures;
mod figures;
mod json;
mod markdown;
#[cfg(test)]
mod tests;

pub use advice::advice;
pub use csv::to_csv;
pub use entry::{Entry, LatencyMs};
pub use error::ReportError;
pub use failures::{Example, FailureGroup, Failures};
pub use figures::{ParseRunError, Report, RunChoice, Runs};
pub use json::to_json;
pub use markdown::to_markdown;
