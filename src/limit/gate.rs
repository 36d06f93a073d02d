//! What one provider, or one model there, lets through by its limits: its budgets, its calls in flight.
//!
//! Knows no clock and waits for nothing: whoever is at the head of a line asks, and is told when to ask again.

use tokio::time::Instant;

use super::Limits;
use super::budget::{Budget, Charge};
use super::day::Day;
use super::forecast::Learners;
use super::settings::Amounts;
use crate::types::RateUnit;

/// The answer to "may this call go now?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Go,
    /// Ask again then, or when something changes.
    At(Instant),
    /// Ask again when something changes.
    AtChange,
}

impl Verdict {
    pub(super) fn at(waits: Option<Instant>) -> Self {
        waits.map_or(Self::Go, Self::At)
    }

    /// The one of two doors in a row that keeps closed for longer.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::AtChange, _) | (_, Self::AtChange) => Self::AtChange,
            (Self::At(one), Self::At(other)) => Self::At(one.max(other)),
            (Self::At(at), Self::Go) | (Self::Go, Self::At(at)) => Self::At(at),
            (Self::Go, Self::Go) => Self::Go,
        }
    }

    /// The one of two doors side by side that opens first.
    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Go, _) | (_, Self::Go) => Self::Go,
            (Self::At(one), Self::At(other)) => Self::At(one.min(other)),
            (Self::At(at), Self::AtChange) | (Self::AtChange, Self::At(at)) => Self::At(at),
            (Self::AtChange, Self::AtChange) => Self::AtChange,
        }
    }
}

/// One limit, in its unit.
#[derive(Debug)]
struct Meter {
    unit: RateUnit,
    budget: Budget,
}

/// The limits of one provider or one model.
#[derive(Debug)]
pub(super) struct Gate {
    limits: Limits,
    meters: Vec<Meter>,
    day: Option<Day>,
    learners: Learners,
    in_flight: u64,
    /// Until when the head waits for the rate.
    paced_until: Option<Instant>,
}

/// What a call has taken from a gate, until it ends.
#[derive(Debug)]
pub(super) struct Ticket {
    estimate: Amounts,
    /// One for each meter.
    charges: Vec<Charge>,
    taken_at: Instant,
    used: Option<Amounts>,
}

impl Ticket {
    pub(super) fn taken_at(&self) -> Instant {
        self.taken_at
    }

    /// The tokens that the call used, if they are known yet.
    pub(super) fn used_tokens(&self) -> Option<u64> {
        self.used.map(|used| used.tokens)
    }
}

impl Gate {
    pub(super) fn new(limits: Limits, used_today: u64) -> Self {
        let meter = |unit, budget| Meter { unit, budget };
        let requests = limits.rpm.map(|rpm| meter(RateUnit::Requests, Budget::a_minute(RateUnit::Requests, rpm)));
        let tokens = [
            (RateUnit::Tokens, limits.tpm),
            (RateUnit::InputTokens, limits.input_tpm),
            (RateUnit::OutputTokens, limits.output_tpm),
        ];
        let tokens = tokens.into_iter().filter_map(|(unit, limit)| Some((unit, limit?)));
        let tokens = tokens.map(|(unit, limit)| meter(unit, Budget::a_minute(unit, limit)));
        Self {
            limits,
            meters: requests.into_iter().chain(tokens).collect(),
            day: limits.rpd.map(|rpd| Day::today(rpd.max(1), used_today)),
            learners: Learners::default(),
            in_flight: 0,
            paced_until: None,
        }
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether any rate is limited, to keep to.
    pub(super) fn is_paced(&self) -> bool {
        !self.meters.is_empty()
    }

    /// How calls in each unit are estimated.
    pub(super) fn learners(&self) -> &Learners {
        &self.learners
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    pub(super) fn paced_until(&self) -> Option<Instant> {
        self.paced_until
    }

    /// What a call with this estimate will use, as far as this gate has learnt.
    pub(super) fn expected(&self, estimate: &Amounts) -> Amounts {
        self.learners.expected(estimate)
    }

    /// Whether a call of this size may go now. Takes nothing but what flows into the purses.
    pub(super) fn verdict(&mut self, now: Instant, estimate: &Amounts, concurrency: u64) -> Verdict {
        self.paced_until = self.check_budgets(now, estimate);
        let full = if self.in_flight >= concurrency { Verdict::AtChange } else { Verdict::Go };
        Verdict::at(self.paced_until).and(full)
    }

    /// Asks all budgets, whatever the first one says: their purses fill at the same time.
    fn check_budgets(&mut self, now: Instant, estimate: &Amounts) -> Option<Instant> {
        let mut wait = self.day.as_mut().and_then(|day| day.check(now).err());
        let expected = self.learners.expected(estimate);
        for Meter { unit, budget } in &mut self.meters {
            let forecast = self.learners.forecast(*unit);
            wait = wait.max(budget.check(now, estimate.of(*unit), expected.of(*unit), &forecast).err());
        }
        wait
    }

    /// Takes what a call of this size needs, when it is open.
    pub(super) fn take(&mut self, now: Instant, estimate: Amounts) -> Ticket {
        let expected = self.learners.expected(&estimate);
        if let Some(day) = &mut self.day {
            day.take();
        }
        let meters = self.meters.iter_mut();
        let charges = meters.map(|meter| meter.budget.take(now, estimate.of(meter.unit), expected.of(meter.unit)));
        let charges = charges.collect();
        self.in_flight += 1;
        Ticket { estimate, charges, taken_at: now, used: None }
    }

    /// A call's real usage is known. Only the first figure counts: whether this is it.
    pub(super) fn settle(&mut self, ticket: &mut Ticket, used: Amounts) -> bool {
        let first = ticket.used.replace(used).is_none();
        if first {
            self.learners.learn(&ticket.estimate, &used, ticket.taken_at.elapsed());
            self.pay(ticket);
        }
        first
    }

    /// A call ended. Whether its usage never became known.
    pub(super) fn end(&mut self, ticket: &Ticket) -> bool {
        self.in_flight = self.in_flight.saturating_sub(1);
        let unknown = ticket.used.is_none();
        if unknown {
            self.pay(ticket);
        }
        unknown
    }

    /// A call is not sent: what it has taken is there again. It still ends.
    pub(super) fn give_back(&mut self, ticket: &mut Ticket) {
        if let Some(day) = &mut self.day {
            day.give_back();
        }
        for (Meter { budget, .. }, charge) in self.meters.iter_mut().zip(&ticket.charges) {
            budget.end(charge, Some(0));
        }
        ticket.used = Some(Amounts::default());
    }

    fn pay(&mut self, ticket: &Ticket) {
        for (Meter { unit, budget }, charge) in self.meters.iter_mut().zip(&ticket.charges) {
            budget.end(charge, ticket.used.map(|used| used.of(*unit)));
        }
    }
}
