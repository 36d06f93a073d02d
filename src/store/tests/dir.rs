//! The directory: whose it is, who works in it, what other processes read.

use std::fs;

use serde_json::json;

use super::*;

#[test]
fn a_second_handle_is_told_who_has_the_lock() {
    let scene = Scene::new();
    let lock = scene.dir.lock().unwrap();
    let Err(StoreError::Locked { holder, .. }) = scene.dir.lock() else { panic!("locked twice") };
    assert_eq!(holder.pid, std::process::id());
    assert!(holder.to_string().starts_with(&format!("process {}", holder.pid)), "{holder}");
    drop(lock);
    scene.dir.lock().unwrap();
}

#[test]
fn the_name_of_a_dead_holder_is_no_obstacle() {
    let scene = Scene::new();
    fs::write(scene.dir.path().join("lock"), r#"{"pid":1,"host":"gone","since":5}"#).unwrap();
    scene.dir.lock().unwrap();
}

#[test]
fn a_holder_lives_whose_process_started_when_it_says() {
    let me = Holder::me();
    assert!(me.lives());
    // After a reboot.
    assert!(!Holder { started: me.started + 1, ..me.clone() }.lives(), "another one with its number");
    assert!(Holder { host: "elsewhere".to_owned(), pid: u32::MAX, ..me }.lives(), "nobody knows");
}

#[test]
fn the_state_of_another_job_file_is_refused_while_that_one_exists() {
    let root = tempfile::tempdir().unwrap();
    let dir = state_in(root.path(), "state");
    let (first, other) = (root.path().join("job.toml"), root.path().join("other.toml"));
    fs::write(&other, "").unwrap();
    StateDir::create(dir.path(), &first).unwrap();
    let error = StateDir::create(dir.path(), &other).unwrap_err();
    assert!(matches!(error, StoreError::OtherJob { .. }));
    assert!(error.to_string().contains("job.toml; set run.state"), "{error}");
    fs::remove_file(&first).unwrap();
    StateDir::create(dir.path(), &other).expect("a renamed job file keeps its state");
    assert_eq!(fs::read_to_string(dir.path().join(".gitignore")).unwrap(), "*\n");
}

#[test]
fn a_directory_without_a_job_is_none() {
    let root = tempfile::tempdir().unwrap();
    assert!(StateDir::open_existing(&root.path().join("none")).unwrap().is_none());
    assert!(StateDir::open_existing(root.path()).unwrap().is_none());
    let dir = state_in(root.path(), "state");
    assert_eq!(StateDir::open_existing(dir.path()).unwrap().unwrap().path(), dir.path());
}

#[test]
fn archiving_keeps_everything_and_begins_anew() {
    let scene = Scene::new();
    let _lock = scene.dir.lock().unwrap();
    let mut archives = Vec::new();
    for _ in 0..2 {
        let (mut store, _) = scene.open();
        assert!(rows(&store).is_empty());
        write_rows(&mut store, 1..=3);
        let log = fs::read(scene.log()).unwrap();
        store.close().unwrap();
        let archive = scene.dir.archive(AT).unwrap().unwrap();
        assert_eq!(fs::read(archive.join("results.log")).unwrap(), log);
        assert!(archive.join("sled").is_dir());
        archives.push(archive);
    }
    assert_ne!(archives[0], archives[1]);
    assert!(scene.dir.archive(AT).unwrap().is_none());
}

#[test]
fn totals_read_back_to_the_picodollar() {
    let scene = Scene::new();
    assert!(read_totals(&scene.dir).unwrap().is_none());
    let (mut store, _) = scene.open();
    write_rows(&mut store, 1..=3);
    store.save_totals(&json!({"state": "running", "at": "not this one"})).unwrap();
    let totals = read_totals(&scene.dir).unwrap().unwrap();
    assert_eq!(&totals.ledger, store.ledger());
    assert_eq!(totals.ledger.runs[0].totals.sum().cost_usd, Money::from_pico(8 + 15 + 22));
    assert_eq!(serde_json::Value::Object(totals.extra), json!({"state": "running"}));
    assert!(totals.at > AT);
}

#[test]
fn damaged_totals_are_an_error_and_not_zero() {
    let scene = Scene::new();
    for content in ["", "{}", r#"{"version":1,"at":1,"ledger":{"runs":[{}]}}"#] {
        fs::write(scene.dir.path().join("totals.json"), content).unwrap();
        assert!(matches!(read_totals(&scene.dir), Err(StoreError::Totals { .. })), "{content}");
    }
    fs::write(scene.dir.path().join("totals.json"), r#"{"version":2}"#).unwrap();
    assert!(matches!(read_totals(&scene.dir), Err(StoreError::Version { found: 2, .. })));
}
