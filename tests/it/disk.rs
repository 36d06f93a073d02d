//! A disk that is full: the run stops with a clear error, and goes on when there is room.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;

use crate::process::{Running, wait_until};
use crate::truth::{assert_books, assert_results, rows, totals, write_job, write_rows};
use crate::world::{SimServer, World};

const RUN: [&str; 3] = ["run", "job.toml", "--json"];

/// A small disk of its own, in memory.
struct Disk {
    path: PathBuf,
}

impl Disk {
    /// `None` where this user may not mount.
    fn mount(path: PathBuf, kib: u64) -> Option<Self> {
        let mounted = mount(&["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"], &path);
        mounted.status.success().then_some(Self { path })
    }

    fn grow(&self, kib: u64) {
        let grown = mount(&["-o", &format!("remount,size={kib}k")], &self.path);
        assert!(grown.status.success(), "{grown:?}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.path).status();
    }
}

fn mount(args: &[&str], path: &Path) -> Output {
    Command::new("mount").args(args).arg(path).output().unwrap()
}

#[test]
fn a_full_disk_stops_the_run_and_room_lets_it_go_on() {
    let (world, rows) = (World::new(), rows(1_000));
    let (mut rng, mut kib) = (fastrand::Rng::with_seed(1), 128);
    let Some(disk) = Disk::mount(world.root().to_owned(), kib) else {
        println!("skipped: mounting a tmpfs is not permitted here");
        return;
    };
    let sim = SimServer::start(json!({ "count_marks": true, "output_tokens": 64 }));
    write_job(&world, sim.url(), &["sim"], "[run]\nconcurrency = 16");
    write_rows(&world, &rows);

    let mut stops: Vec<String> = Vec::new();
    loop {
        let ran = world.overnight(&RUN);
        println!("{kib} KiB: {:?} {} {}", ran.code, sim.ledger().requests, ran.stderr);
        if ran.code == Some(0) {
            break;
        }
        assert_eq!((ran.code, &ran.summary()["exit_code"]), (Some(1), &json!(1)), "{ran:?}");
        let place = world.root().to_str().unwrap();
        assert!(ran.stderr.contains("error: ") && ran.stderr.contains(place), "{}", ran.stderr);
        assert!(!world.path("out.jsonl").exists());
        stops.push(ran.stderr);
        kib += rng.u64(64..256);
        disk.grow(kib);
    }
    // Some of them within the log, and some when all was paid for and only the output had no room.
    for file in ["results.log: No space left", "out.jsonl: No space left"] {
        assert!(stops.iter().any(|stop| stop.contains(file)), "{stops:?}");
    }
    assert_results(&world, &rows);
    assert_books(&world, &rows, &sim.ledger());
    assert_eq!(totals(&world).runs.len(), 1);
}

/// Writes to a file until there is no room.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    while file.write(&[0; 4_096]).is_ok_and(|written| written > 0) {}
}

#[test]
fn answers_that_come_while_the_disk_is_full_are_kept_if_room_comes_before_the_last_one() {
    let (world, rows) = (World::new(), rows(32));
    let Some(_disk) = Disk::mount(world.root().to_owned(), 4_096) else {
        println!("skipped: mounting a tmpfs is not permitted here");
        return;
    };
    let sim = SimServer::start(json!({ "count_marks": true, "latency": ["100ms", "2500ms"], "output_tokens": 64 }));
    write_job(&world, sim.url(), &["sim"], "[run]\nconcurrency = 16");
    write_rows(&world, &rows);
    let run = Running::start(&world, &RUN);
    wait_until("calls are in flight", || sim.ledger().in_flight == 16);
    let filler = world.path("filler");
    fill(&filler);
    wait_until("it stops", || run.said().contains("stopping: an unexpected failure"));
    fs::remove_file(&filler).unwrap();
    let stopped = run.wait();
    assert_eq!((stopped.code, stopped.stderr.contains("No space left")), (Some(1), true), "{stopped:?}");
    let asked = sim.ledger().requests;
    assert_eq!(sim.ledger().answered, asked, "what was in flight has finished");

    let ended = world.overnight(&RUN);
    assert_eq!((ended.code, &ended.summary()["attempts"]), (Some(0), &json!(32 - asked)), "{ended:?}");
    assert_results(&world, &rows);
    assert_eq!(assert_books(&world, &rows, &sim.ledger()), 0);
}

#[test]
fn rows_that_wait_for_the_line_of_another_are_left_when_the_disk_is_full() {
    let world = World::new();
    let mut rows = rows(2_000);
    rows.iter_mut().zip(0..).for_each(|(row, n): (_, u64)| row.text = format!("row {}", n % 100));
    let Some(disk) = Disk::mount(world.root().to_owned(), 192) else {
        println!("skipped: mounting a tmpfs is not permitted here");
        return;
    };
    let sim = SimServer::start(json!({ "count_marks": true, "output_tokens": 64 }));
    write_job(&world, sim.url(), &["sim"], "[run]\nconcurrency = 4\ndedupe = true");
    write_rows(&world, &rows);
    let stopped = Running::start(&world, &RUN).wait();
    assert_eq!((stopped.code, stopped.stderr.contains("results.log: No space left")), (Some(1), true), "{stopped:?}");

    disk.grow(16_384);
    let ended = world.overnight(&RUN);
    assert_eq!((ended.code, &ended.summary()["rows"]["succeeded"]), (Some(0), &json!(2_000)), "{ended:?}");
    assert_results(&world, &rows);
}
