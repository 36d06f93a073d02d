//! What rows without an outcome have cost so far: after a stop they go on, and their cost with them.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::types::{AttemptLine, Key, OutcomeLine, TrailEntry};

/// Attempts on record of rows that have no outcome yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(Key, Vec<(u64, TrailEntry)>)>", into = "Vec<(Key, Vec<(u64, TrailEntry)>)>")]
pub(super) struct Spent {
    rows: HashMap<Key, Vec<(u64, TrailEntry)>>,
}

impl Spent {
    pub(super) fn count_attempt(&mut self, line: &AttemptLine) {
        self.rows.entry(line.key).or_default().push((line.row, trail_entry(line)));
    }

    /// Forgets what the outcome's own trail tells.
    pub(super) fn count_outcome(&mut self, line: &OutcomeLine) {
        take_told(&mut self.rows, line, |(row, entry)| (*row, entry));
    }

    /// The attempts by key, in the order of the log.
    pub(super) fn by_key(&self) -> HashMap<Key, Vec<TrailEntry>> {
        let trail = |attempts: &[(u64, TrailEntry)]| attempts.iter().map(|(_, entry)| entry.clone()).collect();
        self.rows.iter().map(|(key, attempts)| (*key, trail(attempts))).collect()
    }
}

/// An attempt as trails tell it.
pub(super) fn trail_entry(line: &AttemptLine) -> TrailEntry {
    TrailEntry {
        provider: line.provider.clone(),
        model: line.model.clone(),
        kind: line.failure.as_ref().map(|failure| failure.kind),
        status: line.failure.as_ref().and_then(|failure| failure.status),
        latency_ms: line.latency_ms,
        cost_usd: line.cost,
    }
}

/// Takes out the attempts that this outcome tells, and no others: of rows with equal keys any one may have taken along what
/// the others had spent. `entry` gives an attempt's row and what a trail says of it.
pub(super) fn take_told<T>(
    rows: &mut HashMap<Key, Vec<T>>,
    line: &OutcomeLine,
    entry: impl Fn(&T) -> (u64, &TrailEntry),
) -> Vec<T> {
    let key = line.asked_as.unwrap_or(line.key);
    let Some(attempts) = rows.get_mut(&key) else { return Vec::new() };
    let mut taken = Vec::new();
    for told in told(line) {
        let is_told = |attempt: &T| told.matches(entry(attempt).1);
        let own = attempts.iter().position(|attempt| entry(attempt).0 == line.row && is_told(attempt));
        taken.extend(own.or_else(|| attempts.iter().position(is_told)).map(|at| attempts.remove(at)));
    }
    if attempts.is_empty() {
        rows.remove(&key);
    }
    taken
}

/// An attempt that an outcome tells of.
enum Told<'a> {
    Whole(&'a TrailEntry),
    /// The only one of a row that then failed without a call.
    Only(&'a OutcomeLine),
}

impl Told<'_> {
    fn matches(&self, entry: &TrailEntry) -> bool {
        match self {
            Self::Whole(told) => *told == entry,
            Self::Only(line) => {
                (&line.provider, &line.model, line.row_cost) == (&entry.provider, &entry.model, entry.cost_usd)
            }
        }
    }
}

/// The attempts before the outcome's own call.
fn told(line: &OutcomeLine) -> impl Iterator<Item = Told<'_>> {
    let calls = usize::from(line.call != 0);
    let before = line.trail.len().saturating_sub(calls);
    let only = (line.call == 0 && line.trail.is_empty() && line.attempts == 1).then_some(Told::Only(line));
    line.trail[..before].iter().map(Told::Whole).chain(only)
}

impl From<Vec<(Key, Vec<(u64, TrailEntry)>)>> for Spent {
    fn from(rows: Vec<(Key, Vec<(u64, TrailEntry)>)>) -> Self {
        Self { rows: rows.into_iter().collect() }
    }
}

impl From<Spent> for Vec<(Key, Vec<(u64, TrailEntry)>)> {
    fn from(spent: Spent) -> Self {
        spent.rows.into_iter().collect()
    }
}
