//! The most calls in flight lately.

use std::time::Duration;

use tokio::time::Instant;

/// What lies between one and two of these back is the past.
const LATELY: Duration = Duration::from_secs(10);

/// A peak over the last seconds: refusals come so fast at times that few calls are in flight when the first is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peak {
    since: Instant,
    now: u64,
    before: u64,
}

impl Peak {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), now: 0, before: 0 }
    }

    /// So many are in flight.
    pub(super) fn see(&mut self, now: Instant, in_flight: u64) {
        let age = now.saturating_duration_since(self.since);
        if age >= LATELY {
            // After a silence there is no peak to speak of.
            self.before = if age >= 2 * LATELY { 0 } else { self.now };
            (self.since, self.now) = (now, 0);
        }
        self.now = self.now.max(in_flight);
    }

    pub(super) fn lately(&self) -> u64 {
        self.now.max(self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_kept_for_some_seconds() {
        let (mut peak, start) = (Peak::new(), Instant::now());
        peak.see(start, 100);
        peak.see(start + LATELY, 3);
        assert_eq!(peak.lately(), 100);
        peak.see(start + 2 * LATELY, 2);
        assert_eq!(peak.lately(), 3);
        peak.see(start + 9 * LATELY, 1);
        assert_eq!(peak.lately(), 1);
    }
}
