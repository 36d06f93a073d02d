//! One limit: a steady flow that fills a purse, calls that are paid from it, and windows that are never overrun.

use std::time::Duration;

use tokio::time::Instant;

use super::forecast::Forecast;
use super::pace::{PARTS, Pace};
use super::window::{Place, Window};
use crate::types::RateUnit;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// From this many requests a second on, each second is guarded too: servers may count in windows as short as that.
const GUARDED_PER_SECOND: u64 = 10;

/// By how much windows are longer than those of the server: what leaves here evenly may arrive a little closer together.
const MINUTE_MARGIN: Duration = Duration::from_millis(50);
const SECOND_MARGIN: Duration = Duration::from_millis(10);

/// Tokens flow in shares of this many a minute, some 200 ms: few wake-ups, and no burst to speak of.
const SHARES: u64 = 300;

/// One limit of a provider or a model.
#[derive(Debug)]
pub(super) struct Budget {
    pace: Pace,
    windows: Vec<Window>,
    /// Parts in hand; below zero, they are owed.
    purse: i64,
    /// Some call told what it used.
    told: bool,
    /// Nothing costs, and no debt or credit is, more than a minute's worth.
    most: i64,
    /// What somebody else holds of the longest window, as far as is told, and until when.
    held: Option<(u64, Instant)>,
}

/// What one call has taken from a budget, until it ends.
#[derive(Clone, Debug)]
pub(super) struct Charge {
    estimate: u64,
    paid: u64,
    places: Vec<Place>,
    /// What the longest window held with it.
    held_then: u64,
}

/// How a budget flows, and what its windows hold.
struct Shape {
    pace: Pace,
    /// Limits and lengths, the longest window first.
    windows: Vec<(u64, Duration)>,
    per_minute: u64,
}

impl Shape {
    fn requests(per_minute: u64) -> Self {
        let minute = (per_minute, MINUTE + MINUTE_MARGIN);
        if per_minute < GUARDED_PER_SECOND * 60 {
            // The second's place is kept: a window that appears and disappears would forget whose calls it holds.
            let windows = vec![minute, (u64::MAX, SECOND)];
            return Self { pace: Pace::new(per_minute, minute.1, 1), windows, per_minute };
        }
        // The stretch of a second or a little more that a whole number of requests fills.
        let count = per_minute.div_ceil(60);
        let period = Duration::from_secs_f64(60.0 * ratio(count, per_minute)) + SECOND_MARGIN;
        Self { pace: Pace::new(count, period, 1), windows: vec![minute, (count, period)], per_minute }
    }

    fn requests_a_second(limit: u64) -> Self {
        let (per_minute, period) = (limit.saturating_mul(60), SECOND + SECOND_MARGIN);
        let windows = vec![(per_minute, MINUTE + MINUTE_MARGIN), (limit, period)];
        Self { pace: Pace::new(limit, period, 1), windows, per_minute }
    }

    /// Seconds are not guarded: a second's tokens are a few calls, and to cut them strictly would leave most of them
    /// unused.
    fn tokens(per_minute: u64) -> Self {
        let period = MINUTE + MINUTE_MARGIN;
        let pace = Pace::new(per_minute, period, per_minute.div_ceil(SHARES));
        Self { pace, windows: vec![(per_minute, period)], per_minute }
    }

    fn of(unit: RateUnit, limit: u64, second: bool) -> Self {
        let limit = limit.max(1);
        match (unit, second) {
            (RateUnit::Requests, false) => Self::requests(limit),
            (RateUnit::Requests, true) => Self::requests_a_second(limit),
            (RateUnit::Tokens | RateUnit::InputTokens | RateUnit::OutputTokens, false) => Self::tokens(limit),
            (RateUnit::Tokens | RateUnit::InputTokens | RateUnit::OutputTokens, true) => {
                Self::tokens(limit.saturating_mul(60))
            }
        }
    }
}

impl Budget {
    /// So many units a minute.
    pub(super) fn a_minute(unit: RateUnit, limit: u64) -> Self {
        Self::new(Shape::of(unit, limit, false))
    }

    /// So many units a second.
    pub(super) fn a_second(unit: RateUnit, limit: u64) -> Self {
        Self::new(Shape::of(unit, limit, true))
    }

