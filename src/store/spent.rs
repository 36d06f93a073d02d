//! What rows without an outcome have cost so far: after a stop they go on, and their cost with them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

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
        let entry = TrailEntry {
            provider: line.provider.clone(),
            model: line.model.clone(),
            kind: line.failure.as_ref().map(|failure| failure.kind),
            status: line.failure.as_ref().and_then(|failure| failure.status),
            latency_ms: line.latency_ms,
            cost_usd: line.cost,
        };
        self.rows.entry(line.key).or_default().push((line.row, entry));
    }

    /// Forgets what the outcome's own trail tells.
    pub(super) fn count_outcome(&mut self, line: &OutcomeLine) {
        take_told(&mut self.rows, line);
    }

    /// The attempts by key, in the order of the log.
    pub(super) fn by_key(&self) -> HashMap<Key, Vec<TrailEntry>> {
        let trail = |attempts: &[(u64, TrailEntry)]| attempts.iter().map(|(_, entry)| entry.clone()).collect();
        self.rows.iter().map(|(key, attempts)| (*key, trail(attempts))).collect()
    }
}

/// Takes out what is kept of the attempts that this outcome's own trail tells; by key, each with its row.
pub(super) fn take_told<T>(rows: &mut HashMap<Key, Vec<(u64, T)>>, line: &OutcomeLine) -> Vec<(u64, T)> {
    let Entry::Occupied(mut attempts) = rows.entry(line.key) else { return Vec::new() };
    let (mut told, mut others): (Vec<_>, Vec<_>) =
        std::mem::take(attempts.get_mut()).into_iter().partition(|(row, _)| *row == line.row);
    // A row that moved since its first attempts has them under its old number; one without a trail had none at all.
    if told.is_empty() && !line.trail.is_empty() {
        std::mem::swap(&mut told, &mut others);
    }
    if others.is_empty() {
        attempts.remove();
    } else {
        attempts.insert(others);
    }
    told
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
