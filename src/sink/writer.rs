//! The files that a run leaves: results and errors.

use std::path::PathBuf;

use super::parquet;
use super::replace::{Ready, Replacement, partial_path, target};
use super::table::{self, OurFields};
use super::{FinishedRow, OutputFormat, OutputSettings, SinkError, batch, line};
use crate::types::{Failure, InputColumns};

/// Checks, before anything is sent, that these files can be made from these columns. Creates nothing.
///
/// # Errors
/// A column of `include` that the input does not have (where those are known); for CSV, a clash of the copied columns
/// with ours; results and errors that are one file; a target that is no regular file.
pub fn check(settings: &OutputSettings, columns: &InputColumns) -> Result<(), SinkError> {
    table::check_columns(settings, &columns.names)?;
    match &settings.errors {
        Some(errors) if target(&settings.path)? == target(errors)? => Err(SinkError::SameFile(settings.path.clone())),
        Some(_) => Ok(()),
        None => target(&settings.path).map(|_| ()),
    }
}

/// Writes them beside their targets, and puts them in place when they are whole.
pub struct Writer {
    settings: OutputSettings,
    results: Results,
    result_rows: u64,
    errors: Option<Replacement>,
    error_rows: u64,
    /// The line being made: one buffer for all of them.
    line: Vec<u8>,
}

enum Results {
    Jsonl(Replacement),
    Batch(Replacement),
    Csv { table: Box<csv::Writer<Replacement>>, copied: Vec<String>, target: PathBuf },
    Parquet(Box<parquet::Table<Replacement>>),
}

/// What a [`Writer`] left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The results file.
    pub results: WrittenFile,
    /// The errors file, where there is one.
    pub errors: Option<WrittenFile>,
}

/// One file of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenFile {
    /// Where it is.
    pub path: PathBuf,
    /// Rows in it, a header not counted.
    pub rows: u64,
    /// Whether it differs from what was there before; if not, it was not touched.
    pub changed: bool,
}

impl Writer {
    /// Begins them beside their targets; parents are created. `partial`: under the names of [`partial_path`].
    /// `columns`: the input's, for a table; `include` is applied here.
    ///
    /// # Errors
    /// A clash of column names, or a folder that cannot be written to.
    pub fn create(settings: &OutputSettings, columns: &InputColumns, partial: bool) -> Result<Self, SinkError> {
        check(settings, columns)?;
        let mut settings = settings.clone();
        if partial {
            settings.path = partial_path(&settings.path);
            settings.errors = settings.errors.as_deref().map(partial_path);
        }
        let errors = settings.errors.as_deref().map(Replacement::create).transpose()?;
        let results = Results::create(&settings, columns)?;
        Ok(Self { settings, results, result_rows: 0, errors, error_rows: 0, line: Vec::new() })
    }

    /// Writes one row, in the order of the calls.
    ///
    /// # Errors
    /// Where a file cannot be written, or a reply of a row that succeeded is missing or cannot be read.
    pub fn write(&mut self, row: &FinishedRow<'_>) -> Result<(), SinkError> {
        match &row.outcome.failure {
            Some(failure) => self.write_failed(row, failure),
            None => self.write_result(row),
        }
    }

    /// Puts the files in place, errors first, so that whoever sees new results finds the errors that belong to them. A
    /// target with the same bytes is not touched.
    ///
    /// # Errors
    /// Where a file cannot be written to its end, synced or renamed; the old ones then stay, or the old results alone.
    pub fn finish(self) -> Result<Written, SinkError> {
        let errors = self.errors.map(Replacement::ready).transpose()?;
        let results = self.results.end()?.ready()?;
        let OutputSettings { path, errors: errors_path, .. } = self.settings;
        let replaced = |(errors, path): (Ready, PathBuf)| {
            Ok::<_, SinkError>(WrittenFile { path, rows: self.error_rows, changed: errors.replace()? })
        };
        let errors = errors.zip(errors_path).map(replaced).transpose()?;
        let results = WrittenFile { path, rows: self.result_rows, changed: results.replace()? };
        Ok(Written { results, errors })
    }

    /// A failed row stands in the errors file, and among the results where these have a line for every row.
    fn write_failed(&mut self, row: &FinishedRow<'_>, failure: &Failure) -> Result<(), SinkError> {
        let among_results = match &self.results {
            Results::Jsonl(_) => false,
            Results::Batch(_) => self.errors.is_none(),
            Results::Csv { .. } | Results::Parquet(_) => true,
        };
        if let Some(errors) = &mut self.errors {
            self.line.clear();
            match &self.results {
                Results::Batch(_) => batch::add_batch(row, &mut self.line)?,
                Results::Jsonl(_) | Results::Csv { .. } | Results::Parquet(_) => {
                    line::add_error(row, failure, &self.settings, &mut self.line)?;
                }
            }
            errors.append(&self.line)?;
            self.error_rows += 1;
        }
        if among_results { self.write_result(row) } else { Ok(()) }
    }

    fn write_result(&mut self, row: &FinishedRow<'_>) -> Result<(), SinkError> {
        match &mut self.results {
            Results::Batch(file) => {
                self.line.clear();
                batch::add_batch(row, &mut self.line)?;
                file.append(&self.line)?;
            }
            Results::Jsonl(file) => {
                self.line.clear();
                line::add_result(row, &self.settings, &mut self.line)?;
                file.append(&self.line)?;
            }
            Results::Csv { table, copied, target } => {
                let ours = OurFields::of(row, &self.settings)?;
                table::write_row(table, copied, row.input, &ours)
                    .map_err(|error| SinkError::io("write", target, error))?;
            }
            Results::Parquet(table) => table.add(row)?,
        }
        self.result_rows += 1;
        Ok(())
    }
}

impl Results {
    fn create(settings: &OutputSettings, columns: &InputColumns) -> Result<Self, SinkError> {
        let mut file = Replacement::create(&settings.path)?;
        match settings.format {
            OutputFormat::Jsonl => Ok(Self::Jsonl(file)),
            OutputFormat::OpenaiBatch => Ok(Self::Batch(file)),
            OutputFormat::Csv | OutputFormat::Tsv => {
                let (target, dialect) = (file.target().to_owned(), table::dialect(settings.format, columns.dialect));
                let copied = table::copied(settings, &columns.names).to_vec();
                let header = table::header(&table::all_names(settings, &copied), dialect)
                    .map_err(|error| SinkError::io("write", &target, error))?;
                file.append(&header)?;
                Ok(Self::Csv { table: Box::new(table::lines(file, dialect)), copied, target })
            }
            OutputFormat::Parquet => {
                let target = file.target().to_owned();
                Ok(Self::Parquet(Box::new(parquet::Table::of_results(file, &target, settings, columns)?)))
            }
        }
    }

    fn end(self) -> Result<Replacement, SinkError> {
        match self {
            Self::Jsonl(file) | Self::Batch(file) => Ok(file),
            Self::Csv { table, target, .. } => {
                table.into_inner().map_err(|error| SinkError::io("write", &target, error.into_error()))
            }
            Self::Parquet(table) => table.end(),
        }
    }
}
