//! The outcomes as another process may read them, also while a run writes: without the lock, and without sled, which has
//! one owner.

use std::collections::HashMap;

use super::keeper::ended;
use super::log::LOG;
use super::order::{self, OrderReader};
use super::scan::{Scan, Scanned};
use super::{End, Ended, KeyIndex, StateDir, StoreError};
use crate::types::{Key, LogLine};

/// A view of the outcomes of today's rows.
pub enum StoreView {
    /// Input and job are those of the order: by record number.
    ByNumber {
        /// The order as far as its writer has brought it to disk.
        order: OrderReader,
        /// What the log has behind that.
        newer: HashMap<u64, End>,
        /// Where in the log `newer` begins: entries that point behind it may be of lines that are gone.
        from: u64,
    },
    /// Something changed since the last run: by key.
    ByKey(KeyIndex),
}

impl StoreView {
    /// The outcomes in this state directory for rows of this identity (of the input and the job). `None` where nothing
    /// has been recorded yet.
    ///
    /// # Errors
    /// I/O.
    pub fn open(dir: &StateDir, identity: [u8; 16]) -> Result<Option<Self>, StoreError> {
        let log = dir.file(LOG);
        if !log.exists() {
            return Ok(None);
        }
        let Some(from) = order::matched_upto(dir, identity)? else {
            return Ok(Some(Self::ByKey(KeyIndex::build(Outcomes(Scan::open(&log, 0)?))?)));
        };
        let order = OrderReader::open(dir)?;
        let mut newer = HashMap::new();
        for ended in Outcomes(Scan::open(&log, from)?) {
            let ended = ended?;
            newer.insert(ended.row, ended.end);
        }
        Ok(Some(Self::ByNumber { order, newer, from }))
    }

    /// How a row ended; `None` where it has no outcome. `key` is asked where rows are matched by it: the k-th row of a key
    /// gets its k-th outcome, so all rows must be asked for, in the order of the input.
    ///
    /// # Errors
    /// I/O.
    pub fn find(&mut self, row: u64, key: impl FnOnce() -> Key) -> Result<Option<End>, StoreError> {
        match self {
            Self::ByNumber { order, newer, from } => match newer.get(&row) {
                Some(end) => Ok(Some(*end)),
                None => Ok(order.get(row)?.filter(|end| end.offset < *from)),
            },
            Self::ByKey(index) => Ok(index.take(key())),
        }
    }
}

/// The outcomes of a log, from a place on. Lines that cannot be read are passed over: their rows have none.
struct Outcomes(Scan);

impl Iterator for Outcomes {
    type Item = Result<Ended, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let offset = self.0.position();
            match self.0.next().transpose()? {
                Err(error) => return Some(Err(error)),
                Ok(Scanned::Line(line)) => {
                    if let LogLine::Outcome(outcome) = *line {
                        return Some(Ok(ended(&outcome, offset)));
                    }
                }
                Ok(Scanned::Broken) => {}
                // A line that is being written, or that a kill cut.
                Ok(Scanned::Torn) => return None,
            }
        }
    }
}
