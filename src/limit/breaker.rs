//! The breaker: whether calls to a server make sense at all, or only a few probes do.
//!
//! News is as old as the sending of its call: a failure that was sent before the last call known to be good tells
//! nothing of the server now, and a good answer from before an outage does not end it.

use std::time::Duration;

use tokio::time::Instant;

/// Waits before probes double from the first to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Where nobody asked for so long after a probe might have gone, an outage that shows then is another one.
const FORGOTTEN: Duration = Duration::from_mins(2);

/// Probes that are out together.
const PROBES: u32 = 2;

/// A run of failures is no chance if it comes up less than once in a million calls at the usual share of failures...
const CHANCE: f64 = 1e-6;
const SHORTEST_RUN: f64 = 5.0;
const LONGEST_RUN: f64 = 20.0;

/// ...and twice as long where the last good answer is that near: thousands of calls a second see many a run.
const NEAR: Duration = Duration::from_secs(2);

/// The usual share of failures is that of some hundred calls; what is taken for granted before any.
const MEMORY: f64 = 100.0;
const USUAL_SHARE: f64 = 0.05;
const USUAL_WEIGHT: f64 = 5.0;

/// What a failure tells of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sickness {
    /// Connection refused or reset, 503, 529: tells of the server whoever asks.
    Certain,
    /// The first failure of its row: 500, timeout, malformed, empty.
    First,
    /// A repeated failure of the same row: may be the row's own fault, and opens no breaker.
    Again,
}

/// A call that a breaker let through; handed back exactly once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    sent_at: Instant,
    pub(super) probe: bool,
}

#[derive(Debug)]
enum State {
    Closed,
    /// Nothing goes until then.
    Open {
        until: Instant,
    },
    /// Probes are out or may go.
    HalfOpen {
        began: Instant,
        unsent: u32,
        out: u32,
    },
}

/// The breaker of one model at one member of a provider.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    in_flight: u64,
    /// Failures that count since the last good answer; when the first of them came, and when it was sent.
    run: u32,
    since: Option<Instant>,
    run_sent_at: Option<Instant>,
    last_good: Option<Instant>,
    /// When the youngest call known to be good was sent.
    good_sent_at: Option<Instant>,
    next_wait: Duration,
    failed: f64,
    ended: f64,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            state: State::Closed,
            in_flight: 0,
            run: 0,
            since: None,
            run_sent_at: None,
            last_good: None,
            good_sent_at: None,
            next_wait: FIRST_WAIT,
            failed: USUAL_SHARE * USUAL_WEIGHT,
            ended: USUAL_WEIGHT,
        }
    }
}

impl Breaker {
    /// Whether a call may go now; else when to ask again, or `None` when a probe must end first.
    pub(super) fn may_send(&self, now: Instant) -> Result<(), Option<Instant>> {
        match self.state {
            State::Open { until } if until > now => Err(Some(until)),
            State::HalfOpen { unsent: 0, .. } => Err(None),
            State::Closed | State::Open { .. } | State::HalfOpen { .. } => Ok(()),
        }
    }

    /// A call that may go is sent.
    pub(super) fn take(&mut self, now: Instant) -> Pass {
        self.in_flight += 1;
        if let State::Open { until } = self.state {
            if now.saturating_duration_since(until) > FORGOTTEN {
                self.since = Some(now);
            }
            self.state = State::HalfOpen { began: now, unsent: PROBES, out: 0 };
        }
        let probe = match &mut self.state {
            State::HalfOpen { unsent, out, .. } => {
                *unsent = unsent.saturating_sub(1);
                *out += 1;
                true
            }
            State::Closed | State::Open { .. } => false,
        };
        Pass { sent_at: now, probe }
    }

