//! Against simulated servers, event by event: it finds the knee, holds it and follows it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::*;

/// A server: how long a call takes and whether it is refused, by calls in flight and the time; in bases.
type Serves = fn(n: f64, at: f64) -> Option<f64>;

struct World {
    base: f64,
    serves: Serves,
    /// What the run may have in flight, and what it wants to.
    most: u64,
    wanted: u64,
    /// The share of calls refused at random.
    faults: f64,
    tokens: bool,
    /// How long nothing is sent after a refusal, in seconds.
    cooldown: f64,
    seed: u64,
}

/// What came through in each second, and the limit at its end.
struct Seen {
    done: Vec<f64>,
    limits: Vec<u64>,
    refused: Vec<u64>,
}

impl Seen {
    fn rate(&self, from: usize, to: usize) -> f64 {
        self.done[from..to].iter().sum::<f64>() / (to - from) as f64
    }

    fn range(&self, from: usize, to: usize) -> (u64, u64) {
        let limits = self.limits[from..to].iter().filter(|limit| **limit > 0);
        (*limits.clone().min().unwrap(), *limits.max().unwrap())
    }

    fn refused(&self, from: usize, to: usize) -> u64 {
        self.refused[from..to].iter().sum()
    }
}

impl World {
    fn new(base: f64, serves: Serves) -> Self {
        Self { base, serves, most: 256, wanted: 256, faults: 0.0, tokens: false, cooldown: base / 10.0, seed: 1 }
    }

    fn run(&self, seconds: usize) -> Seen {
        let (start, mut rng) = (Instant::now(), fastrand::Rng::with_seed(self.seed));
        let mut seen = Seen { done: vec![0.0; seconds], limits: vec![0; seconds], refused: vec![0; seconds] };
        let (mut adaptive, mut in_flight, mut now) = (Adaptive::new(self.most), 0_u64, 0_u64);
        // (when, whether answered, how long it took, its tokens); a client that was refused waits as a client does.
        let mut ends: BinaryHeap<(Reverse<u64>, bool, u64, u64)> = BinaryHeap::new();
        let (mut served, mut not_before) = (0_u64, 0_u64);
        loop {
            while in_flight < adaptive.limit().min(self.wanted) && now >= not_before {
                in_flight += 1;
                adaptive.began(start + Duration::from_nanos(now), in_flight);
                let answer = (self.serves)((served + 1) as f64, now as f64 / 1e9).filter(|_| rng.f64() >= self.faults);
                let length = (0.5 * gauss(&mut rng) - 0.125).exp();
                let takes = answer.map_or(0.001, |latency| self.base * latency * length);
                served += u64::from(answer.is_some());
                let takes = Duration::from_secs_f64(takes).as_nanos() as u64;
                ends.push((Reverse(now + takes), answer.is_some(), takes, (length * 100.0) as u64 + 1));
            }
            let next = ends.peek().map(|(Reverse(then), ..)| *then);
            if not_before > now && next.is_none_or(|then| then > not_before) {
                now = not_before;
                continue;
            }
            let (Reverse(then), good, takes, tokens) = ends.pop().unwrap();
            let second = (then / 1_000_000_000) as usize;
            if second >= seconds {
                return seen;
            }
            now = then;
            in_flight -= 1;
            let at = start + Duration::from_nanos(now);
            seen.limits[second] = adaptive.limit();
            if good {
                served -= 1;
                seen.done[second] += 1.0;
                adaptive.ended(at, Duration::from_nanos(takes), self.tokens.then_some(tokens), in_flight);
            } else {
                seen.refused[second] += 1;
                not_before = now + (self.cooldown * 1e9) as u64;
                adaptive.refused(at, Duration::from_nanos(takes), in_flight);
            }
        }
    }
}

