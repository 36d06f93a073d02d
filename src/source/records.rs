//! One pass over all files, record by record.

use std::sync::Arc;

use super::error::SourceError;
use super::file::InputFile;
use super::frame::Frame;
use super::reader::Reader;
use super::record::{Record, Shape};
use crate::types::Place;

/// The records of an input in their order. An `Err` ends the pass; a broken record is an `Ok` whose row fails.
pub struct Records {
    files: Arc<[InputFile]>,
    /// The file being read.
    index: usize,
    /// `None` behind the last file, and behind an error.
    reader: Option<Reader>,
    number: u64,
    max_row: usize,
}

impl Records {
    pub(super) fn new(files: Arc<[InputFile]>, max_row: usize) -> Result<Self, SourceError> {
        let reader = files.first().map(InputFile::reader).transpose()?;
        Ok(Self { files, index: 0, reader, number: 0, max_row })
    }

    /// The record with this number, which must lie ahead; those before it are passed over without being copied. `None`: there
    /// are not so many.
    ///
    /// # Errors
    /// Where a file cannot be read on.
    pub fn at(&mut self, number: u64) -> Result<Option<Record>, SourceError> {
        let mut scratch = Vec::new();
        while self.number + 1 < number {
            let Some(reader) = &mut self.reader else { return Ok(None) };
            let file = &self.files[self.index];
            match reader.next(&mut scratch, 0).map_err(|error| file.broken(error))? {
                Some(_) => self.number += 1,
                None => self.next_file()?,
            }
        }
        Ok(self.read_next()?.filter(|record| record.number == number))
    }

    fn read_next(&mut self) -> Result<Option<Record>, SourceError> {
        while let Some(reader) = &mut self.reader {
            let file = &self.files[self.index];
            let mut bytes = Vec::new();
            match reader.next(&mut bytes, self.max_row).map_err(|error| file.broken(error))? {
                Some(frame) => return Ok(Some(self.record(frame, bytes))),
                None => self.next_file()?,
            }
        }
        Ok(None)
    }

    fn record(&mut self, frame: Frame, bytes: Vec<u8>) -> Record {
        let file = &self.files[self.index];
        self.number += 1;
        let shape = if frame.len > self.max_row {
            Shape::TooLong(self.max_row)
        } else if frame.open_quote {
            Shape::OpenQuote
        } else {
            file.layout.shape()
        };
        Record::new(self.number, Place { file: Arc::clone(&file.shown), line: frame.line }, bytes, shape)
    }

    fn next_file(&mut self) -> Result<(), SourceError> {
        self.reader = None;
        self.index += 1;
        self.reader = self.files.get(self.index).map(InputFile::reader).transpose()?;
        Ok(())
    }
}

impl Iterator for Records {
    type Item = Result<Record, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.read_next();
        if next.is_err() {
            self.reader = None;
        }
        next.transpose()
    }
}
