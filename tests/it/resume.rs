//! Stopped or damaged, and gone on with by the same command: only what is truly gone is sent again.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::process::{Running, wait_until};
use crate::truth::{Row, assert_books, assert_results, rows, write_job, write_rows};
use crate::world::{Ran, SimServer, World};

const RUN: [&str; 3] = ["run", "job.toml", "--json"];
const LOG: &str = ".overnight/job/results.log";

/// A job that has run to its end.
struct Finished {
    world: World,
    sim: SimServer,
    rows: Vec<Row>,
}

impl Finished {
    fn new(count: u64) -> Self {
        let (world, rows) = (World::new(), rows(count));
        let sim = SimServer::start(json!({}));
        write_job(&world, sim.url(), &["sim"], "[run]\nconcurrency = 16");
        write_rows(&world, &rows);
        let finished = Self { world, sim, rows };
        assert_eq!(finished.again().1, count);
        finished
    }

    /// The same command once more; with how many requests it sent.
    fn again(&self) -> (Ran, u64) {
        let before = self.sim.ledger().requests;
        let ran = self.world.overnight(&RUN);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_results(&self.world, &self.rows);
        (ran, self.sim.ledger().requests - before)
    }

    /// Checks that the same command sends just this many rows again, and that there is nothing to do after that.
    fn assert_sends(&self, requests: u64, what: &str) -> Ran {
        let (ran, sent) = self.again();
        assert_eq!(sent, requests, "{what}: {ran:?}");
        assert_eq!(self.again().1, 0, "{what}: once more");
        ran
    }

    fn state(&self, name: &str) -> PathBuf {
        self.world.path(".overnight/job").join(name)
    }
}

/// Outcomes on whole lines of a log.
fn outcomes(log: &[u8]) -> u64 {
    let whole = log.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    log[..whole].split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"{\"outcome\"")).count() as u64
}

#[test]
fn a_torn_log_costs_the_rows_of_its_torn_lines_alone() {
    let job = Finished::new(60);
    let mut rng = fastrand::Rng::with_seed(1);
    let whole = fs::read(job.world.path(LOG)).unwrap().len();
    let places = (0..6).map(|_| whole - rng.usize(1..2_500)).chain([whole / 2, 1_000, 7, 0]);
    for place in places.collect::<Vec<_>>() {
        let mut bytes = fs::read(job.world.path(LOG)).unwrap();
        bytes.truncate(place);
        fs::write(job.world.path(LOG), &bytes).unwrap();
        let ran = job.assert_sends(60 - outcomes(&bytes), &format!("cut at {place}"));
        assert!(ran.stderr.contains("rebuilt from the log"), "{}", ran.stderr);
        let is_torn = bytes.len() > 30 && bytes.last() != Some(&b'\n');
        assert_eq!(ran.stderr.contains("torn line"), is_torn, "{}", ran.stderr);
    }
}

#[test]
fn garbage_behind_the_log_costs_nothing() {
    let job = Finished::new(40);
    let line = br#"{"outcome":{"call":7,"key":"#;
    let pieces: [&[u8]; 6] = [b"garbage", &[0; 5_000], line, b"one\ntwo\nthree", b"whole\n", b"\n\n\xff\xfe\n"];
    for garbage in pieces {
        let mut bytes = fs::read(job.world.path(LOG)).unwrap();
        bytes.extend_from_slice(garbage);
        fs::write(job.world.path(LOG), bytes).unwrap();
        let ran = job.assert_sends(0, &format!("{garbage:?}"));
        assert!(ran.stderr.contains("torn line") || ran.stderr.contains("cannot be read"), "{}", ran.stderr);
    }
}

