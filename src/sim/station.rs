//! A server with a knee: as many calls as it has room for run at full speed, more of them share it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// What is left of the throughput for each call beyond a degrading knee.
const KEPT: f64 = 0.99;

/// The share of its best throughput below which a degrading server does not fall.
const FLOOR: f64 = 0.1;

/// Up to how many calls a server works at full speed; written as a number or a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knee {
    /// Calls at once at which its throughput is best; never 0.
    pub concurrency: u64,
    /// What more of them do to it.
    pub beyond: Beyond,
}

/// What calls beyond the knee do to a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Beyond {
    /// They share it: all take longer, and throughput stays.
    #[default]
    Flat,
    /// Each costs 1 % of the throughput as well, down to a tenth.
    Degrading,
}

impl Knee {
    /// How fast each of `calls` runs; 1 is full speed.
    #[expect(clippy::cast_precision_loss, reason = "far fewer calls than a float tells apart")]
    fn speed(self, calls: usize) -> f64 {
        let (calls, room) = (calls as f64, self.concurrency as f64);
        if calls <= room {
            return 1.0;
        }
        let throughput = match self.beyond {
            Beyond::Flat => room,
            Beyond::Degrading => room * KEPT.powf(calls - room).max(FLOOR),
        };
        throughput / calls
    }
}

impl<'de> Deserialize<'de> for Knee {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KneeVisitor)
    }
}

struct KneeVisitor;

impl<'de> Visitor<'de> for KneeVisitor {
    type Value = Knee;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of calls, or { concurrency = 48, beyond = \"degrading\" }")
    }

    fn visit_u64<E: serde::de::Error>(self, concurrency: u64) -> Result<Knee, E> {
        if concurrency == 0 {
            return Err(E::custom("a knee of 0 lets no call run"));
        }
        Ok(Knee { concurrency, beyond: Beyond::Flat })
    }

    fn visit_i64<E: serde::de::Error>(self, concurrency: i64) -> Result<Knee, E> {
        self.visit_u64(u64::try_from(concurrency).map_err(|_| E::custom("a negative number has no meaning here"))?)
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Knee, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename = "Knee")]
        struct Written {
            concurrency: u64,
            #[serde(default)]
            beyond: Beyond,
        }
        let Written { concurrency, beyond } = Written::deserialize(MapAccessDeserializer::new(table))?;
        let knee = self.visit_u64(concurrency).map_err(|error: A::Error| A::Error::custom(error))?;
        Ok(Knee { beyond, ..knee })
    }
}

/// The calls that a server works on, sharing its speed evenly.
///
/// A common clock of work done runs as fast as each call does, so the order of their ends is known as they come in, and
/// only the first of them needs a timer.
#[derive(Debug)]
pub(super) struct Station {
    started: Instant,
    /// Each knee and when it begins, after the start.
    knees: Vec<(Duration, Knee)>,
    work: Mutex<Work>,
}

#[derive(Debug)]
struct Work {
    /// What a call that was there all along has got by now.
    done: Duration,
    /// When `done` was reckoned.
    at: Instant,
    /// By the value of `done` at which each ends, and its number.
    calls: BTreeMap<(Duration, u64), Arc<Notify>>,
}

enum Next {
    Ended,
    /// It is the first to end, at this time if nothing changes.
    At(Instant),
    /// Another one ends before.
    Later,
}

impl Station {
    /// `None` where the server has no knee, now or later.
    pub(super) fn new(knees: Vec<(Duration, Knee)>, started: Instant) -> Option<Self> {
        let work = Work { done: Duration::ZERO, at: started, calls: BTreeMap::new() };
        (!knees.is_empty()).then(|| Self { started, knees, work: Mutex::new(work) })
    }

    /// Works on one call that takes `time` at full speed.
    pub(super) async fn work(&self, number: u64, time: Duration) {
        let seat = self.sit(number, time);
        loop {
            match seat.next() {
                Next::Ended => return,
                Next::At(end) => tokio::select! {
                    () = sleep_until(end) => {}
                    () = seat.bell.notified() => {}
                },
                Next::Later => seat.bell.notified().await,
            }
        }
    }

    fn sit(&self, number: u64, time: Duration) -> Seat<'_> {
        let bell = Arc::new(Notify::new());
        let mut work = self.now();
        let end = (work.done + time, number);
        work.calls.insert(end, Arc::clone(&bell));
        Seat { station: self, end, bell }
    }

    /// The work, reckoned up to now.
    fn now(&self) -> MutexGuard<'_, Work> {
        // Figures stay meaningful after a panic elsewhere.
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while let Some(change) = self.next_change(work.at).filter(|change| *change <= now) {
            let knee = self.knee(work.at);
            work.reach(change, knee);
        }
        let knee = self.knee(work.at);
        work.reach(now, knee);
        work
    }

    fn knee(&self, at: Instant) -> Option<Knee> {
        self.knees.iter().rev().find(|(from, _)| self.started + *from <= at).map(|(_, knee)| *knee)
    }

    fn next_change(&self, after: Instant) -> Option<Instant> {
        self.knees.iter().map(|(from, _)| self.started + *from).find(|from| *from > after)
    }
}

