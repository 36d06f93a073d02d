//! `[output]` as checked.

use std::path::PathBuf;

use crate::types::AnswerColumns;

/// Where results go, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputSettings {
    /// The results file.
    pub path: PathBuf,
    /// How results stand in it.
    pub format: OutputFormat,
    /// The errors file; `None`: failed rows stand among the results.
    pub errors: Option<PathBuf>,
    /// Input columns to copy; `None`: all.
    pub include: Option<Vec<String>>,
    /// Before our own CSV columns.
    pub prefix: String,
    /// Whether the provider's reply is added as received (`response`).
    pub response: bool,
    /// What columns the answers have, in tables.
    pub answers: AnswerColumns,
}

/// How results stand in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    /// A JSON object a line, succeeded rows only.
    Jsonl,
    /// A line for every input row.
    Csv,
    /// The same with tabs.
    Tsv,
    /// A row for every input row, where this build writes Parquet.
    Parquet,
    /// A line of an `OpenAI` Batch output file for every input row, or, where there is an errors file, for every row that
    /// succeeded: the others stand there in the same form.
    OpenaiBatch,
}
