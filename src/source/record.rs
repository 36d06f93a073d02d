//! One record as read, and the row in it.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::encoding::{file_not_utf8, not_utf8};
use super::table::Table;
use crate::types::{Place, Row};

/// Of a record that is too long, this much is kept: enough to know it by.
const KEPT_OF_LONG: usize = 64 * 1024;

/// One record of the input, not parsed yet.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its number over all files, from 1.
    pub number: u64,
    /// Where it starts.
    pub place: Place,
    bytes: Vec<u8>,
    shape: Shape,
}

/// How the bytes are to be read.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Json,
    Csv(Arc<Table>),
    /// An element of a JSON array.
    Element,
    /// A whole file.
    Text,
    /// Over `max_row`, given here in bytes.
    TooLong(usize),
    /// The file ended within quotes.
    OpenQuote,
}

/// Why a record is no row. The place is the record's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadRow {
    /// What is wrong, and a hint.
    pub message: String,
}

impl BadRow {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl Record {
    pub(super) fn new(number: u64, place: Place, mut bytes: Vec<u8>, shape: Shape) -> Self {
        if matches!(shape, Shape::TooLong(_)) {
            bytes.truncate(KEPT_OF_LONG);
            bytes.shrink_to_fit();
        }
        Self { number, place, bytes, shape }
    }

    /// Bytes that this record holds in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes as read, without the line end; of a record over `max_row` only its beginning.
    #[must_use]
    pub fn raw(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    /// The record as a line of JSONL, byte for byte but for line ends within it; `None` where it is no JSON, or not all of it
    /// is here.
    #[must_use]
    pub fn as_json_line(&self) -> Option<Cow<'_, [u8]>> {
        match &self.shape {
            Shape::Json => Some(self.raw()),
            Shape::Element if !self.bytes.contains(&b'\n') => Some(self.raw()),
            // Between the parts of whole JSON a line end is a blank; in broken JSON it may be what is wrong.
            Shape::Element => {
                self.row().ok().map(|_| self.bytes.iter().map(|byte| blank_for_line_end(*byte)).collect())
            }
            Shape::Csv(_) | Shape::Text | Shape::TooLong(_) | Shape::OpenQuote => None,
        }
    }

    /// The record's bytes, where they stand in a CSV that has these columns and this delimiter.
    #[must_use]
    pub fn as_csv_record(&self, columns: &[String], delimiter: u8) -> Option<&[u8]> {
        match &self.shape {
            Shape::Csv(table) => (table.columns == columns && table.delimiter == delimiter).then_some(&self.bytes[..]),
            // What follows an open quote would be taken for its text.
            Shape::OpenQuote | Shape::Json | Shape::Element | Shape::Text | Shape::TooLong(_) => None,
        }
    }

    /// The row, parsed anew with each call.
    ///
    /// # Errors
    /// Where the record is no row: broken JSON, another number of fields than the header, not UTF-8, too long.
    pub fn row(&self) -> Result<Row, BadRow> {
        match &self.shape {
            Shape::Json => json_row(&self.bytes, "the line", "; each line must be one whole object"),
            Shape::Element => json_row(&self.bytes, "the element", ""),
            Shape::Text => text_row(&self.place.file, &self.bytes),
            Shape::Csv(table) => table.row(&self.bytes),
            Shape::TooLong(max) => Err(BadRow::new(format!("record is over {} (max_row)", in_bytes(*max)))),
            Shape::OpenQuote => {
                Err(BadRow::new("record runs to the end of the file: a quote is opened and never closed"))
            }
        }
    }
}

fn blank_for_line_end(byte: u8) -> u8 {
    if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }
}

/// A document with where it is.
fn text_row(file: &str, bytes: &[u8]) -> Result<Row, BadRow> {
    let text = std::str::from_utf8(bytes).map_err(|error| BadRow::new(file_not_utf8(bytes, error)))?;
    let name = Path::new(file).file_name().map_or(file.into(), OsStr::to_string_lossy);
    let columns = [("path", file), ("name", &*name), ("text", text)];
    Ok(Row::new(columns.into_iter().map(|(column, value)| (column.to_owned(), value.into())).collect()))
}

/// `what` the bytes are, and what an object needs to be read.
fn json_row(bytes: &[u8], what: &str, rule: &str) -> Result<Row, BadRow> {
    let text = std::str::from_utf8(bytes).map_err(|error| BadRow::new(not_utf8("the record", bytes, error)))?;
    if let Some(first) = text.trim_start().chars().next().filter(|first| *first != '{') {
        return Err(BadRow::new(format!("not a JSON object: {what} starts with {first:?}{rule}")));
    }
    serde_json::from_str::<Map<String, Value>>(text)
        .map(Row::new)
        .map_err(|error| BadRow::new(json_problem(&error, rule)))
}

/// The parser's words without its line, which of JSONL is always the first of the record.
fn json_problem(error: &serde_json::Error, rule: &str) -> String {
    let words = error.to_string();
    let what = words.split(" at line ").next().unwrap_or(&words);
    let hint = if error.is_eof() { rule } else { "" };
    let line = if error.line() > 1 { format!("line {}, ", error.line()) } else { String::new() };
    format!("not valid JSON at {line}column {}: {what}{hint}", error.column())
}

fn in_bytes(count: usize) -> String {
    match count {
        0 => "0 bytes".to_owned(),
        n if n.is_multiple_of(1_000_000) => format!("{} MB", n / 1_000_000),
        n if n.is_multiple_of(1_000) => format!("{} kB", n / 1_000),
        n => format!("{n} bytes"),
    }
}
