//! Against servers that know their limits better than we do.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::super::{GateState, Refusal};
use super::*;
use crate::types::{Counting, RatePer, RateTold, RateUnit};

/// How a server counts a minute; or a second, of which it tells what remains, beside the minute's limit.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counts {
    Sliding,
    Fixed,
    Bucket,
    Second,
}

/// A server with a limit of requests a minute.
pub(super) struct Server {
    counts: Counts,
    pub(super) limit: u64,
    tells: bool,
    hint: Option<Duration>,
    /// Of so many calls one is refused whatever the limit.
    pub(super) noise: Option<u64>,
    random: fastrand::Rng,
    /// What others send to it each second.
    others: u64,
    told_others: Instant,
    start: Instant,
    window: VecDeque<Instant>,
    level: f64,
    filled: Instant,
    pub(super) served: Vec<Instant>,
    pub(super) refused: Vec<Instant>,
}

impl Server {
    pub(super) fn new(counts: Counts, limit: u64, tells: bool) -> Arc<Mutex<Self>> {
        let now = Instant::now();
        Arc::new(Mutex::new(Self {
            counts,
            limit,
            tells,
            hint: None,
            noise: None,
            random: fastrand::Rng::with_seed(3),
            others: 0,
            told_others: now,
            start: now,
            window: VecDeque::new(),
            level: f64::from(u32::try_from(limit).unwrap()),
            filled: now,
            served: Vec::new(),
            refused: Vec::new(),
        }))
    }

    fn used(&mut self, now: Instant) -> (u64, Duration) {
        while self.others > 0 && self.told_others + SECOND <= now {
            self.told_others += SECOND;
            self.window.extend((0..self.others).map(|_| self.told_others));
        }
        let minute = MINUTE.as_secs();
        let since = now.duration_since(self.start);
        let begins = self.start + Duration::from_secs(since.as_secs() / minute * minute);
        let limit = f64::from(u32::try_from(self.limit).unwrap());
        match self.counts {
            Counts::Sliding => {
                while self.window.front().is_some_and(|at| *at + MINUTE <= now) {
                    self.window.pop_front();
                }
                let reset = self.window.back().map_or(Duration::ZERO, |at| *at + MINUTE - now);
                (self.window.len() as u64, reset)
            }
            Counts::Second => {
                while self.window.front().is_some_and(|at| *at + SECOND <= now) {
                    self.window.pop_front();
                }
                let reset = self.window.back().map_or(Duration::ZERO, |at| *at + SECOND - now);
                (self.limit - self.limit / 60 + self.window.len() as u64, reset)
            }
            Counts::Fixed => {
                while self.window.front().is_some_and(|at| *at < begins) {
                    self.window.pop_front();
                }
                (self.window.len() as u64, begins + MINUTE - now)
            }
            Counts::Bucket => {
                self.level = (self.level + limit / 60.0 * now.duration_since(self.filled).as_secs_f64()).min(limit);
                self.filled = now;
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let used = self.limit - self.level as u64;
                (used, MINUTE.mul_f64((limit - self.level) / limit))
            }
        }
    }

    /// Whether a call is served, and what is told.
    fn arrives(&mut self) -> (bool, Vec<RateTold>) {
        let now = Instant::now();
        let is_noise = self.noise.is_some_and(|noise| self.random.u64(..noise) == 0);
        let fits = !is_noise && self.used(now).0 < self.limit;
        if fits {
            self.window.push_back(now);
            self.level -= 1.0;
            self.served.push(now);
        } else {
            self.refused.push(now);
        }
        let (used, reset) = self.used(now);
        let told = RateTold {
            unit: RateUnit::Requests,
            per: RatePer::Minute,
            limit: Some(self.limit),
            remaining: Some(self.limit.saturating_sub(used)),
            reset: Some(reset),
        };
        (fits, if self.tells { vec![told] } else { Vec::new() })
    }

    pub(super) fn count(times: &[Instant], from: Instant, length: Duration) -> u64 {
        times.iter().filter(|at| **at >= from && **at < from + length).count() as u64
    }
}

pub(super) fn adaptive(limits: Limits) -> Arc<ModelGate> {
    let provider = ProviderGate::new(ProviderSetup { adaptive: true, ..ProviderSetup::default() });
    at(&provider, limits, &Slots::new(256))
}

