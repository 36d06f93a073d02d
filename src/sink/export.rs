//! Rows written outside a run, line by line: to a file that is replaced whole, or to any stream.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::replace::Replacement;
use super::table::{self, OurFields};
use super::{FinishedRow, OutputSettings, SinkError, line};
use crate::types::{Failure, Row};

/// How rows are exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExportFormat {
    /// Result lines: rows that succeeded.
    #[default]
    Jsonl,
    /// A line for every row that ended, below a header.
    Csv,
    /// Lines of an `OpenAI` Batch output file: every row that ended.
    OpenaiBatch,
}

/// Where an export goes.
pub enum ExportTarget {
    /// A file, replaced when the export is whole.
    File(PathBuf),
    /// A stream, such as standard output.
    Stream(Box<dyn Write + Send>),
}

/// An export under way.
pub struct Exporter {
    out: Out,
    settings: OutputSettings,
    format: Lines,
    line: Vec<u8>,
}

enum Out {
    File(Replacement),
    Stream(Box<dyn Write + Send>),
}

/// What stands on a line.
enum Lines {
    Results,
    Table {
        copied: Vec<String>,
    },
    Batch,
    /// Records of the input, as they were read.
    JsonRecords,
    /// Records of the input below its header.
    CsvRecords {
        columns: Vec<String>,
        delimiter: u8,
    },
}

impl Exporter {
    /// Begins an export of rows that ended. `columns`: the input's, for CSV; `include` is applied here.
    ///
    /// # Errors
    /// A clash of column names, or a target that cannot be written to.
    pub fn of_results(
        target: ExportTarget,
        format: ExportFormat,
        settings: &OutputSettings,
        columns: &[String],
    ) -> Result<Self, SinkError> {
        let lines = match format {
            ExportFormat::Jsonl => Lines::Results,
            ExportFormat::OpenaiBatch => Lines::Batch,
            ExportFormat::Csv => {
                table::check_columns(
                    &OutputSettings { format: super::OutputFormat::Csv, ..settings.clone() },
                    columns,
                )?;
                Lines::Table { copied: table::copied(settings, columns).to_vec() }
            }
        };
        let mut export = Self::begin(target, settings, lines)?;
        if let Lines::Table { copied } = &export.format {
            let mut header = csv::Writer::from_writer(Vec::new());
            table::write_header(&mut header, settings, copied).map_err(|error| export.failed(error))?;
            export.append_table(header)?;
        }
        Ok(export)
    }

    /// Begins an export of records of the input: a file that can be read in its place. `table`: the columns and the
    /// delimiter where the input is CSV.
    ///
    /// # Errors
    /// A target that cannot be written to.
    pub fn of_records(
        target: ExportTarget,
        table: Option<(Vec<String>, u8)>,
        settings: &OutputSettings,
    ) -> Result<Self, SinkError> {
        let Some((columns, delimiter)) = table else { return Self::begin(target, settings, Lines::JsonRecords) };
        let mut header = delimited(delimiter);
        let written = header.write_record(&columns);
        let mut export = Self::begin(target, settings, Lines::CsvRecords { columns, delimiter })?;
        written.map_err(|error| export.failed(error))?;
        export.append_table(header)?;
        Ok(export)
    }

    fn begin(target: ExportTarget, settings: &OutputSettings, format: Lines) -> Result<Self, SinkError> {
        let out = match target {
            ExportTarget::File(path) => Out::File(Replacement::create(&path)?),
            ExportTarget::Stream(stream) => Out::Stream(stream),
        };
        Ok(Self { out, settings: settings.clone(), format, line: Vec::new() })
    }

    /// Writes a row that ended; says whether it has a line in this format.
    ///
    /// # Errors
    /// Where the target cannot be written to, or a reply cannot be read.
    pub fn write(&mut self, row: &FinishedRow<'_>) -> Result<bool, SinkError> {
        self.line.clear();
        match &self.format {
            Lines::Results if row.outcome.failure.is_some() => return Ok(false),
            Lines::Results => line::add_result(row, &self.settings, &mut self.line)?,
            Lines::Batch => add_batch(row, &mut self.line)?,
            Lines::Table { copied } => {
                let mut table = csv::Writer::from_writer(Vec::new());
                let ours = OurFields::of(row)?;
                table::write_row(&mut table, copied, row.input, &ours).map_err(|error| self.failed(error))?;
                self.append_table(table)?;
                return Ok(true);
            }
            Lines::JsonRecords | Lines::CsvRecords { .. } => return Ok(false),
        }
        self.append()?;
        Ok(true)
    }

