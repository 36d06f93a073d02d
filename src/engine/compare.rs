//! A comparison: the same rows of a job through several models, one run for all of them.
//!
//! Owns which rows those are, how a record becomes a row for each model, and what is told of it all. Everything else is the
//! run's: limits, checkpoint, stopping. Each row is kept under the key that it has where its model is the job's first
//! choice, so a run that asks the same finds its answers, and a comparison those of earlier runs. What it tells is read
//! from the log, whoever paid for it.

mod agreement;
mod answered;
mod copies;
mod figures;
mod sample;

use std::num::NonZeroUsize;
use std::sync::Arc;

use serde::Serialize;

use self::answered::Answered;
pub(super) use self::copies::Copies;
use self::sample::Sample;
use super::plan::{Compared, Plan};
use super::run::{About, Begun, RunOptions, begin, open};
use super::selection::Selection;
use super::{RunError, bounds, needs};
use crate::event::{StopReason, Summary};
use crate::job::{Job, Model, Task};
use crate::source::Input;
use crate::store::{KeyIndex, LogReader, StateDir, Store};
use crate::types::{FailureKind, Money, PossiblyBilled, Purpose, RunKind, RunNumber};

/// What is compared. The models are the route of each task of the job that is run.
pub struct Comparing {
    /// The job as written: by its keys rows are drawn.
    pub as_written: Job,
    /// How many rows.
    pub sample: NonZeroUsize,
}

/// What a comparison found.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The job's name.
    pub job: String,
    /// The comparison's number among the job's runs; `None` where nothing was sent.
    pub run: Option<RunNumber>,
    /// The process's exit code.
    pub exit_code: u8,
    /// Why rows remain, where they do.
    pub stop_reason: Option<StopReason>,
    /// The compared rows by task.
    pub tasks: Vec<ComparedTask>,
    /// In the order in which they were named.
    pub models: Vec<ComparedModel>,
    /// How far two models answer alike.
    pub agreement: Vec<Agreement>,
    /// Requests that this invocation sent.
    pub attempts: u64,
    /// What they cost, as far as that is known.
    pub cost_usd: Money,
    /// Rows whose cost is not, or not wholly, known.
    pub cost_unknown_rows: u64,
    /// Calls of this invocation whose end is not known.
    pub possibly_billed: PossiblyBilled,
    /// Providers that invent their answers.
    pub simulated: Vec<String>,
    /// How the run ended that the comparison made.
    #[serde(skip)]
    pub summary: Summary,
    /// The rows with their answers, in the order of the input.
    #[serde(skip)]
    pub rows: Vec<ComparedRow>,
}

/// A task's part of a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComparedTask {
    /// The table of the job file.
    pub task: String,
    /// Rows that it has in the whole job.
    pub rows: u64,
    /// Rows of it that are compared.
    pub compared: u64,
}

/// A model's part of a comparison.
#[derive(Clone, Debug, Serialize)]
pub struct ComparedModel {
    /// What the job file or the command line calls it.
    pub alias: String,
    /// The provider.
    pub provider: String,
    /// The name on the wire.
    pub model: String,
    /// Compared rows.
    pub rows: u64,
    /// Rows with an answer.
    pub succeeded: u64,
    /// Rows that failed.
    pub failed: u64,
    /// Rows that have not ended yet.
    pub remaining: u64,
    /// Rows that an earlier run of the job had paid for.
    pub reused: u64,
    /// Answers that stopped at the output limit.
    pub truncated: u64,
    /// Answers by the task's rules for them; `None` where it has none.
    pub valid: Option<Validity>,
    /// Why rows failed, the most first.
    pub failures: Vec<(FailureKind, u64)>,
    /// Requests sent for these rows, 429s included.
    pub attempts: u64,
    /// Input tokens of the answers.
    pub input_tokens: u64,
    /// Their output tokens.
    pub output_tokens: u64,
    /// What these rows cost, as far as that is known; `None`: nothing of it is.
    pub cost_usd: Option<Money>,
    /// Rows whose cost is not, or not wholly, known.
    pub cost_unknown_rows: u64,
    /// What a thousand such rows cost.
    pub cost_per_1000_rows_usd: Option<Money>,
    /// How long the calls took that brought an answer.
    pub latency_ms: ComparedLatency,
    /// What the whole job would take, by these rows.
    pub whole_job: Projection,
}

/// How many answers keep to their task's rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Validity {
    /// Rows that were answered, by the rules or not.
    pub answered: u64,
    /// By the rules in the end.
    pub valid: u64,
    /// By the rules at once.
    pub at_once: u64,
}

/// How long calls took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ComparedLatency {
    /// Half of the calls took no longer.
    pub p50: Option<u64>,
    /// 95 of 100 took no longer.
    pub p95: Option<u64>,
}

/// What the whole job would take on one model alone, as the compared rows did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Projection {
    /// All rows of the job that ask for something.
    pub rows: u64,
    /// `None`: a cost is not known, or a task has no row that ended.
    pub cost_usd: Option<Money>,
    /// Under the job's limits; `None`: no call has been timed.
    pub seconds: Option<u64>,
    /// The limit that decides it.
    pub bound_by: Option<String>,
}

