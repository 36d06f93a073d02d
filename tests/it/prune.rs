//! What no row needs any more is forgotten, what was paid is not, killed at any instant.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::process::{Running, pause, wait_until};
use crate::world::{Ran, SimServer, World};

const LOG: &str = ".overnight/job/results.log";
const PRUNE: [&str; 3] = ["prune", "job.toml", "--json"];
const RUN: [&str; 3] = ["run", "job.toml", "--json"];

/// A job whose every fifth row is too long for its model.
struct Job {
    world: World,
    sim: SimServer,
}

impl Job {
    fn new(latency: &str) -> Self {
        let job = Self { world: World::new(), sim: SimServer::start(json!({ "latency": latency })) };
        job.ask("Old", "fallback = [\"long\"]");
        job
    }

    /// Writes the job with this word in its prompt, and perhaps a fallback for rows that are too long.
    fn ask(&self, word: &str, fallback: &str) {
        let job = format!(
            "[input]\npath = \"in.jsonl\"\n[output]\npath = \"out.jsonl\"\n[run]\nconcurrency = 8\n\
             [tasks.tag]\nmodel = \"short\"\nprompt = \"{word} {{{{ text }}}}\"\nparams = {{ max_tokens = 20 }}\n{fallback}\n\
             [models.short]\nprovider = \"p\"\nmodel = \"short-context-100\"\nprice = {{ input = 1.3, output = 2.7 }}\n\
             [models.long]\nprovider = \"p\"\nprice = {{ input = 10, output = 20 }}\n\
             [providers.p]\nbase_url = \"{}\"\n",
            self.sim.url()
        );
        self.world.write("job.toml", job);
    }

    fn input(&self, rows: impl Iterator<Item = usize>) {
        let text = |n: usize| if n.is_multiple_of(5) { "long ".repeat(200) } else { format!("row {n}") };
        let lines: Vec<String> = rows.map(|n| json!({ "id": n, "text": text(n) }).to_string()).collect();
        self.world.write("in.jsonl", lines.join("\n"));
    }

    fn ran(&self, args: &[&str], code: i32) -> Ran {
        let ran = self.world.overnight(args);
        assert_eq!(ran.code, Some(code), "{args:?}: {ran:?}");
        ran
    }

    fn log_len(&self) -> u64 {
        fs::metadata(self.world.path(LOG)).unwrap().len()
    }

    /// All that is told of the job.
    fn told(&self) -> Vec<String> {
        let commands = [
            &["report", "job.toml", "--json"][..],
            &["report", "job.toml", "--run", "all", "--json"],
            &["report", "job.toml", "--run", "1", "--json"],
            &["status", "job.toml", "--json"],
            &["errors", "job.toml", "--json"],
        ];
        commands.iter().map(|args| self.ran(args, 0).stdout).collect()
    }

    fn outputs(&self) -> [String; 2] {
        ["out.jsonl", "out.errors.jsonl"].map(|name| self.world.read(name))
    }

    /// The requests of all runs, as the report has them.
    fn reported(&self) -> u64 {
        let report = self.ran(&["report", "job.toml", "--run", "all", "--json"], 0).summary();
        report["totals"]["attempts"].as_u64().unwrap()
    }

    /// Everything was asked with the old prompt and with the new one, then rows went.
    fn finished(rows: usize) -> Self {
        let job = Self::new("0ms");
        job.input(1..=rows);
        job.ran(&RUN, 0);
        job.ask("New", "");
        job.ran(&RUN, 4);
        job.input((1..=rows).filter(|n| n % 4 != 0));
        let ran = job.ran(&RUN, 0);
        assert_eq!(ran.summary()["attempts"], 0, "{ran:?}");
        job
    }
}

