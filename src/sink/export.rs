//! Rows written outside a run, line by line: to a file that is replaced whole, or to any stream.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::replace::Replacement;
use super::table::{self, OurFields, text};
use super::{FinishedRow, OutputFormat, OutputSettings, SinkError, batch, line, parquet};
use crate::types::{Dialect, InputColumns, Row};

const STDOUT: &str = "standard output";

/// How rows are exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExportFormat {
    /// Result lines: rows that succeeded.
    #[default]
    Jsonl,
    /// A line for every row that ended, below a header.
    Csv,
    /// The same with tabs.
    Tsv,
    /// A row for every row that ended, where this build writes Parquet.
    Parquet,
    /// Lines of an `OpenAI` Batch output file: every row that ended.
    OpenaiBatch,
}

/// How records of the input are exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordFormat {
    /// A JSON object a line.
    Jsonl,
    /// A table with these columns, in their dialect.
    Csv(InputColumns),
    /// The same in Parquet.
    Parquet(InputColumns),
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
    /// `None`: a stream.
    target: Option<PathBuf>,
    settings: OutputSettings,
    format: Lines,
    line: Vec<u8>,
}

enum Out {
    File(Replacement),
    Stream(Box<dyn Write + Send>),
    /// Rows instead of lines.
    Parquet(Box<parquet::Table<Self>>),
}

impl Out {
    fn finish(self) -> Result<(), SinkError> {
        match self {
            Self::File(file) => file.ready()?.replace().map(|_changed| ()),
            Self::Stream(mut stream) => stream.flush().map_err(stream_error),
            Self::Parquet(table) => table.end()?.finish(),
        }
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Stream(stream) => stream.write(bytes),
            Self::Parquet(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Stream(stream) => stream.flush(),
            Self::Parquet(_) => Ok(()),
        }
    }
}

/// What stands on a line.
enum Lines {
    Results,
    Table {
        copied: Vec<String>,
        dialect: Dialect,
    },
    Batch,
    /// Records of the input, as they were read.
    JsonRecords,
    /// Records of the input below its header.
    TableRecords {
        columns: InputColumns,
    },
    /// None: rows go into a Parquet file as they are.
    Rows,
}

impl Exporter {
    /// Begins an export of rows that ended. `columns`: the input's, for a table; `include` is applied here.
    ///
    /// # Errors
    /// A clash of column names, or a target that cannot be written to.
    pub fn of_results(
        target: ExportTarget,
        format: ExportFormat,
        settings: &OutputSettings,
        columns: &InputColumns,
    ) -> Result<Self, SinkError> {
        let format = match format {
            ExportFormat::Jsonl => return Self::begin(target, settings, Lines::Results),
            ExportFormat::OpenaiBatch => return Self::begin(target, settings, Lines::Batch),
            ExportFormat::Csv => OutputFormat::Csv,
            ExportFormat::Tsv => OutputFormat::Tsv,
            ExportFormat::Parquet => OutputFormat::Parquet,
        };
        table::check_columns(&OutputSettings { format, ..settings.clone() }, &columns.names)?;
        if format == OutputFormat::Parquet {
            return Self::begin_parquet(target, settings, |out, target| {
                parquet::Table::of_results(out, target, settings, columns)
            });
        }
        let dialect = table::dialect(format, columns.dialect);
        let copied = table::copied(settings, &columns.names).to_vec();
        let names = table::all_names(settings, &copied);
        Self::begin(target, settings, Lines::Table { copied, dialect })?.with_header(&names, dialect)
    }

    /// Begins an export of records of the input: a file that can be read in its place.
    ///
    /// # Errors
    /// A target that cannot be written to.
    pub fn of_records(
        target: ExportTarget,
        format: RecordFormat,
        settings: &OutputSettings,
    ) -> Result<Self, SinkError> {
        match format {
            RecordFormat::Jsonl => Self::begin(target, settings, Lines::JsonRecords),
            RecordFormat::Csv(columns) => {
                let (names, dialect) = (columns.names.clone(), columns.dialect);
                Self::begin(target, settings, Lines::TableRecords { columns })?.with_header(&names, dialect)
            }
            RecordFormat::Parquet(columns) => {
                Self::begin_parquet(target, settings, |out, target| parquet::Table::of_records(out, target, &columns))
            }
        }
    }

    fn with_header(mut self, names: &[String], dialect: Dialect) -> Result<Self, SinkError> {
        self.line = table::header(names, dialect).map_err(|error| self.failed(error))?;
        self.append()?;
        Ok(self)
    }

