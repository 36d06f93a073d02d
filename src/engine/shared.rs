//! What all workers of a run share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::control::Pause;
use super::plan::Plan;
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
        if self.recorder.send(message).await.is_err() {
            self.stop.abort(StopReason::Failed);
        }
    }

    /// What a row spent before this invocation; the first row with the key takes it.
    pub fn take_spent(&self, key: Key) -> Vec<TrailEntry> {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if spent.is_empty() { Vec::new() } else { spent.remove(&key).unwrap_or_default() }
    }

    /// Takes a model out of the run; with it, where the failure is its provider's, all models of that provider.
    pub fn remove(&self, upstream: &Upstream, why: &Failure) {
        for other in self.upstreams.iter() {
            let same_provider = other.provider_index == upstream.provider_index;
            if std::ptr::eq(other, upstream) || (same_provider && is_providers_matter(why.kind)) {
                other.remove(why);
            }
        }
    }

    /// Whether a task has a model left.
    pub fn has_model(&self, task: usize) -> bool {
        self.plan.tasks[task].route.iter().any(|choice| self.upstreams[choice.upstream].removed().is_none())
    }

    /// Whether any task has a model left.
    pub fn has_any_model(&self) -> bool {
        (0..self.plan.tasks.len()).any(|task| self.has_model(task))
    }
}
