//! Windows in which limits hold: exact sliding ones, and ones that follow the clock.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

/// How a window moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowKind {
    /// With each moment: what was used comes back bit by bit.
    #[default]
    Sliding,
    /// By the clock, which begins with the simulator: at each full minute (second, day) all is there again.
    Fixed,
}

/// What is used of a limit.
#[derive(Debug)]
pub(super) enum Used {
    Sliding(Window),
    Fixed(Fixed),
}

impl Used {
    /// Nothing yet. Fixed windows begin at `started` and every `span` after it.
    pub(super) fn new(kind: WindowKind, span: Duration, started: Instant) -> Self {
        match kind {
            WindowKind::Sliding => Self::Sliding(Window::new(span)),
            WindowKind::Fixed => Self::Fixed(Fixed { span, start: started, sum: 0 }),
        }
    }

    /// What is used now.
    pub(super) fn sum(&mut self, now: Instant) -> u64 {
        match self {
            Self::Sliding(window) => {
                window.roll(now);
                window.sum()
            }
            Self::Fixed(window) => {
                window.roll(now);
                window.sum
            }
        }
    }

    /// Counts something now.
    pub(super) fn push(&mut self, now: Instant, weight: u64) {
        match self {
            Self::Sliding(window) => {
                window.push(now, weight);
            }
            Self::Fixed(window) => {
                window.roll(now);
                window.sum += weight;
            }
        }
    }

    /// How long until the last known sum is `most` or less.
    pub(super) fn until_at_most(&self, most: u64, now: Instant) -> Duration {
        match self {
            Self::Sliding(window) => window.until_at_most(most, now),
            Self::Fixed(window) if window.sum > most => window.until_end(now),
            Self::Fixed(_) => Duration::ZERO,
        }
    }

    /// How long until nothing is used.
    pub(super) fn until_empty(&self, now: Instant) -> Duration {
        match self {
            Self::Sliding(window) => window.until_empty(now),
            Self::Fixed(_) => self.until_at_most(0, now),
        }
    }
}

/// One window after the other.
#[derive(Debug)]
pub(super) struct Fixed {
    span: Duration,
    /// Of the present one.
    start: Instant,
    sum: u64,
}

impl Fixed {
    fn roll(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.start);
        if passed < self.span {
            return;
        }
        let into = u64::try_from(passed.as_nanos() % self.span.as_nanos()).unwrap_or_default();
        self.start += passed.saturating_sub(Duration::from_nanos(into));
        self.sum = 0;
    }

    fn until_end(&self, now: Instant) -> Duration {
        (self.start + self.span).saturating_duration_since(now)
    }
}

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

    #[test]
    fn a_fixed_window_is_empty_again_at_each_full_span() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut used = Used::new(WindowKind::Fixed, Duration::from_secs(1), start);
        used.push(at(2_300), 4);
        assert_eq!((used.sum(at(2_999)), used.until_at_most(3, at(2_900))), (4, Duration::from_millis(100)));
        assert_eq!(
            (used.until_at_most(4, at(2_900)), used.until_empty(at(2_400))),
            (Duration::ZERO, Duration::from_millis(600))
        );
        assert_eq!((used.sum(at(3_000)), used.until_empty(at(3_000))), (0, Duration::ZERO));
    }
}
