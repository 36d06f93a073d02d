//! The log: torn tails, broken lines, full disks.

use std::fs;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex};

use super::super::log::{HEADER, Log, LogFile};
use super::*;

/// Opens the store over a checkpoint that no outcome ever reaches: all lines are read again each time.
fn open_lagging(scene: &Scene, checkpoint: &MemoryCheckpoint) -> (Store, Opened) {
    Store::open_with(&scene.dir, Box::new(checkpoint.clone()), SLOTS, AT).unwrap()
}

#[test]
fn a_last_line_torn_at_any_byte_is_cut_and_nothing_else() {
    let (scene, checkpoint) = (Scene::new(), MemoryCheckpoint::new());
    let (mut store, _) = open_lagging(&scene, &checkpoint);
    write_rows(&mut store, 1..=2);
    let whole = store.log_len();
    write_rows(&mut store, 3..=3);
    drop(store);
    let bytes = fs::read(scene.log()).unwrap();
    for len in usize::try_from(whole).unwrap()..bytes.len() {
        fs::write(scene.log(), &bytes[..len]).unwrap();
        let (mut store, opened) = open_lagging(&scene, &checkpoint);
        assert_eq!((rows(&store), store.log_len()), (vec![1, 2], whole), "cut at {len}");
        assert_eq!(opened.notes.len(), usize::from(len as u64 != whole), "cut at {len}: {:?}", opened.notes);
        write_rows(&mut store, 4..=4);
        drop(store);
        let (store, opened) = open_lagging(&scene, &checkpoint);
        assert_eq!((rows(&store), opened.notes), (vec![1, 2, 4], Vec::new()));
    }
}

#[test]
fn a_log_torn_within_its_first_line_begins_anew() {
    let scene = Scene::new();
    for len in 0..HEADER.len() {
        fs::write(scene.log(), &HEADER[..len]).unwrap();
        let (store, _) = Store::open_with(&scene.dir, Box::new(MemoryCheckpoint::new()), SLOTS, AT).unwrap();
        assert_eq!(store.log_len(), HEADER.len() as u64);
    }
    assert_eq!(fs::read(scene.log()).unwrap(), HEADER);
}

#[test]
fn a_last_line_of_garbage_is_cut() {
    let (scene, checkpoint) = (Scene::new(), MemoryCheckpoint::new());
    let (mut store, _) = open_lagging(&scene, &checkpoint);
    write_rows(&mut store, 1..=2);
    let whole = store.log_len();
    drop(store);
    for garbage in [&b"\0\0\0\0\0\n"[..], b"{\"outcome\":{}}\n", b"\xff\xff", b"{}\n{\"out"] {
        let mut bytes = fs::read(scene.log()).unwrap();
        bytes.truncate(usize::try_from(whole).unwrap());
        bytes.extend_from_slice(garbage);
        fs::write(scene.log(), bytes).unwrap();
        let (store, opened) = open_lagging(&scene, &checkpoint);
        assert_eq!((rows(&store), store.log_len()), (vec![1, 2], whole), "{:?}", opened.notes);
        assert!(opened.notes[0].starts_with("cut "), "{:?}", opened.notes);
    }
}

#[test]
fn a_broken_line_in_the_middle_costs_its_row_only() {
    let (scene, checkpoint) = (Scene::new(), MemoryCheckpoint::new());
    let (mut store, _) = open_lagging(&scene, &checkpoint);
    write_rows(&mut store, 1..=1);
    let middle = store.log_len();
    write_rows(&mut store, 2..=3);
    let len = store.log_len();
    drop(store);
    let mut bytes = fs::read(scene.log()).unwrap();
    bytes[usize::try_from(middle).unwrap() + 5] = b'\0';
    fs::write(scene.log(), bytes).unwrap();
    let (store, opened) = open_lagging(&scene, &checkpoint);
    assert_eq!((rows(&store), store.log_len()), (vec![1, 3], len));
    assert!(opened.notes[0].contains("cannot be read: 1;"), "{:?}", opened.notes);
    let broken = LogReader::open(&scene.dir).unwrap().outcome_at(middle).unwrap_err();
    assert!(matches!(broken, StoreError::BrokenLine { offset, .. } if offset == middle), "{broken}");
}

