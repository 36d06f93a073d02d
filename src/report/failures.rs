//! Failed rows by kind, task and model.

use std::collections::BTreeMap;

use serde::Serialize;

use super::advice;
use crate::types::{FailureKind, Moment, OutcomeLine};

/// Failed rows of one kind, task and model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FailureGroup {
    /// What sort of failure.
    pub kind: FailureKind,
    /// The task; empty where the rows have none.
    pub task: String,
    /// The provider asked last; empty where none was.
    pub provider: String,
    /// The model asked last; empty where none was.
    pub model: String,
    /// How many rows.
    pub count: u64,
    /// When the first of them failed.
    pub first_at: Moment,
    /// When the last of them failed.
    pub last_at: Moment,
    /// One of them.
    pub example: Example,
    /// What to do about it.
    pub advice: &'static str,
}

/// One failed row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Example {
    /// Its record number when it ran.
    pub row: u64,
    /// Where it stands in the input, where that can still be told.
    pub at: Option<String>,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// What the provider or the check said.
    pub message: String,
    /// When it failed.
    pub failed_at: Moment,
}

/// Gathers failed outcomes, then tells the groups of those that stand. Memory grows by 16 bytes a failure.
#[derive(Debug, Default)]
pub struct Failures {
    /// By kind, task, provider and model: the group's number.
    groups: BTreeMap<(FailureKind, String, String, String), u32>,
    /// As they came: where each one's line stands, and its group.
    seen: Vec<(u64, u32)>,
}

impl Failures {
    /// Takes a failed outcome, whose line begins at this offset.
    pub fn see(&mut self, offset: u64, outcome: &OutcomeLine) {
        let Some(failure) = &outcome.failure else { return };
        let id = (failure.kind, outcome.task.clone(), outcome.provider.clone(), outcome.model.clone());
        let next = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
        self.seen.push((offset, *self.groups.entry(id).or_insert(next)));
    }

    /// The groups of those with these numbers, as they came, from 0; the largest group first. `read` reads a line again.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn standing<E>(
        &self,
        numbers: &[usize],
        mut read: impl FnMut(u64) -> Result<OutcomeLine, E>,
    ) -> Result<Vec<FailureGroup>, E> {
        let mut found: BTreeMap<u32, Found> = BTreeMap::new();
        for (offset, group) in numbers.iter().filter_map(|number| self.seen.get(*number)) {
            let found = found.entry(*group).or_insert(Found { count: 0, first: *offset, last: *offset });
            (found.count, found.last) = (found.count + 1, *offset);
        }
        let mut groups = Vec::new();
        for ((kind, task, provider, model), number) in self.groups.clone() {
            let Some(Found { count, first, last }) = found.remove(&number) else { continue };
            let first_at = Moment(read(first)?.at);
            // The last one is the likeliest to be in the input still.
            let example = Example::of(read(last)?);
            let (last_at, advice) = (example.failed_at, advice(kind));
            groups.push(FailureGroup { kind, task, provider, model, count, first_at, last_at, example, advice });
        }
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        Ok(groups)
    }
}

/// Rows of a group that stand: how many, and where the lines of the first and the last of them begin.
struct Found {
    count: u64,
    first: u64,
    last: u64,
}

impl Example {
    fn of(outcome: OutcomeLine) -> Self {
        let (status, message) = outcome.failure.map_or((None, String::new()), |why| (why.status, why.message));
        Self { row: outcome.row, at: None, status, message, failed_at: Moment(outcome.at) }
    }
}
