//! Why the state directory cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use super::Holder;

/// An error of the store. What was written before it stays, and a later run goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused something.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, such as "write to".
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder holds the state of another job file.
    #[error("{} holds the state of {}; set run.state to another folder for this job", state.display(), job.display())]
    OtherJob {
        /// The state directory.
        state: PathBuf,
        /// The job file that it belongs to.
        job: PathBuf,
    },
    /// Another process has the lock.
    #[error("{} is in use by {holder}; wait for it, or stop it first", path.display())]
    Locked {
        /// The state directory.
        path: PathBuf,
        /// Who has it.
        holder: Holder,
    },
    /// A file of a later version of this program.
    #[error(
        "{} has format {found}, this program knows up to {known}; use the version that wrote it, or start with --fresh",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The latest version that can be read.
        known: u64,
    },
    /// A `results.log` whose first line is not a log's.
    #[error("{} does not begin like a results log; move it away, or start with --fresh", path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
    },
    /// No whole outcome stands where one should.
    #[error(
        "{} is damaged at byte {offset} ({reason}); move the folder {} away and run again: the row is sent again",
        path.display(),
        path.with_file_name("sled").display()
    )]
    BrokenLine {
        /// The log.
        path: PathBuf,
        /// Where the line should begin, in bytes.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The lines of the log do not add up to what the checkpoint knows.
    #[error(
        "{} does not add up to what the checkpoint knows of it; nothing was forgotten; move the folder {} away and try again",
        path.display(),
        path.with_file_name("sled").display()
    )]
    Sums {
        /// The log.
        path: PathBuf,
    },
    /// The checkpoint failed while it was in use.
    #[error("the checkpoint {} failed: {reason}; run again, it is made anew from the log where needed", path.display())]
    Checkpoint {
        /// Its folder.
        path: PathBuf,
        /// What it said.
        reason: String,
    },
    /// The checkpoint was closed and cannot be opened now: it took nothing in, and may be opened later.
    #[error("the checkpoint {} cannot be opened: {reason}; run again, it is made anew from the log where needed", path.display())]
    CheckpointAway {
        /// Its folder.
        path: PathBuf,
        /// What it said.
        reason: String,
    },
    /// A line that cannot be written as JSON.
    #[error("cannot put a line into JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A slot number that the flight file does not have.
    #[error("the flight file has {slots} slots, there is no slot {slot}")]
    NoSlot {
        /// The number asked for, from 0.
        slot: usize,
        /// How many there are.
        slots: usize,
    },
    /// `totals.json` cannot be read.
    #[error("{} is damaged ({reason}); the next run of the job makes it anew", path.display())]
    Totals {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Gives an I/O error its place, for `map_err`.
pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Io { action, path: path.to_owned(), source }
}
