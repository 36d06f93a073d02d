//! Killed at any instant, any number of times, and gone on with: every row ends once, and the bill is told.
//!
//! The moments are drawn at random from a seed. What the machine does besides is not repeated, so that each run of these
//! tests tries other moments; what is promised holds at all of them.

use std::fs;
use std::ops::Range;
use std::time::Duration;

use serde_json::json;

use crate::process::{Running, pause, wait_until};
use crate::truth::{Row, assert_books, assert_results, rows, totals, write_job, write_rows};
use crate::world::{SimServer, World};

const RUN: [&str; 3] = ["run", "job.toml", "--json"];

/// A job that is killed now and then.
struct Victim<'a> {
    world: &'a World,
    sim: &'a SimServer,
    rng: fastrand::Rng,
}

impl Victim<'_> {
    /// Runs and kills, at the latest after so many further requests; every fourth time while it is still opening. False
    /// where it was done before that.
    fn run_and_kill(&mut self, requests: Range<u64>) -> bool {
        let is_early = self.rng.u8(..4) == 0;
        let requests = if is_early { 0 } else { self.rng.u64(requests) };
        let moment = Duration::from_micros(self.rng.u64(0..if is_early { 150_000 } else { 10_000 }));
        let goal = self.sim.ledger().requests + requests;
        let mut run = Running::start(self.world, &RUN);
        wait_until("the run has come far enough", || self.sim.ledger().requests >= goal || run.has_ended());
        pause(moment);
        let ended = run.kill();
        assert!(matches!(ended.code, None | Some(0)), "{ended:?}");
        ended.code.is_none()
    }

    /// The same command until all is done.
    fn finish(&self) {
        let ended = Running::start(self.world, &RUN).wait();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.summary()["rows"]["remaining"], 0);
    }

    /// Each kill lost no more calls than were in flight, and there was one run.
    fn assert_told(&self, rows: &[Row], kills: u64, concurrency: u64) {
        assert_results(self.world, rows);
        let lost = assert_books(self.world, rows, &self.sim.ledger());
        assert!(lost <= kills * concurrency, "{lost} calls possibly billed after {kills} kills");
        let runs = totals(self.world).runs;
        assert_eq!(runs.len(), 1, "{runs:?}");
        assert!(runs[0].ended_at.is_some());
    }
}

#[test]
fn no_row_is_lost_or_bought_again() {
    let (world, rows) = (World::new(), rows(700));
    let sim = SimServer::start(json!({ "latency": ["5ms", "30ms"], "count_marks": true }));
    write_job(&world, sim.url(), &["sim"], "[run]\nconcurrency = 16");
    write_rows(&world, &rows);
    let mut victim = Victim { world: &world, sim: &sim, rng: fastrand::Rng::with_seed(1) };
    let kills = (0..10).filter(|_| victim.run_and_kill(1..100)).count();
    victim.finish();
    assert!(kills > 5, "only {kills} kills hit");
    victim.assert_told(&rows, kills as u64, 16);
}

#[test]
fn retries_and_fallbacks_are_told_whole() {
    let (world, rows) = (World::new(), rows(600));
    let sim = SimServer::start(json!({ "latency": ["5ms", "30ms"], "count_marks": true }));
    let more = "[run]\nconcurrency = 16\n[retry]\nmax_attempts = 2\nbackoff = { base = \"5ms\", max = \"20ms\" }";
    write_job(&world, sim.url(), &["flaky-30", "large"], more);
    write_rows(&world, &rows);
    let mut victim = Victim { world: &world, sim: &sim, rng: fastrand::Rng::with_seed(2) };
    let kills = (0..6).filter(|_| victim.run_and_kill(30..130)).count();
    victim.finish();
    assert!(kills > 3, "only {kills} kills hit");
    victim.assert_told(&rows, kills as u64, 16);
    let sum = totals(&world).runs[0].totals.sum();
    assert!(sum.retries > 0 && sum.fallbacks_in > 0, "{sum:?}");
}

#[test]
fn equal_rows_without_ids_each_get_their_own_answer_even_when_they_move() {
    let world = World::new();
    let mut rows: Vec<Row> = (0..300).map(|n| Row { id: None, text: format!("pair {}", n / 2) }).collect();
    let sim = SimServer::start(json!({ "latency": ["5ms", "20ms"], "count_marks": true }));
    write_job(&world, sim.url(), &["sim"], "[run]\nconcurrency = 16");
    write_rows(&world, &rows);
    let mut victim = Victim { world: &world, sim: &sim, rng: fastrand::Rng::with_seed(3) };
    let mut kills = 0;
    for _ in 0..6 {
        kills += u64::from(victim.run_and_kill(1..70));
        victim.rng.shuffle(&mut rows);
        write_rows(&world, &rows);
    }
    victim.finish();
    assert!(kills > 2, "only {kills} kills hit");
    victim.assert_told(&rows, kills, 16);
}

#[test]
fn nothing_is_lost_around_a_checkpoint() {
    let (world, rows) = (World::new(), rows(6_000));
    let sim = SimServer::start(json!({}));
    write_job(&world, sim.url(), &["sim"], "[run]\nconcurrency = 64");
    write_rows(&world, &rows);
    let mut victim = Victim { world: &world, sim: &sim, rng: fastrand::Rng::with_seed(4) };
    let kills = (0..5).filter(|_| victim.run_and_kill(600..1_800)).count();
    victim.finish();
    assert!(kills > 1, "only {kills} kills hit");
    victim.assert_told(&rows, kills as u64, 64);
}

#[test]
fn results_are_whole_or_not_there() {
    let (world, rows) = (World::new(), rows(2_500));
    let sim = SimServer::start(json!({}));
    write_job(&world, sim.url(), &["sim"], "[run]\nconcurrency = 64");
    write_rows(&world, &rows);
    let mut rng = fastrand::Rng::with_seed(5);
    let run = Running::start(&world, &RUN);
    wait_until("all rows are answered", || sim.ledger().answered == 2_500);
    pause(Duration::from_millis(rng.u64(0..100)));
    run.kill();
    for round in 0..10 {
        let _ = fs::remove_file(world.path("out.jsonl"));
        let run = Running::start(&world, &RUN);
        pause(Duration::from_millis(rng.u64(10..200)));
        run.kill();
        if world.path("out.jsonl").exists() {
            assert_eq!(world.lines("out.jsonl").len(), 2_500, "round {round}");
        }
    }
    let victim = Victim { world: &world, sim: &sim, rng };
    victim.finish();
    victim.assert_told(&rows, 11, 64);
}
