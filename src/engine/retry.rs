//! Which rows a retry sends again.

use super::RunError;
use super::plan::Plan;
use super::prepare::route;
use super::selection::task_named;
use crate::job::Job;
use crate::source::Record;
use crate::store::End;
use crate::types::FailureKind;

/// Rows to send again, and no others: those that failed and fit, and perhaps those with a truncated answer. A new answer
/// takes the place of the old end under the row's own key; a failure never takes the place of an answer.
#[derive(Clone, Debug, Default)]
pub struct Retry {
    /// The kinds of failure to try again; `None`: all of them.
    pub kinds: Option<Vec<FailureKind>>,
    /// Rows whose answer stopped at the output limit, too.
    pub truncated: bool,
    /// Only rows of this task.
    pub task: Option<String>,
    /// The job as written, whose keys the rows have, where the job that runs asks another model or asks otherwise.
    pub as_written: Option<Box<Job>>,
}

/// The same, ready to decide.
pub(super) struct Retried {
    kinds: Option<Vec<FailureKind>>,
    truncated: bool,
    task: Option<usize>,
}

impl Retried {
    pub fn new(retry: &Retry, plan: &Plan) -> Result<Self, RunError> {
        let task = retry.task.as_deref().map(|name| task_named(plan, name)).transpose()?;
        Ok(Self { kinds: retry.kinds.clone(), truncated: retry.truncated, task })
    }

    /// Whether a row that ended so is sent again.
    pub fn takes(&self, plan: &Plan, record: &Record, end: &End) -> bool {
        let fits = match end.failure {
            None => self.truncated && end.truncated,
            Some(kind) => self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind)),
        };
        fits && self.task.is_none_or(|task| is_of(plan, record, task))
    }
}

fn is_of(plan: &Plan, record: &Record, task: usize) -> bool {
    record.row().is_ok_and(|row| route(plan, &row).is_ok_and(|of| of == task))
}
