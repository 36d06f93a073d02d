//! How long rows waited for each model, and for what: looked at ten times a second, for the report.

use std::time::Duration;

use tokio::time::Instant;

use super::upstream::Upstream;
use crate::event::ModelState;
use crate::types::{Held, HeldBack, RunNumber};

/// After a longer look away nothing is known of the time between: the machine slept.
const LONGEST_LOOK: Duration = Duration::from_secs(2);

/// Adds up the waits of a run.
pub(super) struct Watch {
    held: Held,
    looked: Instant,
}

impl Watch {
    /// `before`: of earlier invocations.
    pub fn new(before: Held, now: Instant) -> Self {
        Self { held: before, looked: now }
    }

    /// Adds the time since the last look to what each model is doing now, where rows wait for it. `run`: `None` before
    /// its first call.
    pub fn look<'a>(
        &mut self,
        run: Option<RunNumber>,
        models: impl Iterator<Item = (&'a Upstream, ModelState)>,
        now: Instant,
    ) {
        let since = now.saturating_duration_since(std::mem::replace(&mut self.looked, now)).min(LONGEST_LOOK);
        let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let Some(run) = run else { return };
        if self.held.run != run {
            self.held = Held { run, models: Vec::new() };
        }
        for (upstream, state) in models.filter(|(upstream, _)| upstream.gate.view().waiting > 0) {
            match state {
                ModelState::Pacing { .. } => self.of(upstream).pacing_ms += since,
                ModelState::CoolingDown { .. } => self.of(upstream).cooling_down_ms += since,
                ModelState::Down { .. } => self.of(upstream).down_ms += since,
                ModelState::Open | ModelState::Removed { .. } => {}
            }
        }
    }

    /// The waits of the run that was on last.
    pub fn held(&self) -> &Held {
        &self.held
    }

    fn of(&mut self, upstream: &Upstream) -> &mut HeldBack {
        let (provider, model) = (&*upstream.provider_name, &*upstream.wire);
        let found = self.held.models.iter().position(|held| held.provider == provider && held.model == model);
        let at = found.unwrap_or_else(|| {
            let (provider, model) = (provider.to_owned(), model.to_owned());
            self.held.models.push(HeldBack { provider, model, ..HeldBack::default() });
            self.held.models.len() - 1
        });
        &mut self.held.models[at]
    }
}
