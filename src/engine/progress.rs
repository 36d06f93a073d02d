//! The recorder's figures: what this invocation did, and where the job's rows stand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::board::Board;
use super::held::Watch;
use super::pace::Pace;
use super::upstream::Upstream;
use crate::event::{Event, ModelState, ModelView, RowCounts, Snapshot};
use crate::limit::GateState;
use crate::types::{AttemptLine, FailureKind, Held, Latency, LogLine, OutcomeLine, RunNumber, Tally, Totals};

/// Shorter pauses are not worth a word.
const TOLD_PAUSE: Duration = Duration::from_secs(2);
/// A longer wait for a configured limit is not one for a minute's: that of the day is used up.
const LONGEST_PACE: Duration = Duration::from_mins(2);

pub(super) struct Progress {
    board: Arc<Board>,
    upstreams: Arc<[Upstream]>,
    /// The sums of this invocation.
    pub totals: Totals,
    pub run: Option<RunNumber>,
    succeeded: u64,
    truncated: u64,
    failed: BTreeMap<FailureKind, u64>,
    began: Instant,
    pace: Pace,
    paused: bool,
    /// The states that were told, one for each upstream.
    told: Vec<Told>,
    watch: Watch,
}

#[derive(Clone, Copy, PartialEq)]
enum Told {
    Open,
    /// The day's requests are sent.
    Pacing,
    CoolingDown,
    Down,
    Removed,
}

impl Progress {
    /// `held`: the waits of earlier invocations.
    pub fn new(board: Arc<Board>, upstreams: Arc<[Upstream]>, began: Instant, held: Held) -> Self {
        let told = vec![Told::Open; upstreams.len()];
        Self {
            board,
            upstreams,
            totals: Totals::default(),
            run: None,
            succeeded: 0,
            truncated: 0,
            failed: BTreeMap::new(),
            began,
            pace: Pace::new(began),
            paused: false,
            told,
            watch: Watch::new(held, began),
        }
    }

    pub fn has_begun(&self) -> bool {
        self.run.is_some()
    }

    /// Notes the run that lines belong to; true the first time.
    pub fn begin(&mut self, run: RunNumber) -> bool {
        self.run.replace(run).is_none()
    }

    pub fn count(&mut self, line: &LogLine) {
        self.totals.count(line);
    }

    /// Counts a call of a killed invocation apart: it is news of this one, but not among its attempts.
    pub fn found_possibly_billed(&mut self, line: &AttemptLine) {
        self.totals.possibly_billed.add(line.worst_cost);
    }

    pub fn outcome(&mut self, line: &OutcomeLine) {
        match &line.failure {
            None => {
                self.succeeded += 1;
                self.truncated += u64::from(line.truncated);
            }
            Some(failure) => *self.failed.entry(failure.kind).or_default() += 1,
        }
    }

    /// Rows that ended in this invocation, and how many of them failed.
    pub fn ended(&self) -> (u64, u64) {
        let failed = self.failed.values().sum::<u64>();
        (self.succeeded + failed, failed)
    }

    /// A row that had a truncated answer keeps it.
    pub fn answer_kept(&mut self) {
        self.succeeded += 1;
        self.truncated += 1;
    }

    /// Where the job's rows stand.
    pub fn rows(&self) -> RowCounts {
        let found = self.board.found();
        let mut rows = RowCounts {
            total: found.total(),
            succeeded: found.succeeded + self.succeeded,
            failed: found.failed.values().sum::<u64>() + self.failed.values().sum::<u64>(),
            failed_before: found.failed_before,
            remaining: 0,
            skipped: found.skipped(),
            truncated: found.truncated + self.truncated,
        };
        rows.remaining = rows.total.saturating_sub(rows.ended());
        rows
    }

    /// How many rows the whole job has, where that is known.
    pub fn whole_job(&self) -> Option<u64> {
        self.board.found().whole_job
    }

    /// Rows that failed in this run, by kind, the most first.
    pub fn failures(&self) -> Vec<(FailureKind, u64)> {
        let mut kinds = self.failed.clone();
        for (kind, rows) in &self.board.found().failed {
            *kinds.entry(*kind).or_default() += rows;
        }
        most_first(kinds)
    }

    /// Failed rows that this invocation did not send again, likewise.
    pub fn left_failed(&self) -> Vec<(FailureKind, u64)> {
        most_first(self.board.found().left_failed.clone())
    }

    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub fn snapshot(&mut self, now: Instant, draining: bool) -> Snapshot {
        let rows = self.rows();
        let total_known = {
            let found = self.board.found();
            found.whole || found.counted.is_some()
        };
        self.pace.look(now, self.ended().0);
        let rows_per_second = self.pace.rows_per_second();
        let eta = self.pace.time_for(rows.remaining).filter(|_| total_known && !self.paused);
        Snapshot {
            elapsed: self.elapsed(),
            total_known,
            in_flight: self.upstreams.iter().map(|upstream| upstream.gate.view().in_flight).sum(),
            // Buckets are for the report, not for events.
            sum: Tally { latency: Latency::default(), ..self.totals.sum() },
            rows_per_second,
            eta,
            models: self.models(now),
            draining,
            rows,
        }
    }

