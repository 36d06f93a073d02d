//! The flight file: which calls are out, so that a kill leaves a list of what may have been billed.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::io_error;
use super::slot::{self, FlightEntry, SLOT, Slot};
use super::{StateDir, StoreError};
use crate::types::CallNumber;

const MAGIC: &[u8; 8] = b"ovflight";
const VERSION: u64 = 1;

/// The calls that are out. Slots are those of the call permits; each is written by its holder alone, so several threads
/// may write at once.
pub struct Flight {
    path: PathBuf,
    file: File,
    /// The call in each slot, 0 where it is free. Set before the file says so and cleared after, so that it never misses one.
    calls: Vec<AtomicU64>,
    /// How many slots can be taken; `calls` is longer where an earlier process had more and left calls in them.
    pub(super) slots: usize,
}

/// What an earlier process left in the file.
pub(super) struct Left {
    pub(super) entries: Vec<FlightEntry>,
    pub(super) damaged: usize,
}

impl Flight {
    /// Opens the file with what an earlier process left in it. No slot can be taken until `clear`.
    pub(super) fn open(dir: &StateDir, slots: usize) -> Result<(Self, Left), StoreError> {
        let path = dir.file("flight");
        let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(io_error("open", &path))?;
        let left = read_left(&file, &path)?;
        let mut calls: Vec<AtomicU64> = left.entries.iter().map(|entry| AtomicU64::new(entry.call)).collect();
        calls.resize_with(slots.max(calls.len()), AtomicU64::default);
        Ok((Self { path, file, calls, slots }, left))
    }

    /// Frees all slots, and makes the file as large as there are slots now.
    pub(super) fn clear(&self) -> Result<(), StoreError> {
        let begin = || {
            self.file.set_len(0)?;
            self.file.set_len((SLOT + self.slots * SLOT) as u64)?;
            self.file.write_all_at(&header(self.slots), 0)?;
            self.file.sync_data()
        };
        begin().map_err(io_error("write to", &self.path))?;
        self.calls.iter().for_each(|call| call.store(0, Ordering::Release));
        Ok(())
    }

    /// Notes a call before it is sent. One write.
    ///
    /// # Errors
    /// [`StoreError::NoSlot`]; I/O: then the call must not be sent.
    pub fn take(&self, slot: usize, entry: &FlightEntry) -> Result<(), StoreError> {
        self.call_in(slot)?.store(entry.call, Ordering::Release);
        self.file.write_all_at(&slot::encode(entry), place(slot)).map_err(io_error("write to", &self.path))
    }

    /// Frees a slot, once the call's line is written. One write.
    ///
    /// # Errors
    /// [`StoreError::NoSlot`]; I/O.
    pub fn free(&self, slot: usize) -> Result<(), StoreError> {
        let call = self.call_in(slot)?;
        self.file.write_all_at(&[0], place(slot)).map_err(io_error("write to", &self.path))?;
        call.store(0, Ordering::Release);
        Ok(())
    }

    /// Whether any call stands in the file, or may.
    #[must_use]
    pub fn has_calls(&self) -> bool {
        self.calls.iter().any(|call| call.load(Ordering::Acquire) != 0)
    }

    /// The calls that stand in the file, or may.
    pub(super) fn standing(&self) -> HashSet<CallNumber> {
        self.calls.iter().map(|call| call.load(Ordering::Acquire)).filter(|call| *call != 0).collect()
    }

    /// Makes slots that were freed stay free through a power loss.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(io_error("sync", &self.path))
    }

    fn call_in(&self, slot: usize) -> Result<&AtomicU64, StoreError> {
        self.calls[..self.slots].get(slot).ok_or(StoreError::NoSlot { slot, slots: self.slots })
    }
}

fn place(slot: usize) -> u64 {
    (SLOT + slot * SLOT) as u64
}

fn header(slots: usize) -> [u8; SLOT] {
    let mut header = [0; SLOT];
    header[..8].copy_from_slice(MAGIC);
    header[8..16].copy_from_slice(&VERSION.to_le_bytes());
    header[16..24].copy_from_slice(&(slots as u64).to_le_bytes());
    header
}

/// The number of slots comes from the file's length: a header that was torn must not hide what stands behind it.
pub(super) fn read_left(file: &File, path: &Path) -> Result<Left, StoreError> {
    let mut left = Left { entries: Vec::new(), damaged: 0 };
    let len = file.metadata().map_err(io_error("look at", path))?.len();
    let mut slot = [0; SLOT];
    for at in 0..len / SLOT as u64 {
        file.read_exact_at(&mut slot, at * SLOT as u64).map_err(io_error("read", path))?;
        if at == 0 {
            check_version(&slot, path)?;
            continue;
        }
        match slot::decode(&slot) {
            Slot::Free => {}
            Slot::Taken(entry) => left.entries.push(entry),
            Slot::Damaged => left.damaged += 1,
        }
    }
    Ok(left)
}

fn check_version(header: &[u8; SLOT], path: &Path) -> Result<(), StoreError> {
    let version = header[8..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    if header.starts_with(MAGIC) && version > VERSION {
        return Err(StoreError::Version { path: path.to_owned(), found: version, known: VERSION });
    }
    Ok(())
}
