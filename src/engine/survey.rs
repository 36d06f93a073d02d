//! The plan of a run: a pass over the input that sends and writes nothing.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::RunError;
use super::bounds;
use super::budget::{Written, spent, word, written};
use super::change::{Change, Difference};
use super::estimate::{Experience, FirstCall, Load, Range, duration, output_tokens};
use super::feed::Standing;
use super::ground::{Ground, Reason, Record};
use super::key::{canonical_object, row_hash};
use super::output::each;
use super::prepare::{Request, What, prepare};
use super::selection::{Selection, Subset};
use crate::job::{Job, OnChange};
use crate::source;
use crate::store::StateReader;
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

/// What is known of each task's answers, by task and upstream.
struct Experiences(HashMap<(usize, usize), Experience>);

impl Experiences {
    fn of(ground: &Ground) -> Result<Self, RunError> {
        let known = ground.experience()?;
        let plan = &ground.plan;
        let mut by_place = HashMap::new();
        for (task, ready) in plan.tasks.iter().enumerate() {
            for upstream in 0..plan.models.len() {
                let model = plan.model(upstream);
                let provider = &plan.job.providers[model.provider].settings.name;
                let of = [ready.name.to_string(), provider.clone(), model.wire.clone()];
                let of_others = || {
                    let answers = known.iter().filter(|(place, _)| *place[0] == *ready.name);
                    // Another model of the task is the best guess for one that has not answered yet.
                    let mean_output = answers.filter_map(|(_, known)| known.mean_output).max()?;
                    Some(Experience { mean_output: Some(mean_output), ..Experience::default() })
                };
                let known = known.get(&of).copied().or_else(of_others);
                by_place.extend(known.map(|known| ((task, upstream), known)));
            }
        }
        Ok(Self(by_place))
    }

    fn get(&self, task: usize, upstream: usize) -> Experience {
        self.0.get(&(task, upstream)).copied().unwrap_or_default()
    }
}

struct Share {
    rows: u64,
    input_tokens: u64,
    output_tokens: Range<u64>,
}

impl Share {
    const NONE: Self = Self { rows: 0, input_tokens: 0, output_tokens: Range::NOTHING };

    fn add(&mut self, call: &FirstCall<'_>, output: &Range<u64>) {
        self.rows += 1;
        self.input_tokens += call.input_tokens;
        self.output_tokens.add(output);
    }
}

/// The pass under way.
struct Pass<'a> {
    ground: &'a Ground,
    experience: Experiences,
    rows: u64,
    resend: Resend,
    /// By task and upstream.
    shares: BTreeMap<(usize, usize), Share>,
    /// Where the job changed.
    difference: Option<Difference>,
    /// Rows that are done and that the difference sends again.
    changed_rows: u64,
    /// What they send, by task and upstream.
    changed: BTreeMap<(usize, usize), Share>,
    unsendable: BTreeMap<FailureKind, Unsendable>,
    /// 64 bits of each request, without its row's id.
    requests: Vec<u64>,
}

impl<'a> Pass<'a> {
    fn over(ground: &'a Ground, selection: &Selection) -> Result<Self, RunError> {
        let mut record = ground.record()?;
        let mut pass = Self::new(ground, Experiences::of(ground)?, ground.difference()?);
        each(&ground.plan, &ground.input, selection, |row| pass.row(row, &mut record))?;
        Ok(pass)
    }

    fn new(ground: &'a Ground, experience: Experiences, difference: Option<Difference>) -> Self {
        Self {
            ground,
            experience,
            difference,
            changed_rows: 0,
            changed: BTreeMap::new(),
            rows: 0,
            resend: Resend::default(),
            shares: BTreeMap::new(),
            unsendable: BTreeMap::new(),
            requests: Vec::new(),
        }
    }

    fn row(&mut self, row: &source::Record, record: &mut Record) -> Result<(), RunError> {
        self.rows += 1;
        let plan = &self.ground.plan;
        let (end, prepared) = record.matching.find(plan, row)?;
        let standing = end.map(|end| Standing::of(&end, record.run_offset, plan.job.retry_failed));
        let failed = match standing {
            Some(Standing::Succeeded | Standing::Failed(_) | Standing::FailedBefore) => return Ok(()),
            Some(Standing::TriedAgain) => true,
            None => false,
        };
        let prepared = prepared.unwrap_or_else(|| prepare(plan, row));
        let reason = if failed { Reason::Failed } else { self.ground.reason(record, &prepared)? };
        self.resend.count(reason);
        let task = match &prepared.what {
            What::Ask(request) => Some(request.task),
            What::Fail { task, .. } => *task,
        };
        let task = task.map(|task| &*plan.tasks[task].name);
        let changed = self.difference.as_ref().is_some_and(|difference| difference.sends_again(reason, task));
        self.changed_rows += u64::from(changed);
        match prepared.what {
            What::Ask(request) => self.request(row, &request, changed),
            What::Fail { failure, .. } => self.refuse(row, failure.kind, failure.message),
        }
        Ok(())
    }

