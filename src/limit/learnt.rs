//! Limits that replies tell: each becomes a pace of its own beside the configured ones, and follows what is told.
//!
//! The told limit is the main thing. What remains of it only says whether somebody else uses it too, or earlier runs
//! did; of a day it is all that can be known.

use std::time::Duration;

use tokio::time::Instant;

use super::Limits;
use super::budget::{Budget, Charge};
use super::forecast::Learners;
use super::settings::Amounts;
use crate::types::{RatePer, RateReport, RateTold, RateUnit};

/// No wait told by a server is believed beyond this; also keeps instants in range.
const LONGEST_RESET: Duration = Duration::from_hours(24 * 31);

/// A day's rest that is used up, of which it is not told when it comes back, is asked for again after this time.
const UNKNOWN_RESET: Duration = Duration::from_mins(10);

/// What is never further away than this part of the limit's time is counted in a shorter window than the limit is told
/// for, and its rest tells nothing of others. Of a longer window little is used as long as it looks like that.
const SHORT: u32 = 10;

/// A limit that moves by less than one part in so many is the same.
const SAME: u64 = 100;

/// Everything told by one member's replies.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    limits: Vec<Told>,
}

#[derive(Debug)]
struct Told {
    unit: RateUnit,
    per: RatePer,
    limit: Option<u64>,
    /// When the call was sent whose reply told the newest: answers overtake one another.
    sent_at: Instant,
    /// The longest of the told times until all is there again.
    longest_reset: Duration,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Paced(Box<Budget>),
    Rest(Rest),
}

/// What may be spent until new is told: for days, and for limits whose height is not told.
#[derive(Clone, Copy, Debug, Default)]
struct Rest {
    spent: u64,
    most: Option<(u64, Instant)>,
    /// What is left is too little for a call that asked.
    too_little: bool,
}

/// What a call has taken from each limit that was known when it was sent.
#[derive(Debug)]
pub(super) struct Marks(Vec<Mark>);

#[derive(Debug)]
enum Mark {
    Charge(Charge),
    Spent { cost: u64, with_it: u64 },
}

impl Learnt {
    /// Whether a rate is told, to keep to.
    pub(super) fn is_paced(&self) -> bool {
        self.limits.iter().any(|told| matches!(told.kind, Kind::Paced(_)))
    }

    /// Takes in what the reply to a call told that was sent then. Whether it explains that the call was
    /// refused.
    pub(super) fn learn(&mut self, now: Instant, report: &RateReport, sent_at: Instant, marks: &Marks) -> bool {
        let mut explains = false;
        for told in report {
            let index = self.limits.iter().position(|known| known.unit == told.unit && known.per == told.per);
            let index = match index {
                Some(index) if self.limits[index].sent_at > sent_at => {
                    // Overtaken, but what it says of its own call still holds.
                    explains |= told.remaining == Some(0);
                    continue;
                }
                Some(index) => index,
                None => {
                    self.limits.push(Told::new(told, sent_at));
                    explains = true;
                    self.limits.len() - 1
                }
            };
            explains |= self.limits[index].learn(now, told, sent_at, marks.0.get(index));
        }
        explains
    }

    /// When all limits let a call of this size through, if not now.
    pub(super) fn check(&mut self, now: Instant, estimate: &Amounts, learners: &Learners) -> Option<Instant> {
        let expected = learners.expected(estimate);
        let mut wait = None;
        for Told { unit, kind, .. } in &mut self.limits {
            let (estimate, expected) = (estimate.of(*unit), expected.of(*unit));
            wait = wait.max(match kind {
                Kind::Paced(budget) => budget.check(now, estimate, expected, &learners.forecast(*unit)).err(),
                Kind::Rest(rest) => rest.check(now, expected).err(),
            });
        }
        wait
    }

    pub(super) fn take(&mut self, now: Instant, estimate: &Amounts, learners: &Learners) -> Marks {
        let expected = learners.expected(estimate);
        let limits = self.limits.iter_mut();
        Marks(limits.map(|told| told.take(now, estimate.of(told.unit), expected.of(told.unit))).collect())
    }

    /// A call ended, and used this much, if that is known.
    pub(super) fn end(&mut self, marks: &Marks, used: Option<&Amounts>) {
        for (told, mark) in self.limits.iter_mut().zip(&marks.0) {
            let used = used.map(|used| used.of(told.unit));
            match (&mut told.kind, mark) {
                (Kind::Paced(budget), Mark::Charge(charge)) => budget.end(charge, used),
                (Kind::Rest(rest), Mark::Spent { cost, .. }) => {
                    rest.spent = rest.spent.saturating_sub(*cost).saturating_add(used.unwrap_or(*cost));
                }
                // A limit's kind never changes.
                (Kind::Paced(_), Mark::Spent { .. }) | (Kind::Rest(_), Mark::Charge(_)) => {}
            }
        }
    }

    /// A call is not sent.
    pub(super) fn give_back(&mut self, marks: &Marks) {
        for (told, mark) in self.limits.iter_mut().zip(&marks.0) {
            match (&mut told.kind, mark) {
                (Kind::Paced(budget), Mark::Charge(charge)) => budget.end(charge, Some(0)),
                (Kind::Rest(rest), Mark::Spent { cost, .. }) => rest.spent = rest.spent.saturating_sub(*cost),
                // A limit's kind never changes.
                (Kind::Paced(_), Mark::Spent { .. }) | (Kind::Rest(_), Mark::Charge(_)) => {}
            }
        }
    }

    /// Until when the server lets nothing through, as it told.
    pub(super) fn away_until(&self, now: Instant) -> Option<Instant> {
        let waits = self.limits.iter().filter_map(|told| match &told.kind {
            Kind::Paced(budget) => budget.held_until(now),
            Kind::Rest(rest) => rest.used_up_until(now),
        });
        waits.max()
    }

