//! The ledger: what the simulator was asked, and what it would bill.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::types::Usage;

use super::window::Window;

/// What the simulator was asked and would bill, so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimLedger {
    /// All requests that arrived for an answer, refused ones too.
    pub requests: u64,
    /// Replies by their status. Requests that never got one (hang, client gone) are missing here.
    pub by_status: BTreeMap<u16, u64>,
    /// Whole 200s that went out with an answer in them; cut bodies and errors in a 200 do not count.
    pub answered: u64,
    /// Calls on the bill: those whose answer was computed, whether it arrived or not.
    pub billed: u64,
    /// Input tokens on the bill.
    pub input_tokens: u64,
    /// Output tokens on the bill.
    pub output_tokens: u64,
    /// Those of the input that were read from the cache.
    #[serde(default)]
    pub cached_input_tokens: u64,
    /// Those of the output that were spent on reasoning.
    #[serde(default)]
    pub reasoning_tokens: u64,
    /// The same by model.
    pub by_model: BTreeMap<String, ModelLedger>,
    /// The most requests in any sliding second, refused ones too.
    pub max_requests_per_second: u64,
    /// The most requests in any sliding minute, refused ones too.
    pub max_requests_per_minute: u64,
    /// The most billed tokens in any sliding minute.
    pub max_tokens_per_minute: u64,
    /// Requests that are here now.
    pub in_flight: u64,
    /// The most requests at once, refused ones too.
    pub peak_in_flight: u64,
    /// Requests that no limit refused; those of an outage were not let in.
    pub let_in: u64,
    /// Requests that were left without a reply.
    pub hangs: u64,
    /// What the requests that were let in counted against token limits.
    pub counted_tokens: u64,
    /// Figures of each second in which something happened, in order, where the settings ask for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seconds: Vec<SecondLedger>,
    /// Whole answers by mark, where the settings ask for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answered_by_mark: BTreeMap<String, u64>,
}

/// One second of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondLedger {
    /// Which: 0 is the first after the start.
    pub second: u64,
    /// Requests that arrived.
    pub requests: u64,
    /// Requests that no limit refused.
    pub let_in: u64,
    /// What these counted against token limits.
    pub counted_tokens: u64,
    /// Billed tokens of these.
    pub billed_tokens: u64,
    /// 429s that went out.
    pub rate_limited: u64,
    /// Whole answers that went out.
    pub answered: u64,
    /// The most requests at once, as of arrivals in it.
    pub peak_in_flight: u64,
}

impl SimLedger {
    /// Sums a figure over the seconds from `from` to before `to`; needs `count_seconds`.
    #[must_use]
    pub fn over(&self, from: u64, to: u64, figure: impl Fn(&SecondLedger) -> u64) -> u64 {
        self.seconds.iter().filter(|entry| (from..to).contains(&entry.second)).map(figure).sum()
    }
}

/// One model's part of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelLedger {
    /// All its requests.
    pub requests: u64,
    /// Whole answers that went out.
    pub answered: u64,
    /// Calls on the bill.
    pub billed: u64,
    /// Input tokens on the bill.
    pub input_tokens: u64,
    /// Output tokens on the bill.
    pub output_tokens: u64,
    /// Those of the input that were read from the cache.
    #[serde(default)]
    pub cached_input_tokens: u64,
    /// Those of the output that were spent on reasoning.
    #[serde(default)]
    pub reasoning_tokens: u64,
}

/// Keeps the ledger.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) ledger: SimLedger,
    started: Instant,
    counts_seconds: bool,
    second: Window,
    minute: Window,
    tokens: Window,
}

impl Books {
    pub(super) fn new(counts_seconds: bool, started: Instant) -> Self {
        let minute = Duration::from_mins(1);
        Self {
            ledger: SimLedger::default(),
            started,
            counts_seconds,
            second: Window::new(Duration::from_secs(1)),
            minute: Window::new(minute),
            tokens: Window::new(minute),
        }
    }

