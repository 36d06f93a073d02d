//! What the settings mean today: files, checked and ready to be read as often as needed.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::SourceError;
use super::file::{InputFile, Kind, first_half};
use super::find::{Found, check_distinct, find};
use super::records::Records;
use super::settings::{InputPath, InputSettings};
use super::spool::{Spool, spool};
use crate::types::Dialect;

/// The input of a job: which files it has and how each is read.
#[derive(Debug)]
pub struct Input {
    pub(super) files: Arc<[InputFile]>,
    max_row: usize,
}

/// One entry of the list, before its files are opened.
enum Entry {
    Stdin(Spool),
    File(Found),
}

impl Input {
    /// Finds the files of all paths, keeps standard input in `spool_dir`, opens every file once and reads CSV headers.
    ///
    /// # Errors
    /// Where a path leads nowhere, a format cannot be told, a header is missing or ambiguous, or a file cannot be read.
    pub fn open(settings: &InputSettings, spool_dir: &Path) -> Result<Self, SourceError> {
        Self::open_with(settings, spool_dir, &mut io::stdin().lock())
    }

    pub(super) fn open_with(
        settings: &InputSettings,
        spool_dir: &Path,
        stdin: &mut dyn Read,
    ) -> Result<Self, SourceError> {
        check_delimiter(settings.delimiter)?;
        let mut files = Vec::new();
        for entry in entries(settings, spool_dir, stdin)? {
            files.push(match entry {
                Entry::Stdin(spool) => InputFile::open_spool(spool, settings)?,
                Entry::File(found) => InputFile::open(found, settings)?,
            });
        }
        Ok(Self { files: files.into(), max_row: settings.max_row })
    }

    /// 128 bits that change whenever a file, the list of files or the way they are read changes. A file is known by
    /// path, size, mtime and ctime; standard input by its content.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 16] {
        let mut hasher = self.hasher();
        self.files.iter().for_each(|file| file.fingerprint(&mut hasher));
        first_half(&hasher)
    }

    /// Whether no file has changed since it was opened.
    ///
    /// # Errors
    /// Where a file is gone.
    pub fn is_as_opened(&self) -> Result<bool, SourceError> {
        for file in self.files.iter() {
            if !file.is_as_opened()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn hasher(&self) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"overnight input 1").update(&(self.max_row as u64).to_le_bytes());
        hasher
    }

    /// The columns that every file has; `None` where not all are CSV or text.
    #[must_use]
    pub fn header(&self) -> Option<Vec<String>> {
        let headers = self.headers()?;
        let (first, others) = headers.split_first()?;
        Some(first.iter().filter(|name| others.iter().all(|other| other.contains(name))).cloned().collect())
    }

    /// The columns that any file has, in the order in which they come up; `None` where not all are CSV or
    /// text.
    #[must_use]
    pub fn columns(&self) -> Option<Vec<String>> {
        let mut columns: Vec<String> = Vec::new();
        for name in self.headers()?.into_iter().flatten() {
            if !columns.contains(name) {
                columns.push(name.clone());
            }
        }
        Some(columns)
    }

    /// How a CSV made from this input is written, so that what opens the one opens the other: as the input's files are, where
    /// all are tables of one kind.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        let mut dialects = self.files.iter().map(InputFile::dialect);
        let first = dialects.next().flatten().unwrap_or_default();
        if dialects.all(|dialect| dialect == Some(first)) { first } else { Dialect::default() }
    }

    /// Whether there are files and all are Parquet.
    #[must_use]
    pub fn is_parquet(&self) -> bool {
        !self.files.is_empty() && self.files.iter().all(|file| file.kind == Kind::Parquet)
    }

    /// The types of the columns, where all files are Parquet: those of a column that differs between files is left out.
    #[cfg(feature = "parquet")]
    #[must_use]
    pub fn types(&self) -> Option<arrow_schema::SchemaRef> {
        let schemas: Vec<_> = self.files.iter().map(InputFile::types).collect::<Option<_>>()?;
        let fields = schemas.iter().flat_map(|schema| schema.fields());
        let differs = |field: &arrow_schema::Field| {
            let others = schemas.iter().filter_map(|schema| schema.field_with_name(field.name()).ok());
            others.into_iter().any(|other| other.data_type() != field.data_type())
        };
        let agreed: Vec<_> = fields.filter(|field| !differs(field)).cloned().collect();
        Some(Arc::new(arrow_schema::Schema::new(agreed)))
    }

    fn headers(&self) -> Option<Vec<&Vec<String>>> {
        self.files.iter().map(|file| file.layout.columns()).collect()
    }

    /// The files, absolute and with links followed; standard input is its spool.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.files.iter().map(|file| file.path.clone()).collect()
    }

    /// A fresh pass from the first record.
    ///
    /// # Errors
    /// Where the first file can no longer be opened.
    pub fn records(&self) -> Result<Records, SourceError> {
        Records::new(Arc::clone(&self.files), self.max_row)
    }

    /// How many records there are, broken ones included, in a pass of its own that copies and parses nothing.
    ///
    /// # Errors
    /// Where a file cannot be read to its end.
    pub fn count(&self) -> Result<u64, SourceError> {
        self.files.iter().map(InputFile::count).sum()
    }
}

/// What all paths of the settings mean, in their order.
fn entries(settings: &InputSettings, spool_dir: &Path, stdin: &mut dyn Read) -> Result<Vec<Entry>, SourceError> {
    let mut files = Vec::new();
    let mut stdin_at = None;
    for path in &settings.paths {
        match path {
            InputPath::Stdin if stdin_at.is_some() => {
                return Err(SourceError::Twice { first: "-".to_owned(), second: "-".to_owned() });
            }
            InputPath::Stdin => stdin_at = Some(files.len()),
            InputPath::Path { path, shown } => files.extend(find(path, shown, settings.format)?),
        }
    }
    if files.is_empty() && stdin_at.is_none() {
        return Err(SourceError::NoPaths);
    }
    check_distinct(&files)?;
    let mut entries: Vec<Entry> = files.into_iter().map(Entry::File).collect();
    // Read last, so that a misspelt path beside it is told before hours of input are taken in.
    if let Some(at) = stdin_at {
        entries.insert(at, Entry::Stdin(spool(stdin, spool_dir)?));
    }
    Ok(entries)
}

fn check_delimiter(delimiter: Option<u8>) -> Result<(), SourceError> {
    match delimiter {
        Some(byte) if !byte.is_ascii() || matches!(byte, b'"' | b'\n' | b'\r') => {
            Err(SourceError::Delimiter(char::from(byte)))
        }
        Some(_) | None => Ok(()),
    }
}
