//! The plan of a run: a pass over the input that sends and writes nothing.

mod pass;

use serde::Serialize;

use self::pass::Pass;
use super::RunError;
use super::bounds;
use super::change::Change;
use super::estimate::Range;
use super::ground::{Ground, Reason};
use super::selection::{Selection, Subset};
use crate::job::Job;
use crate::types::{FailureKind, Money};

/// What a run would do.
#[derive(Clone, Debug, Serialize)]
pub struct Survey {
    /// Selected rows.
    pub rows: u64,
    /// Rows to be sent.
    pub remaining: u64,
    /// Why they are to be sent.
    pub resend: Resend,
    /// Where they go first, in the order of the job's tasks.
    pub by_model: Vec<ModelShare>,
    /// How long it takes about.
    pub seconds: u64,
    /// The limit that decides it, such as `rpm 300 of gateway/qwen-plus`; `None` where nothing is to be sent.
    pub bound_by: Option<String>,
    /// Requests that are the same as one before, among those to be sent.
    pub duplicates: u64,
    /// Rows among `remaining` that fail before anything is sent, by kind.
    pub unsendable: Vec<Unsendable>,
    /// Budgets that are expected not to last.
    pub over_budget: Vec<OverBudget>,
    /// Variables of keys that a run needs and that are not set.
    pub missing_keys: Vec<String>,
    /// Why a run would not begin, where that is so.
    pub refused: Option<Refusal>,
    /// The job's name.
    #[serde(skip)]
    pub job: String,
}

/// A run that would end before it begins, with the same words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// How it would end.
    pub exit_code: u8,
    /// Why.
    pub error: String,
    /// What changes it.
    pub hint: String,
}

/// Rows to be sent, by the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Resend {
    /// Rows that no outcome is known of.
    pub new: u64,
    /// Rows that were edited: an outcome of their id is known.
    pub row_changed: u64,
    /// Rows whose prompt, params or model changed.
    pub job_changed: u64,
    /// Rows that failed in an earlier run and are tried again.
    pub failed: u64,
}

/// What one task sends to one model.
#[derive(Clone, Debug, Serialize)]
pub struct ModelShare {
    /// The provider.
    pub provider: String,
    /// The model's name on the wire.
    pub model: String,
    /// The task's table.
    pub task: String,
    /// How many rows.
    pub rows: u64,
    /// By estimate.
    pub input_tokens: u64,
    /// By what is on record, else by the params.
    pub output_tokens: Range<u64>,
    /// By the job's price; unknown where that or the tokens are.
    pub cost_usd: Range<Money>,
}

/// A budget (`max_cost`) that is expected not to last.
#[derive(Clone, Debug, Serialize)]
pub struct OverBudget {
    /// Its key in the job file.
    pub key: String,
    /// What may be spent.
    pub max_usd: Money,
    /// In which time, `day` or `month`; `None`: in one run.
    pub per: Option<&'static str>,
    /// What is spent of it.
    pub spent_usd: Money,
    /// What the rows to be sent are expected to cost, as far as that is known.
    pub expected_usd: Money,
}

/// Rows that fail before anything is sent.
#[derive(Clone, Debug, Serialize)]
pub struct Unsendable {
    /// Why.
    pub kind: FailureKind,
    /// How many.
    pub rows: u64,
    /// Where the first one stands.
    pub at: String,
    /// What is wrong with it.
    pub message: String,
}

/// Finds out what a run of this part of the input would do. Sends nothing, and changes no file.
///
/// # Errors
/// Where a run could not begin, or the state cannot be read.
pub fn survey(job: Job, subset: &Subset) -> Result<Survey, RunError> {
    let ground = Ground::open(job)?;
    bounds::check(&ground.plan)?;
    let selection = Selection::new(&ground.plan, &ground.input, subset)?;
    Ok(Pass::over(&ground, &selection)?.end())
}

/// What is done and would be sent again because the job asks otherwise than when a run of it last began; `None` where
/// nothing would. A pass over the input, and only where the job changed.
pub(super) fn change(ground: &Ground, selection: &Selection) -> Result<Option<Change>, RunError> {
    if ground.difference()?.is_none() {
        return Ok(None);
    }
    Ok(Pass::over(ground, selection)?.change())
}

impl Resend {
    fn count(&mut self, reason: Reason) {
        match reason {
            Reason::New => self.new += 1,
            Reason::RowChanged => self.row_changed += 1,
            Reason::JobChanged => self.job_changed += 1,
            Reason::Failed => self.failed += 1,
        }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.new + self.row_changed + self.job_changed + self.failed
    }
}
