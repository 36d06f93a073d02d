//! What a run tells: the only language between the engine and whoever watches.
//!
//! Owns the events and the figures that they carry. Every event that is about progress carries all figures, so that a
//! screen is a function of the last one and never counts by itself. The recorder alone emits them.

mod snapshot;
mod summary;

pub use crate::types::RowCounts;
pub use snapshot::{ModelState, ModelView, Snapshot};
pub use summary::{StopReason, Summary, UsedUp};

use serde::Serialize;

use crate::types::{AttemptLine, FailureKind, OutcomeLine, RunNumber};

/// One thing that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A first line is about to be written for this run, or a stopped run goes on.
    RunStarted {
        /// The job's name.
        job: String,
        /// The run's number.
        run: RunNumber,
        /// Whether the run was stopped before and goes on.
        resumed: bool,
    },
    /// Something that the user should know, in words.
    Note {
        /// The words.
        message: String,
        /// Whether something is wrong, or costs what nobody may expect: then it is told in silence too.
        warning: bool,
    },
    /// A row has ended.
    RowDone {
        /// Its record number.
        row: u64,
        /// Its task's table.
        task: String,
        /// The provider asked last; empty where none was.
        provider: String,
        /// The model asked last; empty where none was.
        model: String,
        /// Why it failed, where it did.
        failure: Option<FailureKind>,
        /// Requests sent for it.
        attempts: u32,
    },
    /// A call failed that was not its row's last.
    AttemptFailed {
        /// The row's record number.
        row: u64,
        /// The provider asked.
        provider: String,
        /// The model asked.
        model: String,
        /// What went wrong; `None` where the call was cut.
        kind: Option<FailureKind>,
        /// The HTTP status, where there was one.
        status: Option<u16>,
        /// What the provider said.
        message: String,
    },
    /// A model's state changed: told once, not for each row.
    ModelState {
        /// The provider.
        provider: String,
        /// The model's name on the wire.
        model: String,
        /// The new state.
        state: ModelState,
        /// What the provider said, where that is why.
        message: Option<String>,
    },
    /// How far it is, some times a second.
    Progress(Box<Snapshot>),
    /// No new rows are sent; calls in flight finish.
    Draining {
        /// Why.
        reason: StopReason,
    },
    /// The end.
    RunFinished(Box<Summary>),
}

impl Event {
    /// A call that was not its row's last.
    pub(crate) fn of_attempt(line: &AttemptLine) -> Self {
        Self::AttemptFailed {
            row: line.row,
            provider: line.provider.clone(),
            model: line.model.clone(),
            kind: line.failure.as_ref().map(|failure| failure.kind),
            status: line.failure.as_ref().and_then(|failure| failure.status),
            message: line
                .failure
                .as_ref()
                .map_or_else(|| "cut before its end was known".to_owned(), |failure| failure.message.clone()),
        }
    }

    /// A row that has ended.
    pub(crate) fn of_outcome(line: &OutcomeLine) -> Self {
        Self::RowDone {
            row: line.row,
            task: line.task.clone(),
            provider: line.provider.clone(),
            model: line.model.clone(),
            failure: line.failure.as_ref().map(|failure| failure.kind),
            attempts: line.attempts,
        }
    }
}
