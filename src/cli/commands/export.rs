//! `overnight export`.

use std::io::{self, BufWriter, ErrorKind};
use std::path::Path;

use overnight::engine::{ExportOptions, ExportWhat, Exported, RunError, export};
use overnight::job::Job;
use overnight::sink::{ExportFormat, ExportTarget, OutputFormat, SinkError};
use overnight::types::Packing;

use super::standing::load;
use crate::cli::args::{ExportArgs, ExportAs, Global};
use crate::cli::screen::shown;
use crate::cli::{fail, fail_beside, print, print_beside};

/// Writes what is done so far; gives the exit code.
pub fn execute(args: &ExportArgs, global: &Global) -> u8 {
    let fail = if to_stdout(args) { fail_beside } else { fail };
    let job = match load(&args.job, &args.set, global) {
        Ok(job) => job,
        Err(error) => return fail(&error, 3, Some(&args.job), global),
    };
    let what = what(args, &job);
    // A file of its own there is not always: then failed rows stand among the others.
    let says_where = job.output.errors.as_ref().unwrap_or(&job.output.path).clone();
    match export(job, ExportOptions { what, target: target(args) }) {
        Ok(exported) => {
            tell(exported, args, &says_where, global);
            0
        }
        // As for any filter.
        Err(error) if is_closed_pipe(&error) => 0,
        Err(error) => fail(&error, error.exit_code(), Some(&args.job), global),
    }
}

fn to_stdout(args: &ExportArgs) -> bool {
    args.output == Path::new("-")
}

fn target(args: &ExportArgs) -> ExportTarget {
    if to_stdout(args) {
        ExportTarget::Stream(Box::new(BufWriter::with_capacity(64 << 10, io::stdout())))
    } else {
        ExportTarget::File(args.output.clone())
    }
}

/// Without a word of it: as the file's name says, else as the job itself writes.
fn what(args: &ExportArgs, job: &Job) -> ExportWhat {
    if args.failed {
        return ExportWhat::FailedInput;
    }
    let extension = Packing::of(&args.output).1;
    let tabs = extension.as_deref() == Some("tsv");
    let table = if tabs { ExportFormat::Tsv } else { ExportFormat::Csv };
    ExportWhat::Results(match args.format {
        Some(ExportAs::Csv) => table,
        None if tabs || extension.as_deref() == Some("csv") => table,
        Some(ExportAs::Parquet) => ExportFormat::Parquet,
        None if extension.as_deref() == Some("parquet") => ExportFormat::Parquet,
        None if job.output.format == OutputFormat::OpenaiBatch => ExportFormat::OpenaiBatch,
        Some(ExportAs::Jsonl) | None => ExportFormat::Jsonl,
        Some(ExportAs::OpenaiBatch) => ExportFormat::OpenaiBatch,
    })
}

/// Where data go to standard output, this goes beside them.
fn tell(exported: Option<Exported>, args: &ExportArgs, says_where: &Path, global: &Global) {
    let print = if to_stdout(args) { print_beside } else { print };
    if global.json {
        let line = serde_json::to_string(&exported.unwrap_or_default()).unwrap_or_default();
        print(&format!("{line}\n"));
    } else if !global.quiet {
        print(&text(exported, args, says_where));
    } else if let Some(lost) = exported.and_then(|exported| lost(exported.no_place, says_where)) {
        // Nobody must take the file for all that failed.
        print_beside(&format!("{lost}\n"));
    }
}

fn lost(records: u64, says_where: &Path) -> Option<String> {
    let file = shown(says_where);
    (records > 0).then(|| format!("{records} left out that are no rows ({file} says where)"))
}

fn text(exported: Option<Exported>, args: &ExportArgs, says_where: &Path) -> String {
    let Some(exported) = exported else {
        return "nothing to export: no run of this job has recorded anything yet\n".to_owned();
    };
    let Exported { written, left_out, not_done, no_place } = exported;
    let to = if to_stdout(args) { String::new() } else { format!(" to {}", args.output.display()) };
    let left = match (args.failed, left_out) {
        (_, 0) => String::new(),
        (true, rows) => format!(", {rows} did not fail"),
        (false, rows) => format!(", {rows} failed (export --failed)"),
    };
    let lost = lost(no_place, says_where).map_or_else(String::new, |lost| format!(", {lost}"));
    let rest = if not_done > 0 { format!(", {not_done} not done yet") } else { String::new() };
    let rows = if written == 1 { "row" } else { "rows" };
    format!("{written} {rows} exported{to}{left}{lost}{rest}\n")
}

fn is_closed_pipe(error: &RunError) -> bool {
    matches!(error, RunError::Sink(SinkError::Io { source, .. }) | RunError::Output(SinkError::Io { source, .. })
        if source.kind() == ErrorKind::BrokenPipe)
}
