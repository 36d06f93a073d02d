//! Reads the log's lines in order, in memory that does not grow with the log.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::StoreError;
use super::error::io_error;
use crate::types::LogLine;

const BUFFER: usize = 256 << 10;

/// A piece of the log, up to and with its line break.
pub(super) enum Scanned {
    /// A whole line.
    Line(Box<LogLine>),
    /// A line that cannot be read.
    Broken,
    /// What stands behind the last line break.
    Torn,
}

/// A file read on from a place of its own, whoever else reads it through the same handle.
struct FileFrom {
    file: File,
    at: u64,
}

impl Read for FileFrom {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// A pass over the log.
pub(super) struct Scan {
    path: PathBuf,
    reader: BufReader<FileFrom>,
    end: u64,
    line: Vec<u8>,
}

impl Scan {
    pub(super) fn open(path: &Path, from: u64) -> Result<Self, StoreError> {
        Ok(Self::over(File::open(path).map_err(io_error("open", path))?, path, from))
    }

    /// A pass over the log that is open here, whatever stands under its name by now.
    pub(super) fn over(file: File, path: &Path, from: u64) -> Self {
        let reader = BufReader::with_capacity(BUFFER, FileFrom { file, at: from });
        Self { path: path.to_owned(), reader, end: from, line: Vec::new() }
    }

    /// Where the next piece begins, in bytes.
    pub(super) fn position(&self) -> u64 {
        self.end
    }

    pub(super) fn next(&mut self) -> Result<Option<Scanned>, StoreError> {
        Ok(match self.read()? {
            None => None,
            Some(false) => Some(Scanned::Torn),
            Some(true) => Some(serde_json::from_slice(&self.line).map_or(Scanned::Broken, Scanned::Line)),
        })
    }

    /// The piece that [`Scan::next`] gave last, as it stands.
    pub(super) fn raw(&self) -> &[u8] {
        &self.line
    }

    /// The next whole line as it stands; `None` at the end of the last one.
    pub(super) fn next_raw(&mut self) -> Result<Option<&[u8]>, StoreError> {
        Ok(if self.read()? == Some(true) { Some(&self.line) } else { None })
    }

    /// Reads up to and with the next line break; `Some(false)`: there was none.
    fn read(&mut self) -> Result<Option<bool>, StoreError> {
        self.line.clear();
        let read = self.reader.read_until(b'\n', &mut self.line).map_err(io_error("read", &self.path))?;
        self.end += read as u64;
        Ok((read > 0).then(|| self.line.last() == Some(&b'\n')))
    }
}
