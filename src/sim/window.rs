//! An exact sliding window.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Sums weights over the last `span`. What is exactly `span` old is out.
///
/// Every entry is kept, as an approximation could neither prove an overrun nor its absence.
#[derive(Debug)]
pub(super) struct Window {
    span: Duration,
    entries: VecDeque<(Instant, u64)>,
    sum: u64,
}

impl Window {
    pub(super) fn new(span: Duration) -> Self {
        Self { span, entries: VecDeque::new(), sum: 0 }
    }

    /// Forgets what has left the window.
    pub(super) fn roll(&mut self, now: Instant) {
        while let Some((at, weight)) = self.entries.front().copied() {
            if now.saturating_duration_since(at) < self.span {
                break;
            }
            self.entries.pop_front();
            self.sum -= weight;
        }
    }

    /// Counts something now, and tells the new sum.
    pub(super) fn push(&mut self, now: Instant, weight: u64) -> u64 {
        self.roll(now);
        if weight > 0 {
            self.entries.push_back((now, weight));
            self.sum += weight;
        }
        self.sum
    }

    /// The sum as of the last `roll` or `push`.
    pub(super) fn sum(&self) -> u64 {
        self.sum
    }

    /// How long until the sum is `most` or less.
    pub(super) fn until_at_most(&self, most: u64, now: Instant) -> Duration {
        let mut sum = self.sum;
        let mut wait = Duration::ZERO;
        for (at, weight) in &self.entries {
            if sum <= most {
                break;
            }
            sum -= weight;
            wait = (*at + self.span).saturating_duration_since(now);
        }
        wait
    }

    /// How long until nothing is left in the window.
    pub(super) fn until_empty(&self, now: Instant) -> Duration {
        self.entries.back().map_or(Duration::ZERO, |(at, _)| (*at + self.span).saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_leaves_exactly_one_span_after_it_came() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut window = Window::new(Duration::from_secs(1));
        assert_eq!(window.push(at(0), 2), 2);
        assert_eq!(window.push(at(400), 3), 5);
        window.roll(at(999));
        assert_eq!(window.sum(), 5);
        assert_eq!(window.until_at_most(4, at(900)), Duration::from_millis(100));
        assert_eq!(window.until_at_most(2, at(900)), Duration::from_millis(500));
        assert_eq!(window.until_at_most(5, at(900)), Duration::ZERO);
        assert_eq!(window.until_empty(at(900)), Duration::from_millis(500));
        window.roll(at(1000));
        assert_eq!(window.sum(), 3);
    }
}
