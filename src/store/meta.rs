//! What a commit says besides its record: up to where in the log the checkpoint has seen, and the sums up to there.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::log::HEADER;
use super::spent::Spent;
use crate::types::{CallNumber, Ledger};

pub(super) const VERSION: u64 = 1;
/// How much of the log before the cursor is remembered, in bytes: to know the log again.
const TAIL: u64 = 64;

/// The state of things at the cursor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) version: u64,
    /// The log's length at the commit, in bytes: just behind a line break.
    pub(super) cursor: u64,
    /// The last bytes before the cursor.
    pub(super) tail: Vec<u8>,
    /// How many records there are.
    pub(super) records: u64,
    /// How many outcomes are in them.
    pub(super) outcomes: u64,
    pub(super) next_call: CallNumber,
    pub(super) ledger: Ledger,
    pub(super) spent: Spent,
    /// Calls whose line is before the cursor, but which may still stand in the flight file.
    pub(super) settled: Vec<CallNumber>,
}

impl Default for Meta {
    fn default() -> Self {
        Self {
            version: VERSION,
            cursor: HEADER.len() as u64,
            tail: HEADER.to_vec(),
            records: 0,
            outcomes: 0,
            next_call: 1,
            ledger: Ledger::default(),
            spent: Spent::default(),
            settled: Vec::new(),
        }
    }
}

/// The last bytes of the log before this place.
pub(super) fn read_tail(log: &Path, cursor: u64) -> io::Result<Vec<u8>> {
    let from = cursor.saturating_sub(TAIL);
    let mut tail = vec![0; usize::try_from(cursor - from).unwrap_or(0)];
    File::open(log)?.read_exact_at(&mut tail, from)?;
    Ok(tail)
}
