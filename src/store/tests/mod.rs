//! What the store promises over kills, damage and lost power.

mod beside;
mod dir;
mod flight;
mod log;
mod order;
mod prune;
mod rebuild;
mod resume;

use std::path::Path;

use serde_json::value::RawValue;
use tempfile::TempDir;

use super::*;
use crate::types::{
    AttemptLine, Endpoint, Failure, FailureKind, Key, LogLine, Money, OutcomeLine, RunKind, RunLine, Usage,
};

const SLOTS: usize = 4;
const AT: u64 = 1_700_000_000_000;

/// A state directory that goes with the value.
struct Scene {
    /// Kept for its drop.
    _root: TempDir,
    dir: StateDir,
}

impl Scene {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = state_in(root.path(), "state");
        Self { _root: root, dir }
    }

    fn open(&self) -> (Store, Opened) {
        Store::open(&self.dir, SLOTS, AT).unwrap()
    }

    fn log(&self) -> std::path::PathBuf {
        self.dir.path().join("results.log")
    }
}

fn state_in(root: &Path, name: &str) -> StateDir {
    let job = root.join("job.toml");
    std::fs::write(&job, "").unwrap();
    StateDir::create(&root.join(name), &job).unwrap()
}

fn run_line() -> LogLine {
    LogLine::Run(RunLine { run: 1, at: AT, offset: 0, kind: RunKind::Job, about: None })
}

fn outcome(row: u64, key: u8) -> OutcomeLine {
    let failed = row.is_multiple_of(5);
    OutcomeLine {
        id_hash: None,
        row_hash: None,
        used: None,
        request: None,
        deduped: false,
        call: row,
        key: Key([key; 16]),
        asked_as: None,
        row,
        run: 1,
        at: AT + row,
        task: "tag".to_owned(),
        failure: failed.then(|| Failure::new(FailureKind::Refusal, "no")),
        provider: "gateway".to_owned(),
        model: "small".to_owned(),
        attempts: 1,
        usage: Some(Usage { input_tokens: row, cached_input_tokens: 0, output_tokens: 1, ..Usage::default() }),
        cost: Some(Money::from_pico(row * 7 + 1)),
        row_cost: Some(Money::from_pico(row * 7 + 1)),
        latency_ms: 3,
        request_id: None,
        replaces: None,
        retry: false,
        reask: false,
        came_from: None,
        truncated: row.is_multiple_of(3),
        compared: false,
        possibly_billed: false,
        worst_cost: None,
        trail: Vec::new(),
        endpoint: Endpoint::Chat,
        reply: Some(RawValue::from_string(format!(r#"{{"n": {row}}}"#)).unwrap().into()),
    }
}

fn outcome_line(row: u64, key: u8) -> LogLine {
    LogLine::Outcome(Box::new(outcome(row, key)))
}

fn attempt(call: u64, row: u64, key: u8) -> AttemptLine {
    AttemptLine {
        call,
        key: Key([key; 16]),
        row,
        run: 1,
        at: AT,
        task: "tag".to_owned(),
        provider: "gateway".to_owned(),
        model: "small".to_owned(),
        failure: Some(Failure { kind: FailureKind::RateLimited, status: Some(429), message: "slow down".to_owned() }),
        latency_ms: 5,
        usage: None,
        cost: Some(Money::from_pico(1)),
        possibly_billed: false,
        worst_cost: None,
        retry: false,
        reask: false,
        came_from: None,
    }
}

/// Appends a run's first line and these rows' outcomes, and writes them.
fn write_rows(store: &mut Store, rows: std::ops::RangeInclusive<u64>) {
    if store.ledger().runs.is_empty() {
        store.append(&run_line()).unwrap();
    }
    for row in rows {
        store.append(&outcome_line(row, 1)).unwrap();
    }
    store.write().unwrap();
}

/// What a run does all the time, with a disk that is fast.
fn keep_up(store: &mut Store) {
    store.advance().unwrap();
    store.wait_for_disk().unwrap();
}

fn rows(store: &Store) -> Vec<u64> {
    store.outcomes().map(|ended| ended.unwrap().row).collect()
}