#[test]
fn files_of_a_later_version_and_strange_files_are_not_touched() {
    let scene = Scene::new();
    for (content, later) in [("{\"overnight_log\":3}\n{}\n", true), ("name,age\nann,7\n", false), ("x", false)] {
        let content = content.repeat(if later { 1 } else { 20 });
        fs::write(scene.log(), &content).unwrap();
        let error = Store::open(&scene.dir, SLOTS, AT).err().expect("refused");
        assert_eq!(matches!(error, StoreError::Version { found: 3, .. }), later, "{error}");
        assert_eq!(matches!(error, StoreError::NotALog { .. }), !later, "{error}");
        assert_eq!(fs::read_to_string(scene.log()).unwrap(), content);
    }
}

#[test]
fn raw_line_breaks_in_a_reply_do_not_tear_the_log() {
    let scene = Scene::new();
    let (mut store, _) = scene.open();
    store.append(&run_line()).unwrap();
    let reply = RawValue::from_string("{\n \"text\": \"a\\nb\"\n}".to_owned()).unwrap();
    let line = LogLine::Outcome(Box::new(OutcomeLine { reply: Some(reply.into()), ..outcome(1, 1) }));
    let offset = store.append(&line).unwrap();
    store.write().unwrap();
    let read = LogReader::open(&scene.dir).unwrap().outcome_at(offset).unwrap();
    assert_eq!(read.reply.unwrap().get(), "{  \"text\": \"a\\nb\" }");
}

/// A disk with this much room.
#[derive(Clone, Default)]
struct SmallDisk {
    bytes: Arc<Mutex<Vec<u8>>>,
    room: Arc<Mutex<usize>>,
}

impl LogFile for SmallDisk {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let (mut file, start) = (self.bytes.lock().unwrap(), usize::try_from(offset).unwrap());
        let takes = bytes.len().min(self.room.lock().unwrap().saturating_sub(start));
        if takes == 0 {
            return Err(ErrorKind::StorageFull.into());
        }
        file.truncate(start);
        file.extend_from_slice(&bytes[..takes]);
        Ok(takes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.bytes.lock().unwrap().truncate(usize::try_from(len).unwrap());
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_leaves_whole_lines_and_the_others_are_written_when_there_is_room() {
    let lines: Vec<LogLine> = (1..=3).map(|row| outcome_line(row, 1)).collect();
    let all: Vec<u8> =
        lines.iter().flat_map(|line| [serde_json::to_vec(line).unwrap(), b"\n".to_vec()].concat()).collect();
    for room in 0..all.len() {
        let disk = SmallDisk::default();
        *disk.room.lock().unwrap() = room;
        let mut log = Log::over(Arc::new(disk.clone()), "results.log".into(), 0);
        let offsets: Vec<u64> = lines.iter().map(|line| log.append(line).unwrap()).collect();
        let error = log.write().unwrap_err().to_string();
        assert!(error.starts_with("cannot write to results.log"), "{error}");
        let kept = disk.bytes.lock().unwrap().clone();
        assert!(kept.is_empty() || kept.ends_with(b"\n"), "room for {room}");
        assert!(all.starts_with(&kept) && room - kept.len() < all.len() / 2);
        *disk.room.lock().unwrap() = usize::MAX;
        log.write().unwrap();
        assert_eq!(*disk.bytes.lock().unwrap(), all);
        assert!(offsets.iter().all(|at| *at == 0 || all[usize::try_from(*at).unwrap() - 1] == b'\n'));
    }
}

#[test]
fn the_reader_finds_lines_of_any_length_in_any_order_also_those_written_later() {
    let scene = Scene::new();
    let (mut store, _) = scene.open();
    store.append(&run_line()).unwrap();
    let mut reader = LogReader::open(&scene.dir).unwrap();
    let mut places = Vec::new();
    for row in 1..=40 {
        let long = "x".repeat(usize::try_from(row * row * 313).unwrap());
        let reply = RawValue::from_string(format!("\"{long}\"")).unwrap();
        let line = LogLine::Outcome(Box::new(OutcomeLine { reply: Some(reply.into()), ..outcome(row, 1) }));
        places.push((row, store.append(&line).unwrap()));
        store.write().unwrap();
        assert_eq!(reader.outcome_at(places[places.len() - 1].1).unwrap().row, row);
    }
    for (row, offset) in places.iter().rev().chain(&places) {
        let read = reader.outcome_at(*offset).unwrap();
        assert_eq!((read.row, read.reply.unwrap().get().len() as u64), (*row, row * row * 313 + 2));
    }
    assert!(matches!(reader.outcome_at(store.log_len()), Err(StoreError::BrokenLine { .. })));
    assert!(matches!(reader.outcome_at(HEADER.len() as u64), Err(StoreError::BrokenLine { .. })), "a run's line");
}