#[test]
fn what_no_row_takes_is_forgotten_and_nothing_else_changes() {
    let job = Job::finished(60);
    let (told, outputs, before, log) = (job.told(), job.outputs(), job.log_len(), job.world.read(LOG));
    let sent = job.sim.ledger().requests;

    let tried = job.ran(&["prune", "job.toml", "--dry-run", "--json"], 0).summary();
    assert_eq!((job.world.read(LOG), &tried["dry_run"]), (log, &json!(true)));
    let pruned = job.ran(&PRUNE, 0).summary();
    // 60 old outcomes, 12 of them with an attempt before the fallback, and 15 rows that went.
    assert_eq!(pruned["forgotten"], json!({ "outcomes": 75, "attempts": 12 }));
    assert_eq!((&pruned["rows"], &pruned["kept"], &pruned["without_outcome"]), (&json!(45), &json!(45), &json!(0)));
    assert_eq!((&pruned["forgotten"], &pruned["kept"]), (&tried["forgotten"], &tried["kept"]));
    assert_eq!((&pruned["bytes_before"], &pruned["bytes_after"]), (&json!(before), &json!(job.log_len())));
    assert!(job.log_len() < before * 2 / 3, "{pruned}");
    assert_eq!(job.told(), told);

    let plan = job.ran(&["plan", "job.toml", "--json"], 0).summary();
    assert_eq!((&plan["remaining"], &plan["rows"]), (&json!(0), &json!(45)));
    for _ in 0..2 {
        let ran = job.ran(&RUN, 0);
        assert_eq!((&ran.summary()["attempts"], ran.stderr.contains("rebuilt")), (&json!(0), false), "{ran:?}");
        assert_eq!((job.outputs(), job.sim.ledger().requests), (outputs.clone(), sent));
    }
    assert_eq!(job.told()[..3], told[..3]);
    assert_eq!(job.reported(), sent);

    let again = job.ran(&["prune", "job.toml"], 0);
    assert!(again.stdout.starts_with("job: nothing to forget\n"), "{again:?}");
    // Another prompt, and the old one back: what was forgotten is asked again, and only that.
    job.ask("Old", "fallback = [\"long\"]");
    let ran = job.ran(&RUN, 0);
    assert_eq!(ran.summary()["rows"]["succeeded"], 45, "{ran:?}");
    assert_eq!(job.reported(), job.sim.ledger().requests);
}

