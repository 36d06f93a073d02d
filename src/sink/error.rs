//! Why results cannot be written.

use std::io;
use std::path::{Path, PathBuf};

use crate::types::ReplyError;

/// Why results cannot be written, or their settings cannot hold.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// A column of ours has the name of a copied one.
    #[error(
        "output: the input's column {column:?} and our own result column have the same name; set output.prefix, such as \
         \"llm_\", or leave the column out of output.include"
    )]
    Clash {
        /// The name.
        column: String,
    },
    /// `output.include` names what is not there.
    #[error("output.include: the input has no column {column:?}{}", nearest(.known.as_deref()))]
    UnknownColumn {
        /// The name as written.
        column: String,
        /// The input's column that is nearest to it.
        known: Option<String>,
    },
    /// `output.path` and `output.errors` are one file.
    #[error("output: path and errors are the same file, {}; give output.errors another name", .0.display())]
    SameFile(PathBuf),
    /// The target is a folder, a device or a pipe: it cannot be replaced by a file.
    #[error("output: {} is there and is no regular file; name a file, or `-` for stdout", .0.display())]
    NotAFile(PathBuf),
    /// This build has no Parquet.
    #[error(
        "this build of overnight does not write Parquet; build it with `cargo install --path . --features parquet`"
    )]
    NoParquet,
    /// Reading, writing or renaming failed.
    #[error("cannot {doing} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A row that succeeded has no reply in the log.
    #[error("row {row}: its answer is missing in results.log; `run --fresh` archives the log and begins anew")]
    NoReply {
        /// The record number.
        row: u64,
    },
    /// The reply of a row that succeeded cannot be read any more.
    #[error(
        "row {row}: its answer in results.log cannot be read: {source}; `run --fresh` archives the log and begins anew"
    )]
    BadReply {
        /// The record number.
        row: u64,
        /// What is wrong with it.
        source: ReplyError,
    },
    /// The row cannot be put into JSON.
    #[error("row {row}: cannot be written as JSON: {source}")]
    Encode {
        /// The record number.
        row: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl SinkError {
    pub(super) fn io(doing: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io { doing, path: path.to_owned(), source: source.into() }
    }
}

fn nearest(known: Option<&str>) -> String {
    known.map_or_else(String::new, |known| format!("; did you mean {known:?}?"))
}