fn gauss(rng: &mut fastrand::Rng) -> f64 {
    (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0
}

fn flat(n: f64, knee: f64) -> f64 {
    (n / knee).max(1.0)
}

fn degrading(n: f64, knee: f64) -> f64 {
    flat(n, knee) / (1.0 - 0.01 * (n - knee).max(0.0)).max(0.1)
}

/// The share of the best rate that comes through between these seconds; one for each of some seeds.
fn shares(world: impl Fn(u64) -> World, best: f64, from: usize, to: usize) -> Vec<f64> {
    (0..4).map(|seed| world(seed).run(to).rate(from, to) / best).collect()
}

#[track_caller]
fn assert_shares(name: &str, base: f64, shares: &[f64], least: f64) {
    assert!(shares.iter().all(|share| *share >= least), "{name}, {base} s: {shares:.2?}, at least {least}");
}

/// The same server at latencies from 5 ms to 3 s; the last is judged later and less strictly: a hundred answers take six
/// seconds there, and calls of a level that was too high a minute.
fn assert_found(name: &str, serves: Serves, knee: f64, least: f64, least_of_slow: f64) {
    for (base, from, to, least) in [(0.005, 10, 14, least), (0.3, 60, 120, least), (3.0, 120, 240, least_of_slow)] {
        let world = |seed| World { seed, ..World::new(base, serves) };
        assert_shares(name, base, &shares(world, knee / base, from, to), least);
    }
}

#[test]
fn finds_and_holds_a_flat_knee() {
    assert_found("flat", |n, _| Some(flat(n, 48.0)), 48.0, 0.93, 0.9);
}

#[test]
fn finds_and_holds_the_best_of_a_server_that_gets_worse_beyond() {
    assert_found("degrading", |n, _| Some(degrading(n, 48.0)), 48.0, 0.9, 0.85);
}

#[test]
fn stays_just_below_a_hard_limit() {
    assert_found("hard", |n, _| (n <= 32.0).then_some(1.0), 32.0, 0.93, 0.88);
    let seen = World::new(0.3, |n, _| (n <= 32.0).then_some(1.0)).run(180);
    assert!(seen.refused(60, 180) <= 40, "{} refused in two minutes", seen.refused(60, 180));
}

#[test]
fn finds_a_hard_limit_though_each_refusal_costs_a_second() {
    let world = |seed| World { seed, cooldown: 1.0, ..World::new(0.3, |n, _| (n <= 32.0).then_some(1.0)) };
    assert_shares("hard, cooling down", 0.3, &shares(world, 32.0 / 0.3, 30, 240), 0.9);
    assert!(world(1).run(240).refused(30, 240) <= 80);
}

#[test]
fn a_start_that_is_not_in_use_tells_nothing_of_the_server() {
    let (start, mut adaptive) = (Instant::now(), Adaptive::new(256));
    let second = Duration::from_secs(1);
    for burst in 0..20 {
        let now = start + burst * 60 * second;
        (1..=16).for_each(|in_flight| adaptive.began(now, in_flight));
        (0..16).for_each(|nth| adaptive.ended(now + second, second, None, 15 - nth));
    }
    assert!(adaptive.limit() >= 16, "{}", adaptive.limit());
}

#[test]
fn does_not_cap_a_fast_server() {
    assert_found("no knee", |_, _| Some(1.0), 256.0, 0.97, 0.95);
    for (base, seconds, to) in [(0.005, 1, 3), (0.3, 4, 30), (3.0, 20, 30)] {
        for seed in 0..4 {
            let seen = World { seed, ..World::new(base, |_, _| Some(1.0)) }.run(to);
            let reached = seen.limits.iter().position(|limit| *limit == 256);
            assert!(reached.is_some_and(|second| second <= seconds), "{base} s: {:?}", seen.limits);
        }
    }
    let world = |seed| World { seed, ..World::new(0.3, |_, _| Some(1.0)) };
    assert_shares("no knee, a minute from the start", 0.3, &shares(world, 256.0 / 0.3, 0, 60), 0.96);
}

#[test]
fn small_servers_get_few() {
    let world = |seed| World { seed, ..World::new(0.3, |n, _| Some(flat(n, 4.0))) };
    assert_shares("four at a time", 0.3, &shares(world, 4.0 / 0.3, 60, 240), 0.88);
    let seen = world(1).run(240);
    assert!(seen.range(180, 240).1 <= 16, "{:?}", seen.range(180, 240));
}

#[test]
fn goes_far_where_throughput_grows_slowly() {
    let world = |seed| World { seed, ..World::new(0.3, |n, _| Some(1.0 + n / 40.0)) };
    assert_shares("gradual", 0.3, &shares(world, 256.0 / 7.4 / 0.3, 90, 240), 0.75);
}

#[test]
fn follows_a_server_that_doubles_or_halves() {
    let doubles: Serves = |n, at| Some(degrading(n, if at < 120.0 { 48.0 } else { 96.0 }));
    let halves: Serves = |n, at| Some(degrading(n, if at < 120.0 { 48.0 } else { 24.0 }));
    let hard: Serves = |n, at| (n <= if at < 120.0 { 64.0 } else { 32.0 }).then_some(1.0);
    for (name, serves, knee) in
        [("doubles", doubles, 96.0), ("halves", halves, 24.0), ("a hard limit halves", hard, 32.0)]
    {
        let world = |seed| World { seed, ..World::new(0.3, serves) };
        assert_shares(name, 0.3, &shares(world, knee / 0.3, 170, 240), 0.89);
    }
}

#[test]
fn faults_at_random_do_not_starve_it() {
    for (faults, least) in [(0.001, 0.9), (0.01, 0.65), (0.3, 0.85)] {
        let world = |seed| World { seed, faults, tokens: true, ..World::new(0.3, |n, _| Some(flat(n, 48.0))) };
        assert_shares(&format!("faults of {faults}"), 0.3, &shares(world, 48.0 / 0.3, 60, 240), least);
    }
}

#[test]
fn grows_only_where_the_limit_binds() {
    let seen = World { wanted: 9, ..World::new(0.3, |_, _| Some(1.0)) }.run(60);
    assert_eq!(seen.range(0, 60), (16, 16));
}

#[test]
fn the_refusals_of_one_moment_lower_it_once() {
    let (start, mut adaptive) = (Instant::now(), Adaptive::new(256));
    for in_flight in 1..=16 {
        adaptive.began(start, in_flight);
    }
    for nth in 0..16 {
        adaptive.refused(start + QUIET, QUIET, 15 - nth);
    }
    assert!((12..=14).contains(&adaptive.limit()), "{}", adaptive.limit());
}

#[test]
fn calls_that_tell_nothing_change_nothing() {
    let (start, mut adaptive) = (Instant::now(), Adaptive::new(256));
    for nth in 0..10_000 {
        let now = start + nth * Duration::from_millis(10);
        adaptive.began(now, 16);
        adaptive.left(now, 15);
    }
    assert_eq!(adaptive.limit(), 16);
}

#[test]
fn never_goes_below_one_or_above_the_most() {
    for most in [1, 2, 5] {
        let seen = World { most, wanted: most, faults: 0.5, ..World::new(0.01, |_, _| Some(1.0)) }.run(60);
        let (low, high) = seen.range(0, 60);
        assert!(low >= 1 && high <= most, "{low} to {high} of {most}");
    }
}

#[test]
fn a_first_round_that_goes_out_slowly_is_no_knee() {
    let (start, call) = (Instant::now(), Duration::from_millis(500));
    let mut adaptive = Adaptive::new(32);
    // Two of the first calls are held up on their way out; each later one goes at once in place of another.
    let mut ends: BinaryHeap<Reverse<Duration>> = BinaryHeap::new();
    for number in 0_u32..16 {
        let sent = if number < 14 { Duration::ZERO } else { Duration::from_millis(300) };
        adaptive.began(start + sent, u64::from(number) + 1);
        ends.push(Reverse(sent + call));
    }
    while let Some(Reverse(now)) = ends.pop().filter(|Reverse(end)| *end < 5 * call) {
        adaptive.ended(start + now, call, None, ends.len() as u64);
        while (ends.len() as u64) < adaptive.limit() {
            ends.push(Reverse(now + call));
            adaptive.began(start + now, ends.len() as u64);
        }
    }
    assert_eq!(adaptive.limit(), 32);
}

#[test]
fn calls_that_end_together_are_no_knee() {
    let (start, call, moment) = (Instant::now(), Duration::from_secs(1), Duration::from_micros(1));
    let mut adaptive = Adaptive::new(256);
    let (mut out, mut now) = (VecDeque::new(), start);
    for round in 0..7 {
        // Some answers come before others have gone out in place of the first ones, and some after it.
        now = now.max(start + round * call);
        while out.front().is_some_and(|sent| *sent + call <= start + round * call + call / 2) {
            let early = out.len() as u64 > adaptive.limit() / 4;
            if !early {
                fill(&mut adaptive, &mut out, &mut now, BINDING);
            }
            now += moment;
            let took = now - out.pop_front().unwrap_or(now);
            adaptive.ended(now, took, None, out.len() as u64);
        }
        fill(&mut adaptive, &mut out, &mut now, 1.0);
    }
    assert_eq!(adaptive.limit(), 256);
}

/// Sends until this part of the limit is in flight.
fn fill(adaptive: &mut Adaptive, out: &mut VecDeque<Instant>, now: &mut Instant, part: f64) {
    while (out.len() as f64) < adaptive.limit() as f64 * part {
        *now += Duration::from_micros(1);
        out.push_back(*now);
        adaptive.began(*now, out.len() as u64);
    }
}
