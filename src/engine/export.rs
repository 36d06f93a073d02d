//! What is done so far, written out without a run: also while one is on, as it only reads.

use std::borrow::Cow;
use std::collections::HashSet;

use super::RunError;
use super::matching::Matching;
use super::needs;
use super::output::{columns, each, typed_columns, with_row};
use super::plan::Plan;
use super::selection::{Selection, Subset};
use crate::job::Job;
use crate::sink::{ExportFormat, ExportTarget, Exporter, RecordFormat};
use crate::source::{Format, Input, Record};
use crate::store::StateReader;
use crate::types::{Dialect, InputColumns, Packing};

/// What is exported, and where to.
pub struct ExportOptions {
    /// What stands on each line.
    pub what: ExportWhat,
    /// Where it goes.
    pub target: ExportTarget,
}

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportWhat {
    /// Rows that ended.
    Results(ExportFormat),
    /// The original records of failed rows: a valid input file of the same format.
    FailedInput,
}

/// What an export came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Exported {
    /// Lines written, a header not counted.
    pub written: u64,
    /// Rows that ended and were not asked for, or have no line in this format.
    pub left_out: u64,
    /// Rows that have not ended yet.
    pub not_done: u64,
    /// Records that were asked for and that no file of this format can hold, as they are no rows of one.
    #[serde(skip_serializing_if = "is_none")]
    pub no_place: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// What stands on each line, in full.
enum Lines {
    Results(ExportFormat),
    Records(RecordFormat),
}

/// Writes what is done so far, in the order of the input. `None` where nothing has been recorded yet: then nothing is
/// written.
///
/// # Errors
/// Where job and input do not fit, or something cannot be read or written.
pub fn export(job: Job, options: ExportOptions) -> Result<Option<Exported>, RunError> {
    let plan = Plan::new(job)?;
    let Some(state) = StateReader::open(&plan.job.state, &plan.job.file)? else { return Ok(None) };
    // A spool of its own: a run that is on reads the one in the state directory.
    let spool = tempfile::tempdir().map_err(|error| RunError::Thread(error.to_string()))?;
    let input = Input::open(&plan.job.input, spool.path()).map_err(RunError::Input)?;
    needs::check(&plan, &input)?;
    let mut matching = Matching::seen(&plan, &input, &state)?;
    let mut log = state.log()?;
    let selection = Selection::new(&plan, &input, &Subset::default())?;
    check_target(&options.target, &input)?;
    let lines = match options.what {
        ExportWhat::Results(format) => Lines::Results(format),
        ExportWhat::FailedInput => Lines::Records(record_format(&plan, &input, &options.target)?),
    };
    let mut out = exporter(&plan, &input, &lines, options.target)?;
    let mut exported = Exported::default();
    each(&plan, &input, &selection, |record| {
        let (end, _) = matching.find(&plan, record)?;
        // A model that failed a row in a comparison has not ended it.
        let Some(end) = end.filter(|end| !(end.compared && end.failure.is_some())) else {
            exported.not_done += 1;
            return Ok(());
        };
        let (written, otherwise) = match &lines {
            Lines::Records(_) if end.failure.is_none() => (false, &mut exported.left_out),
            Lines::Records(format) => (write_record(&mut out, format, record)?, &mut exported.no_place),
            Lines::Results(_) => {
                let outcome = log.outcome_at(end.offset)?;
                (with_row(&plan, record, &outcome, |row| out.write(row))?, &mut exported.left_out)
            }
        };
        *if written { &mut exported.written } else { otherwise } += 1;
        Ok(())
    })?;
    out.finish()?;
    Ok(Some(exported))
}

fn exporter(plan: &Plan, input: &Input, lines: &Lines, target: ExportTarget) -> Result<Exporter, RunError> {
    let settings = &plan.job.output;
    match lines {
        Lines::Results(format) => {
            let columns = match format {
                ExportFormat::Csv | ExportFormat::Tsv => columns(input)?,
                ExportFormat::Parquet => typed_columns(input)?,
                ExportFormat::Jsonl | ExportFormat::OpenaiBatch => InputColumns::default(),
            };
            Exporter::of_results(target, *format, settings, &columns).map_err(RunError::Output)
        }
        Lines::Records(format) => Exporter::of_records(target, format.clone(), settings).map_err(RunError::Output),
    }
}

/// Says whether the record could be written: one that is no row as it stands, where it can.
fn write_record(out: &mut Exporter, format: &RecordFormat, record: &Record) -> Result<bool, RunError> {
    let verbatim = match format {
        RecordFormat::Jsonl => record.as_json_line(),
        RecordFormat::Csv(columns) => {
            record.as_csv_record(&columns.names, columns.dialect.delimiter).map(Cow::Borrowed)
        }
        RecordFormat::Parquet(_) => None,
    };
    Ok(out.write_record(verbatim.as_deref(), record.row().ok().as_ref())?)
}

/// As the same job reads it: by its name, else as the input is.
fn record_format(plan: &Plan, input: &Input, target: &ExportTarget) -> Result<RecordFormat, RunError> {
    let extension = match target {
        ExportTarget::File(path) => Packing::of(path).1,
        ExportTarget::Stream(_) => None,
    };
    let extension = extension.as_deref();
    let columns = input.columns();
    match (extension, columns) {
        (Some("parquet"), _) => Ok(RecordFormat::Parquet(typed_columns(input)?)),
        (Some("json"), _) if !is_lines(plan.job.input.format) => {
            Err(RunError::Usage("rows of JSON are written a line each\n  hint: name the file .jsonl".to_owned()))
        }
        (Some("csv" | "tsv"), None) => Err(RunError::Usage(
            "the rows are JSON, and a table would not keep all of what they hold\n  hint: name the file .jsonl; \
             without --failed a table has the rows that failed too, with their errors"
                .to_owned(),
        )),
        (Some("jsonl" | "ndjson" | "json"), _) | (_, None) => Ok(RecordFormat::Jsonl),
        (Some("csv" | "tsv"), Some(names)) => Ok(table(plan, input, names, extension)),
        (_, Some(_)) if input.is_parquet() => Ok(RecordFormat::Jsonl),
        (_, Some(names)) => Ok(table(plan, input, names, extension)),
    }
}

/// Whether `.json` is read as lines too.
fn is_lines(format: Format) -> bool {
    matches!(format, Format::Jsonl | Format::OpenaiBatch)
}

/// With the delimiter that the job sets, else with one that is found out.
fn table(plan: &Plan, input: &Input, names: Vec<String>, extension: Option<&str>) -> RecordFormat {
    let Dialect { delimiter, bom } = input.dialect();
    let tabs = plan.job.input.format == Format::Tsv || extension == Some("tsv");
    let delimiter = plan.job.input.delimiter.unwrap_or(if tabs { b'\t' } else { delimiter });
    RecordFormat::Csv(InputColumns::of_text(names, Dialect { delimiter, bom }))
}

fn check_target(target: &ExportTarget, input: &Input) -> Result<(), RunError> {
    let ExportTarget::File(path) = target else { return Ok(()) };
    let inputs: HashSet<_> = input.files().into_iter().filter_map(|file| file.canonicalize().ok()).collect();
    if path.canonicalize().is_ok_and(|path| inputs.contains(&path)) {
        return Err(RunError::OutputIsInput(path.clone()));
    }
    Ok(())
}
