//! How a run went over time, as counts in steps of time that widen as the run grows: small however long it lasts, and the
//! same whether its lines were counted at once or in parts.

use serde::{Deserialize, Serialize};

use super::LogLine;
use super::stats::is_rate_limit;

/// Each divides the next, so that steps merge exactly; days double from the last one on. In seconds.
const WIDTHS: [u64; 13] = [1, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400];
/// More steps than this that are not empty make all of them wider.
const MOST: usize = 240;

/// What came in during one step of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Rows that ended well.
    pub succeeded: u64,
    /// Rows that ended badly.
    pub failed: u64,
    /// Requests that ended, 429s included.
    pub attempts: u64,
    /// Requests answered by a rate limit.
    pub rate_limited: u64,
    /// Tokens of all calls, input and output together.
    pub tokens: u64,
}

impl Step {
    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.attempts += other.attempts;
        self.rate_limited += other.rate_limited;
        self.tokens += other.tokens;
    }
}

/// The steps of a run in which something ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Timeline {
    /// Which of the widths holds.
    level: u32,
    /// A step's number since 1970, and what came in; sorted.
    steps: Vec<(u64, Step)>,
}

impl Timeline {
    /// Counts one line of the log.
    pub fn count(&mut self, line: &LogLine) {
        match line {
            LogLine::Attempt(line) => {
                let kind = line.failure.as_ref().map(|failure| failure.kind);
                let tokens = line.usage.unwrap_or_default().total();
                let step =
                    Step { attempts: 1, rate_limited: u64::from(is_rate_limit(kind)), tokens, ..Step::default() };
                self.add(line.at, &step);
            }
            LogLine::Outcome(line) => {
                let kind = line.failure.as_ref().map(|failure| failure.kind);
                let called = line.call != 0;
                let step = Step {
                    succeeded: u64::from(kind.is_none()),
                    failed: u64::from(kind.is_some()),
                    attempts: u64::from(called),
                    rate_limited: u64::from(called && is_rate_limit(kind)),
                    tokens: line.usage.unwrap_or_default().total(),
                };
                self.add(line.at, &step);
            }
            LogLine::Run(_) | LogLine::RunEnd(_) | LogLine::Carried(_) => {}
        }
    }

    /// Adds what came in at this time, in milliseconds since 1970.
    pub fn add(&mut self, at_ms: u64, step: &Step) {
        self.add_to(at_ms / 1_000 / width(self.level), step);
        while self.steps.len() > MOST {
            self.widen();
        }
    }

    /// Adds another's steps.
    pub fn merge(&mut self, other: &Self) {
        while self.level < other.level {
            self.widen();
        }
        let (theirs, ours) = (width(other.level), width(self.level));
        for (number, step) in &other.steps {
            self.add_to(number * theirs / ours, step);
        }
        while self.steps.len() > MOST {
            self.widen();
        }
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// How long a step is, in milliseconds.
    #[must_use]
    pub fn step_ms(&self) -> u64 {
        width(self.level) * 1_000
    }

    /// When each step begins, in milliseconds since 1970, and what came in. Steps in which nothing ended are left out.
    pub fn steps(&self) -> impl Iterator<Item = (u64, &Step)> {
        self.steps.iter().map(|(number, step)| (number * self.step_ms(), step))
    }

    /// The same in steps so wide that at most so many of them cover all of the time, empty ones included.
    #[must_use]
    pub fn within(mut self, most: u64) -> Self {
        while self.span() > most.max(1) {
            self.widen();
        }
        self
    }

    /// How many steps there are from the first to the last, empty ones included.
    fn span(&self) -> u64 {
        match (self.steps.first(), self.steps.last()) {
            (Some((first, _)), Some((last, _))) => last - first + 1,
            _ => 0,
        }
    }

    fn add_to(&mut self, number: u64, step: &Step) {
        // Nearly always the last one.
        match self.steps.last_mut() {
            Some((last, counts)) if *last == number => return counts.merge(step),
            Some((last, _)) if *last > number => {}
            Some(_) | None => return self.steps.push((number, *step)),
        }
        match self.steps.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(at) => self.steps[at].1.merge(step),
            Err(at) => self.steps.insert(at, (number, *step)),
        }
    }

