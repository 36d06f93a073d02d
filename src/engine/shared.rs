//! What all workers of a run share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::budget::Budget;
use super::control::Pause;
use super::dedupe::Dedupe;
use super::plan::{Choice, Plan};
use super::recorder::Message;
use super::shutdown::Stop;
use super::upstream::{Upstream, is_providers_matter};
use crate::event::StopReason;
use crate::store::Flight;
use crate::types::{CallNumber, Failure, Key, TrailEntry};

pub(super) struct Shared {
    pub plan: Arc<Plan>,
    /// One for each model of the job, in its order.
    pub upstreams: Arc<[Upstream]>,
    pub stop: Stop,
    pub pause: Pause,
    /// Bounded, so that a slow disk holds up the callers instead of filling memory.
    pub recorder: mpsc::Sender<Message>,
    pub flight: Arc<Flight>,
    /// Result lines are written as rows end.
    pub streams: bool,
    pub next_call: AtomicU64,
    /// One for each task: all its models have been down for too long.
    pub given_up: Arc<[AtomicBool]>,
    pub budget: Budget,
    /// Where requests that are the same are sent once.
    pub dedupe: Option<Arc<Dedupe>>,
    /// Attempts on record of rows without an outcome, from before this invocation.
    pub spent: Mutex<HashMap<Key, Vec<TrailEntry>>>,
}

impl Shared {
    /// The number of a call that is about to be sent.
    pub fn call_number(&self) -> CallNumber {
        self.next_call.fetch_add(1, Ordering::Relaxed)
    }

    /// Tells the recorder. It ends before its senders only when it failed: then nothing more may be sent, as nothing would
    /// be on record.
    pub async fn tell(&self, message: Message) {
        match self.recorder.reserve().await {
            Ok(place) => place.send(message),
            Err(_) => self.stop.abort(StopReason::Failed),
        }
    }

    /// What a row spent before this invocation; the first row with the key takes it.
    pub fn take_spent(&self, key: Key) -> Vec<TrailEntry> {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if spent.is_empty() { Vec::new() } else { spent.remove(&key).unwrap_or_default() }
    }

    /// Takes a member of a model out of the run; with it, where the failure is its provider's, that of all models of the
    /// provider.
    pub fn remove(&self, upstream: &Upstream, member: usize, why: &Failure) {
        for other in self.upstreams.iter() {
            let same_provider = other.provider_index == upstream.provider_index;
            // Two aliases of one model are one model.
            if same_provider && (other.wire == upstream.wire || is_providers_matter(why.kind)) {
                other.remove(member, why);
            }
        }
    }

    /// These models have been down for too long, and a row of the task is left for them. Where the task has no other model,
    /// no more rows of it are sent.
    pub fn give_up(&self, task: usize, down: &[usize]) {
        for upstream in down {
            self.upstreams[*upstream].give_up();
        }
        let gone =
            |choice: &Choice| down.contains(&choice.upstream) || self.upstreams[choice.upstream].removed().is_some();
        if self.plan.tasks[task].all_choices().all(gone) {
            self.given_up[task].store(true, Ordering::Relaxed);
        }
    }

    /// Whether a task has a model left, and money for it.
    pub fn has_model(&self, task: usize) -> bool {
        let usable = |choice: &Choice| self.upstreams[choice.upstream].removed().is_none();
        !self.budget.is_used_up(task)
            && !self.given_up[task].load(Ordering::Relaxed)
            && self.plan.tasks[task].all_choices().any(usable)
    }

    /// Whether any task has a model left, and money for it.
    pub fn has_any_model(&self) -> bool {
        (0..self.plan.tasks.len()).any(|task| self.has_model(task))
    }
}
