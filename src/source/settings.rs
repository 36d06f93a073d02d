//! `[input]` as checked, as far as reading goes.

use std::path::PathBuf;

/// What is read, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputSettings {
    /// Files, folders and globs in the order of the job file; each one's matches are sorted.
    pub paths: Vec<InputPath>,
    /// How records stand in the files.
    pub format: Format,
    /// CSV's delimiter; `None`: found out from the header line among `,` `;` and tab.
    pub delimiter: Option<u8>,
    /// A record with more bytes than this fails as `bad_row`.
    pub max_row: usize,
}

/// One entry of `input.path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputPath {
    /// `-`: standard input, read anew through a spool.
    Stdin,
    /// A file, a folder or a glob, made absolute or relative to the working directory; `shown` is the text to show in
    /// places such as `data/reviews.csv:17`.
    Path {
        /// Where it is.
        path: PathBuf,
        /// As the user wrote it.
        shown: String,
    },
}

/// How records stand in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// By extension, `.gz` and `.zst` taken off first.
    #[default]
    Auto,
    /// A JSON object a line.
    Jsonl,
    /// Comma-separated values with a header line.
    Csv,
    /// Tab-separated values with a header line.
    Tsv,
    /// An OpenAI Batch file: JSONL of `custom_id`, `method`, `url`, `body`.
    OpenaiBatch,
    /// One array of objects.
    Json,
    /// Parquet, where this build reads it.
    Parquet,
    /// Documents: a file is a row with the columns `path`, `name` and `text`.
    Text,
}