    fn begin(target: ExportTarget, settings: &OutputSettings, format: Lines) -> Result<Self, SinkError> {
        let (out, target) = match target {
            ExportTarget::File(path) => (Out::File(Replacement::create(&path)?), Some(path)),
            ExportTarget::Stream(stream) => (Out::Stream(stream), None),
        };
        Ok(Self { out, target, settings: settings.clone(), format, line: Vec::new() })
    }

    fn begin_parquet(
        target: ExportTarget,
        settings: &OutputSettings,
        table: impl FnOnce(Out, &Path) -> Result<parquet::Table<Out>, SinkError>,
    ) -> Result<Self, SinkError> {
        let Self { out, target, settings, line, .. } = Self::begin(target, settings, Lines::Rows)?;
        let table = table(out, target.as_deref().unwrap_or(Path::new(STDOUT)))?;
        Ok(Self { out: Out::Parquet(Box::new(table)), target, settings, format: Lines::Rows, line })
    }

    /// Writes a row that ended; says whether it has a line in this format.
    ///
    /// # Errors
    /// Where the target cannot be written to, or a reply cannot be read.
    pub fn write(&mut self, row: &FinishedRow<'_>) -> Result<bool, SinkError> {
        if let Out::Parquet(table) = &mut self.out {
            return table.add(row).map(|()| true);
        }
        self.line.clear();
        match &self.format {
            Lines::Results if row.outcome.failure.is_some() => return Ok(false),
            Lines::Results => line::add_result(row, &self.settings, &mut self.line)?,
            Lines::Batch => batch::add_batch(row, &mut self.line)?,
            Lines::Table { copied, dialect } => {
                let mut table = table::lines(Vec::new(), *dialect);
                let ours = OurFields::of(row, &self.settings)?;
                table::write_row(&mut table, copied, row.input, &ours).map_err(|error| self.failed(error))?;
                self.append_table(table)?;
                return Ok(true);
            }
            Lines::JsonRecords | Lines::TableRecords { .. } | Lines::Rows => return Ok(false),
        }
        self.append()?;
        Ok(true)
    }

    /// Writes a record: `verbatim`, its bytes where they stand so in this format, and its row, where it is one. Says whether
    /// it could: what is no row may have no place in a table.
    ///
    /// # Errors
    /// Where the target cannot be written to.
    pub fn write_record(&mut self, verbatim: Option<&[u8]>, row: Option<&Row>) -> Result<bool, SinkError> {
        if let Out::Parquet(table) = &mut self.out {
            return row.map_or(Ok(false), |row| table.add_record(row).map(|()| true));
        }
        self.line.clear();
        match (&self.format, row, verbatim) {
            (Lines::TableRecords { columns }, Some(row), _) => {
                let mut table = table::lines(Vec::new(), columns.dialect);
                let field =
                    |column: &String| row.get(column).map_or_else(String::new, |value| text(value).into_owned());
                table.write_record(columns.names.iter().map(field)).map_err(|error| self.failed(error))?;
                self.append_table(table)?;
                return Ok(true);
            }
            (_, _, Some(bytes)) => self.line.extend_from_slice(bytes),
            (Lines::JsonRecords, Some(row), None) => serde_json::to_writer(&mut self.line, row.fields())
                .map_err(|error| self.failed(io::Error::from(error)))?,
            (
                Lines::JsonRecords
                | Lines::TableRecords { .. }
                | Lines::Results
                | Lines::Table { .. }
                | Lines::Batch
                | Lines::Rows,
                _,
                None,
            ) => return Ok(false),
        }
        self.line.push(b'\n');
        self.append()?;
        Ok(true)
    }

    /// Ends it: a file takes its target's place now.
    ///
    /// # Errors
    /// Where the target cannot be written to.
    pub fn finish(self) -> Result<(), SinkError> {
        self.out.finish()
    }

    fn append_table(&mut self, table: csv::Writer<Vec<u8>>) -> Result<(), SinkError> {
        self.line = table.into_inner().map_err(|error| self.failed(error.into_error()))?;
        self.append()
    }

    fn append(&mut self) -> Result<(), SinkError> {
        self.out.write_all(&self.line).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: impl Into<io::Error>) -> SinkError {
        match &self.target {
            Some(target) => SinkError::io("write", target, error),
            None => stream_error(error),
        }
    }
}

/// An error of a stream that is not known by a path.
pub(crate) fn stream_error(error: impl Into<io::Error>) -> SinkError {
    SinkError::io("write to", Path::new(STDOUT), error)
}
