//! How the checkpoint moves on: what has gathered is put aside, the files that it speaks of are synced, then it is committed.
//!
//! A disk takes milliseconds for a sync, a busy one a second. While calls are out that is done on a thread beside: no permit
//! comes back before its line is written, so a writer that waits for the disk would hold up all of them. A disk that is too
//! slow does hold it up: what has not reached it is lost with the power.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{mem, panic};

use super::checkpoint::SharedCheckpoint;
use super::error::io_error;
use super::meta::{Meta, read_tail};
use super::order::Header;
use super::{Record, Store, StoreError, packed};

/// How many outcomes make a commit. Fewer cost sled more than the rows themselves.
pub(super) const COMMIT: usize = 2048;
/// How many of them make a record. sled reads and writes up to 16 records as one: larger ones take it memory.
const RECORD: usize = 256;

/// The writer goes on without the disk for so long at most.
const LONGEST: Duration = Duration::from_secs(1);

/// What the disk is asked for beside the writer.
pub(super) struct Beside {
    /// Who takes longer is waited for.
    pub(super) patience: Duration,
    /// Of lines, in which a commit that takes long does not get into the way.
    pub(super) sync: Lane,
    /// Lines are to be synced.
    sync_due: bool,
    pub(super) commit: Lane,
    /// What follows from the commit.
    committed: Option<Committed>,
}

/// One thing after the other, each on a thread of its own.
#[derive(Default)]
pub(super) struct Lane {
    under_way: Option<(Instant, JoinHandle<Result<(), StoreError>>)>,
}

/// What the checkpoint takes in: outcomes, and how things stood behind the last of them.
struct Commit {
    records: Vec<Record>,
    meta: Vec<u8>,
}

/// What is so once it has.
struct Committed {
    /// The log's length up to there, and the last bytes before.
    cursor: u64,
    tail: Vec<u8>,
    records: u64,
    /// The first so many of those that have gathered.
    outcomes: usize,
    /// The order's, on disk since before.
    order: Option<Header>,
}

impl Commit {
    fn to(&self, checkpoint: &SharedCheckpoint) -> Result<(), StoreError> {
        checkpoint.lock().commit(&self.records, &self.meta)
    }
}

impl Default for Beside {
    fn default() -> Self {
        let (sync, commit) = (Lane::default(), Lane::default());
        Self { patience: LONGEST, sync, sync_due: false, commit, committed: None }
    }
}

impl Lane {
    /// Whether it has begun; not where the system has no thread to spare.
    #[allow(clippy::disallowed_methods, reason = "a disk has its own time, also where that of tests is paused")]
    fn begin(&mut self, work: impl FnOnce() -> Result<(), StoreError> + Send + 'static) -> bool {
        let thread = thread::Builder::new().name("sync".to_owned()).spawn(work).ok();
        self.under_way = thread.map(|thread| (Instant::now(), thread));
        self.under_way.is_some()
    }

    /// Whether something is under way that has not taken so long yet.
    pub(super) fn is_busy(&self, patience: Duration) -> bool {
        self.under_way.as_ref().is_some_and(|(began, thread)| !thread.is_finished() && began.elapsed() < patience)
    }

    /// Waits for what is under way.
    fn ended(&mut self) -> Result<(), StoreError> {
        let ended = self.under_way.take().map(|(_, thread)| thread.join());
        ended.map_or(Ok(()), |ended| ended.unwrap_or_else(|caught| panic::resume_unwind(caught)))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // Whoever opens the directory next must be the only one who writes to it.
        if let Some((_, thread)) = self.under_way.take() {
            let _ = thread.join();
        }
    }
}

impl Store {
    /// Asks for a sync of what is written by then, at the next [`Store::advance`] that finds none under way.
    pub fn sync_soon(&mut self) {
        self.beside.sync_due = true;
    }

    /// Sees to it that lines last and the checkpoint follows, without waiting for a disk that does its work: takes note of
    /// what has ended, and begins a sync that was asked for, and a commit when enough outcomes have gathered.
    ///
    /// # Errors
    /// I/O, or the checkpoint's own. The log is whole in any case.
    pub fn advance(&mut self) -> Result<(), StoreError> {
        if !self.beside.sync.is_busy(self.beside.patience) {
            self.wait_for_sync()?;
            if mem::take(&mut self.beside.sync_due) && self.log.is_unsynced() {
                let sync = self.log.sync_apart();
                if !self.beside.sync.begin(sync) {
                    self.log.mark_unsynced();
                    self.log.sync()?;
                }
            }
        }
        if !self.beside.commit.is_busy(self.beside.patience) {
            self.wait_for_commit()?;
            if self.gathered.len() >= self.commit_at {
                self.begin_commit()?;
            }
        }
        Ok(())
    }

