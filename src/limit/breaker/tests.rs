//! Chance does not open it, an outage does; and little goes into an outage.

use std::collections::BinaryHeap;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn open(breaker: &mut Breaker, now: Instant) {
    for _ in 0..LONGEST_RUN as u32 {
        if breaker.open_until().is_some() {
            return;
        }
        let pass = breaker.take(now);
        breaker.sick(now, pass, Sickness::Certain);
    }
    assert!(breaker.open_until().is_some());
}

fn opened(now: Instant) -> Breaker {
    let mut breaker = Breaker::default();
    open(&mut breaker, now);
    breaker
}

/// A server, its clients, and what came of them, event by event.
struct World {
    rng: fastrand::Rng,
    in_flight: usize,
    /// How long good and bad answers take on average.
    good: f64,
    bad: f64,
    /// The share of failures at a time.
    faults: fn(f64) -> f64,
}

#[derive(Debug, Default)]
struct Seen {
    calls: u64,
    opened: u64,
    first_opened: Option<f64>,
    /// Calls sent and failed after the outage began at 10 s: until the breaker opened, and in the minute after that.
    until_open: u64,
    minute_after: u64,
}

const OUTAGE_AT: f64 = 10.0;

impl World {
    fn run(&mut self, calls: u64) -> Seen {
        let (start, mut breaker, mut seen) = (Instant::now(), Breaker::default(), Seen::default());
        let at = |micros: u64| start + Duration::from_micros(micros);
        // (when, in order, whether good, its pass)
        let mut ends: BinaryHeap<(std::cmp::Reverse<u64>, u64, bool)> = BinaryHeap::new();
        let mut passes = std::collections::HashMap::new();
        let mut now = 0_u64;
        while seen.calls < calls {
            while ends.len() < self.in_flight && breaker.may_send(at(now)).is_ok() {
                let seconds = now as f64 / 1e6;
                let good = self.rng.f64() >= (self.faults)(seconds);
                let mean = if good { self.good } else { self.bad };
                let takes = mean * (0.5 * gauss(&mut self.rng)).exp() * 1e6;
                seen.calls += 1;
                if seconds >= OUTAGE_AT {
                    match seen.first_opened {
                        None => seen.until_open += 1,
                        Some(opened) if seconds < opened + 60.0 => seen.minute_after += 1,
                        Some(_) => {}
                    }
                }
                passes.insert(seen.calls, breaker.take(at(now)));
                ends.push((std::cmp::Reverse(now + takes as u64), seen.calls, good));
            }
            let Some((std::cmp::Reverse(then), call, good)) = ends.pop() else {
                let until = breaker.may_send(at(now)).unwrap_err().unwrap();
                now = (until - start).as_micros() as u64 + 1;
                continue;
            };
            now = now.max(then);
            let was_open = breaker.open_until().is_some();
            let pass = passes.remove(&call).unwrap();
            if good {
                breaker.good(at(now), pass);
            } else {
                breaker.sick(at(now), pass, Sickness::Certain);
            }
            if !was_open && breaker.open_until().is_some() {
                seen.opened += 1;
                seen.first_opened.get_or_insert(now as f64 / 1e6);
            }
        }
        seen
    }
}