    /// Adds to how long rows waited for each model.
    pub fn watch(&mut self, now: Instant) {
        let models = self.upstreams.iter().map(|upstream| (upstream, state_of(upstream, now)));
        self.watch.look(self.run, models, now);
    }

    /// How long rows waited for each model.
    pub fn held(&self) -> &Held {
        self.watch.held()
    }

    /// What changed in the models' states since this was last asked: each change once, not for each row.
    pub fn state_changes(&mut self, now: Instant) -> Vec<Event> {
        let mut changes = Vec::new();
        for (upstream, told) in self.upstreams.iter().zip(&mut self.told) {
            let state = state_of(upstream, now);
            let tell = match state {
                ModelState::Removed { .. } => Told::Removed,
                ModelState::Down { .. } => Told::Down,
                ModelState::CoolingDown { for_ms } if u128::from(for_ms) >= TOLD_PAUSE.as_millis() => Told::CoolingDown,
                // Short of the end of a pause that was told, it is still the same pause.
                ModelState::CoolingDown { .. } if *told != Told::Down => *told,
                ModelState::Pacing { for_ms } if is_for_the_day(for_ms) => Told::Pacing,
                ModelState::Pacing { .. } if *told == Told::Pacing => *told,
                ModelState::CoolingDown { .. } | ModelState::Open | ModelState::Pacing { .. } => Told::Open,
            };
            if tell != *told {
                *told = tell;
                changes.push(Event::ModelState {
                    provider: upstream.provider_name.to_string(),
                    model: upstream.wire.to_string(),
                    state,
                    message: reason(upstream, state),
                });
            }
        }
        changes
    }

    /// Rows are held up by whoever paused the run, or no longer.
    pub fn pause(&mut self, paused: bool) {
        self.paused = paused;
        self.pace.forget();
    }

    fn models(&self, now: Instant) -> Vec<ModelView> {
        self.upstreams.iter().map(|upstream| self.model(upstream, now)).collect()
    }

    fn model(&self, upstream: &Upstream, now: Instant) -> ModelView {
        let view = upstream.gate.view();
        let mut tally = Tally::default();
        for (id, of_task) in &self.totals.tallies {
            if *id.provider == *upstream.provider_name && *id.model == *upstream.wire {
                tally.merge(of_task);
            }
        }
        tally.latency = Latency::default();
        ModelView {
            provider: upstream.provider_name.to_string(),
            model: upstream.wire.to_string(),
            in_flight: view.in_flight,
            waiting: view.waiting as u64,
            state: state_of(upstream, now),
            rpm: view.limits.rpm,
            tpm: view.limits.tpm,
            rpd: view.limits.rpd,
            tally,
        }
    }
}

fn most_first(kinds: BTreeMap<FailureKind, u64>) -> Vec<(FailureKind, u64)> {
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
    kinds
}

/// Why, where that is known: as a rule, what the provider said.
fn reason(upstream: &Upstream, state: ModelState) -> Option<String> {
    match state {
        ModelState::Removed { .. } => upstream.removed().map(|why| why.message.clone()),
        ModelState::Down { .. } => upstream.last_fault().map(|fault| format!("{}: {}", fault.kind, fault.message)),
        ModelState::Pacing { for_ms } => is_for_the_day(for_ms).then(|| {
            let rpd = upstream.gate.view().limits.rpd;
            let limit = rpd.map_or_else(String::new, |rpd| format!(" ({rpd})"));
            format!("all requests of this day, by UTC, are sent: limits.rpd{limit}")
        }),
        ModelState::Open | ModelState::CoolingDown { .. } => None,
    }
}

fn state_of(upstream: &Upstream, now: Instant) -> ModelState {
    if let Some(why) = upstream.removed() {
        return ModelState::Removed { kind: why.kind };
    }
    match upstream.gate.view().state {
        GateState::Open | GateState::Closed => ModelState::Open,
        GateState::Pacing { until } => ModelState::Pacing { for_ms: millis(until.saturating_duration_since(now)) },
        GateState::CoolingDown { until } => {
            ModelState::CoolingDown { for_ms: millis(until.saturating_duration_since(now)) }
        }
        GateState::Down { since, until } => ModelState::Down {
            since_ms: millis(now.saturating_duration_since(since)),
            for_ms: millis(until.saturating_duration_since(now)),
        },
    }
}

fn is_for_the_day(for_ms: u64) -> bool {
    u128::from(for_ms) > LONGEST_PACE.as_millis()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
