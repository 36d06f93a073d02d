//! Calls and rows that ended badly, by kind, and what they cost.

use serde::{Deserialize, Serialize};

use super::{FailureKind, Money};

/// Calls and rows that came to nothing in one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Setback {
    /// Requests that ended so.
    pub calls: u64,
    /// Rows that ended so.
    pub rows: u64,
    /// The known part of what those requests cost.
    pub wasted_usd: Money,
}

impl Setback {
    /// Adds another's sums.
    pub fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.rows += other.rows;
        self.wasted_usd += other.wasted_usd;
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Setbacks by kind of failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Setbacks(Vec<(FailureKind, Setback)>);

impl Setbacks {
    /// Adds to a kind's sums.
    pub fn add(&mut self, kind: FailureKind, setback: &Setback) {
        match self.0.binary_search_by_key(&kind, |(kind, _)| *kind) {
            Ok(at) => self.0[at].1.merge(setback),
            Err(at) => self.0.insert(at, (kind, *setback)),
        }
    }

    /// Adds another's sums.
    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(kind, setback)| self.add(*kind, setback));
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each kind with its sums.
    pub fn iter(&self) -> impl Iterator<Item = (FailureKind, &Setback)> {
        self.0.iter().map(|(kind, setback)| (*kind, setback))
    }
}