fn gauss(rng: &mut fastrand::Rng) -> f64 {
    (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0
}

#[test]
fn faults_at_random_do_not_open_it_at_any_concurrency() {
    for in_flight in [1, 2, 4, 16, 64, 256] {
        for (good, bad) in [(0.005, 0.005), (1.0, 1.0), (1.0, 0.005), (0.2, 5.0)] {
            let rng = fastrand::Rng::with_seed(in_flight as u64);
            let seen = World { rng, in_flight, good, bad, faults: |_| 0.3 }.run(40_000);
            assert!(seen.opened <= 1, "{in_flight} in flight, {good} s and {bad} s: {seen:?}");
        }
    }
}

#[test]
fn a_dead_server_opens_it_within_about_a_round_and_few_calls_go_into_the_outage() {
    for (in_flight, bad, most) in [
        (1, 0.002, 20),
        (1, 1.0, 10),
        (16, 0.002, 40),
        (16, 1.0, 60),
        (256, 0.002, 340),
        (256, 1.0, 540),
        (256, 30.0, 540),
    ] {
        let rng = fastrand::Rng::with_seed(7);
        let faults = |at| if at < OUTAGE_AT { 0.02 } else { 1.0 };
        // Enough for ten seconds of good calls, the outage and some of its probes.
        let calls = in_flight as u64 * 50 + 700;
        let seen = World { rng, in_flight, good: 0.2, bad, faults }.run(calls);
        assert_eq!(seen.opened, 1, "{in_flight} in flight, {bad} s: {seen:?}");
        assert!(seen.until_open <= most, "{in_flight} in flight, {bad} s: {seen:?}");
        assert!(seen.minute_after < 30, "{in_flight} in flight, {bad} s: {seen:?}");
    }
}

#[test]
fn one_row_alone_opens_it_at_its_fifth_refusal() {
    let (start, mut breaker) = (Instant::now(), Breaker::default());
    for (nth, at) in [0, 1, 3, 7, 15].into_iter().enumerate() {
        let now = start + at * SECOND;
        assert!(breaker.may_send(now).is_ok(), "attempt {nth}");
        let pass = breaker.take(now);
        breaker.sick(now, pass, Sickness::Certain);
    }
    assert_eq!(breaker.down_since(), Some(start));
    assert_eq!(breaker.may_send(start + 15 * SECOND), Err(Some(start + 16 * SECOND)));
}

#[test]
fn a_row_that_fails_again_and_again_does_not_open_it() {
    let (start, mut breaker) = (Instant::now(), Breaker::default());
    for nth in 0..1_000 {
        let pass = breaker.take(start + nth * SECOND);
        breaker.sick(start + nth * SECOND, pass, Sickness::Again);
    }
    assert_eq!((breaker.open_until(), breaker.down_since()), (None, None));
}

#[test]
fn waits_double_from_one_second_to_ten_until_a_probe_is_good() {
    let mut now = Instant::now();
    let mut breaker = opened(now);
    for wait in [1, 2, 4, 8, 10, 10] {
        assert_eq!(breaker.may_send(now), Err(Some(now + wait * SECOND)));
        now += wait * SECOND;
        let (one, two) = (breaker.take(now), breaker.take(now));
        assert!(one.probe && two.probe);
        assert_eq!(breaker.may_send(now), Err(None), "two are enough");
        breaker.sick(now, one, Sickness::Again);
        assert_eq!(breaker.may_send(now), Err(None), "the other may be good");
        breaker.sick(now, two, Sickness::First);
    }
    now += 10 * SECOND;
    let (one, two) = (breaker.take(now), breaker.take(now));
    breaker.sick(now, one, Sickness::Certain);
    breaker.good(now, two);
    assert_eq!((breaker.may_send(now), breaker.down_since()), (Ok(()), None));
    assert!(!breaker.take(now).probe);
    open(&mut breaker, now + 5 * SECOND);
    assert_eq!(breaker.open_until(), Some(now + 6 * SECOND), "the waits start over");
}

#[test]
fn a_probe_that_is_cut_frees_its_place() {
    let now = Instant::now() + SECOND;
    let mut breaker = opened(now - SECOND);
    let (one, two) = (breaker.take(now), breaker.take(now));
    breaker.cut(one);
    let three = breaker.take(now);
    assert!(three.probe);
    assert_eq!(breaker.may_send(now), Err(None));
    breaker.sick(now, two, Sickness::Certain);
    breaker.cut(three);
    assert_eq!(breaker.may_send(now), Ok(()), "nothing is out: another may try");
}

#[test]
fn an_outage_that_nobody_watched_does_not_count_as_a_long_one() {
    let start = Instant::now();
    for (idle, since) in [(FORGOTTEN, start), (60 * FORGOTTEN, start + FIRST_WAIT + 60 * FORGOTTEN)] {
        let mut breaker = opened(start);
        let later = start + FIRST_WAIT + idle;
        let pass = breaker.take(later);
        breaker.sick(later, pass, Sickness::Again);
        assert_eq!(breaker.down_since(), Some(since), "{idle:?} later");
    }
}

#[test]
fn a_told_wait_is_kept_and_the_longest_one_holds() {
    let (now, mut breaker) = (Instant::now(), Breaker::default());
    let early = breaker.take(now);
    breaker.told(now, now + 600 * SECOND);
    breaker.told(now + SECOND, now + 300 * SECOND);
    breaker.good(now + 2 * SECOND, early);
    assert_eq!(breaker.may_send(now + 599 * SECOND), Err(Some(now + 600 * SECOND)));
    assert_eq!(breaker.down_since(), Some(now));
    let probe = breaker.take(now + 600 * SECOND);
    breaker.good(now + 601 * SECOND, probe);
    assert_eq!(breaker.open_until(), None);
}

#[test]
fn answers_from_before_the_outage_do_not_end_it() {
    let now = Instant::now();
    let mut breaker = Breaker::default();
    let before = breaker.take(now);
    for _ in 0..2 * LONGEST_RUN as u32 {
        if breaker.open_until().is_none() {
            let pass = breaker.take(now + SECOND);
            breaker.sick(now + SECOND, pass, Sickness::Certain);
        }
    }
    assert!(breaker.open_until().is_some());
    breaker.good(now + SECOND + SECOND / 2, before);
    assert!(breaker.open_until().is_some());
    let probe = breaker.take(now + 2 * SECOND);
    assert!(probe.probe);
    breaker.good(now + 3 * SECOND, probe);
    assert_eq!(breaker.open_until(), None);
}