    fn request(&mut self, row: &source::Record, request: &Request, changed: bool) {
        let Some(call) = FirstCall::of(&self.ground.plan, request) else {
            let message = "longer than the context of every model of its route".to_owned();
            return self.refuse(row, FailureKind::ContextLength, message);
        };
        self.requests.push(request_hash(request, &call));
        let known = self.experience.get(request.task, call.choice.upstream);
        let (place, output) = ((request.task, call.choice.upstream), output_tokens(call.output_cap, &known));
        self.shares.entry(place).or_insert(Share::NONE).add(&call, &output);
        if changed {
            self.changed.entry(place).or_insert(Share::NONE).add(&call, &output);
        }
    }

    /// What is done and would be sent again because the job changed.
    fn change(&self) -> Option<Change> {
        let difference = self.difference.as_ref().filter(|_| self.changed_rows > 0)?;
        let cost = |((_, upstream), share): (&(usize, usize), &Share)| {
            share.output_tokens.cost(self.ground.plan.model(*upstream).price, share.input_tokens).expected
        };
        let cost = self.changed.iter().map(cost).sum::<Option<Money>>();
        Some(Change { rows: self.changed_rows, why: difference.words(), cost })
    }

    fn refused(&self) -> Option<Refusal> {
        match self.ground.plan.job.on_change {
            OnChange::Resend => None,
            OnChange::Stop => self.change().map(|change| {
                let hint = "to send them again: --set run.on_change=resend".to_owned();
                Refusal { exit_code: RunError::Changed(String::new()).exit_code(), error: change.words(), hint }
            }),
        }
    }

    fn refuse(&mut self, row: &source::Record, kind: FailureKind, message: String) {
        let first = || Unsendable { kind, rows: 0, at: row.place.to_string(), message };
        self.unsendable.entry(kind).or_insert_with(first).rows += 1;
    }

    fn end(mut self) -> Survey {
        let plan = &self.ground.plan;
        let mut loads: BTreeMap<usize, Load> = BTreeMap::new();
        for ((task, upstream), share) in &self.shares {
            let tokens = share.input_tokens + share.output_tokens.expected.unwrap_or(0);
            let load = Load::new(share.rows, tokens, &self.experience.get(*task, *upstream));
            loads.entry(*upstream).or_default().add(load);
        }
        let (seconds, bound_by) = duration(plan, &loads);
        self.requests.sort_unstable();
        let distinct = self.requests.chunk_by(|one, other| one == other).count();
        let by_model: Vec<ModelShare> =
            self.shares.iter().map(|((task, upstream), share)| self.share(*task, *upstream, share)).collect();
        Survey {
            rows: self.rows,
            remaining: self.resend.all(),
            resend: self.resend,
            over_budget: self.over_budget(&by_model),
            by_model,
            seconds,
            bound_by,
            duplicates: (self.requests.len() - distinct) as u64,
            missing_keys: self.ground.missing_keys(),
            refused: self.refused(),
            job: plan.job.name.clone(),
            unsendable: self.unsendable.into_values().collect(),
        }
    }

    fn over_budget(&self, shares: &[ModelShare]) -> Vec<OverBudget> {
        let job = &self.ground.plan.job;
        let ledger = self.ground.state().and_then(StateReader::ledger).cloned().unwrap_or_default();
        let now = jiff::Zoned::now();
        let of = |Written { key, max, task }: Written| {
            let name = task.map(|task| job.tasks[task].name.as_str());
            let costs = shares.iter().filter(|share| name.is_none_or(|name| share.task == name));
            let (spent_usd, per) = (spent(&ledger, max.period, name, &now), word(max.period));
            let expected_usd = costs.filter_map(|share| share.cost_usd.expected).sum();
            OverBudget { key, max_usd: max.amount, per, spent_usd, expected_usd }
        };
        written(job).map(of).filter(|one| one.spent_usd + one.expected_usd > one.max_usd).collect()
    }

    fn share(&self, task: usize, upstream: usize, share: &Share) -> ModelShare {
        let plan = &self.ground.plan;
        let model = plan.model(upstream);
        ModelShare {
            provider: plan.job.providers[model.provider].settings.name.clone(),
            model: model.wire.clone(),
            task: plan.tasks[task].name.to_string(),
            rows: share.rows,
            input_tokens: share.input_tokens,
            output_tokens: share.output_tokens,
            cost_usd: share.output_tokens.cost(model.price, share.input_tokens),
        }
    }
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

/// Two requests of one task to one model are the same where messages and own params are.
fn request_hash(request: &Request, call: &FirstCall<'_>) -> u64 {
    let place = (request.task as u64) << 32 | call.choice.upstream as u64;
    let own = if request.params.is_empty() { 0 } else { row_hash(&canonical_object(&request.params)).0 };
    row_hash(request.messages.get().as_bytes()).0 ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ own.rotate_left(17)
}
