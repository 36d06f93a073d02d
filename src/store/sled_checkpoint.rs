//! The checkpoint in sled 0.34, which may panic on damaged files: every call into it is guarded.

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use super::dir::{free_name, stamp};
use super::error::io_error;
use super::{Checkpoint, Record, StateDir, StoreError};

const META: &[u8] = b"m/meta";
const RECORD: u8 = b'p';
const CACHE: u64 = 16 << 20;
/// sled lets go of a page only when many others have been asked for, so that no cache limit is kept with large records. What
/// was written and read is held until it is closed. While a run goes on that is to be little; before, opening it anew time
/// and again takes longer the more it holds.
const MOST_HELD: Most = Most { written: 128 << 10, read: 4 << 20 };
/// sled's garbage is free two epochs later; a few more, as a round frees only so much.
const EPOCHS: u32 = 8;
const OPEN_TRIES: u32 = 200;
const OPEN_PAUSE: Duration = Duration::from_millis(5);
/// EMFILE and ENFILE: no damage, only no room for another file handle. (EIO, a bad disk, counts as damage.)
const NO_HANDLES: [i32; 2] = [24, 23];

/// Its folder's name in the state directory.
pub(super) const SLED: &str = "sled";

/// A checkpoint in a folder `sled/` of the state directory.
pub struct SledCheckpoint {
    path: PathBuf,
    /// `None` while it is being moved aside, and where it was closed to be opened anew.
    db: RefCell<Option<sled::Db>>,
    /// Bytes of records that went in or out since it was opened, and how many there may be.
    held: Cell<usize>,
    most_held: Most,
}

/// Bytes beyond which it is closed first.
struct Most {
    /// Before a commit.
    written: usize,
    /// Before a record is read.
    read: usize,
}

impl SledCheckpoint {
    /// Opens the checkpoint. One that cannot be opened is moved aside, and a word about it returned with a fresh one.
    ///
    /// # Errors
    /// I/O that is no damage: a full disk, missing rights, another process that has it open.
    pub fn open(dir: &StateDir, at_ms: u64) -> Result<(Self, Option<String>), StoreError> {
        let path = dir.file(SLED);
        match open_db(&path) {
            Ok(db) => Ok((Self::over(path, Some(db)), None)),
            Err(Trouble::Surroundings(reason) | Trouble::InUse(reason)) => Err(StoreError::Checkpoint { path, reason }),
            Err(Trouble::Damage(_)) => {
                let mut fresh = Self::over(path, None);
                let note = fresh.reset(at_ms)?;
                Ok((fresh, Some(note)))
            }
        }
    }

    fn over(path: PathBuf, db: Option<sled::Db>) -> Self {
        Self { path, db: RefCell::new(db), held: Cell::new(0), most_held: MOST_HELD }
    }

    fn guarded<T>(&self, work: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, StoreError> {
        self.open_anew()?;
        let db = self.db.borrow();
        let Some(db) = db.as_ref() else { return Err(self.failed("it is closed".to_owned())) };
        guard(|| work(db)).map_err(|trouble| self.failed(trouble.into_reason()))
    }

    /// Opens it where it was closed; what stands in the way of that may pass.
    fn open_anew(&self) -> Result<(), StoreError> {
        if self.db.borrow().is_some() {
            return Ok(());
        }
        let db = open_db(&self.path).map_err(|trouble| match trouble {
            Trouble::Damage(reason) => self.failed(reason),
            Trouble::Surroundings(reason) | Trouble::InUse(reason) => {
                StoreError::CheckpointAway { path: self.path.clone(), reason }
            }
        })?;
        self.db.replace(Some(db));
        Ok(())
    }

    fn failed(&self, reason: String) -> StoreError {
        StoreError::Checkpoint { path: self.path.clone(), reason }
    }

    /// Closes it where it holds too much; whoever needs it next opens it anew.
    fn let_go(&self, most_held: usize) -> Result<(), StoreError> {
        if self.held.get() <= most_held {
            return Ok(());
        }
        self.held.set(0);
        self.close().map_err(|trouble| self.failed(trouble.into_reason()))
    }

    fn close(&self) -> Result<(), Trouble> {
        let db = self.db.take();
        guard(|| {
            drop(db);
            collect_garbage();
            Ok(())
        })
    }
}

impl Checkpoint for SledCheckpoint {
    fn meta(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.guarded(|db| Ok(db.get(META)?.map(|meta| meta.to_vec())))
    }

