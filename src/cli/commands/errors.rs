//! `overnight errors`.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use overnight::job::Job;
use overnight::report::{FailureGroup, Failures};
use overnight::source::{Input, InputPath};
use overnight::store::{LogReader, Standing, StateDir, failed_outcomes};
use overnight::types::{Moment, Place};
use serde::Serialize;

use super::standing::{ReadError, load, standing};
use crate::cli::args::{ErrorsArgs, Global};
use crate::cli::{fail, print, screen};

/// What `--json` prints.
#[derive(Serialize)]
struct Told<'a> {
    job: &'a str,
    failed: u64,
    groups: &'a [FailureGroup],
}

/// Tells the failed rows; gives the exit code.
pub fn execute(args: &ErrorsArgs, global: &Global) -> u8 {
    match run(args, global) {
        Ok(()) => 0,
        Err(error) => fail(&error, error.exit_code(), Some(&args.job), global),
    }
}

fn run(args: &ErrorsArgs, global: &Global) -> Result<(), ReadError> {
    let job = load(&args.job, &[], global)?;
    let found = standing(&job.state)?.filter(|(_, standing)| !standing.ledger.runs.is_empty());
    let Some((dir, standing)) = found else {
        print(&screen::nothing_yet(&job.name, &args.job, global.json));
        return Ok(());
    };
    let mut groups = groups(&dir, &standing)?;
    // Without its place a row still has its number.
    let _ = add_places(&mut groups, &job);
    let failed = groups.iter().map(|group| group.count).sum();
    if global.json {
        let told = Told { job: &job.name, failed, groups: &groups };
        print(&format!("{}\n", serde_json::to_string(&told).unwrap_or_default()));
    } else {
        let again = groups.iter().filter(|group| job.retry_failed.takes(group.kind)).map(|group| group.count).sum();
        let goes_on = standing.ledger.open_run().is_some();
        print(&screen::failures_text(&job.name, &args.job, &groups, again, goes_on));
    }
    Ok(())
}

fn groups(dir: &StateDir, standing: &Standing) -> Result<Vec<FailureGroup>, ReadError> {
    let finished = standing.holder.is_none() && standing.ledger.open_run().is_none();
    let mut failures = Failures::default();
    let numbers = failed_outcomes(dir, finished, |offset, outcome| failures.see(offset, outcome))?;
    let mut log = LogReader::open(dir)?;
    Ok(failures.standing(&numbers, |offset| log.outcome_at(offset))?)
}

/// Looks the examples up in the input, in one pass up to the last of them; not where the input may be another by now.
fn add_places(groups: &mut [FailureGroup], job: &Job) -> Result<(), ReadError> {
    if groups.is_empty() || job.input.paths.contains(&InputPath::Stdin) {
        return Ok(());
    }
    let input = Input::open(&job.input, &job.state.join("spool"))?;
    let changed = input.files().iter().filter_map(|file| file.metadata().ok()?.modified().ok()).max();
    let is_as_it_was = |failed: Moment| changed.is_some_and(|at| at < UNIX_EPOCH + Duration::from_millis(failed.0));
    let wanted = groups.iter().map(|group| &group.example).filter(|example| is_as_it_was(example.failed_at));
    let mut places: BTreeMap<u64, Option<Place>> = wanted.map(|example| (example.row, None)).collect();
    let last = places.keys().next_back().copied().unwrap_or(0);
    for record in input.records()? {
        let record = record?;
        if record.number > last {
            break;
        }
        if let Some(place) = places.get_mut(&record.number) {
            *place = Some(record.place.clone());
        }
    }
    for group in groups {
        let place = places.get(&group.example.row).and_then(Option::as_ref);
        group.example.at = place.map(ToString::to_string);
    }
    Ok(())
}
