//! Reads single outcomes of the log: in the order of the input, which is nearly the order of the log.

use std::fs::File;
use std::path::PathBuf;

use super::error::io_error;
use super::log::LOG;
use super::pages::{PAGE, Pages};
use super::{StateDir, StoreError};
use crate::types::{LogLine, OutcomeLine};

/// 4 MB: what ends while one slow row is under way stays at hand.
const PAGES: usize = 64;

/// Random access to the log, cheap where the places lie near one another. Sees lines that are written later.
pub struct LogReader {
    path: PathBuf,
    pages: Pages,
    line: Vec<u8>,
}

impl LogReader {
    /// Opens the log of this state directory for reading.
    ///
    /// # Errors
    /// I/O.
    pub fn open(dir: &StateDir) -> Result<Self, StoreError> {
        let path = dir.file(LOG);
        let file = File::open(&path).map_err(io_error("open", &path))?;
        Ok(Self::over(file, path))
    }

    /// A reader of the log that is open here, whatever stands under its name by now.
    pub(super) fn over(file: File, path: PathBuf) -> Self {
        Self { path, pages: Pages::new(file, PAGES), line: Vec::new() }
    }

    /// The outcome whose line begins at this offset, in bytes.
    ///
    /// # Errors
    /// [`StoreError::BrokenLine`] where no whole outcome stands there; I/O.
    pub fn outcome_at(&mut self, offset: u64) -> Result<OutcomeLine, StoreError> {
        if !self.read_line(offset).map_err(io_error("read", &self.path))? {
            return Err(self.broken(offset, "the line has no end"));
        }
        // As a whole, and not string by string.
        let line = std::str::from_utf8(&self.line).map_err(|error| self.broken(offset, &error.to_string()))?;
        match serde_json::from_str(line) {
            Ok(LogLine::Outcome(outcome)) => Ok(*outcome),
            Ok(LogLine::Run(_) | LogLine::RunEnd(_) | LogLine::Attempt(_) | LogLine::Carried(_)) => {
                Err(self.broken(offset, "the line is no outcome"))
            }
            Err(error) => Err(self.broken(offset, &error.to_string())),
        }
    }

    /// Collects a line; `false` where the file ends before it does.
    fn read_line(&mut self, offset: u64) -> std::io::Result<bool> {
        self.line.clear();
        let (mut at, mut refreshed) = (offset, false);
        loop {
            let bytes = self.pages.bytes_from(at)?;
            if let Some(end) = memchr::memchr(b'\n', bytes) {
                self.line.extend_from_slice(&bytes[..end]);
                return Ok(true);
            }
            let next = at + bytes.len() as u64;
            if !bytes.is_empty() && next.is_multiple_of(PAGE as u64) {
                self.line.extend_from_slice(bytes);
                (at, refreshed) = (next, false);
                continue;
            }
            // The page is short: the file ended here when it was read, perhaps in the middle of this line.
            if refreshed {
                return Ok(false);
            }
            self.pages.refresh(at)?;
            refreshed = true;
        }
    }

    fn broken(&self, offset: u64, reason: &str) -> StoreError {
        StoreError::BrokenLine { path: self.path.clone(), offset, reason: reason.to_owned() }
    }
}