    fn widen(&mut self) {
        let ratio = width(self.level + 1) / width(self.level);
        self.level += 1;
        for (number, step) in std::mem::take(&mut self.steps) {
            self.add_to(number / ratio, &step);
        }
    }
}

/// In seconds.
fn width(level: u32) -> u64 {
    let last = WIDTHS.len() - 1;
    match WIDTHS.get(level as usize) {
        Some(width) => *width,
        // Far more than all time long before it saturates.
        None => WIDTHS[last].saturating_mul(1 << (level as usize - last).min(32)),
    }
}

/// As it stands in JSON: a line of numbers a step.
#[derive(Serialize, Deserialize)]
struct Written {
    level: u32,
    steps: Vec<(u64, u64, u64, u64, u64, u64)>,
}

impl From<Written> for Timeline {
    fn from(written: Written) -> Self {
        let step = |(number, succeeded, failed, attempts, rate_limited, tokens)| {
            (number, Step { succeeded, failed, attempts, rate_limited, tokens })
        };
        Self { level: written.level, steps: written.steps.into_iter().map(step).collect() }
    }
}

impl From<Timeline> for Written {
    fn from(timeline: Timeline) -> Self {
        let step = |(number, step): (u64, Step)| {
            (number, step.succeeded, step.failed, step.attempts, step.rate_limited, step.tokens)
        };
        Self { level: timeline.level, steps: timeline.steps.into_iter().map(step).collect() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one() -> Step {
        Step { succeeded: 1, attempts: 1, tokens: 5, ..Step::default() }
    }

    fn of(times: &[u64]) -> Timeline {
        let mut timeline = Timeline::default();
        for at in times {
            timeline.add(*at, &one());
        }
        timeline
    }

    #[test]
    fn every_width_divides_the_next() {
        for level in 0..20 {
            assert!(width(level + 1) > width(level) && width(level + 1).is_multiple_of(width(level)), "{level}");
        }
    }

    #[test]
    fn a_night_has_steps_of_minutes_and_a_short_run_steps_of_seconds() {
        let night = of(&(0..8 * 3_600).map(|second| 1_769_814_000_000 + second * 1_000).collect::<Vec<_>>());
        assert_eq!((night.step_ms(), night.steps.len()), (300_000, 96));
        assert_eq!(night.steps().map(|(_, step)| step.succeeded).sum::<u64>(), 8 * 3_600);
        let short = of(&[1_000, 1_500, 3_000]);
        let steps: Vec<(u64, u64)> = short.steps().map(|(at, step)| (at, step.succeeded)).collect();
        assert_eq!((short.step_ms(), steps), (1_000, vec![(1_000, 2), (3_000, 1)]));
        assert_eq!(of(&[0, 10_000_000]).within(20).step_ms(), 600_000);
    }

    #[test]
    fn it_stands_in_json_as_lines_of_numbers() {
        let timeline = of(&[1_000, 1_500, 3_000]);
        let json = serde_json::to_string(&timeline).unwrap();
        assert_eq!(json, r#"{"level":0,"steps":[[1,2,0,2,0,10],[3,1,0,1,0,5]]}"#);
        assert_eq!(serde_json::from_str::<Timeline>(&json).unwrap(), timeline);
    }

    proptest! {
        #[test]
        fn parts_merge_into_the_whole_in_any_order(
            times in prop::collection::vec(0_u64..50_000_000, 0..900),
            cut in 0_usize..900,
        ) {
            let whole = of(&times);
            let (one, other) = times.split_at(cut.min(times.len()));
            let mut merged = of(other);
            merged.merge(&of(one));
            prop_assert_eq!(&merged, &whole);
            prop_assert!(whole.steps.len() <= MOST);
            let mut sorted = times.clone();
            sorted.sort_unstable();
            prop_assert_eq!(of(&sorted), whole);
        }
    }
}
