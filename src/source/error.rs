//! Why an input cannot be read.

use std::io;
use std::path::PathBuf;

/// Why reading cannot start or cannot go on. `file` is the path as the job names it.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Nothing is at the path, and it is no pattern.
    #[error("{file}: no such file or folder\n  hint: check input.path")]
    NotFound {
        /// The path.
        file: String,
    },
    /// A glob without a match.
    #[error("{pattern}: no file matches\n  hint: check input.path")]
    NoMatch {
        /// The glob.
        pattern: String,
    },
    /// A glob that cannot be read.
    #[error("{pattern}: not a valid pattern: {source}\n  hint: a literal [ is written [[]")]
    Pattern {
        /// The glob.
        pattern: String,
        /// What is wrong with it.
        source: glob::PatternError,
    },
    /// A folder without a file to read.
    #[error(
        "{folder}: no file with a fitting extension in it ({wanted})\n  hint: name other files by a glob and input.format"
    )]
    EmptyFolder {
        /// The folder.
        folder: String,
        /// The extensions that were looked for.
        wanted: String,
    },
    /// No path at all.
    #[error("input.path names no file")]
    NoPaths,
    /// One file through two entries: its rows would be sent twice.
    #[error("{second} is the same file as {first}\n  hint: name it once in input.path")]
    Twice {
        /// As named first.
        first: String,
        /// As named again.
        second: String,
    },
    /// A pipe, a device or a socket: it cannot be read more than once.
    #[error("{file}: not a regular file, and can be read only once\n  hint: pipe it in with input.path = \"-\"")]
    NotRegular {
        /// The path.
        file: String,
    },
    /// An extension that says nothing, under `format = "auto"`.
    #[error(
        "{file}: the extension does not tell the format\n  hint: set input.format (jsonl, json, csv, tsv, parquet, text or openai-batch)"
    )]
    UnknownFormat {
        /// The path.
        file: String,
    },
    /// An extension that says something else than `format`.
    #[error(
        "{file}: {extension} by its extension, but input.format says {format}\n  hint: leave input.format out or rename it"
    )]
    Clash {
        /// The path.
        file: String,
        /// The format by extension.
        extension: &'static str,
        /// The format as set.
        format: &'static str,
    },
    /// Bytes that are no text as we read it, by their first few.
    #[error("{file}: this is {what}\n  hint: {hint}")]
    Unreadable {
        /// The path.
        file: String,
        /// What it is.
        what: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// A delimiter that cannot separate fields.
    #[error(
        "input.delimiter: {0:?} cannot separate fields\n  hint: use one ASCII character other than a quote or a line end"
    )]
    Delimiter(char),
    /// A CSV file without any line.
    #[error("{file}: empty, but a CSV file starts with a header line")]
    NoHeader {
        /// The path.
        file: String,
    },
    /// A header line that cannot be used.
    #[error("{file}:{line}: the header {problem}")]
    Header {
        /// The path.
        file: String,
        /// The header's line, from 1.
        line: u64,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A JSON array of which the rest cannot be told.
    #[error("{file}:{line}: {problem}")]
    Array {
        /// The path.
        file: String,
        /// The line, from 1.
        line: u64,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A Parquet file that cannot be read, or not on.
    #[error("{file}: cannot be read as Parquet: {problem}")]
    Parquet {
        /// The path.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// Opening, listing or reading failed.
    #[error("{file}: cannot {doing}: {source}")]
    Io {
        /// The path.
        file: String,
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A compressed file that ends early or holds something else.
    #[error("{file}: {}\n  hint: {}", .damage.what(packing, source), .damage.hint())]
    Damaged {
        /// The path.
        file: String,
        /// How it is packed.
        packing: &'static str,
        /// What is wrong with it.
        damage: Damage,
        /// What the decoder says.
        source: io::Error,
    },
    /// Standard input could not be kept.
    #[error("cannot keep standard input in {}: {source}", .path.display())]
    Spool {
        /// The spool.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl SourceError {
    /// Whether a file is there and can be read, but does not hold what it should: reading it again does not help.
    #[must_use]
    pub fn is_of_content(&self) -> bool {
        match self {
            Self::Unreadable { .. }
            | Self::NoHeader { .. }
            | Self::Header { .. }
            | Self::Array { .. }
            | Self::Parquet { .. }
            | Self::Damaged { .. } => true,
            Self::NotFound { .. }
            | Self::NoMatch { .. }
            | Self::Pattern { .. }
            | Self::EmptyFolder { .. }
            | Self::NoPaths
            | Self::Twice { .. }
            | Self::NotRegular { .. }
            | Self::UnknownFormat { .. }
            | Self::Clash { .. }
            | Self::Delimiter(_)
            | Self::Io { .. }
            | Self::Spool { .. } => false,
        }
    }
}

/// What is wrong with a packed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// It is not packed so at all.
    Foreign,
    /// Its end is missing.
    CutShort,
    /// Its bytes are not those that were packed.
    Broken,
}

impl Damage {
    /// By what the decoders say: they have no codes for it.
    pub(super) fn of(error: &io::Error) -> Self {
        let words = error.to_string().to_lowercase();
        let says = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
        if error.kind() == io::ErrorKind::UnexpectedEof || says(&["incomplete"]) {
            Self::CutShort
        } else {
            Self::Broken
        }
    }

    fn what(self, packing: &str, error: &io::Error) -> String {
        match self {
            Self::Foreign => format!("this is no {packing} data, though its name says so"),
            Self::CutShort => format!("the {packing} data is cut short"),
            Self::Broken => format!("the {packing} data is damaged: {error}"),
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::Foreign => "pack the file, or take .gz or .zst off its name",
            Self::CutShort => "the file was not written or copied in full: do that again",
            Self::Broken => "copy the file again, or pack it anew",
        }
    }
}
