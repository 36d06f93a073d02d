//! The turnstiles: a line for each model, whose heads stand in the provider's line.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex as Line, watch};
use tokio::time::Instant;

use super::gate::{Gate, Ticket};
use super::{CallPermit, Limits, Slots};

/// What all models of one provider share.
#[derive(Debug)]
pub struct ProviderGate {
    line: Line<()>,
    gate: Gate,
}

impl ProviderGate {
    /// A gate with these limits over all models of a provider.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { line: Line::new(()), gate: Gate::new(limits) })
    }
}

/// The model was taken out of the run: nothing is let through any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the model was taken out of the run")]
pub struct Closed;

/// One model's turnstile.
#[derive(Debug)]
pub struct ModelGate {
    line: Line<()>,
    gate: Gate,
    provider: Arc<ProviderGate>,
    slots: Arc<Slots>,
    waiting: AtomicUsize,
    closed: watch::Sender<bool>,
}

impl ModelGate {
    /// A turnstile with the model's own limits, before its provider's and the run's.
    #[must_use]
    pub fn new(limits: Limits, provider: Arc<ProviderGate>, slots: Arc<Slots>) -> Arc<Self> {
        Arc::new(Self {
            line: Line::new(()),
            gate: Gate::new(limits),
            provider,
            slots,
            waiting: AtomicUsize::new(0),
            closed: watch::Sender::new(false),
        })
    }

    /// Waits in line until a call of this many tokens, as estimated, may be sent. First come, first served within the
    /// model. May be dropped at any point: nothing is lost by it but the place in line.
    ///
    /// # Errors
    /// [`Closed`] as soon as the model is taken out of the run.
    pub async fn admit(self: &Arc<Self>, tokens: u64) -> Result<Admission, Closed> {
        let _waiting = Waiting::new(&self.waiting);
        let mut closed = self.closed.subscribe();
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => Err(Closed),
            admission = self.pass(tokens) => Ok(admission),
        }
    }

    /// Nothing is sent to the model before this wait is over. Without a hint of the server: 1 s, doubling to 60 s with
    /// each cooldown until an answer comes. A shorter hint does not shorten a wait that was told before.
    pub fn cool_down(&self, wait: Option<Duration>) {
        self.gate.cool_down(wait);
    }

    /// An answer came: the next cooldown without a hint is a short one again.
    pub fn answered(&self) {
        self.gate.answered();
    }

    /// Takes the model out of the run: all who wait get [`Closed`] at once. Calls in flight go on.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// How it stands, for the screen.
    #[must_use]
    pub fn view(&self) -> GateView {
        let (in_flight, cooled_until, paced_until) = {
            let state = self.gate.lock();
            (state.in_flight(), state.cooled_until(), state.paced_until())
        };
        let waiting = self.waiting.load(Ordering::Relaxed);
        let provider_paced = self.provider.gate.lock().paced_until().filter(|_| waiting > 0);
        let now = Instant::now();
        let to_come = |until: Option<Instant>| until.filter(|until| *until > now);
        let state = match (to_come(cooled_until), to_come(paced_until).max(to_come(provider_paced))) {
            _ if *self.closed.borrow() => GateState::Closed,
            (Some(until), _) => GateState::CoolingDown { until },
            (None, Some(until)) => GateState::Pacing { until },
            (None, None) => GateState::Open,
        };
        GateView { in_flight, waiting, state, limits: self.gate.limits() }
    }

    async fn pass(self: &Arc<Self>, tokens: u64) -> Admission {
        let _head = self.line.lock().await;
        loop {
            self.gate.until_open(tokens).await;
            let _provider_head = self.provider.line.lock().await;
            self.provider.gate.until_open(self.gate.expected(tokens)).await;
            let permit = self.slots.acquire().await;
            if let Some(admission) = self.take(permit, tokens) {
                return admission;
            }
        }
    }

    /// Takes from model and provider together, or from neither: much may have happened while the head waited for the
    /// one and then the other.
    fn take(self: &Arc<Self>, permit: CallPermit, tokens: u64) -> Option<Admission> {
        let now = Instant::now();
        let mut model = self.gate.lock();
        let mut provider = self.provider.gate.lock();
        let expected = model.expected(tokens);
        if !model.is_open(now, tokens) || !provider.is_open(now, expected) {
            return None;
        }
        let (of_model, of_provider) = (model.take(now, tokens), provider.take(now, expected));
        Some(Admission { gate: Arc::clone(self), of_model, of_provider, permit })
    }
}

/// The right to send one call now. Dropping it frees the permits of the run, the model and the provider.
#[derive(Debug)]
pub struct Admission {
    gate: Arc<ModelGate>,
    of_model: Ticket,
    of_provider: Ticket,
    permit: CallPermit,
}

impl Admission {
    /// The call permit's slot number.
    #[must_use]
    pub fn slot(&self) -> usize {
        self.permit.slot()
    }

    /// The tokens that the call used in truth: what was reserved beyond is given back, what is missing is owed, and
    /// later estimates are read in the light of it. Only the first figure counts. A call that ends without one counts as
    /// used what was reserved, and teaches nothing: an answer that tells no usage is settled with the estimate.
    pub fn settle(&mut self, tokens: u64) {
        self.gate.gate.settle(&mut self.of_model, tokens);
        self.gate.provider.gate.settle(&mut self.of_provider, tokens);
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.gate.gate.end(&self.of_model);
        self.gate.provider.gate.end(&self.of_provider);
    }
}

/// How a turnstile stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateView {
    /// Calls in flight to this model.
    pub in_flight: u64,
    /// Calls in line for it.
    pub waiting: usize,
    /// What the head of the line waits for.
    pub state: GateState,
    /// The model's own limits.
    pub limits: Limits,
}

/// Whether a turnstile lets calls through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateState {
    /// At once, as far as calls in flight allow.
    Open,
    /// The next call goes then, by the rate of the model or its provider.
    Pacing {
        /// When the next call may go.
        until: Instant,
    },
    /// The server said to wait.
    CoolingDown {
        /// When the wait is over.
        until: Instant,
    },
    /// Out of the run.
    Closed,
}

/// Counts those in line, however they leave it.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
