//! Opening the store: what a kill, a power loss or a bad disk left is put right here, and nowhere else.

use std::sync::Arc;

use super::checkpoint::{SharedCheckpoint, records_from};
use super::commits::{Beside, COMMIT};
use super::flight::Left;
use super::keeper::AtOpen;
use super::log::{HEADER, LOG, Log};
use super::meta::{self, Meta, read_tail};
use super::scan::{Scan, Scanned};
use super::sled_checkpoint::SLED;
use super::{
    Checkpoint, Flight, FlightEntry, Opened, SledCheckpoint, StateDir, Store, StoreError, packed, prune, totals,
};
use crate::types::{AttemptLine, LogLine, Money, RunKind, RunLine};

impl Store {
    /// Opens the state directory, whose lock the caller holds, for runs of `slots` calls at once: cuts a torn tail,
    /// rebuilds a damaged checkpoint from the log, counts the lines behind the checkpoint, and puts calls that were out
    /// on record as possibly billed. `at_ms` is now, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`StoreError::Version`] and [`StoreError::NotALog`] where the files are not ours to touch; I/O.
    pub fn open(dir: &StateDir, slots: usize, at_ms: u64) -> Result<(Self, Opened), StoreError> {
        // Before anything is moved aside: is this a log that we know?
        Log::open(dir.file(LOG))?;
        let is_there = dir.file(SLED).exists();
        let (checkpoint, note) = SledCheckpoint::open(dir, at_ms)?;
        let before = if is_there { Before::Moved(note) } else { Before::Missing };
        Self::open_noted(dir, Box::new(checkpoint), slots, at_ms, before)
    }

    /// [`Store::open`] with a checkpoint of another kind.
    ///
    /// # Errors
    /// As for [`Store::open`].
    pub fn open_with(
        dir: &StateDir,
        checkpoint: Box<dyn Checkpoint>,
        slots: usize,
        at_ms: u64,
    ) -> Result<(Self, Opened), StoreError> {
        Self::open_noted(dir, checkpoint, slots, at_ms, Before::Moved(None))
    }

    fn open_noted(
        dir: &StateDir,
        mut checkpoint: Box<dyn Checkpoint>,
        slots: usize,
        at_ms: u64,
        before: Before,
    ) -> Result<(Self, Opened), StoreError> {
        let log = Log::open(dir.file(LOG))?;
        prune::clear_leftovers(dir);
        let (flight, left) = Flight::open(dir, slots)?;
        let mut damage = before.damage(log.len());
        let found = match load(&*checkpoint, &log) {
            // There was none, or it has been moved aside just now.
            Ok(_) | Err(_) if damage.is_some() => None,
            Ok(found) => found,
            Err(reason) => {
                damage = Some(format!("the checkpoint cannot be used ({reason}): {}", checkpoint.reset(at_ms)?));
                None
            }
        };
        let is_new = found.is_none();
        let meta = found.unwrap_or_default();
        let mut store = Self {
            dir: dir.clone(),
            log,
            checkpoint: SharedCheckpoint::new(checkpoint),
            flight: Arc::new(flight),
            order: None,
            gathered: Vec::new(),
            commit_at: COMMIT,
            beside: Beside::default(),
            settled: meta.settled.iter().copied().collect(),
            at_open: AtOpen { cursor: meta.cursor, records: meta.records, broken: false },
            unsynced: true,
            meta,
        };
        let mut notes = store.replay()?;
        if is_new {
            // Before the log gets a line: one with lines whose checkpoint is empty has lost it.
            store.log.sync()?;
            store.commit(store.log.len())?;
        }
        if let Some(damage) = damage {
            store.checkpoint()?;
            notes.insert(0, format!("{damage}, and rebuilt from the log ({} rows)", store.meta.outcomes));
        }
        totals::mend(dir, store.log.len(), &store.meta.ledger)?;
        notes.extend(words_on(&left));
        let possibly_billed = store.settle(left.entries, at_ms)?;
        let (next_call, spent) = (store.meta.next_call, store.meta.spent.by_key());
        Ok((store, Opened { notes, possibly_billed, next_call, spent }))
    }

    /// Counts the lines behind the cursor, and cuts off what is no line.
    fn replay(&mut self) -> Result<Vec<String>, StoreError> {
        let mut scan = Scan::open(self.log.path(), self.meta.cursor)?;
        // Where the end of the log begins to be unreadable, unless a good line still comes.
        let mut bad_end: Option<u64> = None;
        let (mut broken, mut broken_at_end) = (0, 0);
        loop {
            let begin = scan.position();
            match scan.next()? {
                None => break,
                Some(Scanned::Line(line)) => {
                    broken += std::mem::take(&mut broken_at_end);
                    bad_end = None;
                    self.count(&line, begin)?;
                    if self.is_commit_full() {
                        self.log.sync()?;
                        self.commit(scan.position())?;
                    }
                }
                Some(Scanned::Broken) => {
                    // Only the last one is torn; the others before it were whole lines once.
                    broken_at_end += 1;
                    bad_end = Some(begin);
                }
                Some(Scanned::Torn) => {
                    bad_end.get_or_insert(begin);
                }
            }
        }
        let mut notes = Vec::new();
        if let Some(end) = bad_end {
            broken += u64::saturating_sub(broken_at_end, 1);
            notes.push(format!("cut {} bytes of a torn line off the end of the log", scan.position() - end));
            self.log.cut(end)?;
        }
        if broken > 0 {
            let log = self.log.path().display();
            notes.push(format!("lines of {log} that cannot be read: {broken}; their rows are sent again"));
        }
        self.at_open.broken = broken > 0;
        Ok(notes)
    }

