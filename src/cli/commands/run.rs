//! `overnight run`.

use std::future::Future;
use std::io;
use std::path::Path;

use overnight::engine::{IfLocked, ResultStream, RunError, RunOptions, Stop, run};
use overnight::event::{StopReason, Summary};
use overnight::job::{self, Job, JobArgs};
use overnight::store::StoreError;

use super::plan;
use crate::cli::args::{Global, LockedMode, LogFormat, Night, PlanArgs, RunArgs};
use crate::cli::events::EventFile;
use crate::cli::logs::Log;
use crate::cli::screen::{self, ProgressMode, Screen};
use crate::cli::{fail, fail_beside, print, print_beside, scheduling, signals};

/// Runs the job; gives the exit code.
pub fn execute(args: &RunArgs, global: &Global) -> u8 {
    if args.dry_run {
        let (job, part, changes) = (args.job.clone(), args.part.clone(), args.changes.clone());
        return plan::execute(&PlanArgs { job, part, changes }, global);
    }
    let results = streams(args).then(|| Box::new(io::stdout()) as ResultStream);
    let options = RunOptions { subset: args.part.subset(), results, ..RunOptions::default() };
    load_and_run(&job_args(args), &args.job, options, &args.night, global)
}

/// Loads a job and runs it as the command line says; gives the exit code. `named`: what the user calls the job.
pub(super) fn load_and_run(job: &JobArgs, named: &Path, options: RunOptions, night: &Night, global: &Global) -> u8 {
    let fail = if options.results.is_some() { fail_beside } else { fail };
    let job = JobArgs {
        config: global.config.clone(),
        prices: global.prices.clone(),
        deadline: night.deadline.clone(),
        max_failures: night.max_failures.clone(),
        ..job.clone()
    };
    let job = match job::load(&job, &|name| std::env::var(name).ok()) {
        Ok(job) => job,
        Err(error) => return fail(&error, 3, Some(named), global),
    };
    let events = match night.events.as_deref().map(EventFile::open).transpose() {
        Ok(events) => events,
        Err(message) => return fail(&format!("--events: {message}"), 3, Some(named), global),
    };
    let options = RunOptions { if_locked: if_locked(night.if_locked), fresh: night.fresh, ..options };
    run_and_tell(named, job, options, events, night.if_locked, global)
}

/// Runs a job with these options, and tells how it ended: on standard error where results go to standard output.
pub(super) fn run_and_tell(
    job_file: &Path,
    job: Job,
    options: RunOptions,
    events: Option<EventFile>,
    if_locked: LockedMode,
    global: &Global,
) -> u8 {
    let streams = options.results.is_some();
    let print = if streams { print_beside } else { print };
    let fail = if streams { fail_beside } else { fail };
    match run_to_end(job, options, events, global) {
        Ok(summary) => {
            if summary.stop_reason != Some(StopReason::OutputClosed) {
                tell(&summary, job_file, global, print);
            }
            summary.exit_code
        }
        Err(RunError::Store(StoreError::Locked { .. })) if if_locked == LockedMode::Skip => 0,
        Err(error) => fail(&error, error.exit_code(), Some(job_file), global),
    }
}

fn streams(args: &RunArgs) -> bool {
    args.part.output.as_deref().is_some_and(|path| path == Path::new("-"))
}

fn job_args(args: &RunArgs) -> JobArgs {
    JobArgs {
        job_file: args.job.clone(),
        set: args.changes.set.clone(),
        input: args.part.input.clone(),
        output: args.part.output.clone().filter(|_| !streams(args)),
        model: args.changes.model.clone(),
        routes: args.part.routes.clone(),
        concurrency: args.changes.concurrency,
        max_cost: args.part.max_cost.clone(),
        ..JobArgs::default()
    }
}

fn run_to_end(job: Job, options: RunOptions, events: Option<EventFile>, global: &Global) -> Result<Summary, RunError> {
    on_screen(options, events, global, |options| run(job, options))
}

/// Does what takes a run's options to its end, while screen, log and signals follow it.
pub(super) fn on_screen<T, F: Future<Output = Result<T, RunError>>>(
    options: RunOptions,
    mut events: Option<EventFile>,
    global: &Global,
    work: impl FnOnce(RunOptions) -> F,
) -> Result<T, RunError> {
    scheduling::be_batch();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| RunError::Thread(error.to_string()))?;
    let stop = Stop::default();
    let mut screen = Screen::open(progress(global), global.quiet, global.color);
    let mut log = Log::new(screen.log_writer(), global);
    let options = RunOptions {
        stop: stop.clone(),
        watcher: Box::new(move |event| {
            log.show(event);
            if let Some(events) = &mut events {
                events.show(event);
            }
            screen.show(event);
        }),
        ..options
    };
    let result = runtime.block_on(async {
        tokio::select! {
            result = work(options) => result,
            Err(error) = signals::watch(stop) => Err(RunError::Thread(error.to_string())),
        }
    });
    // A count of the input may still be under way; nobody waits for it any more.
    runtime.shutdown_background();
    result
}

pub(super) fn if_locked(mode: LockedMode) -> IfLocked {
    match mode {
        LockedMode::Wait => IfLocked::Wait,
        LockedMode::Fail | LockedMode::Skip => IfLocked::Fail,
    }
}

/// Lines for machines and lines for people do not mix.
fn progress(global: &Global) -> ProgressMode {
    match (global.log_format, global.progress) {
        (LogFormat::Json, ProgressMode::Auto | ProgressMode::Plain) => ProgressMode::None,
        (_, mode) => mode,
    }
}

/// Whether somebody should look at it: a key that is refused is to be mended also where others did its work.
pub(super) fn is_wrong(summary: &Summary) -> bool {
    summary.exit_code != 0 || !summary.removed.is_empty() || !summary.left_out.is_empty()
}

/// The end of it on standard output: for people, or as JSON.
fn tell(summary: &Summary, job: &Path, global: &Global, print: fn(&str)) {
    if let Some(note) = screen::retry_note(summary).filter(|_| !global.quiet) {
        print_beside(&note);
    }
    if global.json {
        let line = serde_json::to_string(summary).unwrap_or_default();
        print(&format!("{line}\n"));
    } else if !global.quiet || is_wrong(summary) {
        print(&screen::summary_text(summary, job, global.color));
    }
}