    fn record_from(&self, from: u64) -> Result<Option<Record>, StoreError> {
        self.let_go(self.most_held.read)?;
        let end = [RECORD + 1];
        let record = self.guarded(|db| db.range(&record_key(from)[..]..&end[..]).next().transpose())?;
        Ok(record.map(|(key, record)| {
            self.held.set(self.held.get() + record.len());
            (record_number(&key), record.to_vec())
        }))
    }

    fn commit(&mut self, records: &[Record], meta: &[u8]) -> Result<(), StoreError> {
        self.let_go(self.most_held.written)?;
        let mut batch = sled::Batch::default();
        batch.insert(META, meta);
        for (number, record) in records {
            batch.insert(&record_key(*number), record.as_slice());
            self.held.set(self.held.get() + record.len());
        }
        self.guarded(|db| {
            db.apply_batch(batch)?;
            db.flush()?;
            collect_garbage();
            Ok(())
        })
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.guarded(|db| db.flush().map(drop))?;
        // sled's own flush ends in sync_file_range, which does not last through a power loss.
        let file = self.path.join("db");
        File::open(&file).and_then(|file| file.sync_data()).map_err(io_error("sync", &file))
    }

    fn reset(&mut self, at_ms: u64) -> Result<String, StoreError> {
        // Closing flushes, and what is damaged may panic over that.
        let _ = self.close();
        let parent = self.path.parent().unwrap_or(Path::new("."));
        let aside = free_name(parent, &format!("sled.damaged-{}", stamp(at_ms)));
        fs::rename(&self.path, &aside).map_err(io_error("move aside", &self.path))?;
        let open = open_db(&self.path);
        let fail = |trouble: Trouble| StoreError::Checkpoint { path: self.path.clone(), reason: trouble.into_reason() };
        self.db.replace(Some(open.map_err(fail)?));
        self.held.set(0);
        Ok(format!("moved to {}", aside.display()))
    }
}

impl Drop for SledCheckpoint {
    fn drop(&mut self) {
        // Closing flushes: on a full or bad disk that may panic, and there is nobody to tell.
        let _ = self.close();
    }
}

/// Why sled does not do what it was asked for.
enum Trouble {
    /// Its files are damaged: a fresh start helps.
    Damage(String),
    /// The disk is full, or the like: a fresh start does not help.
    Surroundings(String),
    /// Someone has it open.
    InUse(String),
}

impl Trouble {
    fn into_reason(self) -> String {
        match self {
            Self::Damage(reason) | Self::Surroundings(reason) | Self::InUse(reason) => reason,
        }
    }
}

impl From<sled::Error> for Trouble {
    fn from(error: sled::Error) -> Self {
        let reason = error.to_string();
        let sled::Error::Io(io) = error else { return Self::Damage(reason) };
        let no_room = matches!(
            io.kind(),
            ErrorKind::StorageFull
                | ErrorKind::QuotaExceeded
                | ErrorKind::PermissionDenied
                | ErrorKind::ReadOnlyFilesystem
                | ErrorKind::OutOfMemory
        );
        let no_handles = io.raw_os_error().is_some_and(|code| NO_HANDLES.contains(&code));
        // sled gives this one no kind of its own.
        if reason.contains("could not acquire lock") {
            return Self::InUse(reason);
        }
        if no_room || no_handles {
            return Self::Surroundings(reason);
        }
        Self::Damage(reason)
    }
}

/// A database that was just closed stays locked until sled's own threads have let go of it: a moment, in which a second
/// opening in the same process must wait. No other process has it, as the caller holds the state's lock.
fn open_db(path: &Path) -> Result<sled::Db, Trouble> {
    let open = || guard(|| sled::Config::new().path(path).cache_capacity(CACHE).flush_every_ms(None).open());
    let mut result = open();
    for _ in 0..OPEN_TRIES {
        if !matches!(result, Err(Trouble::InUse(_))) {
            break;
        }
        std::thread::park_timeout(OPEN_PAUSE);
        result = open();
    }
    result
}

/// What sled is done with waits for readers that may still look at it, and is freed by whoever comes by later. With pages and
/// buffers like ours that is megabytes, which the next ones are taken beside.
fn collect_garbage() {
    for _ in 0..EPOCHS {
        crossbeam_epoch::pin().flush();
    }
}

fn guard<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, Trouble> {
    let result = quietly(|| catch_unwind(AssertUnwindSafe(work)));
    match result {
        Ok(result) => result.map_err(Trouble::from),
        Err(panic) => Err(Trouble::Damage(words_of(&*panic))),
    }
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "it panicked".into())
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs this without the panic hook's message: a panic in here is an answer, and the user is told of it in our words.
fn quietly<T>(work: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                before(info);
            }
        }));
    });
    QUIET.set(true);
    let result = work();
    QUIET.set(false);
    result
}

