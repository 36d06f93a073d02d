//! The promise, on paused time: quotas used fully and never overrun, and lines that hold nobody up.

mod hours;
mod lines;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{Limits, ModelGate, ProviderGate, Slots};

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

fn model(limits: Limits) -> Arc<ModelGate> {
    ModelGate::new(limits, ProviderGate::new(NO_LIMITS), Slots::new(100_000))
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
            let mut admission = gate.admit(call.estimate).await.unwrap();
            if Instant::now() >= end {
                return seen;
            }
            seen.0.push((Instant::now(), call.real));
            calls.spawn(async move {
                sleep(call.latency).await;
                admission.settle(call.real);
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
