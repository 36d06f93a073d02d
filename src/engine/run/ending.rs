//! How a run ends: the outputs, and the summary.

use std::sync::atomic::Ordering;

use super::Run;
use crate::engine::RunError;
use crate::engine::output;
use crate::engine::plan::Choice;
use crate::engine::recorder::Recorder;
use crate::engine::stream::Stream;
use crate::engine::upstream::Upstream;
use crate::event::{Event, StopReason, Summary};
use crate::sink::Written;
use crate::store::LogReader;
use crate::types::RunKind;

impl Run {
    /// Writes the outputs if nothing remains, and sums up.
    pub(super) fn end(self, mut recorder: Recorder) -> Result<Summary, RunError> {
        let rows = recorder.progress.rows();
        let mut stream = recorder.stream.take();
        if let Some(error) = stream.as_mut().and_then(Stream::take_error) {
            return Err(RunError::Sink(error));
        }
        let delivered = stream.is_none_or(|stream| stream.is_delivered());
        let (whole, left_alone) = {
            let found = self.board.found();
            (found.whole, found.left_alone)
        };
        // A retry has done its part when only rows remain that are not its to send.
        let done = whole && delivered && rows.remaining == left_alone;
        let finished = done && left_alone == 0;
        let writes = !self.streams && self.purpose.kind == RunKind::Job;
        let written = if finished && writes { Some(self.write_outputs(&mut recorder)?) } else { None };
        if self.input.is_as_opened().unwrap_or(false) {
            recorder.store.confirm_order();
        } else if finished && self.streams {
            return Err(RunError::InputChanged);
        }
        // A part does not end a run that was stopped before it: what that has left is still to be done.
        let is_part = self.selection.is_part() && self.purpose.kind == RunKind::Job;
        if finished && !(is_part && recorder.resumed.is_some()) {
            recorder.end_run()?;
        }
        let summary = self.summary(&recorder, done, written.as_ref());
        if let Some(reason) = summary.stop_reason {
            recorder.stopped(reason)?;
        }
        recorder.tell(&Event::RunFinished(Box::new(summary.clone())));
        recorder.close()?;
        Ok(summary)
    }

    fn write_outputs(&self, recorder: &mut Recorder) -> Result<Written, RunError> {
        if !self.input.is_as_opened()? {
            return Err(RunError::InputChanged);
        }
        let order = recorder.store.order()?;
        let log = LogReader::open(&self.state)?;
        output::write(&self.plan, &self.input, &self.selection, order, log)
    }

    /// Whether a task has no model left that can be used.
    fn has_dead_route(&self) -> bool {
        let removed = |choice: &Choice| self.upstreams[choice.upstream].removed().is_some();
        let given_up = self.given_up.iter().any(|task| task.load(Ordering::Relaxed));
        given_up || self.plan.tasks.iter().any(|task| task.route.iter().all(removed))
    }

    fn summary(&self, recorder: &Recorder, done: bool, written: Option<&Written>) -> Summary {
        let rows = recorder.progress.rows();
        let used_up = self.budget.used_up();
        let stop_reason = match (done, self.stop.reason()) {
            (true, _) => None,
            // A route that is dead needs somebody's hand; a limit of our own needs only the next run.
            (false, Some(reason)) if reason.exit_code() == 5 && self.has_dead_route() => Some(StopReason::NoModelLeft),
            (false, Some(reason)) => Some(reason),
            (false, None) if used_up.is_empty() || self.has_dead_route() => Some(StopReason::NoModelLeft),
            (false, None) => Some(StopReason::Budget),
        };
        let sum = recorder.progress.totals.sum();
        let retried = self.retries.then(|| self.board.found().retried);
        // Failures that a retry finds, and that are not its to send, are none of its own.
        let failed = rows.failed > 0 && retried != Some(0);
        Summary {
            job: self.plan.job.name.clone(),
            run: recorder.store.ledger().last_for(&self.purpose).map(|run| run.run),
            exit_code: stop_reason.map_or(if failed { 4 } else { 0 }, StopReason::exit_code),
            stop_reason,
            rows,
            deduped: sum.deduped,
            attempts: sum.attempts,
            rate_limited: sum.rate_limited,
            usage: sum.usage,
            cost_usd: sum.cost_usd,
            cost_unknown_rows: sum.cost_unknown_rows,
            possibly_billed: recorder.progress.totals.possibly_billed,
            elapsed_ms: u64::try_from(recorder.progress.elapsed().as_millis()).unwrap_or(u64::MAX),
            failures: recorder.progress.failures(),
            left_failed: recorder.progress.left_failed(),
            retried,
            tallies: recorder.progress.totals.tallies.clone(),
            simulated: self.simulated.clone(),
            used_up,
            removed: self.upstreams.iter().filter_map(Upstream::gone).collect(),
            left_out: self.upstreams.iter().flat_map(Upstream::left_out).collect(),
            results: written.map(|written| written.results.path.clone()),
            errors: written.and_then(|written| Some(written.errors.as_ref()?.path.clone())),
        }
    }
}
