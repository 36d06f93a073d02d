//! Shows a run to whoever started it: bars on a terminal, lines in a log file, and the summary at the end.
//!
//! Owns wording and layout. Every picture is a function of the last snapshot, so that nothing here counts; what a run does
//! is decided below, and told in events.

mod bars;
mod choice;
mod comparison;
mod echo;
mod explanation;
mod failures;
mod lines;
mod models;
mod paint;
mod phrases;
mod plain;
mod pruning;
mod report;
mod status;
mod summary;
mod survey;
mod table;

use overnight::report::words;

pub use choice::{LogWriter, ProgressMode, Screen};
pub use comparison::{comparison_markdown, comparison_text};
pub use explanation::explanation_text;
pub use failures::failures_text;
pub use models::models_text;
pub use pruning::pruning_text;
pub use report::report_text;
pub use status::{State, Status, nothing_yet, status_line, status_text};
pub use summary::{retry_note, shown, summary_text};
pub use survey::survey_text;
pub use words::one_line;