    fn new(shape: Shape) -> Self {
        let windows = shape.windows.into_iter().map(|(limit, length)| Window::new(limit, length)).collect();
        Self { pace: shape.pace, windows, purse: 0, told: false, most: parts(shape.per_minute), held: None }
    }

    /// Another limit in place of the old one, in the same unit: what was sent under the old one counts.
    pub(super) fn retune(&mut self, unit: RateUnit, limit: u64, second: bool) {
        let shape = Shape::of(unit, limit, second);
        self.pace = shape.pace;
        self.most = parts(shape.per_minute);
        self.purse = self.purse.clamp(-self.most, self.most);
        for (window, (limit, length)) in self.windows.iter_mut().zip(shape.windows) {
            window.retune(limit, length);
        }
    }

    /// The server counted so many units more in its window than a call of our own accounts for: they are left free until
    /// then. Small differences are nobody's.
    pub(super) fn told(&mut self, now: Instant, charge: Option<&Charge>, counted: u64, slack: u64, until: Instant) {
        let Some(window) = self.windows.first_mut() else { return };
        // Whether it counted when the call came or when the answer left is not told.
        let own = charge.map_or(0, |charge| charge.held_then).max(window.holds(now));
        let others = counted.saturating_sub(own);
        self.held = (others > slack).then_some((others, until));
    }

    /// Until when others hold all of it.
    pub(super) fn held_until(&self, now: Instant) -> Option<Instant> {
        let limit = self.windows.first()?.limit();
        self.held.filter(|(held, until)| *held >= limit && *until > now).map(|(_, until)| until)
    }

    /// Whether a call that costs this much may be sent now, or when to ask again. Fills the purse on the way, so it is
    /// asked for one call at a time.
    pub(super) fn check(
        &mut self,
        now: Instant,
        estimate: u64,
        expected: u64,
        forecast: &Forecast,
    ) -> Result<(), Instant> {
        let cost = self.cost(expected);
        while let Some(missing) = u64::try_from(cost - self.purse).ok().filter(|missing| *missing > 0) {
            self.purse += i64::try_from(self.pace.take(missing)?).unwrap_or(self.most);
        }
        self.fits_beside_others(now, estimate, forecast)?;
        self.windows.iter_mut().try_for_each(|window| window.fits(now, estimate, 0, forecast))
    }

    fn fits_beside_others(&mut self, now: Instant, estimate: u64, forecast: &Forecast) -> Result<(), Instant> {
        self.held = self.held.filter(|(_, until)| *until > now);
        let (Some((held, until)), Some(window)) = (self.held, self.windows.first_mut()) else { return Ok(()) };
        let limit = window.limit();
        if held.saturating_add(estimate.min(limit)) > limit {
            return Err(until);
        }
        window.fits(now, estimate, held, forecast).map_err(|at| at.min(until))
    }

    /// A call that may be sent is sent.
    pub(super) fn take(&mut self, now: Instant, estimate: u64, expected: u64) -> Charge {
        self.purse -= self.cost(expected);
        let places = self.windows.iter_mut().map(|window| window.add(now, estimate)).collect();
        let held_then = self.windows.first_mut().map_or(0, |window| window.holds(now));
        Charge { estimate, paid: expected, places, held_then }
    }

    /// A call ended, and used this much: too much is given back, too little is owed. Without a figure, what was paid
    /// is taken as used: the server may have counted it. The windows hold it as one in flight, of which no more is known; but
    /// where no call ever told its use, as what was reserved.
    pub(super) fn end(&mut self, charge: &Charge, used: Option<u64>) {
        let paid = used.unwrap_or(charge.paid);
        self.purse = (self.purse + self.cost(charge.paid) - self.cost(paid)).clamp(-self.most, self.most);
        self.told |= used.is_some_and(|used| used > 0);
        if used.is_none() && self.told {
            return;
        }
        let used = used.unwrap_or(charge.estimate);
        for (window, place) in self.windows.iter_mut().zip(&charge.places) {
            window.end(*place, charge.estimate, used);
        }
    }

    fn cost(&self, units: u64) -> i64 {
        parts(units).min(self.most)
    }
}

/// Units in parts, far below where sums of them could overflow.
fn parts(units: u64) -> i64 {
    i64::try_from(units.saturating_mul(PARTS)).unwrap_or(i64::MAX).min(i64::MAX / 8)
}

#[expect(clippy::cast_precision_loss, reason = "a ratio of rates")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
