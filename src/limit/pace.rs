//! Spreads sends evenly: governor's check, which is never asked to wait.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use super::clock::TokioClock;

/// Parts that a request or a token is cut into: a wake-up that comes a little late then loses none of the rate.
pub(super) const PARTS: u64 = 16;

/// Cells are not shorter: governor counts whole nanoseconds, and a rounded short cell would be a wrong rate.
const SHORTEST_CELL_NANOS: u128 = 10_000;

/// What may come at once beyond what is asked for at once: makes up for timers, which are coarse and late.
const SLACK: Duration = Duration::from_micros(2_500);

/// A source of parts that flows at a steady rate.
#[derive(Debug)]
pub(super) struct Pace {
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Nanos>>,
    clock: TokioClock,
    parts_per_cell: u64,
    /// No more is asked for at once; the burst is larger by the slack.
    cells_at_once: u32,
}

impl Pace {
    /// A flow of `count` units in each `period`, of which `at_once` units may come together.
    pub(super) fn new(count: u64, period: Duration, at_once: u64) -> Self {
        let parts = u128::from(count.max(1)) * u128::from(PARTS);
        let parts_per_cell = (SHORTEST_CELL_NANOS * parts).div_ceil(period.as_nanos().max(1)).max(1);
        let cell_nanos = (period.as_nanos() * parts_per_cell).div_ceil(parts).max(1);
        let cells_at_once = narrow((u128::from(at_once) * u128::from(PARTS)).div_ceil(parts_per_cell)).max(1);
        let slack_cells = narrow(SLACK.as_nanos().div_ceil(cell_nanos));
        let burst = NonZeroU32::new(cells_at_once.saturating_add(slack_cells)).unwrap_or(NonZeroU32::MIN);
        let cell = Duration::from_nanos(u64::try_from(cell_nanos).unwrap_or(u64::MAX));
        let every_second = Quota::per_second(NonZeroU32::MIN);
        let quota = Quota::with_period(cell).unwrap_or(every_second).allow_burst(burst);
        let clock = TokioClock::new();
        Self {
            limiter: RateLimiter::direct_with_clock(quota, clock),
            clock,
            parts_per_cell: u64::try_from(parts_per_cell).unwrap_or(u64::MAX),
            cells_at_once,
        }
    }

    /// Takes at least `parts`, or as many as may come at once; else says when they will be there.
    pub(super) fn take(&self, parts: u64) -> Result<u64, Instant> {
        let wanted = narrow(u128::from(parts.div_ceil(self.parts_per_cell)));
        let Some(cells) = NonZeroU32::new(wanted.min(self.cells_at_once)) else { return Ok(0) };
        match self.limiter.check_n(cells) {
            Ok(Ok(())) => Ok(u64::from(cells.get()) * self.parts_per_cell),
            Ok(Err(not_yet)) => Err(self.clock.instant(not_yet.earliest_possible())),
            // More than the burst is never asked for.
            Err(_) => Err(self.clock.instant(self.clock.now()) + Duration::from_secs(1)),
        }
    }
}

fn narrow(cells: u128) -> u32 {
    u32::try_from(cells).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep_until};

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    /// Units that flow in ten minutes to one who always wants.
    async fn flow(count: u64, want: u64) -> u64 {
        let pace = Pace::new(count, MINUTE, want.min(count.div_ceil(300)));
        let (end, mut parts) = (Instant::now() + 10 * MINUTE, 0);
        while Instant::now() < end {
            match pace.take(want * PARTS) {
                Ok(taken) => parts += taken,
                Err(at) => sleep_until(at).await,
            }
        }
        parts / PARTS
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_right_from_one_a_minute_to_a_billion() {
        for (count, want) in
            [(1, 1), (60, 1), (7_001, 1), (100_000, 700), (7_654_321, 9_000), (1_000_000_000, 5_000_000)]
        {
            let (flown, due) = (flow(count, want).await, count * 10);
            assert!(flown * 1_000 >= due * 999 - 1_000, "{count} a minute: {flown} of {due}");
            assert!(flown <= due + due / 1_000 + 2, "{count} a minute: {flown} of {due}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn idle_time_is_not_saved_up() {
        let pace = Pace::new(600, MINUTE, 1);
        advance(10 * MINUTE).await;
        assert!(pace.take(PARTS).is_ok());
        assert!(pace.take(PARTS).is_err());
    }
}
