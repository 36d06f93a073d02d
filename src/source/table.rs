//! What a CSV file's header says, and how its records become rows.

use std::io::BufRead;

use serde_json::{Map, Value};

use super::encoding::{CONVERT, not_utf8, where_not_utf8};
use super::error::SourceError;
use super::fields::split;
use super::frame::{Ends, Framer, Quotes};
use super::record::BadRow;
use crate::types::Row;

/// The delimiters that are looked for in a header; the first wins a tie.
const CANDIDATES: [u8; 3] = *b",;\t";

/// A header is names, not data: a longer one is a file of something else.
const MAX_HEADER: usize = 1024 * 1024;

/// The layout of one CSV file.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) delimiter: u8,
    pub(super) columns: Vec<String>,
    /// What could have been the delimiter when the header was read: each pass must end the header at the same place.
    candidates: Vec<u8>,
}

impl Table {
    /// Reads the header line, finding out the delimiter where none is set.
    pub(super) fn read<R: BufRead>(
        file: &str,
        bytes: R,
        delimiter: Option<u8>,
        failed: impl Fn(std::io::Error) -> SourceError,
    ) -> Result<Self, SourceError> {
        let candidates = delimiter.map_or(CANDIDATES.to_vec(), |delimiter| vec![delimiter]);
        let mut header = Vec::new();
        let mut framer = Framer::new(bytes, Ends::Quoted(Quotes::new(&candidates)));
        let frame = framer.next(&mut header, MAX_HEADER).map_err(failed)?;
        let Some(frame) = frame else { return Err(SourceError::NoHeader { file: file.to_owned() }) };
        let wrong = |problem| SourceError::Header { file: file.to_owned(), line: frame.line, problem };
        if frame.open_quote || frame.len > MAX_HEADER {
            return Err(wrong("has no end: is a quote not closed?".to_owned()));
        }
        let delimiter = delimiter.unwrap_or_else(|| found_delimiter(&header));
        let columns = names(&split(&header, delimiter)).map_err(wrong)?;
        Ok(Self { delimiter, columns, candidates })
    }

    pub(super) fn header_ends(&self) -> Ends {
        Ends::Quoted(Quotes::new(&self.candidates))
    }

    pub(super) fn ends(&self) -> Ends {
        Ends::Quoted(Quotes::new(&[self.delimiter]))
    }

    /// A record's fields by column.
    pub(super) fn row(&self, bytes: &[u8]) -> Result<Row, BadRow> {
        let fields = split(bytes, self.delimiter);
        if fields.len() != self.columns.len() {
            let (has, wants) = (fields.len(), self.columns.len());
            let noun = if has == 1 { "field" } else { "fields" };
            return Err(BadRow::new(format!(
                "has {has} {noun}, the header {wants}; is a quote or a delimiter missing?"
            )));
        }
        let mut row = Map::with_capacity(fields.len());
        for (column, field) in self.columns.iter().zip(fields) {
            let text = String::from_utf8(field).map_err(|error| {
                BadRow::new(not_utf8(&format!("column {column:?}"), error.as_bytes(), error.utf8_error()))
            })?;
            row.insert(column.clone(), Value::String(text));
        }
        Ok(Row::new(row))
    }
}

/// The candidate that stands most often outside quotes.
fn found_delimiter(header: &[u8]) -> u8 {
    let mut counts = [0_usize; CANDIDATES.len()];
    let (mut quoted, mut may_open) = (false, true);
    for byte in header {
        let candidate = CANDIDATES.iter().position(|candidate| candidate == byte);
        match candidate {
            Some(index) if !quoted => counts[index] += 1,
            Some(_) | None => {}
        }
        let toggles = *byte == b'"' && (quoted || may_open);
        // A quote right behind a closing one opens again: the two were one character.
        may_open = candidate.is_some() || (toggles && quoted);
        quoted ^= toggles;
    }
    let best = counts.iter().max().copied().unwrap_or(0);
    counts.iter().position(|count| *count == best).map_or(b',', |index| CANDIDATES[index])
}

/// The column names, if all can be told apart; else what is wrong with them.
fn names(fields: &[Vec<u8>]) -> Result<Vec<String>, String> {
    let mut names: Vec<String> = Vec::with_capacity(fields.len());
    for (index, field) in fields.iter().enumerate() {
        let number = index + 1;
        let name = std::str::from_utf8(field).map_err(|error| {
            let what = where_not_utf8(&format!("name of column {number}"), field, error);
            format!("{what}\n  hint: {CONVERT}")
        })?;
        if name.trim().is_empty() {
            return Err(format!(
                "has no name for column {number}\n  hint: give it one (pandas: `to_csv(index=False)`)"
            ));
        }
        if name.contains('\r') && !name.contains('\n') {
            return Err("holds bare CRs\n  hint: save the file with LF or CRLF line ends".to_owned());
        }
        names.push(name.to_owned());
    }
    let twice = doubled(&names);
    if twice.is_empty() {
        Ok(names)
    } else {
        Err(format!("names a column twice: {}\n  hint: rename one", twice.join(", ")))
    }
}

pub(super) fn doubled(names: &[String]) -> Vec<&str> {
    let mut seen = std::collections::BTreeMap::<&str, usize>::new();
    for name in names {
        *seen.entry(name).or_default() += 1;
    }
    seen.into_iter().filter(|(_, count)| *count > 1).map(|(name, _)| name).collect()
}
