//! How long calls took, as counts in buckets: sums of runs, tasks and models merge exactly, and quantiles are within 2 %.

use serde::{Deserialize, Serialize};

/// Each doubling has this many buckets, as a power of two; times below it have a bucket each.
const BITS: u32 = 5;
const BUCKETS: u64 = 1 << BITS;
/// So many of them are shown as one.
const RANGE: u16 = 8;

/// Counts of latencies in milliseconds, in buckets that grow with them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Latency {
    /// A bucket's number and its count, sorted; empty ones are left out.
    buckets: Vec<(u16, u64)>,
}

impl Latency {
    /// Counts one call.
    pub fn add(&mut self, millis: u64) {
        self.add_to(bucket(millis), 1);
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.buckets {
            self.add_to(*bucket, *count);
        }
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// How many calls were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// The milliseconds within which `percent` of the calls ended, to within 2 %; `None` where nothing was counted.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let rank = (self.count() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let found = self.buckets.iter().find(|(_, count)| {
            seen += count;
            seen >= rank
        });
        found.or(self.buckets.last()).map(|(bucket, _)| middle(*bucket))
    }

    /// How many calls took at least so many milliseconds, and less than so many: ranges without a gap between the shortest
    /// and the longest, four for each doubling.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        let range = |bucket: u16| bucket / RANGE;
        let ends = self.buckets.first().zip(self.buckets.last());
        let numbers = ends.map(|((first, _), (last, _))| range(*first)..=range(*last));
        numbers.into_iter().flatten().map(move |number| {
            let within = self.buckets.iter().filter(|(bucket, _)| range(*bucket) == number);
            (least(number * RANGE), least((number + 1) * RANGE), within.map(|(_, count)| count).sum())
        })
    }

    fn add_to(&mut self, bucket: u16, count: u64) {
        match self.buckets.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => self.buckets[at].1 += count,
            Err(at) => self.buckets.insert(at, (bucket, count)),
        }
    }
}

fn bucket(millis: u64) -> u16 {
    let doublings = millis.checked_ilog2().unwrap_or(0).saturating_sub(BITS);
    let number = u64::from(doublings) * BUCKETS + (millis >> doublings);
    // 59 doublings of 32 at most.
    u16::try_from(number).unwrap_or(u16::MAX)
}

/// The middle of what falls into the bucket.
fn middle(bucket: u16) -> u64 {
    least(bucket).saturating_add((1 << doublings(bucket)) / 2)
}

/// The shortest that falls into the bucket.
fn least(bucket: u16) -> u64 {
    let doublings = doublings(bucket);
    let least = u128::from(u64::from(bucket) - doublings * BUCKETS) << doublings;
    u64::try_from(least).unwrap_or(u64::MAX)
}

fn doublings(bucket: u16) -> u64 {
    (u64::from(bucket) / BUCKETS).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(times: &[u64]) -> Latency {
        let mut latency = Latency::default();
        for time in times {
            latency.add(*time);
        }
        latency
    }

    #[test]
    fn short_times_are_exact_and_nothing_has_no_percentile() {
        let latency = of(&[1, 2, 3, 31]);
        assert_eq!([50, 75, 100].map(|percent| latency.percentile(percent)), [Some(2), Some(3), Some(31)]);
        assert_eq!(Latency::default().percentile(50), None);
    }

    #[test]
    fn ranges_have_no_gap_and_lose_no_call() {
        let latency = of(&[7, 8, 40, 256, 257, 319, 320, 1_000]);
        let ranges: Vec<_> = latency.ranges().collect();
        assert_eq!(ranges[..3], [(0, 8, 1), (8, 16, 1), (16, 24, 0)]);
        assert!(ranges.contains(&(256, 320, 3)) && ranges.contains(&(320, 384, 1)), "{ranges:?}");
        assert_eq!(ranges.last(), Some(&(896, 1_024, 1)));
        assert!(ranges.windows(2).all(|pair| pair[0].1 == pair[1].0), "{ranges:?}");
        assert_eq!(ranges.iter().map(|(_, _, calls)| calls).sum::<u64>(), latency.count());
        assert_eq!(of(&[u64::MAX]).ranges().count(), 1);
        assert_eq!(Latency::default().ranges().count(), 0);
    }

    #[test]
    fn it_stands_in_json_as_pairs() {
        let latency = of(&[200, 201, 900, 900]);
        let json = serde_json::to_string(&latency).unwrap();
        assert_eq!(json, "[[114,2],[184,2]]");
        assert_eq!(serde_json::from_str::<Latency>(&json).unwrap(), latency);
    }

    proptest! {
        #[test]
        fn percentiles_are_within_two_percent(times in prop::collection::vec(0_u64..100_000_000, 1..200), percent in 1_u64..=100) {
            let told = of(&times).percentile(percent).unwrap();
            let mut sorted = times;
            sorted.sort_unstable();
            let rank = (sorted.len() * usize::try_from(percent).unwrap()).div_ceil(100).max(1);
            let exact = sorted[rank - 1];
            prop_assert!(told.abs_diff(exact) * 50 <= exact, "{told} for {exact}");
        }

        #[test]
        fn parts_merge_into_the_whole(one in prop::collection::vec(any::<u64>(), 0..50), other in prop::collection::vec(any::<u64>(), 0..50)) {
            let mut merged = of(&one);
            merged.merge(&of(&other));
            prop_assert_eq!(merged, of(&[one, other].concat()));
        }
    }
}
