//! The cost report: from the sums of a job's runs to figures by model, provider and task, and from there to JSON, CSV,
//! Markdown and a page of HTML. Also the grouping of failed rows, with what to do about each kind.
//!
//! Owns which figures a report has, how they add up, and how they are put in words. Does not read files, know prices or draw
//! tables for terminals.

mod advice;
mod choice;
mod csv;
mod entry;
mod error;
mod failures;
mod figures;
mod html;
mod json;
mod markdown;
mod night;
mod pace;
mod setback;
#[cfg(test)]
mod tests;
mod what_if;
pub mod words;

pub use advice::advice;
pub use choice::{ParseRunError, RunChoice, Runs};
pub use csv::to_csv;
pub use entry::{Entry, LatencyMs};
pub use error::ReportError;
pub use failures::{Example, FailureGroup, Failures};
pub use figures::Report;
pub use html::to_html;
pub use json::to_json;
pub use markdown::to_markdown;
pub use night::Night;
pub use pace::{LatencyRange, Throughput, ThroughputStep};
pub use setback::{FailureSample, KindOfFailure, Waste};
pub use what_if::{Alternative, WhatIf, WhatIfPart};