/// What damages a file.
type Damage = (&'static str, fn(&Path));

fn damages() -> [Damage; 6] {
    [
        ("deleted", |path| fs::remove_file(path).unwrap()),
        ("emptied", |path| fs::write(path, b"").unwrap()),
        ("cut in half", |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("zeroed", |path| fs::write(path, vec![0; fs::read(path).unwrap().len()]).unwrap()),
        ("all garbage", |path| fs::write(path, garbage(fs::read(path).unwrap().len())).unwrap()),
        ("garbage within", |path| {
            let mut bytes = fs::read(path).unwrap();
            let (from, to) = (bytes.len() / 4, bytes.len() / 2);
            bytes[from..to].copy_from_slice(&garbage(to - from));
            fs::write(path, bytes).unwrap();
        }),
    ]
}

fn garbage(len: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(len as u64);
    std::iter::repeat_with(|| rng.u8(..)).take(len).collect()
}

/// The files below a folder, largest first.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort_by_key(|path| std::cmp::Reverse(path.metadata().unwrap().len()));
    files
}

#[test]
fn a_damaged_checkpoint_is_made_again_from_the_log() {
    let job = Finished::new(30);
    for (what, damage) in damages() {
        for file in files_below(&job.state("sled")) {
            // What sled has moved on from is not there at the next turn.
            if file.exists() {
                damage(&file);
                job.assert_sends(0, &format!("{} {what}", file.display()));
            }
        }
    }
    fs::remove_dir_all(job.state("sled")).unwrap();
    job.assert_sends(0, "no sled at all");
    fs::remove_dir_all(job.state("sled")).unwrap();
    fs::write(job.state("sled"), "a file").unwrap();
    job.assert_sends(0, "a file in place of sled");
}

#[test]
fn a_lost_checkpoint_is_told_of() {
    let job = Finished::new(30);
    let garble: fn(&Path) = |folder| {
        for file in files_below(folder) {
            fs::write(&file, garbage(fs::read(&file).unwrap().len())).unwrap();
        }
    };
    let losses: [Damage; 3] = [
        ("deleted", |folder| fs::remove_dir_all(folder).unwrap()),
        ("garbage", garble),
        ("truncated", |folder| files_below(folder).iter().for_each(|file| fs::write(file, b"x").unwrap())),
    ];
    for (what, lose) in losses {
        lose(&job.state("sled"));
        let ran = job.assert_sends(0, what);
        assert!(ran.stderr.contains("the checkpoint "), "{what}: {}", ran.stderr);
        assert!(ran.stderr.contains("rebuilt from the log (30 rows)"), "{what}: {}", ran.stderr);
    }
}

#[test]
fn a_call_on_record_is_not_told_as_lost_because_its_slot_was_not_freed() {
    let (world, rows) = (World::new(), rows(16));
    let sim = SimServer::start(json!({ "latency": "500ms", "count_marks": true }));
    write_job(&world, sim.url(), &["sim"], "[run]\nconcurrency = 16");
    write_rows(&world, &rows);
    let run = Running::start(&world, &RUN);
    wait_until("all calls are out", || sim.ledger().in_flight == 16);
    let flight = fs::read(world.path(".overnight/job/flight")).unwrap();
    assert_eq!(run.wait().code, Some(0));

    // As if it had been killed with the lines written, the slots still taken, and nothing of it in the checkpoint yet.
    world.write(".overnight/job/flight", flight);
    fs::remove_dir_all(world.path(".overnight/job/sled")).unwrap();
    let ran = world.overnight(&RUN);
    assert_eq!((ran.code, &ran.summary()["possibly_billed"]["attempts"]), (Some(0), &json!(0)), "{ran:?}");
    assert_eq!(assert_books(&world, &rows, &sim.ledger()), 0);
}

#[test]
fn scratch_files_are_made_again() {
    let job = Finished::new(3_000);
    for file in ["order", "flight", "totals.json"] {
        for (what, damage) in damages() {
            damage(&job.state(file));
            let (ran, sent) = job.again();
            assert_eq!(sent, 0, "{file} {what}: {ran:?}");
        }
    }
}
