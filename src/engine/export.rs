//! What is done so far, written out without a run: also while one is on, as it only reads.

use std::collections::HashSet;

use super::RunError;
use super::matching::Matching;
use super::needs;
use super::output::{columns, each, typed_columns, with_row};
use super::plan::Plan;
use super::selection::{Selection, Subset};
use crate::job::Job;
use crate::sink::{ExportFormat, ExportTarget, Exporter, RecordFormat};
use crate::source::{Format, Input};
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
    /// Rows that ended and were not asked for, or have no place in this format.
    pub left_out: u64,
    /// Rows that have not ended yet.
    pub not_done: u64,
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
    let mut out = exporter(&plan, &input, options.what, options.target)?;
    let mut exported = Exported::default();
    each(&plan, &input, &selection, |record| {
        let (end, _) = matching.find(&plan, record)?;
        // A model that failed a row in a comparison has not ended it.
        let Some(end) = end.filter(|end| !(end.compared && end.failure.is_some())) else {
            exported.not_done += 1;
            return Ok(());
        };
        let written = match options.what {
            ExportWhat::FailedInput if end.failure.is_none() => false,
            ExportWhat::FailedInput => out.write_record(&record.raw(), record.row().ok().as_ref())?,
            ExportWhat::Results(_) => {
                let outcome = log.outcome_at(end.offset)?;
                with_row(&plan, record, &outcome, |row| out.write(row))?
            }
        };
        exported.written += u64::from(written);
        exported.left_out += u64::from(!written);
        Ok(())
    })?;
    out.finish()?;
    Ok(Some(exported))
}

fn exporter(plan: &Plan, input: &Input, what: ExportWhat, target: ExportTarget) -> Result<Exporter, RunError> {
    let settings = &plan.job.output;
    match what {
        ExportWhat::Results(format) => {
            let columns = match format {
                ExportFormat::Csv | ExportFormat::Tsv => columns(input)?,
                ExportFormat::Parquet => typed_columns(input)?,
                ExportFormat::Jsonl | ExportFormat::OpenaiBatch => InputColumns::default(),
            };
            Exporter::of_results(target, format, settings, &columns).map_err(RunError::Output)
        }
        ExportWhat::FailedInput => {
            let format = record_format(plan, input, &target)?;
            Exporter::of_records(target, format, settings).map_err(RunError::Output)
        }
    }
}

/// As the same job reads it: by its name, else as the input is.
fn record_format(plan: &Plan, input: &Input, target: &ExportTarget) -> Result<RecordFormat, RunError> {
    let extension = match target {
        ExportTarget::File(path) => Packing::of(path).1,
        ExportTarget::Stream(_) => None,
    };
    let extension = extension.as_deref();
    if extension == Some("parquet") {
        return Ok(RecordFormat::Parquet(typed_columns(input)?));
    }
    let Some(names) = input.columns().filter(|_| !input.is_parquet() || matches!(extension, Some("csv" | "tsv")))
    else {
        return Ok(RecordFormat::Jsonl);
    };
    // With the delimiter that the job sets, else with one that is found out.
    let Dialect { delimiter, bom } = input.dialect();
    let tabs = plan.job.input.format == Format::Tsv || extension == Some("tsv");
    let delimiter = plan.job.input.delimiter.unwrap_or(if tabs { b'\t' } else { delimiter });
    Ok(RecordFormat::Csv(InputColumns::of_text(names, Dialect { delimiter, bom })))
}

fn check_target(target: &ExportTarget, input: &Input) -> Result<(), RunError> {
    let ExportTarget::File(path) = target else { return Ok(()) };
    let inputs: HashSet<_> = input.files().into_iter().filter_map(|file| file.canonicalize().ok()).collect();
    if path.canonicalize().is_ok_and(|path| inputs.contains(&path)) {
        return Err(RunError::OutputIsInput(path.clone()));
    }
    Ok(())
}
