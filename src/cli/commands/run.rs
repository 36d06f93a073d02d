//! `overnight run`.

use std::io;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::Path;

use overnight::engine::{IfLocked, ResultStream, RunError, RunOptions, Stop, Subset, run};
use overnight::event::{StopReason, Summary};
use overnight::job::{self, Job, JobArgs};
use overnight::store::StoreError;

use super::plan;
use crate::cli::args::{Global, LockedMode, LogFormat, PlanArgs, RunArgs};
use crate::cli::events::EventFile;
use crate::cli::logs::Log;
use crate::cli::screen::{self, ProgressMode, Screen};
use crate::cli::{print, print_beside, print_error, signals};

/// Runs the job; gives the exit code.
pub fn execute(args: &RunArgs, global: &Global) -> u8 {
    if args.dry_run {
        return plan::execute(&plan_args(args), global);
    }
    let job = match job::load(&job_args(args, global), &|name| std::env::var(name).ok()) {
        Ok(job) => job,
        Err(error) => {
            print_error(&error);
            return 3;
        }
    };
    let events = match args.events.as_deref().map(EventFile::open).transpose() {
        Ok(events) => events,
        Err(message) => {
            print_error(&format!("--events: {message}"));
            return 3;
        }
    };
    let subset = Subset {
        limit: args.limit.map(NonZeroU64::get),
        sample: args.sample.map(NonZeroUsize::get),
        task: args.task.clone(),
        filter: args.filter.clone(),
    };
    let results = streams(args).then(|| Box::new(io::stdout()) as ResultStream);
    let options = RunOptions {
        subset,
        results,
        if_locked: if_locked(args.if_locked),
        fresh: args.fresh,
        ..RunOptions::default()
    };
    run_and_tell(job, options, events, args.if_locked, global)
}

/// Runs a job with these options, and tells how it ended: on standard error where results go to standard output.
pub(super) fn run_and_tell(
    job: Job,
    options: RunOptions,
    events: Option<EventFile>,
    if_locked: LockedMode,
    global: &Global,
) -> u8 {
    let streams = options.results.is_some();
    match run_to_end(job, options, events, global) {
        Ok(summary) => {
            if summary.stop_reason != Some(StopReason::OutputClosed) {
                tell(&summary, global, if streams { print_beside } else { print });
            }
            summary.exit_code
        }
        Err(RunError::Store(StoreError::Locked { .. })) if if_locked == LockedMode::Skip => 0,
        Err(error) => {
            print_error(&error);
            error.exit_code()
        }
    }
}

fn streams(args: &RunArgs) -> bool {
    args.output.as_deref().is_some_and(|path| path == Path::new("-"))
}

fn job_args(args: &RunArgs, global: &Global) -> JobArgs {
    JobArgs {
        job_file: args.job.clone(),
        config: global.config.clone(),
        set: args.set.clone(),
        input: args.input.clone(),
        output: args.output.clone().filter(|_| !streams(args)),
        model: args.model.clone(),
        routes: args.routes.clone(),
        concurrency: args.concurrency,
        deadline: args.deadline.clone(),
        max_failures: args.max_failures.clone(),
        max_cost: args.max_cost.clone(),
        keys_optional: false,
    }
}

/// `--dry-run`.
fn plan_args(args: &RunArgs) -> PlanArgs {
    PlanArgs {
        job: args.job.clone(),
        input: args.input.clone(),
        output: args.output.clone(),
        limit: args.limit,
        sample: args.sample,
        task: args.task.clone(),
        model: args.model.clone(),
        routes: args.routes.clone(),
        set: args.set.clone(),
        concurrency: args.concurrency,
        max_cost: args.max_cost.clone(),
        filter: args.filter.clone(),
    }
}

fn run_to_end(
    job: Job,
    options: RunOptions,
    mut events: Option<EventFile>,
    global: &Global,
) -> Result<Summary, RunError> {
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
            result = run(job, options) => result,
            Err(error) = signals::watch(stop) => Err(RunError::Thread(error.to_string())),
        }
    });
    // A count of the input may still be under way; nobody waits for it any more.
    runtime.shutdown_background();
    result
}

fn if_locked(mode: LockedMode) -> IfLocked {
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

/// The end of it on standard output: for people, or as JSON.
fn tell(summary: &Summary, global: &Global, print: fn(&str)) {
    if global.json {
        let line = serde_json::to_string(summary).unwrap_or_default();
        print(&format!("{line}\n"));
    } else if !global.quiet || summary.exit_code != 0 {
        print(&screen::summary_text(summary, global.color));
    }
}
