//! Requests a day: a count that begins anew at midnight, spent as fast as other limits allow.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

const DAY: Duration = Duration::from_hours(24);

#[derive(Clone, Copy, Debug)]
pub(super) struct Day {
    limit: u64,
    used: u64,
    ends: Instant,
}

impl Day {
    /// `used` of `limit` are gone, and the day ends in this time.
    pub(super) fn new(limit: u64, used: u64, ends_in: Duration) -> Self {
        Self { limit, used, ends: Instant::now() + ends_in }
    }

    /// The day as it is now, by UTC.
    pub(super) fn today(limit: u64, used: u64) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let left = DAY.as_secs() - since_epoch % DAY.as_secs();
        Self::new(limit, used, Duration::from_secs(left))
    }

    /// Whether a request may be sent today, or when the next day begins.
    pub(super) fn check(&mut self, now: Instant) -> Result<(), Instant> {
        while self.ends <= now {
            self.ends += DAY;
            self.used = 0;
        }
        if self.used < self.limit { Ok(()) } else { Err(self.ends) }
    }

    pub(super) fn take(&mut self) {
        self.used += 1;
    }

    pub(super) fn give_back(&mut self) {
        self.used = self.used.saturating_sub(1);
    }
}
