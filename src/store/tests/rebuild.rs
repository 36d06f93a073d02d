//! The checkpoint over the log: lost, damaged, ahead, of another log.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::checkpoint::records_from;
use super::*;

/// A closed store of this many rows, and a few lines behind the checkpoint.
fn filled(rows: u64) -> (Scene, PathBuf) {
    let scene = Scene::new();
    let (mut store, _) = scene.open();
    write_rows(&mut store, 1..=rows);
    store.checkpoint().unwrap();
    write_rows(&mut store, rows + 1..=rows + 3);
    drop(store);
    let sled = scene.dir.path().join("sled");
    (scene, sled)
}

fn damaged(dir: &StateDir) -> usize {
    let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with("sled.damaged-")).count()
}

fn assert_whole(scene: &Scene, rows_there: u64) -> Opened {
    let (store, opened) = scene.open();
    assert_eq!(rows(&store), (1..=rows_there).collect::<Vec<_>>(), "{:?}", opened.notes);
    assert_eq!(store.ledger().runs[0].totals.sum().attempts, rows_there);
    assert_eq!(opened.next_call, rows_there + 1);
    opened
}

#[test]
fn a_sound_checkpoint_is_gone_on_with() {
    let (scene, _) = filled(5000);
    assert!(assert_whole(&scene, 5003).notes.is_empty());
    assert!(assert_whole(&scene, 5003).notes.is_empty());
    assert_eq!(damaged(&scene.dir), 0);
}

fn damage_of(kind: &str) -> fn(&Path) {
    match kind {
        "truncated" => |sled| {
            let file = fs::File::options().write(true).open(sled.join("db")).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        },
        "zeroed" => |sled| {
            let len = fs::metadata(sled.join("db")).unwrap().len();
            fs::write(sled.join("db"), vec![0; usize::try_from(len).unwrap()]).unwrap();
        },
        "deleted" => |sled| fs::remove_dir_all(sled).unwrap(),
        "garbage" => |sled| {
            for name in ["db", "conf"] {
                fs::write(sled.join(name), b"not a database at all".repeat(99)).unwrap();
            }
        },
        "without db" => |sled| fs::remove_file(sled.join("db")).unwrap(),
        "a file" => |sled| {
            fs::remove_dir_all(sled).unwrap();
            fs::write(sled, "x").unwrap();
        },
        _ => unreachable!("{kind}"),
    }
}

#[test]
fn any_damage_to_sled_is_mended_from_the_log() {
    for kind in ["truncated", "zeroed", "deleted", "garbage", "without db", "a file"] {
        let (scene, sled) = filled(5000);
        damage_of(kind)(&sled);
        let opened = assert_whole(&scene, 5003);
        let told = opened.notes.iter().filter(|note| note.contains("rebuilt from the log (5003 rows)")).count();
        // One that is gone leaves nothing to move aside.
        let gone = usize::from(kind == "deleted");
        assert_eq!(told, damaged(&scene.dir) + gone, "{kind}: {:?}", opened.notes);
        assert!(assert_whole(&scene, 5003).notes.is_empty(), "{kind}");
    }
}

#[test]
fn pages_zeroed_anywhere_in_sled_cost_no_row() {
    let (scene, sled) = filled(5000);
    let whole = fs::read(sled.join("db")).unwrap();
    for at in (0..whole.len()).step_by((whole.len() / 12).max(1)) {
        let mut bytes = whole.clone();
        let end = bytes.len().min(at + 4096);
        bytes[at..end].fill(0);
        fs::write(sled.join("db"), bytes).unwrap();
        assert_whole(&scene, 5003);
    }
}

#[test]
fn a_checkpoint_ahead_of_a_log_that_lost_lines_is_built_again() {
    let (scene, _) = filled(5000);
    let log = fs::read(scene.log()).unwrap();
    let half = memchr::memrchr(b'\n', &log[..log.len() / 2]).unwrap();
    fs::write(scene.log(), &log[..half + 9]).unwrap();
    let (store, opened) = scene.open();
    let left = memchr::memchr_iter(b'\n', &log[..=half]).count() as u64 - 2;
    assert_eq!(rows(&store), (1..=left).collect::<Vec<_>>());
    assert!(opened.notes[0].contains("the log has lost lines"), "{:?}", opened.notes);
    assert_eq!(damaged(&scene.dir), 1);
}

