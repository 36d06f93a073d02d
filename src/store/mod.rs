//! Keeps what was paid for: the state directory of a job.
//!
//! Owns the lock, the log of lines (`results.log`, the truth), the flight file (calls that are out), the checkpoint over
//! the log (sled), the order of outcomes by input row, and the totals that other processes read. All but the log can be
//! made again from the log. All is synchronous, but that a run does not wait for syncs and commits, and
//! has a single writer, who holds the [`StateLock`]; others read with a [`StateReader`].
//!
//! Does not know what a row or a reply means, never decides what is sent again, and writes no results: that is for the
//! engine and the sink.

mod asked;
mod checkpoint;
mod commits;
mod control;
mod dir;
mod error;
mod failures;
mod flight;
mod keeper;
mod kept;
mod keys;
mod lock;
mod log;
mod meta;
mod opening;
mod order;
mod packed;
mod pages;
mod prune;
mod reader;
mod scan;
mod sled_checkpoint;
mod slot;
mod spent;
mod standing;
mod state_reader;
#[cfg(test)]
mod tests;
mod totals;

pub use checkpoint::{Checkpoint, MemoryCheckpoint, Record};
pub use control::Control;
pub use dir::StateDir;
pub use error::StoreError;
pub use failures::failed_outcomes;
pub use flight::Flight;
pub use keeper::{Opened, Store};
pub use kept::{KeptIndex, MadeOf, Owner};
pub use keys::KeyIndex;
pub use lock::{Holder, StateLock};
pub use order::{Beginning, OrderReader, OrderState};
pub use packed::{End, Ended};
pub use prune::{Needed, Pruned};
pub use reader::LogReader;
pub use sled_checkpoint::SledCheckpoint;
pub use slot::FlightEntry;
pub use standing::{Since, Standing, read_standing};
pub use state_reader::{Logged, LoggedOutcome, StateReader};
pub use totals::{TotalsFile, read_totals};
