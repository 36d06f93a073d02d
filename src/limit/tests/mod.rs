//! The promise, on paused time: quotas used fully and never overrun, and lines that hold nobody up.

mod hours;
mod lines;
mod members;
mod servers;
mod unsaid;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{Admission, CallEnd, Limits, Member, ModelGate, Need, ProviderGate, ProviderSetup, Slots, Used};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

const NO_LIMITS: Limits =
    Limits { rpm: None, tpm: None, input_tpm: None, output_tpm: None, rpd: None, concurrency: None };

fn rpm(rpm: u64) -> Limits {
    Limits { rpm: Some(rpm), ..NO_LIMITS }
}

fn tpm(tpm: u64) -> Limits {
    Limits { tpm: Some(tpm), ..NO_LIMITS }
}

/// A provider with these limits.
fn provider(limits: Limits) -> Arc<ProviderGate> {
    ProviderGate::new(ProviderSetup { limits, ..ProviderSetup::default() })
}

/// A model with these limits, at one place.
fn at(provider: &Arc<ProviderGate>, limits: Limits, slots: &Arc<Slots>) -> Arc<ModelGate> {
    let member = Member { limits, provider: Arc::clone(provider), used_today: 0 };
    ModelGate::new(vec![member], Arc::clone(slots))
}

fn model(limits: Limits) -> Arc<ModelGate> {
    at(&provider(NO_LIMITS), limits, &Slots::new(100_000))
}

fn need(tokens: u64) -> Need {
    Need { input: tokens, output: 0 }
}

/// A call of this many tokens, however long it must wait.
async fn admit(gate: &Arc<ModelGate>, tokens: u64) -> Admission {
    gate.admit(need(tokens), None).await.unwrap()
}

/// A call that the server refuses for the rate.
async fn throttle(gate: &Arc<ModelGate>, hint: Option<Duration>) {
    admit(gate, 1).await.ended(CallEnd::Throttled { hint });
}

fn used(tokens: u64) -> Used {
    Used { input: tokens, output: 0 }
}

/// One call: what is estimated, what it uses, how long it takes.
struct Call {
    estimate: u64,
    real: u64,
    latency: Duration,
}

/// What a server saw: when each request came and what it used, in order.
#[derive(Default)]
struct Seen(Vec<(Instant, u64)>);

impl Seen {
    /// Sends calls through the gate for this long, as fast as it lets them.
    async fn sent(gate: &Arc<ModelGate>, time: Duration, mut next: impl FnMut() -> Call) -> Self {
        let (mut seen, mut calls, end) = (Self::default(), JoinSet::new(), Instant::now() + time);
        loop {
            let call = next();
            let mut admission = admit(gate, call.estimate).await;
            if Instant::now() >= end {
                return seen;
            }
            seen.0.push((Instant::now(), call.real));
            calls.spawn(async move {
                sleep(call.latency).await;
                admission.settle(used(call.real));
                admission.ended(CallEnd::Good);
            });
            while calls.try_join_next().is_some() {}
        }
    }

    fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self.0.sort_unstable();
        self
    }

    /// The most that any sliding window held, of requests and of tokens.
    fn most(&self, window: Duration) -> (u64, u64) {
        let (mut first, mut requests, mut tokens, mut most) = (0, 0, 0, (0, 0));
        for (at, real) in &self.0 {
            requests += 1;
            tokens += real;
            while self.0[first].0 + window <= *at {
                requests -= 1;
                tokens -= self.0[first].1;
                first += 1;
            }
            most = (requests.max(most.0), tokens.max(most.1));
        }
        most
    }

    fn requests(&self) -> u64 {
        self.0.len() as u64
    }

    fn tokens(&self) -> u64 {
        self.0.iter().map(|(_, real)| real).sum()
    }
}
