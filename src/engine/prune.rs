//! Forgets what no row of today's input takes from the record.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::RunError;
use super::ground::Ground;
use super::key::row_hash;
use super::lock::{self, IfLocked};
use super::matching::Matching;
use super::recorder::{Watcher, now_ms};
use super::rules::Rules;
use super::selection::{Selection, Subset};
use super::shutdown::Stop;
use crate::event::Event;
use crate::job::Job;
use crate::source::Record;
use crate::store::{End, Needed, Pruned, StateDir, StateReader, Store};
use crate::types::{Ledger, RowHash, RunKind};

/// How a job is pruned.
pub struct PruneOptions {
    /// Only find out what would be forgotten: changes no file and takes no lock.
    pub dry_run: bool,
    /// What to do while another process holds the job's lock.
    pub if_locked: IfLocked,
    /// Told of notes.
    pub watcher: Watcher,
}

/// What a pruning came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pruning {
    /// The job's name.
    pub job: String,
    /// Nothing was changed.
    pub dry_run: bool,
    /// Rows of the input, those that the job leaves out not counted.
    pub rows: u64,
    /// Rows among them that have no outcome: the next run sends them.
    pub without_outcome: u64,
    /// Outcomes that stay.
    pub kept: u64,
    /// What is gone.
    pub forgotten: Forgotten,
    /// The log's length before, in bytes.
    pub bytes_before: u64,
    /// And after.
    pub bytes_after: u64,
}

/// What is gone, or would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    /// Outcomes that no row takes.
    pub outcomes: u64,
    /// Attempts that were on record apart from them.
    pub attempts: u64,
}

/// Forgets the outcomes that no row of the whole input takes; what was paid for them stays in the totals. What comparisons
/// got stays while its row is in the input as it was, as the job may yet ask that model. `None` where nothing has been
/// recorded yet.
///
/// # Errors
/// Where a run could not begin, the lock is held, or something cannot be read or written; then nothing is forgotten.
pub async fn prune(job: Job, mut options: PruneOptions) -> Result<Option<Pruning>, RunError> {
    let Some(state) = StateDir::open_existing(&job.state)? else { return Ok(None) };
    let rules = Rules::new(&job, &jiff::Zoned::now());
    let stop = Stop::default();
    let _lock = if options.dry_run {
        None
    } else {
        Some(lock::take(&state, options.if_locked, &stop, &rules, &mut options.watcher).await?)
    };
    let ground = Ground::open(job)?;
    let Some(reader) = ground.state() else { return Ok(None) };
    let (count, pruned) = if options.dry_run {
        let (needed, count) = needed(&ground, ground.record()?.matching, Compared::of(reader)?)?;
        (count, reader.pruned(&needed)?)
    } else {
        forget(&ground, &state, &mut options.watcher)?
    };
    Ok(Some(Pruning {
        job: ground.plan.job.name.clone(),
        dry_run: options.dry_run,
        rows: count.rows,
        without_outcome: count.without_outcome,
        kept: pruned.kept,
        forgotten: Forgotten { outcomes: pruned.outcomes, attempts: pruned.attempts },
        bytes_before: pruned.bytes_before,
        bytes_after: pruned.bytes_after,
    }))
}

fn forget(ground: &Ground, state: &StateDir, watcher: &mut Watcher) -> Result<(Count, Pruned), RunError> {
    let (mut store, opened) = Store::open(state, ground.plan.job.concurrency, now_ms())?;
    for message in opened.notes {
        watcher(&Event::Note { message, warning: true });
    }
    let matching = Matching::of_run(&ground.plan, &ground.input, state, &mut store)?;
    // Rows that the job leaves out are not matched by a run, so only a run by number knows of all.
    let whole = matches!(matching, Matching::ByNumber(_)) || ground.plan.filter.is_none();
    let compared = Compared::of(&StateReader::beside(state, &store)?)?;
    let (needed, count) = needed(ground, matching, compared)?;
    if !ground.input.is_as_opened()? {
        return Err(RunError::InputChanged);
    }
    Ok((count, store.prune(ground.plan.identity(&ground.input), &needed, whole, now_ms())?))
}

/// Rows as they were counted on the way.
#[derive(Default)]
struct Count {
    rows: u64,
    without_outcome: u64,
}

/// Which outcomes the rows of the input take.
///
/// Those that the job leaves out come last: they may have what the others leave, so that a filter costs no call when it
/// goes, and none today.
fn needed(ground: &Ground, mut matching: Matching, mut compared: Compared) -> Result<(Needed, Count), RunError> {
    let (plan, input) = (&ground.plan, &ground.input);
    let selection = Selection::new(plan, input, &Subset::default())?;
    let (mut needed, mut count) = (Needed::default(), Count::default());
    let is_by_number = matches!(matching, Matching::ByNumber(_));
    let (mut left_out, mut of_comparisons) = (false, Vec::new());
    let mut take = |record: &Record, selected: bool| -> Result<(), RunError> {
        let (end, _) = matching.find(plan, record)?;
        count.rows += u64::from(selected);
        count.without_outcome += u64::from(selected && end.is_none());
        match end {
            Some(end) if selected || is_by_number => needed.rows.push((record.number, end)),
            Some(end) => needed.besides.push(end),
            None => {}
        }
        Ok(())
    };
    let mut any = false;
    for record in input.records()? {
        let record = record?;
        any = true;
        of_comparisons.append(&mut compared.take(&record));
        let selected = selection.takes(plan, &record);
        if selected || is_by_number {
            take(&record, selected)?;
        } else {
            left_out = true;
        }
    }
    // An input that somebody emptied must not empty the record.
    if !any {
        return Err(RunError::NoRows);
    }
    if left_out {
        for record in input.records()? {
            let record = record?;
            if !selection.takes(plan, &record) {
                take(&record, false)?;
            }
        }
    }
    needed.besides.append(&mut of_comparisons);
    Ok((needed, count))
}

/// How rows ended in comparisons, by what they said: what another model answered than the job asks has a key of its own.
struct Compared(HashMap<RowHash, Vec<End>>);

impl Compared {
    fn of(state: &StateReader) -> Result<Self, RunError> {
        let compares = |ledger: &Ledger| ledger.runs.iter().any(|run| run.kind == RunKind::Compare);
        if state.ledger().is_some_and(|ledger| !compares(ledger)) {
            return Ok(Self(HashMap::new()));
        }
        let (mut ends, mut replaced) = (Vec::new(), HashSet::new());
        for outcome in state.outcomes()? {
            let outcome = outcome?;
            replaced.extend(outcome.ended.replaces);
            ends.extend(outcome.row_hash.filter(|_| outcome.ended.end.compared).map(|row| (row, outcome.ended.end)));
        }
        let mut by_row: HashMap<RowHash, Vec<End>> = HashMap::new();
        for (row, end) in ends.into_iter().filter(|(_, end)| !replaced.contains(&end.offset)) {
            by_row.entry(row).or_default().push(end);
        }
        Ok(Self(by_row))
    }

    /// Those of this row.
    fn take(&mut self, record: &Record) -> Vec<End> {
        if self.0.is_empty() { Vec::new() } else { self.0.remove(&row_hash(&record.raw())).unwrap_or_default() }
    }
}
