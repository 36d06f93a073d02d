//! What stands between the store and sled.

use std::collections::BTreeMap;
use std::iter;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::StoreError;

/// A record with its number.
pub type Record = (u64, Vec<u8>);

/// A place for packed records and one piece of meta, over the log. It may lose what it was given, but must not give back
/// a part of a commit: the log makes up for the first, nothing for the second.
pub trait Checkpoint: Send {
    /// The meta of the last commit; `None` where there was none yet.
    ///
    /// # Errors
    /// Any: the checkpoint is then reset, and built again from the log.
    fn meta(&self) -> Result<Option<Vec<u8>>, StoreError>;

    /// The first record from this number on, if there is one.
    ///
    /// # Errors
    /// The checkpoint cannot be read.
    fn record_from(&self, from: u64) -> Result<Option<Record>, StoreError>;

    /// Takes in records (none where nothing but the meta has changed) and the meta, all or nothing.
    ///
    /// # Errors
    /// Where nothing was taken in; [`StoreError::CheckpointAway`] where it may well be later.
    fn commit(&mut self, records: &[Record], meta: &[u8]) -> Result<(), StoreError>;

    /// Makes all commits last through a power loss.
    ///
    /// # Errors
    /// I/O.
    fn sync(&mut self) -> Result<(), StoreError>;

    /// Puts everything aside and begins anew. Returns where the old things are, as words for the user.
    ///
    /// # Errors
    /// I/O.
    fn reset(&mut self, at_ms: u64) -> Result<String, StoreError>;
}

/// All records from this number on, in order; an error is the last item.
pub(super) fn records_from(
    from: u64,
    read: impl Fn(u64) -> Result<Option<Record>, StoreError>,
) -> impl Iterator<Item = Result<Record, StoreError>> {
    let mut next = Some(from);
    iter::from_fn(move || {
        let record = read(next?).transpose()?;
        next = record.as_ref().ok().map(|(number, _)| number + 1);
        Some(record)
    })
}

/// A checkpoint that the writer's thread and the one beside it share.
#[derive(Clone)]
pub(super) struct SharedCheckpoint {
    checkpoint: Arc<Mutex<Box<dyn Checkpoint>>>,
}

impl SharedCheckpoint {
    pub(super) fn new(checkpoint: Box<dyn Checkpoint>) -> Self {
        Self { checkpoint: Arc::new(Mutex::new(checkpoint)) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Box<dyn Checkpoint>> {
        self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Memory {
    meta: Option<Vec<u8>>,
    records: BTreeMap<u64, Vec<u8>>,
}

/// A checkpoint in memory, for tests. Its clones share what they hold, as if they opened the same folder.
#[derive(Clone, Default)]
pub struct MemoryCheckpoint {
    memory: Arc<Mutex<Memory>>,
}

impl MemoryCheckpoint {
    /// An empty checkpoint.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Checkpoint for MemoryCheckpoint {
    fn meta(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.memory().meta.clone())
    }

    fn record_from(&self, from: u64) -> Result<Option<Record>, StoreError> {
        Ok(self.memory().records.range(from..).next().map(|(at, record)| (*at, record.clone())))
    }

    fn commit(&mut self, records: &[Record], meta: &[u8]) -> Result<(), StoreError> {
        let mut memory = self.memory();
        memory.meta = Some(meta.to_vec());
        memory.records.extend(records.iter().cloned());
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn reset(&mut self, _at_ms: u64) -> Result<String, StoreError> {
        *self.memory() = Memory::default();
        Ok("forgotten".to_owned())
    }
}