#[test]
fn a_run_that_was_stopped_goes_on_after_it() {
    let job = Job::new("3ms");
    job.input(1..=120);
    job.ran(&RUN, 0);
    job.ask("New", "");
    let sent = job.sim.ledger().requests;
    let run = Running::start(&job.world, &RUN);
    wait_until("some rows have ended", || job.sim.ledger().requests > sent + 40);
    run.signal("TERM");
    let stopped = run.wait();
    assert_eq!(stopped.code, Some(143), "{stopped:?}");
    let done = stopped.summary()["rows"]["remaining"].as_u64().unwrap();
    assert!((1..=80).contains(&done), "{stopped:?}");

    let told = job.told();
    let pruned = job.ran(&PRUNE, 0).summary();
    assert_eq!((&pruned["forgotten"]["outcomes"], &pruned["without_outcome"]), (&json!(120), &json!(done)));
    assert_eq!(job.told(), told);

    let ended = job.ran(&RUN, 4);
    assert_eq!((&ended.summary()["run"], &ended.summary()["rows"]["failed"]), (&json!(2), &json!(24)), "{ended:?}");
    assert_eq!(job.sim.ledger().requests, job.reported());
    let rows: Vec<Value> = ["out.jsonl", "out.errors.jsonl"]
        .iter()
        .flat_map(|name| job.world.lines(name))
        .map(|line| line["row"].clone())
        .collect();
    assert_eq!(rows.len(), 120);
    assert!((1..=120).all(|row| rows.contains(&json!(row))));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn killed_at_any_instant_it_loses_nothing() {
    let job = Job::finished(200);
    let (outputs, sent, state) = (job.outputs(), job.sim.ledger().requests, job.world.path(".overnight/job"));
    let report = |job: &Job| job.told()[..3].to_vec();
    let (told, before, kept) = (report(&job), job.log_len(), job.world.path("kept"));
    copy(&state, &kept);
    let began = Instant::now();
    job.ran(&PRUNE, 0);
    let (whole, after) = (began.elapsed(), job.log_len());
    let mut rng = fastrand::Rng::with_seed(3);
    let mut ends = [0, 0];
    for attempt in 0..12 {
        fs::remove_dir_all(&state).unwrap();
        copy(&kept, &state);
        let mut run = Running::start(&job.world, &PRUNE);
        let is_there = |name: &str| state.join(name).exists();
        match attempt % 3 {
            0 => pause(whole.mul_f64(rng.f64())),
            1 => wait_until("the new log is begun", || is_there("results.log.new") || run.has_ended()),
            _ => wait_until("the new log has come", || job.log_len() != before || run.has_ended()),
        }
        if attempt % 2 == 1 {
            pause(Duration::from_micros(rng.u64(0..4_000)));
        }
        run.kill();
        let len = job.log_len();
        assert!(len == before || len == after, "{len} bytes of {before} or {after}");
        ends[usize::from(len == after)] += 1;
        assert_eq!(report(&job), told, "attempt {attempt}");
        let ran = job.ran(&RUN, 0);
        assert_eq!((&ran.summary()["attempts"], job.sim.ledger().requests), (&json!(0), sent), "{ran:?}");
        assert_eq!((job.outputs(), report(&job)), (outputs.clone(), told.clone()), "attempt {attempt}");
        let left = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        // A checkpoint that was killed in the making is moved aside by the next start, as any that is damaged.
        let left: Vec<String> = left.filter(|name| name.contains("prune") || name.ends_with("log.new")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    assert!(ends.iter().all(|tries| *tries > 0), "old and new: {ends:?}");
}

#[test]
fn nothing_is_forgotten_while_a_run_is_on_or_without_its_input() {
    let sim = SimServer::start(json!({ "script": [{ "from": 4, "to": 6, "fault": "hang" }] }));
    let job = Job { world: World::new(), sim };
    job.ask("New", "");
    job.input(1..=3);
    let none = job.ran(&["prune", "job.toml"], 0);
    assert!(none.stdout.contains("job"), "{none:?}");
    job.ran(&RUN, 0);
    job.input(4..=7);
    let run = Running::start(&job.world, &RUN);
    wait_until("the calls are out", || job.sim.ledger().in_flight > 0);
    let locked = job.ran(&PRUNE, 7);
    assert!(locked.stderr.contains(&format!("in use by process {}", run.pid())), "{locked:?}");
    job.ran(&["prune", "job.toml", "--if-locked", "skip"], 0);
    run.kill();

    let log = job.world.read(LOG);
    job.world.write("in.jsonl", "");
    let empty = job.ran(&PRUNE, 3);
    assert!(empty.stderr.contains("the input has no rows; nothing was forgotten"), "{empty:?}");
    fs::remove_file(job.world.path("in.jsonl")).unwrap();
    let gone = job.ran(&PRUNE, 3);
    assert!(gone.stderr.contains("in.jsonl: no such file"), "{gone:?}");
    let lines = job.world.read(LOG);
    // A start puts on record what a kill left in flight.
    assert!(lines.starts_with(&log), "{lines}");
}

#[test]
fn answers_of_a_comparison_stay_while_their_row_is_there() {
    let job = Job::new("0ms");
    job.input(1..=20);
    let args = ["compare", "job.toml", "--models", "short,long", "--sample", "10", "--json"];
    let told = job.ran(&args, 4).summary();
    // Another prompt: what it sends has nothing to do with these answers.
    job.ask("New", "fallback = [\"long\"]");
    job.ran(&RUN, 0);
    assert_eq!(job.ran(&PRUNE, 0).summary()["forgotten"]["outcomes"], 0);
    job.ask("Old", "fallback = [\"long\"]");
    let again = job.ran(&args, 0).summary();
    assert_eq!((&again["attempts"], &again["models"]), (&json!(0), &told["models"]));
    // `run` pays for none of them again, whichever of the models is its first.
    let paid = job.sim.ledger().by_model["long"].requests;
    let ran = job.ran(&["run", "job.toml", "--model", "long", "--json"], 0).summary();
    assert_eq!(job.sim.ledger().by_model["long"].requests, paid + 10, "{ran}");
    // Rows that are gone take theirs along.
    job.input(30..=40);
    job.ran(&RUN, 0);
    let pruned = job.ran(&PRUNE, 0).summary();
    assert_eq!((&pruned["kept"], &pruned["without_outcome"]), (&json!(11), &json!(0)), "{pruned}");
}