    /// The limits as they are with what is learnt, where that is lower.
    pub(super) fn below(&self, limits: Limits) -> Limits {
        let mut limits = limits;
        for told in &self.limits {
            let Some(limit) = told.limit else { continue };
            let (limit, place) = match (told.unit, told.per) {
                (RateUnit::Requests, RatePer::Day) => (limit, &mut limits.rpd),
                (_, RatePer::Day) => continue,
                (unit, per) => {
                    let a_minute = if per == RatePer::Second { limit.saturating_mul(60) } else { limit };
                    let place = match unit {
                        RateUnit::Requests => &mut limits.rpm,
                        RateUnit::Tokens => &mut limits.tpm,
                        RateUnit::InputTokens => &mut limits.input_tpm,
                        RateUnit::OutputTokens => &mut limits.output_tpm,
                    };
                    (a_minute, place)
                }
            };
            *place = Some(place.map_or(limit, |known| known.min(limit)));
        }
        limits
    }
}

impl Told {
    fn new(told: &RateTold, sent_at: Instant) -> Self {
        let kind = match (told.per, told.limit) {
            (RatePer::Minute, Some(limit)) => Kind::Paced(Box::new(Budget::a_minute(told.unit, limit))),
            (RatePer::Second, Some(limit)) => Kind::Paced(Box::new(Budget::a_second(told.unit, limit))),
            (RatePer::Day, _) | (_, None) => Kind::Rest(Rest::default()),
        };
        Self { unit: told.unit, per: told.per, limit: told.limit, sent_at, longest_reset: Duration::ZERO, kind }
    }

    fn learn(&mut self, now: Instant, told: &RateTold, sent_at: Instant, mark: Option<&Mark>) -> bool {
        self.sent_at = sent_at;
        let reset = told.reset.map(|reset| reset.min(LONGEST_RESET));
        match &mut self.kind {
            Kind::Rest(rest) => {
                self.limit = told.limit;
                let Some(remaining) = told.remaining else { return false };
                let unknown = self.per.length().min(UNKNOWN_RESET);
                rest.learn(remaining, now + reset.unwrap_or(unknown), mark);
                remaining == 0
            }
            Kind::Paced(_) => {
                let lower = told.limit.is_some_and(|limit| self.follow(limit));
                if self.per == RatePer::Minute {
                    self.leave_to_others(now, told, reset, mark);
                }
                lower || told.remaining == Some(0)
            }
        }
    }

    /// The limit is this now; whether that is less than before.
    fn follow(&mut self, limit: u64) -> bool {
        let (Kind::Paced(budget), Some(old)) = (&mut self.kind, self.limit) else { return false };
        let moved = limit.abs_diff(old) > old / SAME;
        if moved {
            budget.retune(self.unit, limit, self.per == RatePer::Second);
            self.limit = Some(limit);
        }
        moved && limit < old
    }

    /// What remains tells what others use of it.
    fn leave_to_others(&mut self, now: Instant, told: &RateTold, reset: Option<Duration>, mark: Option<&Mark>) {
        let (Some(limit), Some(remaining)) = (self.limit, told.remaining) else { return };
        let Kind::Paced(budget) = &mut self.kind else { return };
        let charge = match mark {
            Some(Mark::Charge(charge)) => Some(charge),
            Some(Mark::Spent { .. }) | None => None,
        };
        let length = self.per.length();
        self.longest_reset = self.longest_reset.max(reset.unwrap_or(length));
        if self.longest_reset * SHORT < length {
            return;
        }
        let longest = if remaining == 0 { LONGEST_RESET } else { length };
        let until = now + reset.unwrap_or(length).min(longest);
        budget.told(now, charge, limit.saturating_sub(remaining), slack(self.unit, limit), until);
    }

    fn take(&mut self, now: Instant, estimate: u64, expected: u64) -> Mark {
        match &mut self.kind {
            Kind::Paced(budget) => Mark::Charge(budget.take(now, estimate, expected)),
            Kind::Rest(rest) => {
                rest.spent = rest.spent.saturating_add(expected);
                Mark::Spent { cost: expected, with_it: rest.spent }
            }
        }
    }
}

impl Rest {
    /// So much remained when the call with this mark was counted.
    fn learn(&mut self, remaining: u64, until: Instant, mark: Option<&Mark>) {
        let spent = match mark {
            Some(Mark::Spent { with_it, .. }) => *with_it,
            Some(Mark::Charge(_)) | None => self.spent,
        };
        self.most = Some((spent.saturating_add(remaining), until));
        self.too_little = false;
    }

    fn check(&mut self, now: Instant, expected: u64) -> Result<(), Instant> {
        self.most = self.most.filter(|(_, until)| *until > now);
        let too_little = |(most, _): &(u64, Instant)| self.spent.saturating_add(expected) > *most;
        let waits = self.most.filter(too_little).map(|(_, until)| until);
        self.too_little |= waits.is_some();
        waits.map_or(Ok(()), Err)
    }

    fn used_up_until(&self, now: Instant) -> Option<Instant> {
        let (most, until) = self.most?;
        ((self.too_little || self.spent >= most) && until > now).then_some(until)
    }
}

/// Differences that rounding (to thousands of tokens) and calls on their way explain.
fn slack(unit: RateUnit, limit: u64) -> u64 {
    match unit {
        RateUnit::Requests => (limit / 50).max(2),
        RateUnit::Tokens | RateUnit::InputTokens | RateUnit::OutputTokens => (limit / 20).max(1_000),
    }
}
