//! Forgets outcomes that no row needs any more: the log is written anew without them.
//!
//! What their lines told stays in the sums, as one `carried` line for each run. The new log is written beside the old one
//! and takes its place in a rename. What points into the old one goes before that, so that a kill at any instant leaves the
//! old log or the new one, and projections that are made again from it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::Value;

use super::error::io_error;
use super::log::{HEADER, LOG, PRUNED_HEADER};
use super::order::Order;
use super::scan::{Scan, Scanned};
use super::sled_checkpoint::SLED;
use super::spent::{take_told, trail_entry};
use super::{End, StateDir, Store, StoreError, read_totals, totals};
use crate::types::{CarriedLine, Key, Ledger, LogLine, OutcomeLine, RunLine, Totals, TrailEntry};

/// The new log, until it takes the old one's place.
const NEW: &str = "results.log.new";
/// The checkpoint over the old log, on its way out.
const OLD: &str = "sled.pruned";
const BUFFER: usize = 256 << 10;

/// The outcomes that today's input needs.
#[derive(Debug, Default)]
pub struct Needed {
    /// By record number, for the order.
    pub rows: Vec<(u64, End)>,
    /// Those of rows that the job leaves out today.
    pub besides: Vec<End>,
}

impl Needed {
    /// Where they stand, sorted.
    fn places(&self) -> Vec<u64> {
        let ends = self.rows.iter().map(|(_, end)| end).chain(&self.besides);
        let mut places: Vec<u64> = ends.map(|end| end.offset).collect();
        places.sort_unstable();
        places.dedup();
        places
    }
}

/// What was forgotten, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Outcomes that are gone.
    pub outcomes: u64,
    /// Lines of single attempts that went with them.
    pub attempts: u64,
    /// Outcomes that stay.
    pub kept: u64,
    /// The log's length before, in bytes.
    pub bytes_before: u64,
    /// And after.
    pub bytes_after: u64,
}

impl Pruned {
    /// Whether the log is better left as it is.
    fn is_nothing(&self) -> bool {
        self.outcomes == 0 || self.bytes_after >= self.bytes_before
    }

    /// The same where the log is left as it is.
    fn or_nothing(self) -> Self {
        if !self.is_nothing() {
            return self;
        }
        let (kept, bytes_after) = (self.kept + self.outcomes, self.bytes_before);
        Self { outcomes: 0, attempts: 0, kept, bytes_after, ..self }
    }
}

/// What a broken end of an earlier try left: never read by anyone.
pub(super) fn clear_leftovers(dir: &StateDir) {
    // Where they cannot be removed they take up room, and nothing else.
    let _ = fs::remove_file(dir.file(NEW));
    let _ = fs::remove_dir_all(dir.file(OLD));
}

/// As long in a line as a time of these years.
const SOME_TIME: u64 = 1_800_000_000_000;

/// Finds out what a log comes to without the outcomes that nothing needs; two passes over it.
pub(super) fn weigh(first: Scan, second: Scan, needed: &Needed, path: &Path) -> Result<Pruned, StoreError> {
    let kept = needed.places();
    let attempts = attempts_of_forgotten(first, &kept)?;
    Ok(Rewrite::new(io::sink(), path, &kept, &attempts, SOME_TIME)?.whole(second, None)?.pruned.or_nothing())
}

impl Store {
    /// Forgets all outcomes but those that are needed, and closes. The order of `identity` then has the needed rows, and
    /// counts as matched where they are `whole`: all rows of the input that have an outcome. Changes no sum.
    ///
    /// # Errors
    /// [`StoreError::BrokenLine`] and [`StoreError::Sums`] where the log is damaged; I/O. Then nothing was forgotten, or
    /// all of it; the next opening makes anew what is missing besides the log.
    pub fn prune(mut self, identity: [u8; 16], needed: &Needed, whole: bool, at_ms: u64) -> Result<Pruned, StoreError> {
        self.checkpoint()?;
        let (dir, slots) = (self.dir.clone(), self.flight.slots);
        let kept = needed.places();
        let new = dir.file(NEW);
        let written = self.write_new(&new, &kept, at_ms);
        let written = match written {
            Ok(written) if !written.pruned.is_nothing() => written,
            Ok(written) => {
                clear_leftovers(&dir);
                self.close_with(needed.rows.iter().copied(), whole)?;
                return Ok(written.pruned.or_nothing());
            }
            Err(error) => {
                clear_leftovers(&dir);
                return Err(error);
            }
        };
        drop(self);
        replace(&dir, &written)?;
        let (mut store, _) = Self::open(&dir, slots, at_ms)?;
        store.order_for(identity)?;
        let moved = |(row, end): &(u64, End)| {
            let offset = kept.binary_search(&end.offset).map_or(end.offset, |at| written.places[at]);
            (*row, End { offset, ..*end })
        };
        store.close_with(needed.rows.iter().map(moved), whole)?;
        Ok(written.pruned)
    }