    /// Makes what was written last through a power loss. Does nothing where nothing is new.
    ///
    /// # Errors
    /// I/O; also what came of a commit that was under way. What is written was synced all the same, if that could be.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        let ended = self.wait_for_disk();
        self.log.sync().and(ended)
    }

    /// Moves the checkpoint to the end of the log, to last through a power loss. Writes and syncs first.
    ///
    /// # Errors
    /// I/O, or the checkpoint's own. The log is whole in any case.
    pub fn checkpoint(&mut self) -> Result<(), StoreError> {
        self.wait_for_disk()?;
        self.write()?;
        if self.log.len() != self.meta.cursor {
            self.commit_here()?;
        }
        if let Some(order) = &mut self.order {
            order.save_confirmed()?;
        }
        if self.unsynced {
            self.checkpoint.lock().sync()?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Ends what the disk is asked for beside: nothing else writes to the files then.
    ///
    /// # Errors
    /// Its own.
    pub(super) fn wait_for_disk(&mut self) -> Result<(), StoreError> {
        let synced = self.wait_for_sync();
        self.wait_for_commit().and(synced)
    }

    fn wait_for_sync(&mut self) -> Result<(), StoreError> {
        self.beside.sync.ended().inspect_err(|_| self.log.mark_unsynced())
    }

    fn wait_for_commit(&mut self) -> Result<(), StoreError> {
        let committed = self.beside.committed.take();
        let ended = self.beside.commit.ended();
        if let (Some(order), Some(header)) = (&mut self.order, committed.as_ref().and_then(|done| done.order)) {
            // Also where it is not: no header is written before the entries are on disk.
            order.is_synced(header);
        }
        match ended {
            Ok(()) => committed.into_iter().for_each(|committed| self.moved_on(committed)),
            // The log has it all: what has gathered waits for the next time.
            Err(StoreError::CheckpointAway { .. }) => self.commit_at = self.gathered.len() + COMMIT,
            Err(error) => {
                self.log.mark_unsynced();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Commits up to the end of the log, and waits for it.
    fn commit_here(&mut self) -> Result<(), StoreError> {
        let cursor = self.log.len();
        self.log.sync()?;
        if let Some(order) = &mut self.order {
            order.sync(cursor)?;
        }
        self.commit(cursor)
    }

    /// Gives the checkpoint what has gathered, in one commit. All lines before the cursor are written and synced.
    pub(super) fn commit(&mut self, cursor: u64) -> Result<(), StoreError> {
        let (commit, committed) = self.next_commit(cursor)?;
        self.flight.sync()?;
        commit.to(&self.checkpoint)?;
        self.moved_on(committed);
        Ok(())
    }

    /// Whether a commit's worth of outcomes has gathered.
    pub(super) fn is_commit_full(&self) -> bool {
        self.gathered.len() >= COMMIT
    }

    fn begin_commit(&mut self) -> Result<(), StoreError> {
        self.write()?;
        let cursor = self.log.len();
        let order = self.order.as_mut().map(|order| order.sync_apart(cursor)).transpose()?;
        let (header, sync_order) = order.unzip();
        let (commit, committed) = self.next_commit(cursor)?;
        let (flight, checkpoint) = (Arc::clone(&self.flight), self.checkpoint.clone());
        let sync_log = self.log.sync_apart();
        let begun = self.beside.commit.begin(move || {
            sync_log()?;
            sync_order.map_or(Ok(()), |sync| sync())?;
            flight.sync()?;
            commit.to(&checkpoint)
        });
        if begun {
            self.beside.committed = Some(Committed { order: header, ..committed });
            return Ok(());
        }
        self.log.mark_unsynced();
        self.commit_here()
    }

    fn next_commit(&mut self, cursor: u64) -> Result<(Commit, Committed), StoreError> {
        // A slot that is free now is free on disk before the cursor passes its call's line; the others are remembered.
        // So a call is never taken for possibly billed because its line is no longer looked at.
        self.forget_settled();
        let tail = read_tail(self.log.path(), cursor).map_err(io_error("read", self.log.path()))?;
        let packed = self.gathered.chunks(RECORD).map(packed::encode);
        let records: Vec<Record> = (self.meta.records..).zip(packed).collect();
        let outcomes = self.gathered.len();
        let meta = Meta {
            cursor,
            tail: tail.clone(),
            records: self.meta.records + records.len() as u64,
            outcomes: self.meta.outcomes + outcomes as u64,
            settled: self.settled.iter().copied().collect(),
            ..self.meta.clone()
        };
        let commit = Commit { records, meta: serde_json::to_vec(&meta)? };
        Ok((commit, Committed { cursor, tail, records: meta.records, outcomes, order: None }))
    }

    fn moved_on(&mut self, committed: Committed) {
        self.meta.cursor = committed.cursor;
        self.meta.tail = committed.tail;
        self.meta.records = committed.records;
        self.meta.outcomes += committed.outcomes as u64;
        self.gathered.drain(..committed.outcomes);
        self.commit_at = COMMIT;
        self.unsynced = true;
    }
}
