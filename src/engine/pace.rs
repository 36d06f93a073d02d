//! How fast rows end, and when the last one will have.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The pace that is shown is that of so long.
const SHOWN: Duration = Duration::from_secs(10);
/// What is left is expected to go as fast as it did in so long: a server that takes all calls of a minute at once, and then
/// none, is neither as fast as in its best seconds nor stuck.
const EXPECTED: Duration = Duration::from_mins(1);

/// Looked at ten times a second.
pub(super) struct Pace {
    /// When it was looked at, and how many rows had ended; the first is the begin, or just before what is expected by.
    looks: VecDeque<(Instant, u64)>,
}

impl Pace {
    pub fn new(began: Instant) -> Self {
        Self { looks: VecDeque::from([(began, 0)]) }
    }

    /// So many rows have ended by now.
    pub fn look(&mut self, now: Instant, ended: u64) {
        self.looks.push_back((now, ended));
        // The second one says as much once it is old enough.
        while self.looks.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= EXPECTED) {
            self.looks.pop_front();
        }
    }

    /// What was before says nothing of what comes: rows were held up, or are from now on.
    pub fn forget(&mut self) {
        let last = self.looks.pop_back();
        self.looks.clear();
        self.looks.extend(last);
    }

    /// As shown.
    pub fn rows_per_second(&self) -> f64 {
        self.over(SHOWN)
    }

    /// How long so many more rows take; `None`: none ended lately.
    pub fn time_for(&self, remaining: u64) -> Option<Duration> {
        let rate = self.over(EXPECTED);
        if rate <= 0.0 {
            return None;
        }
        Duration::try_from_secs_f64(float(remaining) / rate).ok()
    }

    fn over(&self, time: Duration) -> f64 {
        let Some((now, ended)) = self.looks.back().copied() else { return 0.0 };
        let before = self.looks.iter().rfind(|(at, _)| now.duration_since(*at) >= time).or(self.looks.front());
        let (since, before) = before.copied().unwrap_or((now, ended));
        let seconds = now.duration_since(since).as_secs_f64();
        if seconds > 0.0 { float(ended - before) / seconds } else { 0.0 }
    }
}

/// Rows are far below 2^52.
#[expect(clippy::cast_precision_loss)]
fn float(rows: u64) -> f64 {
    rows as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks ten times a second, as rows end at these rates, each for so many seconds.
    fn looked(pace: &mut Pace, from: Instant, rates: &[(u64, u64)]) -> Instant {
        let (mut now, mut ended) = (from, pace.looks.back().map_or(0, |(_, ended)| *ended));
        for (rate, seconds) in rates {
            for look in 1..=seconds * 10 {
                now += Duration::from_millis(100);
                pace.look(now, ended + rate * look / 10);
            }
            ended += rate * seconds;
        }
        now
    }

    fn begun() -> (Pace, Instant) {
        let began = Instant::now();
        (Pace::new(began), began)
    }

    #[test]
    fn it_is_that_of_the_last_seconds_and_from_the_begin_on_before() {
        let (mut pace, began) = begun();
        assert_eq!((pace.rows_per_second(), pace.time_for(10)), (0.0, None));
        let now = looked(&mut pace, began, &[(20, 5)]);
        assert!((pace.rows_per_second() - 20.0).abs() < 0.1);
        looked(&mut pace, now, &[(80, 15)]);
        assert!((pace.rows_per_second() - 80.0).abs() < 0.1);
    }

    #[test]
    fn a_server_that_works_in_the_first_seconds_of_each_minute_has_a_steady_end() {
        let (mut pace, began) = begun();
        let mut now = looked(&mut pace, began, &[(60, 10), (0, 50)]);
        for _ in 0..12 {
            now = looked(&mut pace, now, &[(60, 2), (0, 3)]);
            now = looked(&mut pace, now, &[(60, 8), (0, 47)]);
            let expected = pace.time_for(600).unwrap().as_secs();
            assert!((55..=65).contains(&expected), "{expected}");
        }
    }

    #[test]
    fn after_a_pause_only_what_follows_counts() {
        let (mut pace, began) = begun();
        let now = looked(&mut pace, began, &[(50, 30)]);
        pace.forget();
        let now = looked(&mut pace, now, &[(0, 600)]);
        assert_eq!(pace.time_for(100), None);
        pace.forget();
        looked(&mut pace, now, &[(50, 2)]);
        assert!((pace.rows_per_second() - 50.0).abs() < 0.1);
        assert_eq!(pace.time_for(100).unwrap().as_millis(), 2_000);
    }
}