    /// The server answered as one that is well, whatever it thinks of the row.
    pub(super) fn good(&mut self, now: Instant, pass: Pass) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let heals = match self.state {
            State::Closed => self.run_sent_at.is_none_or(|sent_at| pass.sent_at >= sent_at),
            State::Open { .. } => false,
            State::HalfOpen { began, .. } => pass.sent_at >= began,
        };
        if heals {
            self.heal(now, pass);
        } else {
            self.remember(0.0, 1.0);
        }
    }

    fn heal(&mut self, now: Instant, pass: Pass) {
        // A run that opened the breaker was an outage: it says nothing of how common failures are.
        let run = if matches!(self.state, State::Closed) { self.run } else { 0 };
        self.remember(f64::from(run), f64::from(run) + 1.0);
        self.state = State::Closed;
        self.run = 0;
        self.since = None;
        self.run_sent_at = None;
        self.last_good = Some(now);
        self.good_sent_at = self.good_sent_at.max(Some(pass.sent_at));
        self.next_wait = FIRST_WAIT;
    }

    /// The call failed in a way that may be the server's.
    pub(super) fn sick(&mut self, now: Instant, pass: Pass, weight: Sickness) {
        self.in_flight = self.in_flight.saturating_sub(1);
        match &mut self.state {
            State::Open { .. } => {}
            State::HalfOpen { began, out, .. } => {
                if pass.probe && pass.sent_at >= *began {
                    *out = out.saturating_sub(1);
                    if *out == 0 {
                        self.open_by_itself(now);
                    }
                }
            }
            State::Closed => match weight {
                Sickness::Certain | Sickness::First => self.count(now, pass),
                Sickness::Again => {}
            },
        }
    }

    fn count(&mut self, now: Instant, pass: Pass) {
        if self.good_sent_at.is_some_and(|sent_at| pass.sent_at < sent_at) {
            self.remember(1.0, 1.0);
            return;
        }
        self.run = self.run.saturating_add(1);
        self.since.get_or_insert(now);
        self.run_sent_at.get_or_insert(pass.sent_at);
        // Good answers may take longer than failures. Those that are out may all turn out good.
        if u64::from(self.run) >= self.in_flight.saturating_add(u64::from(self.longest_chance(now))) {
            self.open_by_itself(now);
        }
    }

    /// How long a run of failures must be to be no chance.
    fn longest_chance(&self, now: Instant) -> u32 {
        let share = (self.failed / self.ended).clamp(0.01, 0.99);
        let run = (CHANCE.ln() / share.ln()).ceil().clamp(SHORTEST_RUN, LONGEST_RUN);
        let good = self.last_good.or(self.since);
        let near = good.is_none_or(|good| now.duration_since(good) < NEAR);
        whole(if near { (2.0 * run).max(LONGEST_RUN) } else { run })
    }

    fn remember(&mut self, failed: f64, ended: f64) {
        let kept = (1.0 - ended / MEMORY).max(0.0).min(MEMORY / (self.ended + ended));
        self.failed = self.failed * kept + failed;
        self.ended = self.ended * kept + ended;
    }

    fn open_by_itself(&mut self, now: Instant) {
        self.open(now, now + self.next_wait);
        self.next_wait = (self.next_wait * 2).min(LONGEST_WAIT);
    }

    /// The server refuses for the rate and has done nothing else for long: as if it had told to be away until then.
    pub(super) fn refused(&mut self, now: Instant, pass: Pass, until: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let last = match &mut self.state {
            State::HalfOpen { began, out, .. } => {
                *out = out.saturating_sub(u32::from(pass.probe && pass.sent_at >= *began));
                *out == 0
            }
            // Those that are out may all turn out good.
            State::Closed => self.in_flight == 0,
            State::Open { .. } => true,
        };
        if last {
            self.told(now, until);
        }
    }

    /// The server said that it will not answer before then. Apart from how the call ended, which is told first.
    pub(super) fn told(&mut self, now: Instant, until: Instant) {
        let until = match self.state {
            State::Open { until: earlier } => earlier.max(until),
            State::Closed | State::HalfOpen { .. } => until,
        };
        self.open(now, until);
    }

    fn open(&mut self, now: Instant, until: Instant) {
        self.since.get_or_insert(now);
        self.state = State::Open { until };
    }

    /// A call was dropped without an end: a probe frees its place.
    pub(super) fn cut(&mut self, pass: Pass) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let State::HalfOpen { began, unsent, out } = &mut self.state
            && pass.probe
            && pass.sent_at >= *began
        {
            *out = out.saturating_sub(1);
            *unsent += 1;
        }
    }

    /// Until when nothing is sent, or since when probes may be; `None` when closed.
    pub(super) fn open_until(&self) -> Option<Instant> {
        match self.state {
            State::Closed => None,
            State::Open { until } => Some(until),
            State::HalfOpen { began, .. } => Some(began),
        }
    }

    /// Since when the server has failed, or was told to be away; `None` when closed.
    pub(super) fn down_since(&self) -> Option<Instant> {
        self.since.filter(|_| !matches!(self.state, State::Closed))
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to some dozens")]
fn whole(run: f64) -> u32 {
    run as u32
}

#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "simulated time, in floats"
)]
mod tests;
