//! One limit: a steady flow that fills a purse, calls that are paid from it, and windows that are never overrun.

use std::time::Duration;

use tokio::time::Instant;

use super::forecast::Forecast;
use super::pace::{PARTS, Pace};
use super::window::{Place, Window};

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
    /// Nothing costs, and no debt or credit is, more than a minute's worth.
    most: i64,
}

/// What one call has taken from a budget, until it ends.
#[derive(Clone, Debug)]
pub(super) struct Charge {
    estimate: u64,
    paid: u64,
    places: Vec<Place>,
}

impl Budget {
    /// Requests a minute.
    pub(super) fn requests(per_minute: u64) -> Self {
        let mut windows = vec![Window::new(per_minute, MINUTE + MINUTE_MARGIN)];
        let (mut count, mut period) = (per_minute, MINUTE + MINUTE_MARGIN);
        let per_second = per_minute.div_ceil(60);
        if per_minute >= GUARDED_PER_SECOND * 60 {
            // The stretch of a second or a little more that a whole number of requests fills.
            count = per_second;
            period = Duration::from_secs_f64(60.0 * ratio(per_second, per_minute)) + SECOND_MARGIN;
            windows.push(Window::new(count, period));
        }
        Self::new(Pace::new(count, period, 1), windows, per_minute)
    }

    /// Tokens a minute. Seconds are not guarded: a second's tokens are a few calls, and to cut them strictly would leave
    /// most of them unused.
    pub(super) fn tokens(per_minute: u64) -> Self {
        let period = MINUTE + MINUTE_MARGIN;
        Self::new(
            Pace::new(per_minute, period, per_minute.div_ceil(SHARES)),
            vec![Window::new(per_minute, period)],
            per_minute,
        )
    }

    fn new(pace: Pace, windows: Vec<Window>, per_minute: u64) -> Self {
        Self { pace, windows, purse: 0, most: parts(per_minute) }
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
        self.windows.iter_mut().try_for_each(|window| window.fits(now, estimate, forecast))
    }

    /// A call that may be sent is sent.
    pub(super) fn take(&mut self, now: Instant, estimate: u64, expected: u64) -> Charge {
        self.purse -= self.cost(expected);
        let places = self.windows.iter_mut().map(|window| window.add(now, estimate)).collect();
        Charge { estimate, paid: expected, places }
    }

    /// A call ended, and used this much: too much is given back, too little is owed. Without a figure, what was paid
    /// is taken as used: the server may have counted it.
    pub(super) fn end(&mut self, charge: &Charge, used: Option<u64>) {
        let used = used.unwrap_or(charge.paid);
        self.purse = (self.purse + self.cost(charge.paid) - self.cost(used)).clamp(-self.most, self.most);
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
