//! What all models of a provider share, and the line of those models' heads.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::ProviderSetup;
use super::gate::{Gate, Ticket, Verdict};
use super::settings::Amounts;

/// What all models of one provider share; one for each replica and key of it.
#[derive(Debug)]
pub struct ProviderGate {
    setup: ProviderSetup,
    state: Mutex<State>,
    /// The models' heads, which look again when something changes here.
    heads: Mutex<Vec<Arc<Notify>>>,
}

#[derive(Debug)]
pub(super) struct State {
    gate: Gate,
    concurrency: u64,
    /// The heads that wait for this provider alone, by the numbers of their models: first come, first served.
    line: VecDeque<usize>,
}

impl ProviderGate {
    /// A gate with these limits over all models of a provider.
    #[must_use]
    pub fn new(setup: ProviderSetup) -> Arc<Self> {
        let state = State {
            gate: Gate::new(setup.limits, setup.used_today),
            concurrency: setup.limits.concurrency.unwrap_or(u64::MAX).max(1),
            line: VecDeque::new(),
        };
        Arc::new(Self { setup, state: Mutex::new(state), heads: Mutex::default() })
    }

    pub(super) fn setup(&self) -> &ProviderSetup {
        &self.setup
    }

    /// Counts one more model; its number here.
    pub(super) fn join(&self, head: &Arc<Notify>) -> usize {
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.push(Arc::clone(head));
        heads.len()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets every head look again. Not to be called with the state locked.
    pub(super) fn changed(&self) {
        for head in &*self.heads.lock().unwrap_or_else(PoisonError::into_inner) {
            head.notify_waiters();
        }
    }

    /// The head of a model waits for nothing here any more.
    pub(super) fn leave(&self, model: usize) {
        let others_wait = {
            let mut state = self.lock();
            let before = state.line.len();
            state.line.retain(|other| *other != model);
            state.line.len() < before && !state.line.is_empty()
        };
        if others_wait {
            self.changed();
        }
    }

    pub(super) fn settle(&self, ticket: &mut Ticket, used: Amounts) {
        self.lock().gate.settle(ticket, used);
        self.changed();
    }

    pub(super) fn give_back(&self, ticket: &mut Ticket) {
        self.lock().gate.give_back(ticket);
        self.changed();
    }

    pub(super) fn end(&self, ticket: &Ticket) {
        self.lock().gate.end(ticket);
        self.changed();
    }
}

impl State {
    /// Whether a model's head may send a call of this size now; from here on it stands in line.
    pub(super) fn verdict(&mut self, now: Instant, model: usize, estimate: &Amounts) -> Verdict {
        if !self.line.contains(&model) {
            self.line.push_back(model);
        }
        if self.line.front() == Some(&model) {
            self.gate.verdict(now, estimate, self.concurrency)
        } else {
            Verdict::AtChange
        }
    }

    pub(super) fn take(&mut self, now: Instant, estimate: Amounts) -> Ticket {
        self.gate.take(now, estimate)
    }

    /// Whether any of its limits is known.
    pub(super) fn is_limited(&self) -> bool {
        self.gate.is_paced() || self.concurrency < u64::MAX
    }

    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// How full it is of calls in flight, in thousandths.
    pub(super) fn load(&self) -> u64 {
        self.gate.in_flight().saturating_mul(1_000) / self.concurrency
    }
}