fn record_key(number: u64) -> [u8; 9] {
    let mut key = [RECORD; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

fn record_number(key: &[u8]) -> u64 {
    key.last_chunk().map_or(u64::MAX, |bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::super::checkpoint::records_from;
    use super::*;

    #[test]
    fn it_lets_go_of_what_it_holds_and_gives_back_all_records_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::create(&dir.path().join("state"), &dir.path().join("job.toml")).unwrap();
        let (mut checkpoint, note) = SledCheckpoint::open(&state, 0).unwrap();
        assert_eq!(note, None);
        checkpoint.most_held = Most { written: 10_000, read: 20_000 };
        let record = |number: u64| vec![number.to_le_bytes()[0]; 4_000];
        for number in 0..20 {
            checkpoint.commit(&[(number, record(number))], &[1]).unwrap();
            assert!(checkpoint.held.get() <= 14_000);
        }
        let read: Vec<_> = records_from(3, |from| checkpoint.record_from(from)).map(Result::unwrap).collect();
        assert_eq!(read, (3..20).map(|number| (number, record(number))).collect::<Vec<_>>());
        assert!(checkpoint.held.get() <= 24_000);
        assert_eq!(checkpoint.meta().unwrap(), Some(vec![1]));
    }

    #[test]
    fn one_that_cannot_be_opened_now_is_opened_later() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::create(&dir.path().join("state"), &dir.path().join("job.toml")).unwrap();
        let (mut checkpoint, _) = SledCheckpoint::open(&state, 0).unwrap();
        checkpoint.most_held.written = 0;
        checkpoint.commit(&[(0, vec![1; 100])], &[1]).unwrap();
        checkpoint.let_go(0).unwrap();
        let Ok(other) = open_db(&state.file(SLED)) else { panic!("nobody has it open") };
        let away = checkpoint.commit(&[(1, vec![2; 100])], &[2]).unwrap_err();
        assert!(matches!(away, StoreError::CheckpointAway { .. }), "{away}");
        drop(other);
        checkpoint.commit(&[(1, vec![2; 100])], &[2]).unwrap();
        let read: Vec<_> = records_from(0, |from| checkpoint.record_from(from)).map(Result::unwrap).collect();
        assert_eq!(read, [(0, vec![1; 100]), (1, vec![2; 100])]);
    }

    #[test]
    fn one_that_cannot_be_opened_anew_says_why_and_takes_nothing_in() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::create(&dir.path().join("state"), &dir.path().join("job.toml")).unwrap();
        let (mut checkpoint, _) = SledCheckpoint::open(&state, 0).unwrap();
        checkpoint.most_held.written = 0;
        checkpoint.commit(&[(0, vec![1; 100])], &[1]).unwrap();
        fs::remove_dir_all(state.file(SLED)).unwrap();
        fs::write(state.file(SLED), "no folder").unwrap();
        let error = checkpoint.commit(&[(1, vec![1; 100])], &[2]).unwrap_err().to_string();
        assert!(error.contains("sled") && !error.contains("it is closed"), "{error}");
        assert!(checkpoint.meta().is_err());
    }
}
