//! What the feed has found of rows that were done before: read by the recorder for its figures.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::types::FailureKind;

/// Rows by what the feed found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// Selected rows that the feed has come to.
    pub seen: u64,
    /// All of the selection has been seen.
    pub whole: bool,
    /// Records of the input, where nothing but their number selects them and they have been counted.
    pub counted: Option<u64>,
    /// Done before, with an answer.
    pub succeeded: u64,
    /// Among them, answers that stopped at the output limit.
    pub truncated: u64,
    /// Failed earlier in this run.
    pub failed: BTreeMap<FailureKind, u64>,
    /// Failed in an earlier run, and not tried again.
    pub failed_before: u64,
    /// Without an end, and not a retry's to send.
    pub left_alone: u64,
    /// Failed rows that are not sent again by this invocation, of whichever run.
    pub left_failed: BTreeMap<FailureKind, u64>,
    /// Sent again by a retry.
    pub retried: u64,
    /// Records that the feed has come to and that are not selected.
    pub passed: u64,
    /// Rows of the whole job, however small a part of it is selected; `None` where nobody has counted them.
    pub whole_job: Option<u64>,
}

impl Found {
    /// Rows that were done before this invocation.
    pub fn skipped(&self) -> u64 {
        self.succeeded + self.failed.values().sum::<u64>() + self.failed_before
    }

    /// All selected rows, as far as they are known.
    pub fn total(&self) -> u64 {
        if self.whole { self.seen } else { self.counted.unwrap_or(0).max(self.seen) }
    }
}

/// The place where the feed's findings stand.
#[derive(Default)]
pub(super) struct Board(Mutex<Found>);

impl Board {
    /// The findings, to read or to add to.
    pub fn found(&self) -> MutexGuard<'_, Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