    /// Puts calls whose end is not on record into the log, and empties the flight file.
    fn settle(&mut self, mut entries: Vec<FlightEntry>, at_ms: u64) -> Result<Vec<AttemptLine>, StoreError> {
        entries.retain(|entry| !self.settled.contains(&entry.call));
        entries.sort_unstable_by_key(|entry| entry.call);
        if !entries.is_empty() && self.meta.ledger.runs.is_empty() {
            // The run's first line was lost in a power loss; its calls must be counted all the same.
            let run = self.meta.ledger.next_run();
            self.append(&LogLine::Run(RunLine {
                run,
                at: at_ms,
                offset: self.log_len(),
                kind: RunKind::Job,
                about: None,
            }))?;
        }
        let run = self.meta.ledger.runs.last().map_or(1, |run| run.run);
        let lines: Vec<AttemptLine> = entries.iter().map(|entry| possibly_billed(entry, run)).collect();
        for line in &lines {
            self.append(&LogLine::Attempt(Box::new(line.clone())))?;
        }
        self.write()?;
        self.sync()?;
        self.flight.clear()?;
        self.settled.clear();
        Ok(lines)
    }
}

/// What was there when the checkpoint was opened.
enum Before {
    /// Nothing.
    Missing,
    /// One that was damaged and moved aside, as these words say, or that may be sound.
    Moved(Option<String>),
}

impl Before {
    /// Words on a checkpoint that has to be made anew for a log of this length.
    fn damage(self, log_len: u64) -> Option<String> {
        match self {
            Self::Missing => (log_len > HEADER.len() as u64).then(|| "the checkpoint was gone".to_owned()),
            Self::Moved(note) => note.map(|moved| format!("the checkpoint was damaged: {moved}")),
        }
    }
}

/// The meta of a checkpoint that fits the log, none where both are new; else why it cannot be used.
fn load(checkpoint: &dyn Checkpoint, log: &Log) -> Result<Option<Meta>, String> {
    let Some(bytes) = checkpoint.meta().map_err(|error| error.to_string())? else {
        return if log.len() > HEADER.len() as u64 { Err("it is empty".to_owned()) } else { Ok(None) };
    };
    let meta: Meta = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    if meta.version != meta::VERSION {
        return Err(format!("it has format {}", meta.version));
    }
    if meta.cursor > log.len() {
        return Err("the log has lost lines that it knows".to_owned());
    }
    match read_tail(log.path(), meta.cursor) {
        Ok(tail) if tail == meta.tail && tail.last() == Some(&b'\n') => {}
        Ok(_) => return Err("it is of another log".to_owned()),
        Err(error) => return Err(error.to_string()),
    }
    check_records(checkpoint, &meta)?;
    Ok(Some(meta))
}

/// Damaged sled has been seen to lose records without a word.
fn check_records(checkpoint: &dyn Checkpoint, meta: &Meta) -> Result<(), String> {
    let (mut records, mut outcomes) = (0, 0);
    for record in records_from(0, |from| checkpoint.record_from(from)) {
        let (number, record) = record.map_err(|error| error.to_string())?;
        let count = packed::count(&record).filter(|_| number == records);
        outcomes += count.ok_or_else(|| format!("record {records} is missing or damaged"))?;
        records += 1;
    }
    if (records, outcomes) != (meta.records, meta.outcomes) {
        return Err(format!("{outcomes} of {} rows are there", meta.outcomes));
    }
    Ok(())
}

fn words_on(left: &Left) -> Option<String> {
    let words = "; as many calls may have been billed, for which rows is not known";
    (left.damaged > 0).then(|| format!("entries of the flight file that cannot be read: {}{words}", left.damaged))
}

pub(super) fn possibly_billed(entry: &FlightEntry, run: u32) -> AttemptLine {
    AttemptLine {
        call: entry.call,
        key: entry.key,
        row: entry.row,
        run,
        at: entry.at,
        task: entry.task.to_string(),
        provider: entry.provider.to_string(),
        model: entry.model.to_string(),
        failure: None,
        latency_ms: 0,
        usage: None,
        // What it may have cost stands apart, as its worst case.
        cost: Some(Money::ZERO),
        possibly_billed: true,
        worst_cost: entry.worst_cost,
        retry: false,
        reask: false,
        came_from: None,
    }
}