    /// Writes the log anew beside the old one, to last, and checks it.
    fn write_new(&self, new: &Path, kept: &[u64], at_ms: u64) -> Result<Rewritten, StoreError> {
        let path = self.log.path();
        let begin = HEADER.len() as u64;
        let attempts = attempts_of_forgotten(Scan::open(path, begin)?, kept)?;
        let file = File::create(new).map_err(io_error("write to", new))?;
        // Damaged totals are made anew by the next run.
        let counted = read_totals(&self.dir).ok().flatten().map(|totals| totals.log_len);
        let out = BufWriter::with_capacity(BUFFER, &file);
        let written = Rewrite::new(out, new, kept, &attempts, at_ms)?.whole(Scan::open(path, begin)?, counted)?;
        if !is_same_sum(&written.ledger, &self.meta.ledger) {
            return Err(StoreError::Sums { path: path.to_owned() });
        }
        file.sync_all().map_err(io_error("sync", new))?;
        Ok(written)
    }

    fn close_with(mut self, rows: impl Iterator<Item = (u64, End)>, whole: bool) -> Result<(), StoreError> {
        for (row, end) in rows {
            self.set_order(row, end)?;
        }
        if whole {
            self.mark_matched()?;
            self.confirm_order();
        }
        self.close()
    }
}

/// The new log takes the old one's place. Nothing here may be put in another order.
fn replace(dir: &StateDir, written: &Rewritten) -> Result<(), StoreError> {
    let (new, log) = (dir.file(NEW), dir.file(LOG));
    let (sled, old) = (dir.file(SLED), dir.file(OLD));
    // Their places mean other lines in the new log; from the old one they can be made again.
    Order::remove(dir)?;
    fs::rename(&sled, &old).or_else(unless_missing).map_err(io_error("move", &sled))?;
    dir.sync()?;
    fs::rename(&new, &log).map_err(io_error("replace", &log))?;
    dir.sync()?;
    if let (Some((log_len, ledger)), Ok(Some(before))) = (&written.counted, read_totals(dir)) {
        totals::save(dir, before.at, *log_len, ledger, &Value::Object(before.extra))?;
    }
    clear_leftovers(dir);
    Ok(())
}

fn unless_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Whether all is the same but the places in the log, and what earlier versions did not sum up.
fn is_same_sum(one: &Ledger, other: &Ledger) -> bool {
    let same = one.runs.iter().zip(&other.runs).all(|(one, other)| {
        (one.run, one.started_at, one.ended_at, one.totals.as_ever_kept())
            == (other.run, other.started_at, other.ended_at, other.totals.as_ever_kept())
    });
    same && one.runs.len() == other.runs.len()
}

/// An attempt's row, and where its line stands.
struct AttemptAt {
    row: u64,
    begin: u64,
}

/// Where the attempts stand that the outcomes to be forgotten tell of, sorted. They go with those: what is left would pass
/// for the cost so far of a row that is sent anew.
fn attempts_of_forgotten(mut scan: Scan, kept: &[u64]) -> Result<Vec<u64>, StoreError> {
    let mut pending: HashMap<Key, Vec<(AttemptAt, TrailEntry)>> = HashMap::new();
    let mut forgotten = Vec::new();
    loop {
        let begin = scan.position();
        match scan.next()? {
            None => break,
            Some(Scanned::Broken | Scanned::Torn) => {}
            Some(Scanned::Line(line)) => match *line {
                LogLine::Attempt(line) => {
                    let attempt = (AttemptAt { row: line.row, begin }, trail_entry(&line));
                    pending.entry(line.key).or_default().push(attempt);
                }
                LogLine::Outcome(line) => {
                    let told = take_told(&mut pending, &line, |(at, entry)| (at.row, entry));
                    if kept.binary_search(&begin).is_err() {
                        forgotten.extend(told.into_iter().map(|(at, _)| at.begin));
                    }
                }
                LogLine::Run(_) | LogLine::RunEnd(_) | LogLine::Carried(_) => {}
            },
        }
    }
    forgotten.sort_unstable();
    Ok(forgotten)
}

/// A log that was written anew.
struct Rewritten {
    pruned: Pruned,
    /// Where the kept outcomes stand now, in the order of their old places.
    places: Vec<u64>,
    ledger: Ledger,
    /// How long the log is up to where the totals had counted, and its sums up to there.
    counted: Option<(u64, Ledger)>,
}

/// The new log under way.
struct Rewrite<'a, W> {
    out: W,
    path: &'a Path,
    len: u64,
    kept: &'a [u64],
    attempts: &'a [u64],
    at_ms: u64,
    /// As in [`Rewritten`]; 0: not met yet.
    places: Vec<u64>,
    /// Of what was written.
    ledger: Ledger,
    /// Of what was forgotten in the run at hand.
    carried: CarriedLine,
    pruned: Pruned,
}