    /// Writes a record: its bytes, or in a table the fields of its row. Says whether it could: what is no row has no
    /// place in a table.
    ///
    /// # Errors
    /// Where the target cannot be written to.
    pub fn write_record(&mut self, raw: &[u8], row: Option<&Row>) -> Result<bool, SinkError> {
        match (&self.format, row) {
            (Lines::CsvRecords { .. }, None) => return Ok(false),
            (Lines::CsvRecords { columns, delimiter }, Some(row)) => {
                let mut table = delimited(*delimiter);
                let field = |column: &String| row.get(column).and_then(Value::as_str).unwrap_or_default();
                table.write_record(columns.iter().map(field)).map_err(|error| self.failed(error))?;
                self.append_table(table)?;
            }
            (Lines::JsonRecords | Lines::Results | Lines::Table { .. } | Lines::Batch, _) => {
                self.line.clear();
                match row.filter(|_| !raw.trim_ascii_start().starts_with(b"{")) {
                    // A CSV record among JSON ones.
                    Some(row) => serde_json::to_writer(&mut self.line, row.fields())
                        .map_err(|error| self.failed(io::Error::from(error)))?,
                    None => self.line.extend_from_slice(raw),
                }
                self.line.push(b'\n');
                self.append()?;
            }
        }
        Ok(true)
    }

    /// Ends it: a file takes its target's place now.
    ///
    /// # Errors
    /// Where the target cannot be written to.
    pub fn finish(self) -> Result<(), SinkError> {
        match self.out {
            Out::File(file) => file.ready()?.replace().map(|_changed| ()),
            Out::Stream(mut stream) => stream.flush().map_err(stream_error),
        }
    }

    fn append_table(&mut self, table: csv::Writer<Vec<u8>>) -> Result<(), SinkError> {
        self.line = table.into_inner().map_err(|error| self.failed(error.into_error()))?;
        self.append()
    }

    fn append(&mut self) -> Result<(), SinkError> {
        match &mut self.out {
            Out::File(file) => file.append(&self.line),
            Out::Stream(stream) => stream.write_all(&self.line).map_err(stream_error),
        }
    }

    fn failed(&self, error: impl Into<io::Error>) -> SinkError {
        match &self.out {
            Out::File(file) => SinkError::io("write", file.target(), error),
            Out::Stream(_) => stream_error(error),
        }
    }
}

/// An error of a stream that is not known by a path.
pub(crate) fn stream_error(error: impl Into<io::Error>) -> SinkError {
    SinkError::io("write to", Path::new("standard output"), error)
}

fn delimited(delimiter: u8) -> csv::Writer<Vec<u8>> {
    csv::WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new())
}

/// A line of a Batch output file, its fields in the order of `OpenAI`'s own.
#[derive(Serialize)]
struct BatchLine<'a> {
    id: String,
    custom_id: String,
    response: Option<BatchResponse<'a>>,
    error: Option<BatchError<'a>>,
}

#[derive(Serialize)]
struct BatchResponse<'a> {
    status_code: u16,
    request_id: Option<&'a str>,
    body: BatchBody<'a>,
}

/// A reply as received, or what is left of an error's.
enum BatchBody<'a> {
    Reply(&'a RawValue),
    Error(BatchErrorBody<'a>),
}

impl Serialize for BatchBody<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Reply(reply) => reply.serialize(serializer),
            Self::Error(error) => error.serialize(serializer),
        }
    }
}

#[derive(Serialize)]
struct BatchErrorBody<'a> {
    error: BatchError<'a>,
}

#[derive(Serialize)]
struct BatchError<'a> {
    code: &'static str,
    message: &'a str,
}

fn add_batch(row: &FinishedRow<'_>, out: &mut Vec<u8>) -> Result<(), SinkError> {
    let outcome = row.outcome;
    let (response, error) = match &outcome.failure {
        None => {
            let reply = outcome.reply.as_deref().ok_or(SinkError::NoReply { row: row.row })?;
            (Some((200, BatchBody::Reply(reply))), None)
        }
        Some(failure) => match failure.status.filter(|status| *status >= 400) {
            Some(status) => (Some((status, BatchBody::Error(BatchErrorBody { error: batch_error(failure) }))), None),
            None => (None, Some(batch_error(failure))),
        },
    };
    let request_id = outcome.request_id.as_deref();
    let line = BatchLine {
        id: format!("batch_req_{}", outcome.key),
        custom_id: row.id.as_str().map_or_else(|| row.id.to_string(), str::to_owned),
        response: response.map(|(status_code, body)| BatchResponse { status_code, request_id, body }),
        error,
    };
    line::add_line(row.row, &line, out)
}

fn batch_error(failure: &Failure) -> BatchError<'_> {
    BatchError { code: failure.kind.name(), message: &failure.message }
}
