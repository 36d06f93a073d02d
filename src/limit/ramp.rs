//! The slow start after a cooldown or an outage: a whole window of rows does not storm back at once.

use std::time::Duration;

use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// The part of what was in flight that goes in the first second.
const FIRST_PART: u64 = 10;

/// What is more than this many times a second all that was in flight is no slow start any more.
const FULL_SPEED: u64 = 100;

/// After so many seconds that needed less, something else keeps the pace.
const NEEDLESS: u32 = 5;

/// One slow start, or none. Costs nothing when there is none.
#[derive(Debug, Default)]
pub(super) struct Ramp {
    climb: Option<Climb>,
}

#[derive(Debug)]
struct Climb {
    /// Where the present second begins.
    second: Instant,
    /// What may be sent in the first second, in this one, and what of it was.
    first: u64,
    quota: u64,
    sent: u64,
    /// What was in flight before.
    goal: u64,
    /// Seconds in a row that used less than half of what they had.
    unused: u32,
}

impl Climb {
    fn new(at: Instant, first: u64, goal: u64) -> Self {
        Self { second: at, first, quota: first, sent: 0, goal, unused: 0 }
    }

    /// When the next call of this second may go: they are spread, so that no stretch of a second holds many more.
    fn next(&self) -> Instant {
        self.second + SECOND.mul_f64(ratio(self.sent, self.quota))
    }

    fn turn(&mut self, now: Instant) {
        if now < self.second + SECOND {
            return;
        }
        // Only who uses what he has gets more: a pause is not the way to a storm.
        if self.sent >= self.quota.div_ceil(2) {
            self.quota = self.quota.saturating_mul(2);
            self.unused = 0;
        } else {
            self.unused += 1;
        }
        let late = now >= self.second + 2 * SECOND;
        self.second = if late { now } else { self.second + SECOND };
        self.sent = 0;
    }
}

impl Ramp {
    /// A cooldown or an outage ends at this time; so many calls were in flight before. Within a slow start it starts
    /// over, lower; the many refusals of one moment are one.
    pub(super) fn begin(&mut self, now: Instant, at: Instant, in_flight_before: u64) {
        match &mut self.climb {
            Some(climb) if climb.second > now => climb.second = climb.second.max(at),
            Some(climb) => *climb = Climb::new(at, (climb.first / 2).max(1), climb.goal.max(in_flight_before)),
            None => self.climb = Some(Climb::new(at, (in_flight_before / FIRST_PART).max(1), in_flight_before)),
        }
    }

    /// Whether a call may go now, or when to ask again.
    pub(super) fn may_send(&self, now: Instant) -> Result<(), Instant> {
        match &self.climb {
            Some(climb) if climb.next() > now => Err(climb.next()),
            Some(_) | None => Ok(()),
        }
    }

    /// A call that may go is sent; with it so many are in flight.
    pub(super) fn sent(&mut self, now: Instant, in_flight: u64) {
        let Some(climb) = &mut self.climb else { return };
        climb.turn(now);
        climb.sent += 1;
        let needless = climb.unused >= NEEDLESS;
        if in_flight >= climb.goal || climb.quota / FULL_SPEED >= climb.goal || needless {
            self.climb = None;
        }
    }

    #[cfg(test)]
    /// Whether a slow start is on, or will be when a cooldown ends.
    pub(super) fn is_active(&self) -> bool {
        self.climb.is_some()
    }
}

#[expect(clippy::cast_precision_loss, reason = "calls of a second")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Sends as fast as the ramp and so many in flight allow, each call taking this long; how many went each second.
    fn storm(ramp: &mut Ramp, start: Instant, most: u64, latency: Duration, seconds: u32) -> Vec<u64> {
        let mut sent = vec![0; seconds as usize];
        let mut ends: VecDeque<Instant> = VecDeque::new();
        for tick in 0..seconds * 2_000 {
            let now = start + tick * (SECOND / 2_000);
            while ends.front().is_some_and(|end| *end <= now) {
                ends.pop_front();
            }
            while (ends.len() as u64) < most && ramp.may_send(now).is_ok() {
                ends.push_back(now + latency);
                ramp.sent(now, ends.len() as u64);
                sent[(tick / 2_000) as usize] += 1;
            }
        }
        sent
    }

    #[test]
    fn a_tenth_goes_in_the_first_second_and_all_is_back_soon() {
        let (start, mut ramp) = (Instant::now(), Ramp::default());
        ramp.begin(start, start + 30 * SECOND, 500);
        assert_eq!(ramp.may_send(start), Err(start + 30 * SECOND));
        let sent = storm(&mut ramp, start + 30 * SECOND, 500, 10 * SECOND, 6);
        assert_eq!(sent, [50, 100, 200, 150, 0, 0]);
        assert!(!ramp.is_active());
    }

    #[test]
    fn the_rate_of_short_calls_comes_back_too() {
        let (start, mut ramp) = (Instant::now(), Ramp::default());
        ramp.begin(start, start, 64);
        let sent = storm(&mut ramp, start, 64, SECOND / 10, 10);
        assert_eq!(sent[..6], [6, 12, 24, 48, 96, 192]);
        assert!(sent[9] >= 600, "{sent:?}");
        assert!(!ramp.is_active());
    }

    #[test]
    fn no_stretch_of_a_second_holds_more_than_the_next_quota() {
        let (start, mut ramp, mut times) = (Instant::now(), Ramp::default(), VecDeque::new());
        ramp.begin(start, start, 1_000);
        for tick in 0..3_000 {
            let now = start + tick * (SECOND / 1_000);
            while ramp.may_send(now).is_ok() && ramp.is_active() {
                ramp.sent(now, 0);
                times.push_back(now);
            }
            while times.front().is_some_and(|time| now >= *time + SECOND) {
                times.pop_front();
            }
            assert!(times.len() <= 100 << (tick / 1_000), "{} at {tick} ms", times.len());
        }
    }

    #[test]
    fn one_call_at_a_time_starts_with_one() {
        let (start, mut ramp) = (Instant::now(), Ramp::default());
        ramp.begin(start, start, 1);
        ramp.sent(start, 1);
        assert!(!ramp.is_active(), "that is all there was");
        ramp.begin(start, start, 8);
        assert_eq!(storm(&mut ramp, start, 8, 60 * SECOND, 4), [1, 2, 4, 1]);
    }

    #[test]
    fn a_refusal_within_it_starts_it_over_lower_and_the_refusals_of_a_moment_are_one() {
        let (start, mut ramp) = (Instant::now(), Ramp::default());
        for _ in 0..100 {
            ramp.begin(start, start + SECOND, 400);
        }
        assert_eq!(storm(&mut ramp, start + SECOND, 400, 60 * SECOND, 2), [40, 80]);
        for _ in 0..100 {
            ramp.begin(start + 3 * SECOND, start + 5 * SECOND, 120);
        }
        assert_eq!(storm(&mut ramp, start + 5 * SECOND, 400, 60 * SECOND, 6), [20, 40, 80, 160, 100, 0]);
    }

    #[test]
    fn a_pause_is_not_the_way_to_a_storm() {
        let (start, mut ramp) = (Instant::now(), Ramp::default());
        ramp.begin(start, start, 500);
        ramp.sent(start, 1);
        let sent = storm(&mut ramp, start + 20 * SECOND, 500, 60 * SECOND, 1);
        assert!(sent[0] <= 50, "{sent:?}");
    }

    #[test]
    fn there_is_none_unless_it_is_begun() {
        let ramp = Ramp::default();
        assert_eq!((ramp.may_send(Instant::now()), ramp.is_active()), (Ok(()), false));
    }
}