impl<'a, W: Write> Rewrite<'a, W> {
    fn new(out: W, path: &'a Path, kept: &'a [u64], attempts: &'a [u64], at_ms: u64) -> Result<Self, StoreError> {
        let mut rewrite = Self {
            out,
            path,
            len: 0,
            kept,
            attempts,
            at_ms,
            places: vec![0; kept.len()],
            ledger: Ledger::default(),
            carried: CarriedLine::default(),
            pruned: Pruned::default(),
        };
        rewrite.put(PRUNED_HEADER)?;
        Ok(rewrite)
    }

    /// All lines of the old log. `counted`: how much of it the totals have counted, in bytes.
    fn whole(mut self, mut scan: Scan, counted: Option<u64>) -> Result<Rewritten, StoreError> {
        let mut counted_here = None;
        loop {
            let begin = scan.position();
            let Some(scanned) = scan.next()? else { break };
            if counted_here.is_none() && counted.is_some_and(|counted| begin >= counted) {
                counted_here = Some((self.len, self.ledger.clone()));
            }
            match scanned {
                Scanned::Line(line) => self.line(*line, begin, scan.raw())?,
                // It may yet be mended by hand.
                Scanned::Broken => self.put(scan.raw())?,
                Scanned::Torn => break,
            }
            self.pruned.bytes_before = scan.position();
        }
        self.carry()?;
        self.out.flush().map_err(io_error("write to", self.path))?;
        if let Some(at) = self.places.iter().position(|place| *place == 0) {
            let (path, reason) = (self.path.with_file_name(LOG), "no outcome stands there".to_owned());
            return Err(StoreError::BrokenLine { path, offset: self.kept[at], reason });
        }
        let (len, ledger) = (self.len, self.ledger);
        let counted = counted.map(|_| counted_here.unwrap_or_else(|| (len, ledger.clone())));
        let pruned = Pruned { bytes_after: len, ..self.pruned };
        Ok(Rewritten { pruned, places: self.places, ledger, counted })
    }

    fn line(&mut self, line: LogLine, begin: u64, raw: &[u8]) -> Result<(), StoreError> {
        match line {
            LogLine::Run(run) => {
                self.carry()?;
                self.put_line(&LogLine::Run(RunLine { offset: self.len, ..run }))
            }
            LogLine::Outcome(outcome) => {
                let Ok(at) = self.kept.binary_search(&begin) else {
                    self.pruned.outcomes += 1;
                    self.forget(&LogLine::Outcome(outcome));
                    return Ok(());
                };
                self.places[at] = self.len;
                self.pruned.kept += 1;
                self.keep(outcome, raw)
            }
            LogLine::Attempt(_) if self.attempts.binary_search(&begin).is_ok() => {
                self.pruned.attempts += 1;
                self.forget(&line);
                Ok(())
            }
            // Of an earlier pruning: a run has one such line.
            LogLine::Carried(_) => {
                self.forget(&line);
                Ok(())
            }
            LogLine::Attempt(_) | LogLine::RunEnd(_) => self.copy(&line, raw),
        }
    }

    /// An outcome that another one took the place of may be gone.
    fn keep(&mut self, mut outcome: Box<OutcomeLine>, raw: &[u8]) -> Result<(), StoreError> {
        let Some(replaced) = outcome.replaces else { return self.copy(&LogLine::Outcome(outcome), raw) };
        let place = self.kept.binary_search(&replaced).ok().map(|at| self.places[at]);
        outcome.replaces = place.filter(|place| *place != 0);
        self.put_line(&LogLine::Outcome(outcome))
    }

    fn forget(&mut self, line: &LogLine) {
        self.carried.count(line);
    }

    /// Ends the part of a run with what was forgotten of it.
    fn carry(&mut self) -> Result<(), StoreError> {
        // Numbers of calls go on over the runs.
        let next_call = self.carried.next_call;
        let carried = std::mem::replace(&mut self.carried, CarriedLine { next_call, ..CarriedLine::default() });
        // Lines before the first run are counted nowhere.
        let Some(run) = self.ledger.runs.last().map(|run| run.run) else { return Ok(()) };
        if carried.totals == Totals::default() {
            return Ok(());
        }
        self.put_line(&LogLine::Carried(Box::new(CarriedLine { run, at: self.at_ms, ..carried })))
    }

    fn put_line(&mut self, line: &LogLine) -> Result<(), StoreError> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.copy(line, &bytes)
    }

    fn copy(&mut self, line: &LogLine, raw: &[u8]) -> Result<(), StoreError> {
        self.ledger.count(line);
        self.put(raw)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.out.write_all(bytes).map_err(io_error("write to", self.path))?;
        self.len += bytes.len() as u64;
        Ok(())
    }
}
