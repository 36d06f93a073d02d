//! The pass over the input: which rows would be sent, where to, and about how many tokens they have.

use std::collections::{BTreeMap, HashMap};

use super::{ModelShare, OverBudget, Refusal, Resend, Survey, Unsendable};
use crate::engine::RunError;
use crate::engine::budget::{Written, spent, word, written};
use crate::engine::change::{Change, Difference};
use crate::engine::estimate::{Experience, FirstCall, Load, Range, duration, output_tokens};
use crate::engine::feed::Standing;
use crate::engine::ground::{Ground, Reason, Record};
use crate::engine::key::{canonical_object, row_hash};
use crate::engine::output::each;
use crate::engine::prepare::{Request, What, prepare};
use crate::engine::selection::Selection;
use crate::job::OnChange;
use crate::source;
use crate::store::StateReader;
use crate::types::{FailureKind, Money};

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
pub(super) struct Pass<'a> {
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
    pub(super) fn over(ground: &'a Ground, selection: &Selection) -> Result<Self, RunError> {
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
    pub(super) fn change(&self) -> Option<Change> {
        let difference = self.difference.as_ref().filter(|_| self.changed_rows > 0)?;
        let cost = |((_, upstream), share): (&(usize, usize), &Share)| {
            share.output_tokens.cost(self.ground.plan.model(*upstream).price.as_ref(), share.input_tokens).expected
        };
        let cost = self.changed.iter().map(cost).sum::<Option<Money>>();
        Some(Change { rows: self.changed_rows, why: difference.words(), cost })
    }

    fn refused(&self) -> Option<Refusal> {
        match self.ground.plan.job.on_change {
            OnChange::Resend | OnChange::Keep => None,
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

    pub(super) fn end(mut self) -> Survey {
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
            cost_usd: share.output_tokens.cost(model.price.as_ref(), share.input_tokens),
        }
    }
}

/// Two requests of one task to one model are the same where what they ask and their own params are.
fn request_hash(request: &Request, call: &FirstCall<'_>) -> u64 {
    let place = (request.task as u64) << 32 | call.choice.upstream as u64;
    let own = if request.params.is_empty() { 0 } else { row_hash(&canonical_object(&request.params)).0 };
    row_hash(request.payload.json().get().as_bytes()).0
        ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ own.rotate_left(17)
}
