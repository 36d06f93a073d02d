//! What one provider or one model lets through: its budgets, its calls in flight, its cooldown.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Limits;
use super::budget::{Budget, Charge};
use super::forecast::{Forecast, Learner};

/// Cooldowns without a hint double from the first to the longest.
const FIRST_COOLDOWN: Duration = Duration::from_secs(1);
const LONGEST_COOLDOWN: Duration = Duration::from_mins(1);

/// No wait told by a server is believed beyond this; also keeps instants in range.
const LONGEST_HINT: Duration = Duration::from_hours(24 * 31);

/// The answer to "may this call go now?".
enum Verdict {
    Go,
    /// Ask again then, or when something changes.
    At(Instant),
    /// Ask again when something changes.
    AtChange,
}

/// A gate. Whoever is at the head of the line asks it; everybody else changes it.
#[derive(Debug)]
pub(super) struct Gate {
    limits: Limits,
    state: Mutex<State>,
    changed: Notify,
}

/// What the gate knows; passed around only as a lock that is held.
#[derive(Debug)]
pub(super) struct State {
    requests: Option<Budget>,
    tokens: Option<Budget>,
    learner: Learner,
    in_flight: u64,
    concurrency: u64,
    cooled_until: Option<Instant>,
    next_cooldown: Duration,
    /// Until when the head waits for the rate.
    paced_until: Option<Instant>,
}

/// What a call has taken from a gate, until it ends.
#[derive(Debug)]
pub(super) struct Ticket {
    estimate: u64,
    tokens: Option<Charge>,
    taken_at: Instant,
    used: Option<u64>,
}

impl Gate {
    pub(super) fn new(limits: Limits) -> Self {
        let state = State {
            requests: limits.rpm.map(|rpm| Budget::requests(rpm.max(1))),
            tokens: limits.tpm.map(|tpm| Budget::tokens(tpm.max(1))),
            learner: Learner::default(),
            in_flight: 0,
            concurrency: limits.concurrency.unwrap_or(u64::MAX).max(1),
            cooled_until: None,
            next_cooldown: FIRST_COOLDOWN,
            paced_until: None,
        };
        Self { limits, state: Mutex::new(state), changed: Notify::new() }
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a call with this estimate will use, as far as this gate has learnt.
    pub(super) fn expected(&self, estimate: u64) -> u64 {
        self.lock().expected(estimate)
    }

    /// Waits until a call of this size may go. Only one waits at a time; it takes nothing but what flows into the purse.
    pub(super) async fn until_open(&self, estimate: u64) {
        loop {
            // Made before the question: a change that comes in between is not missed.
            let changed = self.changed.notified();
            let verdict = self.lock().verdict(Instant::now(), estimate);
            match verdict {
                Verdict::Go => return,
                Verdict::AtChange => changed.await,
                Verdict::At(at) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(at) => {}
                },
            }
        }
    }

    /// A call ended.
    pub(super) fn end(&self, ticket: &Ticket) {
        self.lock().end(ticket);
        self.changed.notify_waiters();
    }

    /// A call's real usage is known.
    pub(super) fn settle(&self, ticket: &mut Ticket, used: u64) {
        self.lock().settle(ticket, used);
        self.changed.notify_waiters();
    }

    /// Nothing goes before this wait is over, or the doubling one where the server gave no hint.
    pub(super) fn cool_down(&self, hint: Option<Duration>) {
        self.lock().cool_down(Instant::now(), hint);
        self.changed.notify_waiters();
    }

    /// An answer came.
    pub(super) fn answered(&self) {
        self.lock().next_cooldown = FIRST_COOLDOWN;
    }
}

impl State {
    /// Whether a call of this size may go now.
    pub(super) fn is_open(&mut self, now: Instant, estimate: u64) -> bool {
        matches!(self.verdict(now, estimate), Verdict::Go)
    }

    /// What a call with this estimate will use, as far as this gate has learnt.
    pub(super) fn expected(&self, estimate: u64) -> u64 {
        self.learner.expected(estimate)
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    pub(super) fn cooled_until(&self) -> Option<Instant> {
        self.cooled_until
    }

    pub(super) fn paced_until(&self) -> Option<Instant> {
        self.paced_until
    }

    fn verdict(&mut self, now: Instant, estimate: u64) -> Verdict {
        let cooled = self.cooled_until.filter(|until| *until > now);
        self.paced_until = self.check_budgets(now, estimate).err();
        match cooled.max(self.paced_until) {
            Some(at) => Verdict::At(at),
            None if self.in_flight >= self.concurrency => Verdict::AtChange,
            None => Verdict::Go,
        }
    }

    /// Asks both budgets, whatever the first one says: their purses fill at the same time.
    fn check_budgets(&mut self, now: Instant, estimate: u64) -> Result<(), Instant> {
        let (expected, forecast) = (self.learner.expected(estimate), self.learner.forecast());
        let requests = self.requests.as_mut().map_or(Ok(()), |budget| budget.check(now, 1, 1, &Forecast::CERTAIN));
        let tokens = self.tokens.as_mut().map_or(Ok(()), |budget| budget.check(now, estimate, expected, &forecast));
        match requests.err().max(tokens.err()) {
            Some(at) => Err(at),
            None => Ok(()),
        }
    }

    /// Takes what a call of this size needs, when it is open.
    pub(super) fn take(&mut self, now: Instant, estimate: u64) -> Ticket {
        let expected = self.learner.expected(estimate);
        if let Some(requests) = &mut self.requests {
            requests.take(now, 1, 1);
        }
        let tokens = self.tokens.as_mut().map(|budget| budget.take(now, estimate, expected));
        self.in_flight += 1;
        Ticket { estimate, tokens, taken_at: now, used: None }
    }

    fn settle(&mut self, ticket: &mut Ticket, used: u64) {
        let first = ticket.used.replace(used).is_none();
        if first {
            self.learner.learn(ticket.estimate, used, ticket.taken_at.elapsed());
            self.pay(ticket);
        }
    }

    fn end(&mut self, ticket: &Ticket) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if ticket.used.is_none() {
            self.pay(ticket);
        }
    }

    fn pay(&mut self, ticket: &Ticket) {
        if let (Some(budget), Some(charge)) = (&mut self.tokens, &ticket.tokens) {
            budget.end(charge, ticket.used);
        }
    }

    fn cool_down(&mut self, now: Instant, hint: Option<Duration>) {
        let cooling = self.cooled_until.is_some_and(|until| until > now);
        // A hint of nothing is none: it would be the storm that cooldowns are there to prevent.
        let hint = hint.filter(|hint| !hint.is_zero()).map(|hint| hint.min(LONGEST_HINT));
        let wait = match hint {
            Some(hint) => hint,
            // The many refusals of one moment are one: only what comes after a cooldown makes the next one longer.
            None if cooling => return,
            None => {
                let wait = self.next_cooldown;
                self.next_cooldown = (wait * 2).min(LONGEST_COOLDOWN);
                wait
            }
        };
        self.cooled_until = self.cooled_until.max(Some(now + wait));
    }
}