/// How far two models answer alike.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// The alias of one.
    pub one: String,
    /// The alias of the other.
    pub other: String,
    /// Rows that both answered.
    pub rows: u64,
    /// Rows with the same answer: in all fields of the schema where there is one, else to the letter, blanks around it
    /// aside.
    pub same: u64,
    /// The part of the schema's fields that have the same value, on average; without a schema that of rows with the same
    /// answer. `None`: there are no rows.
    pub share: Option<f64>,
}

/// A compared row, with each model's answer.
#[derive(Clone, Debug)]
pub struct ComparedRow {
    /// The record number.
    pub row: u64,
    /// Its id, as in results.
    pub id: serde_json::Value,
    /// The table of the job file.
    pub task: String,
    /// By model, in order.
    pub answers: Vec<ComparedAnswer>,
}

/// What a model made of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ComparedAnswer {
    /// Its answer's text.
    Text(String),
    /// It failed.
    Failed(FailureKind),
    /// It has not ended yet.
    Open,
}

/// What is compared, as the run sees it.
#[derive(Clone)]
pub(super) struct Field {
    /// One for each model.
    plans: Vec<Arc<Plan>>,
    input: Arc<Input>,
    sample: Arc<Sample>,
    state: StateDir,
}

impl Field {
    /// Rows of the run: each record is one for each model.
    pub fn rows(&self) -> u64 {
        (self.sample.rows.len() * self.plans.len()) as u64
    }

    /// The rows for the feed, with what is on record of them.
    pub fn copies(&self, store: &Store) -> Result<Copies, RunError> {
        let answered = Answered::new(KeyIndex::build(store.outcomes())?, LogReader::open(&self.state)?);
        Ok(Copies::new(self.plans.clone(), Arc::clone(&self.sample), answered))
    }

    /// The model of the n-th plan.
    fn model(&self, at: usize) -> &Model {
        let plan = &self.plans[at];
        plan.model(self.upstream(at))
    }

    fn upstream(&self, at: usize) -> usize {
        let tasks = self.plans[at].tasks.len() / self.plans.len();
        self.plans[at].tasks[at * tasks].route[0].upstream
    }

    /// Comparisons of other models, or of another number of rows, are other runs.
    pub fn purpose(&self) -> Purpose {
        Purpose { kind: RunKind::Compare, about: Some(self.words()) }
    }

    /// As `status` tells it.
    fn words(&self) -> String {
        let names: Vec<&str> = (0..self.plans.len()).map(|at| self.model(at).alias.as_str()).collect();
        format!("compare --models {} --sample {}", names.join(","), self.sample.rows.len())
    }
}

/// The plan that reads rows for one of so many models.
fn plan_for(job: &Job, model: usize, models: usize) -> Result<Plan, RunError> {
    let alone = |at: usize| move |task: &Task| Task { route: vec![task.route[at]], ..task.clone() };
    let tasks = (0..models).flat_map(|at| job.tasks.iter().map(alone(at))).collect();
    let mut expanded = job.clone();
    expanded.tasks = tasks;
    // Each model is to answer by itself.
    expanded.dedupe = false;
    let mut plan = Plan::new(expanded)?;
    let first_task = model * job.tasks.len();
    plan.compared = Some(Compared { job: Box::new(job.clone()), first_task });
    Ok(plan)
}

/// Puts the same rows through each model of the job's routes, or goes on with it, until nothing remains or it is stopped;
/// tells how they compare, as far as they have come. Rows with an answer of that model, of whichever run, are not sent.
///
/// # Errors
/// As [`super::run`].
pub async fn compare(job: Job, comparing: Comparing, mut options: RunOptions) -> Result<Comparison, RunError> {
    let models = job.tasks.first().map_or(0, |task| task.route.len());
    let plans = (0..models).map(|model| plan_for(&job, model, models).map(Arc::new));
    let plans = plans.collect::<Result<Vec<_>, RunError>>()?;
    let Some(first) = plans.first().map(Arc::clone) else {
        return Err(RunError::Usage("no models to compare".to_owned()));
    };
    let as_written = Plan::new(comparing.as_written)?;
    bounds::check(&first)?;
    let opened = open(first, &mut options).await?;
    needs::check(&opened.plan, &opened.input)?;
    let sample = Arc::new(Sample::draw(&as_written, &opened.input, comparing.sample.get())?);
    let (input, state) = (Arc::clone(&opened.input), opened.state.clone());
    let field = Field { plans, input, sample, state };
    let selection = Selection::of_rows(field.sample.rows.clone());
    let about = About { selection, part: Some(field.words()), retried: None, compared: Some(field.clone()) };
    let Begun { run, parts, held: _held } = begin(opened, about, options).await?;
    let summary = run.drive(parts).await?;
    figures::tell(&field, summary)
}