#[test]
fn the_checkpoint_of_another_log_is_not_believed() {
    let (scene, _) = filled(100);
    let (other, _) = filled(300);
    let mut log = fs::read(other.log()).unwrap();
    fs::write(scene.log(), &log).unwrap();
    assert_whole(&scene, 303);
    // The same length, and a line break at the cursor, but other bytes.
    let last = log.len() - 20;
    log[last] ^= 1;
    drop(scene.open().0.close());
    fs::write(scene.log(), &log).unwrap();
    assert!(scene.open().1.notes[0].contains("another log"));
}

#[test]
fn a_record_that_is_missing_is_noticed() {
    let scene = Scene::new();
    let memory = MemoryCheckpoint::new();
    let open = || Store::open_with(&scene.dir, Box::new(memory.clone()), SLOTS, AT).unwrap();
    let (mut store, _) = open();
    for rows in [1..=10, 11..=20, 21..=30] {
        write_rows(&mut store, rows);
        store.checkpoint().unwrap();
    }
    drop(store);
    let meta = memory.meta().unwrap().unwrap();
    let mut holed = memory.clone();
    holed.commit(&[(1, Vec::new())], &meta).unwrap();
    let (store, opened) = open();
    assert_eq!(rows(&store), (1..=30).collect::<Vec<_>>());
    assert!(opened.notes[0].contains("record 1 is missing or damaged"), "{:?}", opened.notes);
}

/// A checkpoint that is away for its next commits.
struct Away {
    memory: MemoryCheckpoint,
    left: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl Checkpoint for Away {
    fn meta(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.memory.meta()
    }

    fn record_from(&self, from: u64) -> Result<Option<Record>, StoreError> {
        self.memory.record_from(from)
    }

    fn commit(&mut self, records: &[Record], meta: &[u8]) -> Result<(), StoreError> {
        use std::sync::atomic::Ordering::Relaxed;
        if self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Err(StoreError::CheckpointAway { path: "sled".into(), reason: "in use".to_owned() });
        }
        self.memory.commit(records, meta)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.memory.sync()
    }

    fn reset(&mut self, at_ms: u64) -> Result<String, StoreError> {
        self.memory.reset(at_ms)
    }
}

#[test]
fn a_checkpoint_that_is_away_for_a_while_ends_no_run_and_misses_nothing() {
    let scene = Scene::new();
    let (memory, left) = (MemoryCheckpoint::new(), std::sync::Arc::default());
    let away = Away { memory: memory.clone(), left: std::sync::Arc::clone(&left) };
    let (mut store, _) = Store::open_with(&scene.dir, Box::new(away), SLOTS, AT).unwrap();
    left.store(2, std::sync::atomic::Ordering::Relaxed);
    let outcomes = |record: Result<Record, _>| packed::count(&record.unwrap().1).unwrap();
    let all = || records_from(0, |from| memory.record_from(from)).map(outcomes).sum::<u64>();
    for (rows, committed) in [(1..=3000, 0), (3001..=4000, 0), (4001..=6000, 0), (6001..=9000, 9000)] {
        write_rows(&mut store, rows);
        keep_up(&mut store);
        assert_eq!(all(), committed);
    }
    left.store(1, std::sync::atomic::Ordering::Relaxed);
    write_rows(&mut store, 9001..=9001);
    // Who must have it now is told.
    assert!(store.checkpoint().is_err());
    store.close().unwrap();
    let (store, opened) = Store::open_with(&scene.dir, Box::new(memory.clone()), SLOTS, AT).unwrap();
    assert_eq!((rows(&store), opened.notes), ((1..=9001).collect(), Vec::new()));
}
