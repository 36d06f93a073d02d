//! The pair of files that a run leaves: results and errors.

use std::path::PathBuf;

use super::parquet;
use super::replace::{Replacement, partial_path, target};
use super::table::{self, OurFields};
use super::{FinishedRow, OutputFormat, OutputSettings, SinkError, line};
use crate::types::InputColumns;

/// Checks, before anything is sent, that these files can be made from these columns. Creates nothing.
///
/// # Errors
/// A column of `include` that the input does not have (where those are known); for CSV, a clash of the copied columns
/// with ours; results and errors that are one file; a target that is no regular file.
pub fn check(settings: &OutputSettings, columns: &InputColumns) -> Result<(), SinkError> {
    table::check_columns(settings, &columns.names)?;
    if target(&settings.path)? == target(&settings.errors)? {
        return Err(SinkError::SameFile(settings.path.clone()));
    }
    Ok(())
}

/// Writes both files beside their targets, and puts them in place when they are whole.
pub struct Writer {
    settings: OutputSettings,
    results: Results,
    result_rows: u64,
    errors: Replacement,
    error_rows: u64,
    /// The line being made: one buffer for all of them.
    line: Vec<u8>,
}

enum Results {
    Jsonl(Replacement),
    Csv { table: Box<csv::Writer<Replacement>>, copied: Vec<String>, target: PathBuf },
    Parquet(Box<parquet::Table<Replacement>>),
}

/// What a [`Writer`] left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The results file.
    pub results: WrittenFile,
    /// The errors file.
    pub errors: WrittenFile,
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
    /// Begins both files beside their targets; parents are created. `partial`: under the names of [`partial_path`].
    /// `columns`: the input's, for a table; `include` is applied here.
    ///
    /// # Errors
    /// A clash of column names, or a folder that cannot be written to.
    pub fn create(settings: &OutputSettings, columns: &InputColumns, partial: bool) -> Result<Self, SinkError> {
        check(settings, columns)?;
        let mut settings = settings.clone();
        if partial {
            settings.path = partial_path(&settings.path);
            settings.errors = partial_path(&settings.errors);
        }
        let errors = Replacement::create(&settings.errors)?;
        let results = Results::create(&settings, columns)?;
        Ok(Self { settings, results, result_rows: 0, errors, error_rows: 0, line: Vec::new() })
    }

    /// Writes one row, in the order of the calls.
    ///
    /// # Errors
    /// Where a file cannot be written, or a reply of a row that succeeded is missing or cannot be read.
    pub fn write(&mut self, row: &FinishedRow<'_>) -> Result<(), SinkError> {
        if let Some(failure) = &row.outcome.failure {
            self.line.clear();
            line::add_error(row, failure, &self.settings, &mut self.line)?;
            self.errors.append(&self.line)?;
            self.error_rows += 1;
        }
        self.write_result(row)
    }

    /// Puts the files in place, errors first, so that whoever sees new results finds the errors that belong to them. A
    /// target with the same bytes is not touched.
    ///
    /// # Errors
    /// Where a file cannot be written to its end, synced or renamed; the old ones then stay, or the old results alone.
    pub fn finish(self) -> Result<Written, SinkError> {
        let errors = self.errors.ready()?;
        let results = self.results.end()?.ready()?;
        let OutputSettings { path, errors: errors_path, .. } = self.settings;
        let errors = WrittenFile { path: errors_path, rows: self.error_rows, changed: errors.replace()? };
        let results = WrittenFile { path, rows: self.result_rows, changed: results.replace()? };
        Ok(Written { results, errors })
    }

    /// A failed row stands in CSV results alone.
    fn write_result(&mut self, row: &FinishedRow<'_>) -> Result<(), SinkError> {
        match &mut self.results {
            Results::Jsonl(_) if row.outcome.failure.is_some() => return Ok(()),
            Results::Jsonl(file) => {
                self.line.clear();
                line::add_result(row, &self.settings, &mut self.line)?;
                file.append(&self.line)?;
            }
            Results::Csv { table, copied, target } => {
                let ours = OurFields::of(row)?;
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
            Self::Jsonl(file) => Ok(file),
            Self::Csv { table, target, .. } => {
                table.into_inner().map_err(|error| SinkError::io("write", &target, error.into_error()))
            }
            Self::Parquet(table) => table.end(),
        }
    }
}
