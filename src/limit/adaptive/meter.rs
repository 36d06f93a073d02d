//! What comes through at a level of calls in flight.

use tokio::time::Instant;

/// A measurement takes at least so long, in seconds and in latencies, and so many answers if they come in time.
const SHORTEST: f64 = 0.5;
const LATENCIES: f64 = 2.0;
const ANSWERS: f64 = 200.0;

/// It waits for them no longer than this, in seconds and in latencies.
const LONGEST: f64 = 6.0;
const LONGEST_LATENCIES: f64 = 4.0;

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) in_flight: f64,
    pub(super) answers: f64,
    /// Answers and tokens a second; tokens only where all answers told them.
    pub(super) rate: f64,
    pub(super) token_rate: Option<f64>,
}

impl Reading {
    /// What comes through for each call in flight.
    pub(super) fn speed(&self) -> f64 {
        self.token_rate.unwrap_or(self.rate) / self.in_flight
    }
}

/// Sums up calls in flight over time, and answers.
#[derive(Debug, Default)]
pub(super) struct Meter {
    from: Option<Instant>,
    last: Option<Instant>,
    in_flight: f64,
    area: f64,
    answers: f64,
    tokens: f64,
    untold: bool,
}

impl Meter {
    /// Starts over at this time.
    pub(super) fn begin(&mut self, from: Instant) {
        *self = Self { from: Some(from), last: self.last, in_flight: self.in_flight, ..Self::default() };
    }

    /// So many are in flight from now on.
    pub(super) fn turn(&mut self, now: Instant, in_flight: u64) {
        if let (Some(from), Some(last)) = (self.from, self.last) {
            self.area += self.in_flight * now.saturating_duration_since(last.max(from)).as_secs_f64();
        }
        self.last = Some(now);
        self.in_flight = super::number(in_flight);
    }

    /// An answer came, just now.
    pub(super) fn answer(&mut self, tokens: Option<u64>) {
        if self.from.zip(self.last).is_some_and(|(from, last)| last >= from) {
            self.answers += 1.0;
            self.tokens += tokens.map_or(0.0, super::number);
            self.untold |= tokens.is_none();
        }
    }

    /// How many were in flight on average until now.
    pub(super) fn mean(&self, now: Instant) -> Option<f64> {
        let time = now.checked_duration_since(self.from?)?.as_secs_f64();
        (time > 0.0).then(|| self.area / time)
    }

    /// What was measured, when it is enough.
    pub(super) fn reading(&self, now: Instant, latency: f64) -> Option<Reading> {
        let time = now.checked_duration_since(self.from?)?.as_secs_f64();
        let enough = time >= SHORTEST.max(LATENCIES * latency) && self.answers >= ANSWERS;
        let too_long = time >= LONGEST.max(LONGEST_LATENCIES * latency) && self.answers >= 8.0;
        (enough || too_long).then(|| Reading {
            in_flight: self.area / time,
            answers: self.answers,
            rate: self.answers / time,
            token_rate: (!self.untold && self.tokens > 0.0).then(|| self.tokens / time),
        })
    }
}
