//! What went wrong, by kind: rows that failed, calls that failed whether or not their row did, and what they cost.

use std::collections::BTreeMap;

use serde::Serialize;

use super::advice;
use crate::types::{Course, FailureKind, Moment, Money, Sample, Setback, Tally};

/// All failures of a kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KindOfFailure {
    /// What sort of failure.
    pub kind: FailureKind,
    /// Rows that failed by it.
    pub rows: u64,
    /// Requests that ended so, of rows that succeeded later too.
    pub calls: u64,
    /// The known part of what those requests cost.
    pub wasted_usd: Money,
    /// What to do about rows that failed so.
    pub advice: &'static str,
    /// The first ones, each message once.
    pub samples: Vec<FailureSample>,
}

/// A failure in its own words.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FailureSample {
    /// When it was.
    pub at: Moment,
    /// The row's record number.
    pub row: u64,
    /// The row's task; empty where it has none.
    pub task: String,
    /// The provider asked; empty where none was.
    pub provider: String,
    /// The model asked; empty where none was.
    pub model: String,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// What the provider or the check said; its end is … where it is longer.
    pub message: String,
}

impl From<&Sample> for FailureSample {
    fn from(sample: &Sample) -> Self {
        let Sample { at, row, task, provider, model, status, message, cut } = sample.clone();
        let message = if cut { message + "…" } else { message };
        Self { at: Moment(at), row, task, provider, model, status, message }
    }
}

/// By kind: those that cost rows first, the most first.
pub(super) fn kinds(sum: &Tally, courses: &[&Course]) -> Vec<KindOfFailure> {
    let of_kind = |(kind, setback): (FailureKind, &Setback)| KindOfFailure {
        kind,
        rows: setback.rows,
        calls: setback.calls,
        wasted_usd: setback.wasted_usd,
        advice: advice(kind),
        samples: samples(kind, courses),
    };
    let mut kinds: Vec<KindOfFailure> = sum.failures.iter().map(of_kind).collect();
    kinds.sort_by_key(|kind| std::cmp::Reverse((kind.rows, kind.calls)));
    kinds
}

/// The latest run's first: its rows are the likeliest to be in the input still.
fn samples(kind: FailureKind, courses: &[&Course]) -> Vec<FailureSample> {
    let latest = courses.iter().rev().map(|course| course.samples.of(kind)).find(|samples| !samples.is_empty());
    latest.unwrap_or_default().iter().map(FailureSample::from).collect()
}

/// A part of what was wasted, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Waste {
    /// The kind of failure; `overtaken`: the row had an answer of another call by then (`run.hedge`).
    pub reason: &'static str,
    /// Requests that were paid for and bought no answer, those that cost nothing included.
    pub calls: u64,
    /// The known part of what they cost.
    pub cost_usd: Money,
}

/// What was wasted, by reason, the most first: the parts add up to the whole.
pub(super) fn waste(tally: &Tally) -> Vec<Waste> {
    let mut parts: BTreeMap<&'static str, (u64, Money)> = BTreeMap::new();
    for (kind, setback) in tally.failures.iter() {
        parts.insert(kind.name(), (setback.calls, setback.wasted_usd));
    }
    parts.insert("overtaken", (tally.overtaken.calls, tally.overtaken.wasted_usd));
    let told: Money = parts.values().map(|(_, cost)| *cost).sum();
    parts.insert("not recorded", (0, tally.wasted_usd.saturating_sub(told)));
    let part = |(reason, (calls, cost_usd))| Waste { reason, calls, cost_usd };
    let mut parts: Vec<Waste> = parts.into_iter().map(part).collect();
    parts.retain(|part| part.cost_usd > Money::ZERO);
    parts.sort_by_key(|part| std::cmp::Reverse(part.cost_usd));
    parts
}
