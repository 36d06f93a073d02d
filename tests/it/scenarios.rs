//! Nights by chance: schedules of faults, limits, outages and interruptions, each run to its end, with the promises of
//! the design checked after each run and at the end.
//!
//! Each seed is a scenario of its own, and the same one each time. A hundred are run by default; `OVERNIGHT_SEEDS=2000
//! cargo test --test it scenarios` runs more of them, and `OVERNIGHT_SEED=17` runs that one alone, and tells its job and
//! how each of its nights ended (with `-- --nocapture`, also where it holds).
//!
//! A scenario ends after some nights at the latest, as then its servers are well again and nothing stops the run. What
//! takes longer than its limits and outages justify fails (paused time: a deadlock takes all of it at once), and so does
//! what takes too long by the real clock.

mod draw;
mod promises;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use overnight::engine::Stop;
use overnight::event::{StopReason, Summary};

use crate::night::{Night, Provider};
use draw::Scenario;
use promises::{Account, Ran};

/// How many seeds are run where nobody says otherwise.
const SEEDS: u64 = 100;

/// What a scenario may take by the real clock, on a machine that has other things to do.
const REAL_TIME: Duration = Duration::from_mins(2);

/// A provider's member and the wire to it.
struct Wire {
    provider: usize,
    at: Arc<Provider>,
}

/// A scenario on its way: its nights, and what they add up to.
struct Course {
    scenario: Scenario,
    night: Night,
    wires: Vec<Wire>,
    account: Account,
}

impl Course {
    fn new(seed: u64) -> Self {
        let scenario = Scenario::of(seed);
        let job = scenario.job(false);
        let mut night = Night::new(&job, scenario.rows.iter().cloned());
        let wires = connect(&scenario, &mut night, false);
        say(&format!("{job}\n{:#?}\n{:?}", scenario.providers, scenario.stops));
        Self { scenario, night, wires, account: Account::default() }
    }

    /// Night after night until nothing remains.
    async fn run(mut self) {
        for stop in self.scenario.stops.clone() {
            let summary = self.one_night(stop, false).await;
            tokio::time::sleep(self.scenario.pause).await;
            if summary.rows.remaining == 0 {
                break;
            }
        }
        self.night.world.write("job.toml", self.scenario.job(true));
        self.account.retire(&self.wires);
        self.wires = connect(&self.scenario, &mut self.night, true);
        let last = self.one_night(None, true).await;
        assert_eq!(last.rows.remaining, 0, "with nothing in its way: {last:?}");
        self.account.retire(&self.wires);
        self.account.check_end(&self.scenario, &self.night);
        if last.rows.failed + last.rows.failed_before == 0 {
            let again = self.night.run().await;
            assert_eq!((again.exit_code, again.attempts), (0, 0), "nothing is left to do");
        }
    }

    async fn one_night(&mut self, stop: Option<(Duration, Option<Duration>)>, calm: bool) -> Summary {
        let (began, sent) = (self.wires[0].at.age(), self.sent());
        let handle = Stop::default();
        let stopping = stop_at(handle.clone(), if calm { None } else { stop });
        let patience = self.scenario.patience();
        let run = tokio::time::timeout(patience, self.night.try_run_with(handle));
        let (result, _) = tokio::select! {
            ended = run => ended.unwrap_or_else(|_| panic!("not over after {patience:?}")),
            never = stopping => match never {},
        };
        let summary = result.unwrap();
        say(&format!("{began:?} to {:?}: {summary:?}", self.wires[0].at.age()));
        let ran = Ran {
            began,
            sent: self.sent() - sent,
            stopped: stop.filter(|_| !calm),
            calm,
            summary: &summary,
            wires: &self.wires,
        };
        self.account.check_night(&self.scenario, &self.night, &ran);
        summary
    }

    fn sent(&self) -> usize {
        self.wires.iter().map(|wire| wire.at.sent()).sum()
    }
}

/// Stops a run after a while, once or twice.
async fn stop_at(stop: Stop, when: Option<(Duration, Option<Duration>)>) -> std::convert::Infallible {
    if let Some((after, again)) = when {
        tokio::time::sleep(after).await;
        stop.request(StopReason::Interrupted);
        if let Some(again) = again {
            tokio::time::sleep(again).await;
            stop.request(StopReason::Interrupted);
        }
    }
    std::future::pending().await
}

/// Puts simulators behind all providers.
fn connect(scenario: &Scenario, night: &mut Night, calm: bool) -> Vec<Wire> {
    let mut wires = Vec::new();
    for (number, provider) in scenario.providers.iter().enumerate() {
        for (index, member) in provider.members.iter().enumerate() {
            let mut simulate = if calm { member.calm() } else { member.simulate.clone() };
            simulate["key"] = "right".into();
            let key = if member.wrong_key && !calm { "wrong" } else { "right" };
            let wire = night.provider_with_key(&provider.wire(index), simulate, key);
            wire.times_out_after(provider.timeout);
            if let Some(calls) = member.revoked_after.filter(|_| !calm) {
                wire.revoke_key_after(calls);
            }
            wires.push(Wire { provider: number, at: wire });
        }
    }
    wires
}

/// Runs a scenario on a thread of its own; says what broke.
fn attempt(seed: u64) -> Result<(), String> {
    let (done, ended) = channel();
    let running = thread::spawn(move || {
        // Backoffs are by chance, too.
        fastrand::seed(seed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        // All of it inside: a server's clock that began outside would be the real one, and go ahead of the others.
        runtime.block_on(async { Box::pin(Course::new(seed).run()).await });
        // Nobody listens any more where it took too long.
        let _ = done.send(());
    });
    match ended.recv_timeout(REAL_TIME) {
        Ok(()) => Ok(()),
        Err(RecvTimeoutError::Timeout) => Err(format!("not over after {REAL_TIME:?} of the real clock")),
        Err(RecvTimeoutError::Disconnected) => {
            let why = running.join().unwrap_err();
            let words = why.downcast_ref::<String>().cloned();
            Err(words.or_else(|| why.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default())
        }
    }
}

/// Tells of a scenario that is run alone.
#[expect(clippy::print_stderr, reason = "for whoever looks into a seed")]
fn say(words: &str) {
    if number("OVERNIGHT_SEED").is_some() {
        eprintln!("{words}");
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().unwrap())
}

#[test]
fn nights_by_chance_keep_every_promise() {
    let seeds = number("OVERNIGHT_SEED").map_or(0..number("OVERNIGHT_SEEDS").unwrap_or(SEEDS), |seed| seed..seed + 1);
    let next = AtomicU64::new(seeds.start);
    let broken = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            if let Err(why) = attempt(seed) {
                broken.lock().unwrap().push((seed, why));
            }
        }
    };
    // They wait for the disk half of the time.
    let workers = 2 * thread::available_parallelism().map_or(1, usize::from).min(8);
    thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    let broken = broken.into_inner().unwrap();
    let told: Vec<_> = broken.iter().map(|(seed, why)| format!("OVERNIGHT_SEED={seed}: {why}")).collect();
    assert!(broken.is_empty(), "{} of {seeds:?} broke a promise:\n{}", broken.len(), told.join("\n"));
}
