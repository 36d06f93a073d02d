//! `overnight status`.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use overnight::job::Job;
use overnight::store::Standing;
use overnight::types::{Money, RowsNow, RunKind, Tally};
use serde_json::Value;

use super::standing::{ReadError, load, rows_now, standing};
use crate::cli::args::{Global, StatusArgs};
use crate::cli::screen::{self, State, Status};
use crate::cli::{fail, print, print_error};

/// How often `--watch` looks.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Folders below the working directory are looked through this deep.
const DEPTH: usize = 8;

/// Tells how far a job is, or all of them; gives the exit code.
pub fn execute(args: &StatusArgs, global: &Global) -> u8 {
    let result = match &args.job {
        Some(job) if args.watch => watch(job, global),
        Some(job) => one(job, global).map(|(text, _)| print(&text)),
        None => all(global),
    };
    match result {
        Ok(()) => 0,
        Err(error) => fail(&error, error.exit_code(), args.job.as_deref(), global),
    }
}

/// What to say of a job, and whether it is at work.
fn one(job_file: &Path, global: &Global) -> Result<(String, bool), ReadError> {
    let job = load(job_file, &[], global)?;
    Ok(match standing(&job.state)? {
        None => (screen::nothing_yet(&job.name, job_file, global.json), false),
        Some((_, standing)) => {
            let status = status(&job.name, job_file, &standing);
            let text = if global.json { json_line(&status) } else { screen::status_text(&status) };
            (text, standing.holder.is_some())
        }
    })
}

fn watch(job_file: &Path, global: &Global) -> Result<(), ReadError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|error| ReadError::Io(error.to_string()))?;
    // A terminal shows one picture; a pipe gets them all.
    let clear = if io::stdout().is_terminal() && !global.json { "\u{1b}[H\u{1b}[2J" } else { "" };
    loop {
        let (text, runs) = one(job_file, global)?;
        let mut out = io::stdout().lock();
        let shown = out.write_all(format!("{clear}{text}").as_bytes()).and_then(|()| out.flush());
        if shown.is_err() || !runs {
            return Ok(());
        }
        drop(out);
        runtime.block_on(tokio::time::sleep(WATCH_EVERY));
    }
}

fn all(global: &Global) -> Result<(), ReadError> {
    let here = std::env::current_dir().map_err(|error| ReadError::Io(error.to_string()))?;
    let mut files = Vec::new();
    find_job_files(&here, DEPTH, &mut files);
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let shown = file.strip_prefix(&here).unwrap_or(&file);
        let (name, state) = name_and_state(shown, load(shown, &[], global).ok());
        // One job's damaged state must not hide the others.
        match standing(&here.join(state)) {
            Ok(Some((_, standing))) => found.push(status(&name, shown, &standing)),
            Ok(None) => {}
            Err(error) => print_error(&error),
        }
    }
    if global.json {
        print(&json_line(&serde_json::json!({ "jobs": found })));
    } else if found.is_empty() {
        print("no job below this folder has run yet\n");
    } else {
        print(&found.iter().map(screen::status_line).collect::<String>());
    }
    Ok(())
}

/// A job file that is broken at the moment may well have state, where it is by default.
fn name_and_state(file: &Path, job: Option<Job>) -> (String, PathBuf) {
    let stem = file.file_stem().unwrap_or_default();
    let default = || (stem.to_string_lossy().into_owned(), file.with_file_name(".overnight").join(stem));
    job.map_or_else(default, |job| (job.name, job.state))
}

fn find_job_files(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    // A folder that may not be read has no jobs of this user's.
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.to_string_lossy();
        // Not through links: they can lead in circles.
        let Ok(kind) = entry.file_type() else { continue };
        let passed_over = name.starts_with('.') || name == "node_modules" || name == "target";
        if kind.is_dir() && depth > 0 && !passed_over {
            find_job_files(&path, depth - 1, files);
        } else if name.ends_with(".toml") && is_job_file(&path) {
            files.push(path);
        }
    }
}

fn is_job_file(path: &Path) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.contains("tasks.") || text.contains("[tasks]"))
}

fn json_line(value: &impl serde::Serialize) -> String {
    format!("{}\n", serde_json::to_string(value).unwrap_or_default())
}

fn status(name: &str, job_file: &Path, standing: &Standing) -> Status {
    // While a comparison is at work, it is what there is to see.
    let at_work = standing.ledger.runs.last().filter(|_| standing.holder.is_some());
    let run = at_work.or(standing.ledger.latest());
    let sum = run.map(|run| run.totals.sum()).unwrap_or_default();
    let (state, RowsNow { rows, part, job_rows }) = (state(standing), rows_now(standing));
    let mut all_runs = Tally::default();
    for run in &standing.ledger.runs {
        all_runs.merge(&run.totals.sum());
    }
    let stop_reason = standing.extra.get("stop_reason").and_then(Value::as_str).map(str::to_owned);
    Status {
        job: name.to_owned(),
        run: run.map(|run| run.run),
        state,
        pid: standing.holder.as_ref().map(|holder| holder.pid),
        exit_code: match state {
            State::Finished => Some(if rows.failed > 0 { 4 } else { 0 }),
            State::Stopped if standing.cut_short => None,
            State::Stopped => standing.extra.get("exit_code").and_then(|code| u8::try_from(code.as_u64()?).ok()),
            State::Running | State::Paused => None,
        },
        // What totals say of an earlier stop is nothing about a kill since.
        stop_reason: stop_reason.filter(|_| state == State::Stopped && !standing.cut_short),
        rows,
        part,
        job_rows,
        attempts: sum.attempts,
        rate_limited: sum.rate_limited,
        usage: sum.usage,
        cost_usd: known_cost(&sum),
        cost_unknown_rows: sum.cost_unknown_rows,
        runs: standing.ledger.runs.len() as u64,
        all_runs_cost_usd: known_cost(&all_runs),
        all_runs_cost_unknown_rows: all_runs.cost_unknown_rows,
        possibly_billed: run.map(|run| run.totals.possibly_billed).unwrap_or_default(),
        elapsed_ms: run.map_or(0, |run| run.elapsed_ms(standing.at)),
        only_compared: run.is_some_and(|run| run.kind == RunKind::Compare),
        job_file: job_file.to_owned(),
    }
}

/// `None` where nothing of it is known.
fn known_cost(sum: &Tally) -> Option<Money> {
    Some(sum.cost_usd).filter(|cost| *cost > Money::ZERO || sum.cost_unknown_rows == 0)
}

fn state(standing: &Standing) -> State {
    let told = standing.extra.get("state").and_then(Value::as_str);
    match (&standing.holder, told) {
        (Some(_), Some("paused")) => State::Paused,
        (Some(_), _) => State::Running,
        (None, Some("finished")) if standing.ledger.open_run().is_none() => State::Finished,
        (None, _) => State::Stopped,
    }
}