    /// A request arrives. Returns its number, from 1.
    pub(super) fn arrive(&mut self, now: Instant) -> u64 {
        let ledger = &mut self.ledger;
        ledger.requests += 1;
        ledger.in_flight += 1;
        ledger.peak_in_flight = ledger.peak_in_flight.max(ledger.in_flight);
        ledger.max_requests_per_second = ledger.max_requests_per_second.max(self.second.push(now, 1));
        ledger.max_requests_per_minute = ledger.max_requests_per_minute.max(self.minute.push(now, 1));
        let (number, in_flight) = (ledger.requests, ledger.in_flight);
        self.note(now, |second| {
            second.requests += 1;
            second.peak_in_flight = second.peak_in_flight.max(in_flight);
        });
        number
    }

    /// A request is let in, and counts so much against token limits.
    pub(super) fn let_in(&mut self, counted_tokens: u64, now: Instant) {
        self.ledger.let_in += 1;
        self.ledger.counted_tokens += counted_tokens;
        self.note(now, |second| {
            second.let_in += 1;
            second.counted_tokens += counted_tokens;
        });
    }

    /// A request will have no reply.
    pub(super) fn hang(&mut self) {
        self.ledger.hangs += 1;
    }

    /// A request has left, answered or not.
    pub(super) fn leave(&mut self) {
        self.ledger.in_flight -= 1;
    }

    /// A request names a model.
    pub(super) fn ask(&mut self, model: &str) {
        self.model(model).requests += 1;
    }

    /// An answer was computed.
    pub(super) fn bill(&mut self, model: &str, usage: Usage, now: Instant) {
        let entry = self.model(model);
        entry.billed += 1;
        entry.input_tokens += usage.input_tokens;
        entry.output_tokens += usage.output_tokens;
        entry.cached_input_tokens += usage.cached_input_tokens;
        entry.reasoning_tokens += usage.reasoning_tokens;
        self.ledger.billed += 1;
        self.ledger.input_tokens += usage.input_tokens;
        self.ledger.output_tokens += usage.output_tokens;
        self.ledger.cached_input_tokens += usage.cached_input_tokens;
        self.ledger.reasoning_tokens += usage.reasoning_tokens;
        let tokens = self.tokens.push(now, usage.total());
        self.ledger.max_tokens_per_minute = self.ledger.max_tokens_per_minute.max(tokens);
        self.note(now, |second| second.billed_tokens += usage.total());
    }

    /// A reply begins to go out.
    pub(super) fn reply(&mut self, status: u16, now: Instant) {
        *self.ledger.by_status.entry(status).or_default() += 1;
        if status == 429 {
            self.note(now, |second| second.rate_limited += 1);
        }
    }

    /// An answer went out whole.
    pub(super) fn answer(&mut self, model: &str, mark: Option<&str>, now: Instant) {
        self.ledger.answered += 1;
        self.note(now, |second| second.answered += 1);
        self.model(model).answered += 1;
        if let Some(mark) = mark {
            *self.ledger.answered_by_mark.entry(mark.to_owned()).or_default() += 1;
        }
    }

    fn note(&mut self, now: Instant, figure: impl FnOnce(&mut SecondLedger)) {
        if !self.counts_seconds {
            return;
        }
        let second = now.saturating_duration_since(self.started).as_secs();
        let seconds = &mut self.ledger.seconds;
        // Times are taken before the lock, so one may come late: it counts for the second that has begun.
        if seconds.last().is_none_or(|last| last.second < second) {
            seconds.push(SecondLedger { second, ..SecondLedger::default() });
        }
        if let Some(last) = seconds.last_mut() {
            figure(last);
        }
    }

    fn model(&mut self, name: &str) -> &mut ModelLedger {
        self.ledger.by_model.entry(name.to_owned()).or_default()
    }
}