impl Work {
    fn speed(&self, knee: Option<Knee>) -> f64 {
        knee.map_or(1.0, |knee| knee.speed(self.calls.len()))
    }

    fn reach(&mut self, now: Instant, knee: Option<Knee>) {
        self.done += now.saturating_duration_since(self.at).mul_f64(self.speed(knee));
        self.at = self.at.max(now);
    }
}

/// A call's place at the station, until it is dropped.
struct Seat<'a> {
    station: &'a Station,
    end: (Duration, u64),
    bell: Arc<Notify>,
}

impl Seat<'_> {
    fn next(&self) -> Next {
        let work = self.station.now();
        let left = self.end.0.saturating_sub(work.done);
        if left.is_zero() {
            return Next::Ended;
        }
        if work.calls.first_key_value().is_none_or(|(first, _)| *first != self.end) {
            return Next::Later;
        }
        let end = work.at + left.div_f64(work.speed(self.station.knee(work.at)));
        // A change of speed on the way makes another end of it.
        Next::At(self.station.next_change(work.at).map_or(end, |change| end.min(change)))
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut work = self.station.now();
        work.calls.remove(&self.end);
        // All others run faster now: the first of them has to look again.
        if let Some((_, bell)) = work.calls.first_key_value() {
            bell.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use serde_json::json;
    use tokio::time::{advance, sleep, timeout};

    use super::*;

    const WORK: Duration = Duration::from_secs(1);

    fn station(knees: serde_json::Value) -> Station {
        let knees: Vec<(u64, Knee)> = serde_json::from_value(knees).unwrap();
        let knees = knees.into_iter().map(|(from, knee)| (Duration::from_secs(from), knee)).collect();
        Station::new(knees, Instant::now()).unwrap()
    }

    /// How long each of so many calls takes that come at once.
    async fn times(station: &Station, calls: u64) -> Vec<Duration> {
        let start = Instant::now();
        let call = |number| async move {
            station.work(number, WORK).await;
            start.elapsed()
        };
        join_all((0..calls).map(call)).await
    }

    fn about(time: Duration, seconds: f64) -> bool {
        (time.as_secs_f64() - seconds).abs() < 0.01
    }

    #[tokio::test(start_paused = true)]
    async fn up_to_the_knee_all_run_at_full_speed_and_beyond_it_they_share() {
        let flat = station(json!([[0, 48]]));
        assert!(times(&flat, 48).await.into_iter().all(|time| about(time, 1.0)));
        assert!(times(&flat, 96).await.into_iter().all(|time| about(time, 2.0)));
        assert_eq!(flat.now().calls.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_degrading_server_loses_a_hundredth_for_each_call_too_many() {
        let degrading = station(json!([[0, { "concurrency": 48, "beyond": "degrading" }]]));
        let expected = 58.0 / (48.0 * 0.99_f64.powi(10));
        assert!(times(&degrading, 58).await.into_iter().all(|time| about(time, expected)));
        assert!(Knee { concurrency: 48, beyond: Beyond::Degrading }.speed(480) > 0.0099);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_come_and_go_speed_the_others_up_and_down() {
        let one = station(json!([[0, 1]]));
        let start = Instant::now();
        let first = async {
            one.work(1, WORK).await;
            start.elapsed()
        };
        let second = async {
            sleep(WORK / 2).await;
            one.work(2, WORK / 4).await;
            start.elapsed()
        };
        // From 0.5 s on they share; the second has its quarter at 1 s, then the first goes on alone.
        let (first, second) = tokio::join!(first, second);
        assert!(about(second, 1.0) && about(first, 1.25), "{second:?} {first:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_given_up_leaves_its_speed_to_the_others() {
        let one = station(json!([[0, 1]]));
        let start = Instant::now();
        let (stayed, _) = tokio::join!(
            async {
                one.work(1, WORK).await;
                start.elapsed()
            },
            timeout(WORK / 2, one.work(2, WORK)),
        );
        assert!(about(stayed, 1.25), "{stayed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_knee_that_changes_counts_at_once_for_calls_on_their_way() {
        let doubled = station(json!([[0, 1], [1, 2]]));
        assert!(times(&doubled, 2).await.into_iter().all(|time| about(time, 1.5)));
        let later = station(json!([[2, 1]]));
        advance(WORK).await;
        assert!(times(&later, 2).await.into_iter().all(|time| about(time, 1.0)));
    }
}
