//! The exact guard: what any sliding window holds, whatever the pace did.

use std::collections::VecDeque;
use std::ops::{AddAssign, SubAssign};
use std::time::Duration;

use tokio::time::Instant;

use super::forecast::Forecast;

/// A window's memory: what is sent within a thousandth of it is kept together, so that memory is bounded at any rate.
const BUCKETS: u32 = 1_000;

/// What was sent: used for certain by calls that ended, and the estimates of those in flight.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    used: u64,
    open: u64,
    open_squares: u128,
}

impl Load {
    fn open(estimate: u64) -> Self {
        Self { used: 0, open: estimate, open_squares: u128::from(estimate) * u128::from(estimate) }
    }

    fn at_most(&self, forecast: &Forecast) -> u64 {
        self.used.saturating_add(forecast.at_most(self.open, self.open_squares))
    }
}

impl AddAssign for Load {
    fn add_assign(&mut self, other: Self) {
        self.used = self.used.saturating_add(other.used);
        self.open += other.open;
        self.open_squares += other.open_squares;
    }
}

impl SubAssign for Load {
    fn sub_assign(&mut self, other: Self) {
        self.used = self.used.saturating_sub(other.used);
        self.open -= other.open;
        self.open_squares -= other.open_squares;
    }
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    first: Instant,
    last: Instant,
    load: Load,
}

/// Where a call stands in a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(u64);

/// A sliding window over what was sent.
#[derive(Debug)]
pub(super) struct Window {
    length: Duration,
    limit: u64,
    grain: Duration,
    buckets: VecDeque<Bucket>,
    /// The number of the bucket in front.
    front: u64,
    sum: Load,
}

impl Window {
    /// At most `limit` in any stretch of `length`.
    pub(super) fn new(limit: u64, length: Duration) -> Self {
        let grain = length / BUCKETS;
        Self { length, limit, grain, buckets: VecDeque::new(), front: 0, sum: Load::default() }
    }

    /// The same window with another limit, perhaps of another length. What it holds stays.
    pub(super) fn retune(&mut self, limit: u64, length: Duration) {
        self.limit = limit;
        self.length = length;
        self.grain = length / BUCKETS;
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// What it holds, calls in flight as estimated.
    pub(super) fn holds(&mut self, now: Instant) -> u64 {
        self.forget(now);
        self.sum.used.saturating_add(self.sum.open)
    }

    /// Whether a call with this estimate may be sent now beside what others hold, or when to ask again. One that is
    /// larger than the whole limit may go alone: the server will tell.
    pub(super) fn fits(&mut self, now: Instant, estimate: u64, held: u64, forecast: &Forecast) -> Result<(), Instant> {
        self.forget(now);
        let mut load = self.sum;
        load.used = load.used.saturating_add(held);
        load += Load::open(estimate);
        let mut free_at = None;
        for bucket in &self.buckets {
            if load.at_most(forecast) <= self.limit {
                break;
            }
            load -= bucket.load;
            free_at = Some(bucket.last + self.length);
        }
        free_at.map_or(Ok(()), Err)
    }

    /// A call is sent.
    pub(super) fn add(&mut self, now: Instant, estimate: u64) -> Place {
        let load = Load::open(estimate);
        self.sum += load;
        match self.buckets.back_mut() {
            Some(bucket) if now.duration_since(bucket.first) < self.grain => {
                bucket.last = now;
                bucket.load += load;
            }
            Some(_) | None => self.buckets.push_back(Bucket { first: now, last: now, load }),
        }
        Place(self.front + self.buckets.len() as u64 - 1)
    }

    /// A call ended: what it used stands in place of what was estimated.
    pub(super) fn end(&mut self, place: Place, estimate: u64, used: u64) {
        let index = place.0.checked_sub(self.front).and_then(|index| usize::try_from(index).ok());
        let Some(bucket) = index.and_then(|index| self.buckets.get_mut(index)) else { return };
        for load in [&mut bucket.load, &mut self.sum] {
            *load -= Load::open(estimate);
            load.used = load.used.saturating_add(used);
        }
    }

    fn forget(&mut self, now: Instant) {
        while let Some(bucket) = self.buckets.front()
            && bucket.last + self.length <= now
        {
            self.sum -= bucket.load;
            self.front += 1;
            self.buckets.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn fits(window: &mut Window, estimate: u64) -> Result<(), Duration> {
        let now = Instant::now();
        window.fits(now, estimate, 0, &Forecast::CERTAIN).map_err(|at| at - now)
    }

    #[tokio::test(start_paused = true)]
    async fn is_full_until_enough_has_left() {
        let mut window = Window::new(10, 60 * SECOND);
        window.add(Instant::now(), 4);
        advance(10 * SECOND).await;
        window.add(Instant::now(), 5);
        assert_eq!(fits(&mut window, 1), Ok(()));
        assert_eq!(fits(&mut window, 2), Err(50 * SECOND));
        assert_eq!(fits(&mut window, 6), Err(60 * SECOND));
        advance(50 * SECOND).await;
        assert_eq!(fits(&mut window, 5), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_larger_than_the_limit_goes_alone() {
        let mut window = Window::new(10, 60 * SECOND);
        assert_eq!(fits(&mut window, 1_000), Ok(()));
        window.add(Instant::now(), 1_000);
        assert_eq!(fits(&mut window, 1), Err(60 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_used_replaces_the_estimate() {
        let mut window = Window::new(10, 60 * SECOND);
        let place = window.add(Instant::now(), 10);
        assert!(fits(&mut window, 1).is_err());
        window.end(place, 10, 7);
        assert_eq!((fits(&mut window, 3), fits(&mut window, 4).is_err()), (Ok(()), true));
        advance(60 * SECOND).await;
        assert_eq!(fits(&mut window, 10), Ok(()));
        window.end(place, 10, 7);
        assert_eq!(fits(&mut window, 10), Ok(()), "a call that has left the window changes nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_at_any_rate() {
        let mut window = Window::new(u64::MAX, SECOND);
        for _ in 0..50_000 {
            advance(Duration::from_micros(50)).await;
            assert_eq!(fits(&mut window, 1), Ok(()));
            window.add(Instant::now(), 1);
        }
        assert!(window.buckets.len() <= BUCKETS as usize + 1, "{}", window.buckets.len());
        assert!(window.sum.open >= 20_000, "a second's worth is kept: {}", window.sum.open);
    }
}