pub(super) async fn work(gate: Arc<ModelGate>, server: Arc<Mutex<Server>>, latency: Duration) {
    loop {
        let mut call = admit(&gate, 1).await;
        let (served, report) = server.lock().unwrap().arrives();
        sleep(latency.mul_f64(fastrand::f64() + 0.5)).await;
        call.learn(&report);
        call.settle(used(1));
        let hint = server.lock().unwrap().hint;
        call.ended(if served { CallEnd::Good } else { CallEnd::Throttled { hint } });
    }
}

/// Lets this many workers send for this long.
async fn run(gate: &Arc<ModelGate>, server: &Arc<Mutex<Server>>, workers: usize, time: Duration) {
    let mut working = JoinSet::new();
    for _ in 0..workers {
        working.spawn(work(Arc::clone(gate), Arc::clone(server), SECOND));
    }
    sleep(time).await;
    working.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_told_is_used_and_hardly_ever_overrun() {
    for counts in [Counts::Sliding, Counts::Fixed, Counts::Bucket] {
        let (gate, server) = (adaptive(NO_LIMITS), Server::new(counts, 600, true));
        let warm = Instant::now() + MINUTE;
        run(&gate, &server, 256, 6 * MINUTE).await;
        let server = server.lock().unwrap();
        let (served, refused) = (Server::count(&server.served, warm, 5 * MINUTE), server.refused.len() as u64);
        assert!(served >= 5 * 570, "{counts:?}: {served} of 3000");
        assert!(refused * 50 < server.served.len() as u64, "{counts:?}: {refused} refused");
        assert_eq!(gate.view().limits.rpm, Some(600));
    }
}

#[tokio::test(start_paused = true)]
async fn what_remains_of_a_second_is_not_taken_for_what_remains_of_a_minute() {
    for limits in [NO_LIMITS, rpm(6_000)] {
        let (gate, server) = (adaptive(limits), Server::new(Counts::Second, 6_000, true));
        let warm = Instant::now() + 10 * SECOND;
        run(&gate, &server, 256, 70 * SECOND).await;
        let server = server.lock().unwrap();
        let (served, refused) = (Server::count(&server.served, warm, MINUTE), server.refused.len());
        assert!(served >= 5_910, "{served} of 6000");
        assert!(refused <= limits.rpm.map_or(100, |_| 0), "{refused} refused");
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_changes_is_followed_within_a_minute() {
    for counts in [Counts::Sliding, Counts::Fixed, Counts::Bucket] {
        for (before, after) in [(1_200, 600), (600, 1_200)] {
            let (gate, server) = (adaptive(NO_LIMITS), Server::new(counts, before, true));
            run(&gate, &server, 256, 150 * SECOND).await;
            let changed = Instant::now();
            {
                let mut server = server.lock().unwrap();
                server.limit = after;
                server.level = server.level.min(f64::from(u32::try_from(after).unwrap()));
            }
            run(&gate, &server, 256, 4 * MINUTE).await;
            let server = server.lock().unwrap();
            let served = Server::count(&server.served, changed + MINUTE, 3 * MINUTE);
            assert!(served * 100 >= 3 * after * 95, "{counts:?} {before} to {after}: {served} of {}", 3 * after);
            let refused = Server::count(&server.refused, changed, HOUR);
            assert!(refused <= after / 10, "{counts:?} {before} to {after}: {refused} refused");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_others_use_of_a_told_limit_is_left_to_them() {
    let (gate, server) = (adaptive(NO_LIMITS), Server::new(Counts::Sliding, 600, true));
    server.lock().unwrap().others = 5;
    run(&gate, &server, 256, 10 * MINUTE).await;
    let server = server.lock().unwrap();
    let (served, refused) = (server.served.len() as u64, server.refused.len() as u64);
    assert!(served >= 10 * 300 * 80 / 100, "{served} served");
    assert!(refused * 20 <= served, "{refused} refused, {served} served");
}

#[tokio::test(start_paused = true)]
async fn refusals_that_nothing_told_explains_slow_the_pace() {
    let (gate, server) = (adaptive(rpm(600)), Server::new(Counts::Sliding, 400, false));
    server.lock().unwrap().hint = Some(2 * SECOND);
    let warm = Instant::now() + 5 * MINUTE;
    run(&gate, &server, 64, 30 * MINUTE).await;
    let server = server.lock().unwrap();
    let served = Server::count(&server.served, warm, 25 * MINUTE);
    let refused = Server::count(&server.refused, warm, 25 * MINUTE);
    assert!(served >= 25 * 400 * 80 / 100, "{served} of {}", 25 * 400);
    assert!(refused * 50 <= served, "{refused} refused, {served} served");
}

#[tokio::test(start_paused = true)]
async fn what_is_told_is_not_heeded_unless_asked_for_and_never_raises_a_limit() {
    let told = |limit| RateTold {
        unit: RateUnit::Requests,
        per: RatePer::Minute,
        limit: Some(limit),
        remaining: Some(limit),
        reset: None,
    };
    let gate = model(rpm(100));
    admit(&gate, 1).await.learn(&vec![told(50)]);
    assert_eq!(gate.view().limits.rpm, Some(100));
    let gate = adaptive(rpm(100));
    admit(&gate, 1).await.learn(&vec![told(5_000)]);
    assert_eq!(gate.view().limits.rpm, Some(100));
    let seen = Seen::sent(&gate, 10 * MINUTE, || Call { estimate: 1, real: 1, latency: SECOND }).await;
    assert!((980..=1_000).contains(&seen.requests()), "{}", seen.requests());
}

#[tokio::test(start_paused = true)]
async fn of_answers_that_overtake_one_another_the_one_sent_last_counts() {
    let told = |limit| {
        vec![RateTold {
            unit: RateUnit::Tokens,
            per: RatePer::Minute,
            limit: Some(limit),
            remaining: None,
            reset: None,
        }]
    };
    let gate = adaptive(NO_LIMITS);
    let early = admit(&gate, 1).await;
    sleep(SECOND).await;
    let late = admit(&gate, 1).await;
    late.learn(&told(2_000));
    early.learn(&told(1_000));
    assert_eq!(gate.view().limits.tpm, Some(2_000));
}

#[tokio::test(start_paused = true)]
async fn a_day_that_is_used_up_stops_until_its_reset_as_told() {
    let told = |remaining| RateTold {
        unit: RateUnit::Requests,
        per: RatePer::Day,
        limit: Some(1_000),
        remaining: Some(remaining),
        reset: Some(HOUR),
    };
    let gate = adaptive(NO_LIMITS);
    let mut call = admit(&gate, 1).await;
    call.learn(&vec![told(2)]);
    call.ended(CallEnd::Good);
    let until = Instant::now() + HOUR;
    for _ in 0..2 {
        admit(&gate, 1).await.ended(CallEnd::Good);
    }
    let refused = gate.admit(need(1), Some(MINUTE)).await;
    assert_eq!(refused.map(drop), Err(Refusal::Away { until }));
    assert_eq!(gate.view().state, GateState::CoolingDown { until });
    drop(admit(&gate, 1).await);
    assert_eq!(Instant::now(), until);
}

#[tokio::test(start_paused = true)]
async fn requests_of_a_day_count_those_of_earlier_runs_and_wait_for_midnight() {
    let limits = Limits { rpd: Some(10), ..NO_LIMITS };
    let member = Member { limits, provider: provider(NO_LIMITS), used_today: 8 };
    let gate = ModelGate::new(vec![member], Slots::new(9));
    let start = Instant::now();
    for _ in 0..2 {
        drop(admit(&gate, 1).await);
    }
    assert_eq!(start.elapsed(), Duration::ZERO, "as fast as other limits allow");
    drop(admit(&gate, 1).await);
    assert!(start.elapsed() > Duration::ZERO && start.elapsed() <= 24 * HOUR);
    let midnight = Instant::now();
    for _ in 0..9 {
        drop(admit(&gate, 1).await);
    }
    assert_eq!(midnight.elapsed(), Duration::ZERO);
    drop(admit(&gate, 1).await);
    assert_eq!(midnight.elapsed(), 24 * HOUR);
}

/// Calls of ten minutes, each of 100 tokens in and, of 300 reserved, 100 out.
async fn calls_under(counting: Counting, limits: Limits) -> u64 {
    let provider = ProviderGate::new(ProviderSetup { limits, counting, ..ProviderSetup::default() });
    let gate = at(&provider, NO_LIMITS, &Slots::new(1_000));
    let (mut calls, mut sent, end) = (JoinSet::new(), 0, Instant::now() + 11 * MINUTE);
    while Instant::now() < end {
        let mut call = gate.admit(Need { input: 100, output: 300 }, None).await.unwrap();
        sent += u64::from(Instant::now() + 10 * MINUTE >= end && Instant::now() < end);
        calls.spawn(async move {
            sleep(SECOND).await;
            call.settle(Used { input: 100, output: 100 });
        });
    }
    sent
}

#[tokio::test(start_paused = true)]
async fn tokens_are_counted_as_the_provider_counts_them() {
    let limits = tpm(60_000);
    for (counting, tokens) in [(Counting::Used, 200), (Counting::InputAndMaxOutput, 400), (Counting::InputOnly, 100)] {
        let (calls, most) = (calls_under(counting, limits).await, 600_000 / tokens);
        assert!(calls <= most + 1 && calls * 100 >= most * 97, "{counting:?}: {calls} of {most}");
    }
}

#[tokio::test(start_paused = true)]
async fn input_and_output_have_limits_of_their_own() {
    for (limits, most) in [
        (Limits { input_tpm: Some(30_000), output_tpm: Some(60_000), ..NO_LIMITS }, 3_000),
        (Limits { input_tpm: Some(60_000), output_tpm: Some(20_000), ..NO_LIMITS }, 2_000),
    ] {
        let calls = calls_under(Counting::Split, limits).await;
        assert!(calls <= most + 1 && calls * 100 >= most * 96, "{calls} of {most}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_storm_a_tenth_comes_back_first() {
    let gate = model(NO_LIMITS);
    let (start, sent) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
    let mut rows = JoinSet::new();
    for _ in 0..500 {
        let (gate, sent) = (Arc::clone(&gate), Arc::clone(&sent));
        rows.spawn(async move {
            loop {
                let mut call = admit(&gate, 1).await;
                sent.lock().unwrap().push(start.elapsed());
                sleep(SECOND / 5).await;
                if start.elapsed() > 30 * SECOND {
                    call.ended(CallEnd::Good);
                    return;
                }
                call.ended(CallEnd::Throttled { hint: Some((30 * SECOND).saturating_sub(start.elapsed())) });
            }
        });
    }
    rows.join_all().await;
    let sent = sent.lock().unwrap();
    let first = sent.iter().filter(|at| **at >= 30 * SECOND && **at < 31 * SECOND).count();
    assert!((40..=51).contains(&first), "{first} in the first second");
    assert!(sent.len() <= 1_000, "{} requests", sent.len());
    assert!(sent.iter().max().unwrap() < &(36 * SECOND), "{:?}", sent.iter().max());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_tells_nothing_gets_as_many_calls_as_suit_it() {
    let gate = adaptive(NO_LIMITS);
    let now = Arc::new(Mutex::new(0_u32));
    let done = Arc::new(Mutex::new(Vec::new()));
    let start = Instant::now();
    let mut rows = JoinSet::new();
    for _ in 0..256 {
        let (gate, now, done) = (Arc::clone(&gate), Arc::clone(&now), Arc::clone(&done));
        rows.spawn(async move {
            loop {
                let mut call = admit(&gate, 1).await;
                let others = {
                    let mut now = now.lock().unwrap();
                    *now += 1;
                    *now
                };
                sleep(Duration::from_millis(300).mul_f64(f64::from(others).max(48.0) / 48.0)).await;
                *now.lock().unwrap() -= 1;
                done.lock().unwrap().push(start.elapsed());
                call.settle(used(1));
                call.ended(CallEnd::Good);
            }
        });
    }
    sleep(3 * MINUTE).await;
    rows.shutdown().await;
    let warm = done.lock().unwrap().iter().filter(|at| **at >= MINUTE).count();
    assert!(warm >= 160 * 120 * 90 / 100, "{warm} of {}", 160 * 120);
    let most = gate.view().limits.concurrency.unwrap();
    assert!((40..=80).contains(&most), "{most} in flight");
}

#[tokio::test(start_paused = true)]
async fn what_a_day_has_left_for_no_call_is_a_told_wait() {
    let gate = adaptive(NO_LIMITS);
    let mut call = admit(&gate, 1_000).await;
    let told = RateTold {
        unit: RateUnit::Tokens,
        per: RatePer::Day,
        limit: Some(100_000),
        remaining: Some(800),
        reset: Some(5 * HOUR),
    };
    call.learn(&vec![told]);
    call.settle(used(1_000));
    call.ended(CallEnd::Good);
    drop(call);
    let refused = tokio::time::timeout(SECOND, gate.admit(need(1_000), Some(MINUTE))).await;
    assert!(matches!(refused, Ok(Err(Refusal::Away { .. }))), "{refused:?}");
    sleep(5 * HOUR).await;
    assert!(gate.admit(need(1_000), Some(MINUTE)).await.is_ok());
}
