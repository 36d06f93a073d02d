//! The plan of a run: a pass over the input that sends and writes nothing.

mod experience;
mod measure;
mod pass;
mod share;

use serde::Serialize;

use self::measure::Measure;
use self::pass::Pass;
use super::RunError;
use super::bounds;
use super::change::Change;
use super::estimate::{InputRange, Range};
use super::ground::{Ground, Reason};
use super::selection::{Selection, Subset};
use crate::job::Job;
use crate::token::Tokenizer;
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
    /// What `run.dedupe` saves by them, or would.
    pub dedupe_saves: DedupeSaves,
    /// Whether it is on: then all tokens, costs and times are those with it.
    pub dedupe: bool,
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
    /// About so many, by what `tokens` says.
    pub input_tokens: u64,
    /// How the input tokens are known.
    pub tokens: TokenSource,
    /// By what is on record, else by the params.
    pub output_tokens: Range<u64>,
    /// By the price of each call; unknown where that or the tokens are. Of one answer to each row: retries and fallbacks come
    /// on top.
    pub cost_usd: Range<Money>,
    /// How long they take about, were there no others.
    pub seconds: u64,
    /// The limit that decides it.
    pub bound_by: Option<String>,
    /// Requests that are the same as one before.
    pub duplicates: u64,
    /// What all requests begin with.
    pub cacheable: Cacheable,
}

/// How input tokens are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum TokenSource {
    /// The model's tokenizer counted all rows.
    Exact,
    /// It counted so many of them; the others are scaled.
    Sampled {
        /// How many.
        rows: u64,
    },
    /// Estimated, and put right by what the provider counted of so many answers of this job.
    Observed {
        /// How many.
        answers: u64,
    },
    /// Estimated by the texts' scripts.
    Estimated,
}

/// What all requests of one task to one model begin with: what a provider's prompt cache can serve, where the provider has
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cacheable {
    /// In tokens, of each request.
    pub prefix_tokens: u64,
    /// In percent of all input.
    pub percent: u64,
}

impl Cacheable {
    /// Providers keep nothing shorter.
    pub const LEAST: u64 = 1_024;

    /// Whether it is long enough for a prompt cache.
    #[must_use]
    pub fn is_enough(self) -> bool {
        self.prefix_tokens >= Self::LEAST
    }
}

/// What one call for each of the requests that are alike would save.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DedupeSaves {
    /// Calls.
    pub calls: u64,
    /// Their input tokens.
    pub input_tokens: u64,
    /// What they are expected to answer; `None`: not known.
    pub output_tokens: Option<u64>,
    /// What they are expected to cost; `None`: not known.
    pub cost_usd: Option<Money>,
}

impl Default for DedupeSaves {
    fn default() -> Self {
        Self { calls: 0, input_tokens: 0, output_tokens: Some(0), cost_usd: Some(Money::ZERO) }
    }
}

impl DedupeSaves {
    fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.input_tokens += other.input_tokens;
        self.output_tokens = self.output_tokens.zip(other.output_tokens).map(|(one, other)| one + other);
        self.cost_usd = self.cost_usd.zip(other.cost_usd).map(|(one, other)| one + other);
    }
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
    Ok(Pass::over(&ground, &selection, Tokenizer::of)?.end())
}

/// What is done and would be sent again because the job asks otherwise than when a run of it last began; `None` where
/// nothing would. A pass over the input, and only where the job changed.
pub(super) fn change(ground: &Ground, selection: &Selection) -> Result<Option<Change>, RunError> {
    if ground.difference()?.is_none() {
        return Ok(None);
    }
    // A run has no memory to spare for a tokenizer's tables.
    Ok(Pass::over(ground, selection, |_| None)?.change())
}

/// The input tokens of a single request to the model of this name, and whether they are counted by its tokenizer.
pub(super) fn one_request(messages: &str, model: &str, params_tokens: u64) -> (InputRange, bool) {
    let mut measure = Measure::new(Tokenizer::of(model));
    measure.add(messages, 0, params_tokens);
    let (range, source) = measure.input(None);
    (range, source == TokenSource::Exact)
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
