//! How a job stands, for processes that only read: the totals, brought up to date with what the log and the flight file
//! say besides. Takes no lock and writes nothing; works while a run is on and after a kill.

use std::collections::HashSet;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::{Map, Value};

use super::error::io_error;
use super::flight::read_left;
use super::lock::read_holder;
use super::log::{HEADER, LOG};
use super::opening::possibly_billed;
use super::scan::{Scan, Scanned};
use super::{FlightEntry, Holder, StateDir, StoreError, read_totals};
use crate::types::{CallNumber, Ledger, LogLine, RunKind, RunLine};

/// How a job stands.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The last moment that is told of it, by totals or by a line of the log behind them, in milliseconds since 1970; `None`
    /// where there is neither.
    pub at: Option<u64>,
    /// The sums of all runs, up to the last whole line of the log. Where no process has the job, calls that a kill left
    /// in flight are counted as possibly billed, as the next run will count them.
    pub ledger: Ledger,
    /// What the writer had to say besides, when it wrote the totals.
    pub extra: Map<String, Value>,
    /// What the log says besides.
    pub since: Since,
    /// Whether log or flight file say more than the totals: then whoever wrote last did not come to its end.
    pub cut_short: bool,
    /// The process that has the job now.
    pub holder: Option<Holder>,
}

/// Rows that have ended since the totals were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Since {
    /// A run began.
    pub new_run: bool,
    /// Rows that ended well.
    pub succeeded: u64,
    /// Rows that ended badly.
    pub failed: u64,
    /// Answers that stopped at the output limit, among those that succeeded.
    pub truncated: u64,
}

/// Reads how a job stands; `None` where nothing was ever written.
///
/// # Errors
/// [`StoreError::Version`] where a later version wrote the files; I/O.
pub fn read_standing(dir: &StateDir) -> Result<Option<Standing>, StoreError> {
    let holder = read_live_holder(dir)?;
    let totals = match read_totals(dir) {
        // All of it stands in the log.
        Err(StoreError::Totals { .. }) => None,
        totals => totals?,
    };
    let log = dir.file(LOG);
    if totals.is_none() && !log.try_exists().map_err(io_error("look for", &log))? {
        return Ok(holder.map(|holder| Standing { holder: Some(holder), ..Standing::default() }));
    }
    let from = totals.as_ref().map_or(HEADER.len() as u64, |totals| totals.log_len);
    let mut standing = Standing { holder, ..Standing::default() };
    if let Some(totals) = totals {
        (standing.at, standing.ledger, standing.extra) = (Some(totals.at), totals.ledger, totals.extra);
    }
    let calls = standing.count_from(&log, from)?;
    if standing.holder.is_none() {
        standing.count_left(dir, &calls)?;
    }
    Ok(Some(standing))
}

impl Standing {
    /// Counts the lines of the log from here on, and returns the calls in them.
    fn count_from(&mut self, log: &Path, from: u64) -> Result<HashSet<CallNumber>, StoreError> {
        let mut calls = HashSet::new();
        let mut scan = Scan::open(log, from)?;
        while let Some(scanned) = scan.next()? {
            match scanned {
                Scanned::Line(line) => {
                    self.cut_short = true;
                    self.ledger.count(&line);
                    self.since.count(&line);
                    self.at = self.at.max(at_of(&line));
                    calls.extend(call_of(&line));
                }
                // The next run says so, and cuts it.
                Scanned::Broken | Scanned::Torn => {}
            }
        }
        Ok(calls)
    }

    /// Counts calls that a kill left, as opening the store does.
    fn count_left(&mut self, dir: &StateDir, on_record: &HashSet<CallNumber>) -> Result<(), StoreError> {
        let mut entries = left_in_flight(dir)?;
        entries.retain(|entry| !on_record.contains(&entry.call));
        self.cut_short |= !entries.is_empty();
        if !entries.is_empty() && self.ledger.runs.is_empty() {
            let run = self.ledger.next_run();
            self.ledger.count(&LogLine::Run(RunLine {
                run,
                at: entries[0].at,
                offset: HEADER.len() as u64,
                kind: RunKind::Job,
                about: None,
            }));
        }
        let run = self.ledger.runs.last().map_or(1, |run| run.run);
        for entry in &entries {
            self.ledger.count(&LogLine::Attempt(Box::new(possibly_billed(entry, run))));
        }
        Ok(())
    }
}

impl Since {
    fn count(&mut self, line: &LogLine) {
        match line {
            // A run that goes on behind a comparison is told again; what came before it then stands in the totals.
            LogLine::Run(run) if run.kind == RunKind::Job => *self = Self { new_run: true, ..Self::default() },
            LogLine::Outcome(outcome) if !outcome.compared => {
                self.succeeded += u64::from(outcome.failure.is_none());
                self.failed += u64::from(outcome.failure.is_some());
                self.truncated += u64::from(outcome.failure.is_none() && outcome.truncated);
            }
            LogLine::Run(_) | LogLine::Outcome(_) | LogLine::Attempt(_) | LogLine::RunEnd(_) | LogLine::Carried(_) => {}
        }
    }
}

/// When what a line tells was done.
fn at_of(line: &LogLine) -> Option<u64> {
    match line {
        LogLine::Run(run) => Some(run.at),
        LogLine::RunEnd(end) => Some(end.at),
        LogLine::Attempt(attempt) => Some(attempt.at),
        LogLine::Outcome(outcome) => Some(outcome.at),
        // It tells when lines were forgotten, at which no run was at work.
        LogLine::Carried(_) => None,
    }
}

fn call_of(line: &LogLine) -> Option<CallNumber> {
    match line {
        LogLine::Attempt(attempt) => Some(attempt.call),
        LogLine::Outcome(outcome) => Some(outcome.call),
        LogLine::Run(_) | LogLine::RunEnd(_) | LogLine::Carried(_) => None,
    }
}

fn left_in_flight(dir: &StateDir) -> Result<Vec<FlightEntry>, StoreError> {
    let path = dir.file("flight");
    match File::open(&path) {
        Ok(file) => Ok(read_left(&file, &path)?.entries),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(io_error("open", &path)(error)),
    }
}

/// Whoever signed the lock file and still lives. The lock itself is not tried: a run that begins at the same moment would
/// find it taken.
fn read_live_holder(dir: &StateDir) -> Result<Option<Holder>, StoreError> {
    let path = dir.file("lock");
    match File::open(&path) {
        Ok(file) => Ok(Some(read_holder(file)).filter(|holder| holder.pid != 0 && holder.lives())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("open", &path)(error)),
    }
}
