//! What is done so far, written out without a run: also while one is on, as it only reads.

use std::collections::HashSet;

use super::RunError;
use super::feed::Matching;
use super::needs;
use super::output::{columns, each, with_row};
use super::plan::Plan;
use super::selection::{Selection, Subset};
use crate::job::Job;
use crate::sink::{ExportFormat, ExportTarget, Exporter};
use crate::source::{Format, Input};
use crate::store::StateReader;

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
    let mut matching = Matching::seen(&state, plan.identity(&input))?;
    let mut log = state.log()?;
    let selection = Selection::new(&plan, &input, &Subset::default())?;
    check_target(&options.target, &input)?;
    let mut out = exporter(&plan, &input, options.what, options.target)?;
    let mut exported = Exported::default();
    each(&plan, &input, &selection, |record| {
        let (Some(end), _) = matching.find(&plan, record)? else {
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
            let columns = if format == ExportFormat::Csv { columns(input)? } else { Vec::new() };
            Exporter::of_results(target, format, settings, &columns).map_err(RunError::Output)
        }
        ExportWhat::FailedInput => {
            // The same job must read it: with the delimiter that it sets, else with one that is found out.
            let tabs = plan.job.input.format == Format::Tsv || is_tsv(&target);
            let delimiter = plan.job.input.delimiter.unwrap_or(if tabs { b'\t' } else { b',' });
            let table = input.columns().map(|columns| (columns, delimiter));
            Exporter::of_records(target, table, settings).map_err(RunError::Output)
        }
    }
}

fn is_tsv(target: &ExportTarget) -> bool {
    match target {
        ExportTarget::File(path) => path.extension().is_some_and(|extension| extension == "tsv"),
        ExportTarget::Stream(_) => false,
    }
}

fn check_target(target: &ExportTarget, input: &Input) -> Result<(), RunError> {
    let ExportTarget::File(path) = target else { return Ok(()) };
    let inputs: HashSet<_> = input.files().into_iter().filter_map(|file| file.canonicalize().ok()).collect();
    if path.canonicalize().is_ok_and(|path| inputs.contains(&path)) {
        return Err(RunError::OutputIsInput(path.clone()));
    }
    Ok(())
}
