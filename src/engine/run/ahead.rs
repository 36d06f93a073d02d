//! What a run finds out of its input beside the feed: how many records there are, and marks for the next run.

use std::sync::Arc;

use super::{Run, Threads};
use crate::engine::RunError;
use crate::source::{Input, Marks};
use crate::store::StateDir;
use crate::types::RunKind;

impl Run {
    /// Reads the input once meanwhile: counts it, where the number of its records alone selects them, so that the screen can
    /// say how long it takes; and marks it, where the next run may be helped by that.
    pub(super) fn look_ahead(&self) {
        if let Some(field) = &self.compared {
            self.board.found().counted = Some(field.rows());
        }
        let marks = self.purpose.kind == RunKind::Job && self.plan.is_matched_by_number();
        let counts = self.threads == Threads::Own && self.selection.is_prefix(&self.plan);
        let (input, board, limit) = (Arc::clone(&self.input), Arc::clone(&self.board), self.selection.limit());
        let state = self.state.clone();
        let look = move || {
            // An input that cannot be counted cannot be read: the feed tells it. Without marks the next run takes longer.
            let records = if marks {
                marked(&input, &state).ok()
            } else if counts {
                input.count().ok()
            } else {
                None
            };
            if let Some(records) = records.filter(|_| counts) {
                let mut found = board.found();
                (found.counted, found.whole_job) = (Some(records.min(limit)), Some(records));
            }
        };
        match self.threads {
            Threads::Own => drop(tokio::task::spawn_blocking(look)),
            Threads::Runtime => look(),
        }
    }
}

/// How many records the input has, by the marks that are kept of it: made now, where those are of another input.
fn marked(input: &Input, state: &StateDir) -> Result<u64, RunError> {
    let kept = state.marks()?.as_deref().and_then(Marks::decode);
    if let Some(marks) = kept.filter(|marks| marks.fingerprint() == input.fingerprint()) {
        return Ok(marks.records());
    }
    let marks = input.marks()?;
    if input.is_as_opened()? {
        // On a full disk they are missed, and nothing else.
        let _ = state.keep_marks(&marks.encode());
    }
    Ok(marks.records())
}
