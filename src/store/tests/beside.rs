//! The disk takes its time, and fails, while lines are written.

use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::log::{Log, LogFile};
use super::resume::copy_files;
use super::*;

const TODAY: [u8; 16] = [7; 16];

/// A file whose syncs end when the test says so, and how.
struct SlowFile {
    file: File,
    ends: Mutex<Receiver<io::Result<()>>>,
}

impl LogFile for SlowFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        LogFile::write_at(&self.file, bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        // Whoever waits for it on the test's own thread would wait forever.
        let end = self.ends.lock().unwrap().recv_timeout(Duration::from_secs(20));
        end.unwrap_or_else(|_| Err(io::Error::other("nobody ended the sync")))
    }
}

/// A store with an order on such a disk, and what ends its syncs.
fn slow_store(scene: &Scene) -> (Store, Sender<io::Result<()>>) {
    let (mut store, _) = scene.open();
    store.order_for(TODAY).unwrap();
    write_rows(&mut store, 1..=1);
    store.sync().unwrap();
    let (end, ends) = channel();
    let file = File::options().read(true).write(true).open(scene.log()).unwrap();
    store.log = Log::over(Arc::new(SlowFile { file, ends: Mutex::new(ends) }), scene.log(), store.log_len());
    store.beside.patience = Duration::MAX;
    (store, end)
}

#[test]
fn a_slow_disk_holds_up_no_line_and_the_checkpoint_waits_for_it() {
    let scene = Scene::new();
    let (mut store, end) = slow_store(&scene);
    write_rows(&mut store, 2..=2500);
    store.advance().unwrap();
    // It is under way.
    write_rows(&mut store, 2501..=6000);
    store.sync_soon();
    store.advance().unwrap();
    assert_eq!((store.meta.records, rows(&store)), (0, (1..=6000).collect()));
    assert_eq!(std::fs::metadata(scene.log()).unwrap().len(), store.log_len());
    let killed = Scene::new();
    copy_files(scene.dir.path(), killed.dir.path());
    // That of the commit, and that of lines behind it.
    end.send(Ok(())).unwrap();
    end.send(Ok(())).unwrap();
    store.wait_for_disk().unwrap();
    assert_eq!((store.meta.records, store.meta.outcomes), (10, 2500));
    assert!(!store.log.is_unsynced());
    let ledger = store.ledger().clone();
    drop(store);
    for scene in [&scene, &killed] {
        let (mut resumed, opened) = scene.open();
        assert_eq!((resumed.ledger(), opened.notes), (&ledger, Vec::new()));
        assert_eq!(rows(&resumed), (1..=6000).collect::<Vec<_>>());
        assert_eq!(resumed.order_for(TODAY).unwrap(), OrderState::Matched);
        let mut order = resumed.order().unwrap();
        assert!((1..=6000).all(|row| order.get(row).unwrap().is_some()));
    }
}

#[test]
fn nothing_is_committed_of_what_did_not_reach_the_disk_and_the_next_sync_takes_it() {
    let scene = Scene::new();
    let (mut store, end) = slow_store(&scene);
    write_rows(&mut store, 2..=2500);
    store.advance().unwrap();
    end.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
    end.send(Ok(())).unwrap();
    let error = store.sync().unwrap_err().to_string();
    assert!(error.starts_with("cannot sync") && error.contains("results.log"), "{error}");
    assert_eq!((store.meta.records, rows(&store)), (0, (1..=2500).collect()));
    assert!(!store.log.is_unsynced());
    end.send(Ok(())).unwrap();
    store.checkpoint().unwrap();
    assert_eq!((store.meta.records, store.meta.outcomes), (10, 2500));
}

#[test]
fn a_disk_that_is_too_slow_is_waited_for_so_that_little_is_lost_with_the_power() {
    let scene = Scene::new();
    let (mut store, end) = slow_store(&scene);
    write_rows(&mut store, 2..=3);
    store.sync_soon();
    store.advance().unwrap();
    assert!(store.beside.sync.is_busy(Duration::MAX));
    end.send(Ok(())).unwrap();
    store.beside.patience = Duration::ZERO;
    store.advance().unwrap();
    assert!(!store.beside.sync.is_busy(Duration::MAX));
}

#[test]
fn lines_are_synced_when_that_was_asked_for_and_only_where_there_are_new_ones() {
    let scene = Scene::new();
    let (mut store, end) = slow_store(&scene);
    write_rows(&mut store, 2..=3);
    store.advance().unwrap();
    assert!(store.log.is_unsynced());
    store.sync_soon();
    store.advance().unwrap();
    assert!(!store.log.is_unsynced());
    end.send(Ok(())).unwrap();
    store.wait_for_disk().unwrap();
    // Nothing is new: a sync would fail, as nobody ends it.
    drop(end);
    store.sync_soon();
    store.advance().unwrap();
    store.wait_for_disk().unwrap();
}
