//! One writer for each state directory.

use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::{Value, json};

use crate::process::{Running, wait_until};
use crate::truth::{assert_results, rows, write_job, write_rows};
use crate::world::{Ran, SimServer, World};

#[test]
fn a_second_run_of_a_running_job_is_refused_and_told_who_runs_it() {
    let (world, rows) = (World::new(), rows(20));
    let sim = SimServer::start(json!({ "script": [{ "from": 1, "to": 4, "fault": "hang" }] }));
    write_job(&world, sim.url(), &["sim"], "[run]\nconcurrency = 4\n");
    write_rows(&world, &rows);
    let first = Running::start(&world, &["run", "job.toml"]);
    wait_until("the first run has sent its calls", || sim.ledger().in_flight == 4);

    let second = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!((second.code, &second.summary()["exit_code"]), (Some(7), &json!(7)), "{second:?}");
    assert!(second.stderr.contains(&format!("in use by process {}", first.pid())), "{}", second.stderr);
    assert_eq!(sim.ledger().requests, 4);
    assert_eq!(state_by_another_name(&world), "running");

    // A lock whose holder was killed is no obstacle.
    first.kill();
    let third = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!(third.code, Some(0), "{third:?}");
    assert_results(&world, &rows);
}

/// What `status` says where the binary is called by a link, which makes another process name of it.
fn state_by_another_name(world: &World) -> Value {
    let link = world.path("nightly");
    symlink(env!("CARGO_BIN_EXE_overnight"), &link).unwrap();
    let mut command = Command::new(link);
    let told = Ran::from(
        command.args(["status", "job.toml", "--json"]).current_dir(world.root()).env_clear().output().unwrap(),
    );
    told.summary()["state"].clone()
}

#[test]
fn the_state_of_another_job_is_not_touched() {
    let (world, rows) = (World::new(), rows(3));
    let sim = SimServer::start(json!({}));
    write_job(&world, sim.url(), &["sim"], "[run]\nstate = \"state\"");
    write_rows(&world, &rows);
    assert_eq!(world.overnight(&["run", "job.toml"]).code, Some(0));
    world.write("other.toml", world.read("job.toml"));

    let other = world.overnight(&["run", "other.toml"]);
    assert_eq!(other.code, Some(3), "{other:?}");
    assert!(other.stderr.contains("job.toml") && other.stderr.contains("run.state"), "{}", other.stderr);
    assert_eq!(sim.ledger().requests, 3);
    let again = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!((again.code, &again.summary()["attempts"]), (Some(0), &json!(0)));
}
