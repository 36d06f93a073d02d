//! The limits that a run sets itself: pure functions over counts and time, asked by the recorder.

use std::time::Duration;

use jiff::civil::Time;
use jiff::{Timestamp, Zoned};
use tokio::time::Instant;

use crate::event::StopReason;
use crate::job::{Deadline, Job, MaxFailures};

/// Of a job that says nothing, so many first rows may not all fail: then the job is wrong, not the rows.
const FIRST_ROWS: u64 = 50;
/// A percentage of fewer rows than this says nothing.
const SHARE_FROM: u64 = 100;
/// How often it is asked whether it is time to stop: a clock on the wall can be set.
const EVERY: Duration = Duration::from_millis(100);
/// All of it, in the thousandths of a percent of [`MaxFailures::Share`].
const WHOLE_SHARE: u128 = 100_000;

/// When no more rows are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
enum LastCall {
    /// So long after the invocation began.
    After(Duration),
    /// By the clock: it goes on while a machine sleeps.
    At(Timestamp),
}

/// The limits of one invocation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    last_call: Option<LastCall>,
    max_failures: Option<MaxFailures>,
}

impl Rules {
    /// What the job says, for an invocation that begins now.
    pub fn new(job: &Job, now: &Zoned) -> Self {
        let last_call = job.deadline.map(|deadline| last_call(deadline, job.drain, now));
        Self { last_call, max_failures: job.max_failures }
    }

    /// Whether it is time to stop, so that the drain still fits before the deadline.
    pub fn by_time(&self, elapsed: Duration, clock: Timestamp) -> Option<StopReason> {
        let over = match self.last_call? {
            LastCall::After(time) => elapsed >= time,
            LastCall::At(time) => clock >= time,
        };
        over.then_some(StopReason::Deadline)
    }

    /// Returns when it is time to stop, for an invocation that began then; where there is no such time, never.
    pub async fn time_is_up(&self, began: Instant) -> StopReason {
        loop {
            if let Some(reason) = self.by_time(began.elapsed(), Timestamp::now()) {
                return reason;
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Whether too many of the rows that ended in this invocation failed.
    pub fn by_failures(&self, ended: u64, failed: u64) -> Option<StopReason> {
        match self.max_failures {
            None => (ended >= FIRST_ROWS && failed == ended).then_some(StopReason::FirstRowsFailed),
            Some(MaxFailures::Rows(most)) => (failed >= most).then_some(StopReason::MaxFailures),
            Some(MaxFailures::Share(most)) => {
                let reached = u128::from(failed) * WHOLE_SHARE >= u128::from(ended) * u128::from(most);
                (ended >= SHARE_FROM && reached).then_some(StopReason::MaxFailures)
            }
        }
    }
}

fn last_call(deadline: Deadline, drain: Duration, now: &Zoned) -> LastCall {
    match deadline {
        Deadline::After(time) => LastCall::After(time.saturating_sub(drain)),
        Deadline::At(time) => LastCall::At(before(next(time, now), drain)),
    }
}

fn before(time: Timestamp, drain: Duration) -> Timestamp {
    // A drain longer than all time leaves none.
    time.checked_sub(drain).unwrap_or(Timestamp::MIN)
}

/// The next time that a clock on the wall here shows this.
fn next(time: Time, now: &Zoned) -> Timestamp {
    let on = |day: &Zoned| day.with().time(time).build().ok().filter(|at| at > now);
    let tomorrow = || now.tomorrow().ok().as_ref().and_then(on);
    on(now).or_else(tomorrow).map_or(Timestamp::MAX, |at| at.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(max_failures: Option<MaxFailures>) -> Rules {
        Rules { last_call: None, max_failures }
    }

    fn by_deadline(deadline: Deadline, now: &str) -> Rules {
        let now: Zoned = now.parse().unwrap();
        Rules { last_call: Some(last_call(deadline, Duration::from_mins(1), &now)), max_failures: None }
    }

    fn stops_at(now: &str, time: Time) -> String {
        match by_deadline(Deadline::At(time), now).last_call {
            Some(LastCall::At(at)) => at.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_a_word_the_first_fifty_rows_may_not_all_fail() {
        let rules = rules(None);
        assert_eq!(rules.by_failures(49, 49), None);
        assert_eq!(rules.by_failures(50, 50), Some(StopReason::FirstRowsFailed));
        assert_eq!(rules.by_failures(50, 49), None);
        assert_eq!(rules.by_failures(100_000, 99_999), None);
    }

    #[test]
    fn a_number_of_failures_stops_when_it_is_reached() {
        let rules = rules(Some(MaxFailures::Rows(3)));
        assert_eq!(rules.by_failures(1_000, 2), None);
        assert_eq!(rules.by_failures(3, 3), Some(StopReason::MaxFailures));
    }

    #[test]
    fn a_percentage_counts_from_a_hundred_rows_on() {
        let rules = rules(Some(MaxFailures::Share(5_000)));
        assert_eq!(rules.by_failures(99, 99), None);
        assert_eq!(rules.by_failures(100, 4), None);
        assert_eq!(rules.by_failures(100, 5), Some(StopReason::MaxFailures));
        assert_eq!(rules.by_failures(1_000, 49), None);
    }

    #[test]
    fn a_duration_leaves_time_for_the_drain() {
        let rules = by_deadline(Deadline::After(Duration::from_hours(8)), "2026-03-01T22:00[UTC]");
        let at = |minutes| rules.by_time(Duration::from_mins(minutes), Timestamp::UNIX_EPOCH);
        assert_eq!(at(8 * 60 - 2), None);
        assert_eq!(at(8 * 60 - 1), Some(StopReason::Deadline));
    }

    #[test]
    fn a_time_of_day_is_the_next_one_less_the_drain() {
        let six = Time::new(6, 0, 0, 0).unwrap();
        assert_eq!(stops_at("2026-03-01T22:00[UTC]", six), "2026-03-02T05:59:00Z");
        assert_eq!(stops_at("2026-03-01T05:00[UTC]", six), "2026-03-01T05:59:00Z");
        assert_eq!(stops_at("2026-03-01T06:00[UTC]", six), "2026-03-02T05:59:00Z");
    }

    #[test]
    fn a_night_that_loses_an_hour_ends_by_the_clock_on_the_wall() {
        // Clocks here go from 02:00 to 03:00 in that night.
        let six = Time::new(6, 0, 0, 0).unwrap();
        assert_eq!(stops_at("2026-03-28T22:00[Europe/Berlin]", six), "2026-03-29T03:59:00Z");
        assert_eq!(stops_at("2026-03-27T22:00[Europe/Berlin]", six), "2026-03-28T04:59:00Z");
    }
}
