//! Stopped by signals: what is in flight is waited for, or cut and told, and the same command goes on.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::process::{Running, pause, wait_until};
use crate::truth::{Row, assert_books, assert_results, rows, write_job, write_rows};
use crate::world::{Ran, SimServer, World};

const RUN: [&str; 3] = ["run", "job.toml", "--json"];
/// Far below any drain time, and far above what a busy machine takes for a second's work.
const SOON: Duration = Duration::from_secs(10);

/// A job whose calls from the 25th to the 32nd are never answered.
struct Stuck {
    world: World,
    sim: SimServer,
    rows: Vec<Row>,
}

impl Stuck {
    /// Starts it, and waits until eight calls hang and nothing else is left to come.
    fn start(more: &str) -> (Self, Running) {
        let (world, rows) = (World::new(), rows(60));
        let script = json!([{ "from": 25, "to": 32, "fault": "hang" }]);
        let sim = SimServer::start(json!({ "script": script, "count_marks": true }));
        write_job(&world, sim.url(), &["sim"], &format!("[run]\nconcurrency = 8\n{more}"));
        write_rows(&world, &rows);
        let run = Running::start(&world, &RUN);
        wait_until("eight calls hang", || sim.ledger().requests == 32 && sim.ledger().answered == 24);
        (Self { world, sim, rows }, run)
    }

    /// The 24 answers are kept, the eight calls are told, and the same command buys the rest.
    fn assert_kept_and_told(&self, stopped: &Ran) {
        let summary = stopped.summary();
        let told: [&Value; 4] = [
            &summary["rows"]["succeeded"],
            &summary["rows"]["remaining"],
            &summary["attempts"],
            &summary["possibly_billed"]["attempts"],
        ];
        assert_eq!(told, [&json!(24), &json!(36), &json!(32), &json!(8)], "{stopped:?}");
        assert!(!self.world.path("out.jsonl").exists());
        let ended = self.world.overnight(&RUN);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!((&ended.summary()["attempts"], &ended.summary()["rows"]["skipped"]), (&json!(36), &json!(24)));
        assert_results(&self.world, &self.rows);
        assert_eq!(assert_books(&self.world, &self.rows, &self.sim.ledger()), 8);
    }
}

#[test]
fn a_stop_waits_for_the_calls_in_flight_and_keeps_their_answers() {
    for (signal, code, words) in [("INT", 130, "interrupted"), ("TERM", 143, "terminated"), ("HUP", 143, "terminated")]
    {
        let (world, rows) = (World::new(), rows(60));
        let sim = SimServer::start(json!({ "latency": "300ms", "count_marks": true }));
        write_job(&world, sim.url(), &["sim"], "[run]\nconcurrency = 8");
        write_rows(&world, &rows);
        let run = Running::start(&world, &RUN);
        wait_until("calls are in flight", || sim.ledger().in_flight == 8);
        run.signal(signal);

        let stopped = run.wait();
        assert_eq!(stopped.code, Some(code), "{stopped:?}");
        let summary = stopped.summary();
        assert_eq!(summary["stop_reason"], words, "{summary}");
        assert_eq!(summary["possibly_billed"]["attempts"], 0, "{summary}");
        let ledger = sim.ledger();
        assert!((8..60).contains(&ledger.requests), "{ledger:?}");
        assert_eq!((ledger.answered, &summary["rows"]["succeeded"]), (ledger.requests, &json!(ledger.requests)));

        let ended = world.overnight(&RUN);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_results(&world, &rows);
        assert_eq!(assert_books(&world, &rows, &sim.ledger()), 0);
        assert_eq!(sim.ledger().requests, 60);
    }
}

#[test]
fn a_second_signal_ends_the_wait_at_once() {
    let (stuck, run) = Stuck::start("");
    run.signal("INT");
    wait_until("it says that it waits", || run.said().contains("once more to stop at once"));
    run.signal("INT");
    let asked = Instant::now();
    let stopped = run.wait();
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    assert_eq!(stopped.code, Some(130), "{stopped:?}");
    stuck.assert_kept_and_told(&stopped);
}

#[test]
fn a_provider_that_hangs_is_waited_for_no_longer_than_the_drain() {
    let (stuck, run) = Stuck::start("drain = \"1s\"");
    run.signal("TERM");
    let asked = Instant::now();
    let stopped = run.wait();
    assert!((Duration::from_secs(1)..SOON).contains(&asked.elapsed()), "{:?}", asked.elapsed());
    assert_eq!(stopped.code, Some(143), "{stopped:?}");
    stuck.assert_kept_and_told(&stopped);
}

/// A run whose results go into a pipe that nobody reads, stuck in the middle of them.
fn start_unread(world: &World, sim: &SimServer, more: &str) -> Child {
    let long = "word ".repeat(400);
    let rows: Vec<Row> = (1..=600).map(|n| Row { id: Some(n.into()), text: format!("{n} {long}") }).collect();
    write_job(world, sim.url(), &["sim"], &format!("[run]\nconcurrency = 8\n{more}"));
    write_rows(world, &rows);
    let mut command = world.command(&["run", "job.toml", "--output", "-", "--progress", "none"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // What pipe, buffers and queues hold is far below what 600 rows make.
    let mut before = 0;
    wait_until("the reader holds up the run", || {
        pause(Duration::from_millis(300));
        let answered = sim.ledger().answered;
        std::mem::replace(&mut before, answered) == answered && answered > 0
    });
    child
}

fn kill_with(child: &Child, signal: &str) {
    let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn a_reader_who_does_not_read_holds_up_the_run_but_no_stop() {
    let (world, sim) = (World::new(), SimServer::start(json!({})));
    let mut child = start_unread(&world, &sim, "drain = \"1s\"");
    let answered = sim.ledger().answered;
    kill_with(&child, "TERM");
    let asked = Instant::now();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    // What had arrived is on record, whoever read it.
    let rest = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!((rest.code, sim.ledger().requests), (Some(0), 600), "{rest:?}");
    assert!(rest.summary()["rows"]["skipped"].as_u64().unwrap() >= answered, "{rest:?}");

    // The same where nothing is left to be asked: all rows are on their way to the reader.
    let mut child = {
        let mut command = world.command(&["run", "job.toml", "--output", "-", "--progress", "none"]);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    pause(Duration::from_millis(500));
    kill_with(&child, "INT");
    let asked = Instant::now();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
}

#[test]
fn a_reader_who_does_not_read_holds_up_no_deadline() {
    let (world, sim) = (World::new(), SimServer::start(json!({})));
    let mut child = start_unread(&world, &sim, "drain = \"1s\"\ndeadline = \"3s\"");
    let asked = Instant::now();
    assert_eq!(child.wait().unwrap().code(), Some(5));
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
}

#[test]
fn a_signal_while_a_deadline_drains_is_what_ended_the_run() {
    let (_stuck, run) = Stuck::start("drain = \"2s\"\ndeadline = \"3s\"");
    wait_until("the deadline drains", || run.said().contains("stopping: the deadline"));
    run.signal("INT");
    wait_until("the signal is told", || run.said().contains("stopping: interrupted"));
    let stopped = run.wait();
    assert_eq!((stopped.code, &stopped.summary()["stop_reason"]), (Some(130), &json!("interrupted")), "{stopped:?}");
}
