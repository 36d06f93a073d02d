//! The pass over the input: which rows would be sent, where to, and about how many tokens they have.

use std::collections::BTreeMap;

use super::experience::{Experiences, Place};
use super::share::{Asks, Calls, Duplicates, Share, params_tokens};
use super::{DedupeSaves, ModelShare, OverBudget, Refusal, Resend, Survey, Unsendable};
use crate::engine::RunError;
use crate::engine::budget::{Written, spent, word, written};
use crate::engine::change::{Change, Difference};
use crate::engine::estimate::{FirstCall, InputRange, Load, Range, duration, output_tokens};
use crate::engine::feed::Standing;
use crate::engine::ground::{Ground, Reason, Record};
use crate::engine::key::{canonical_object, row_hash};
use crate::engine::output::each;
use crate::engine::prepare::{Prepared, Request, What, prepare};
use crate::engine::selection::Selection;
use crate::job::OnChange;
use crate::source;
use crate::store::StateReader;
use crate::token::Tokenizer;
use crate::types::{FailureKind, Money, Purpose};

/// The pass under way.
pub(super) struct Pass<'a> {
    ground: &'a Ground,
    tokenizer_of: fn(&str) -> Option<Tokenizer>,
    experience: Experiences,
    rows: u64,
    resend: Resend,
    shares: BTreeMap<Place, Share>,
    /// Where the job changed.
    difference: Option<Difference>,
    /// Rows that are done and that the difference sends again.
    changed_rows: u64,
    /// What they send.
    changed: BTreeMap<Place, Share>,
    unsendable: BTreeMap<FailureKind, Unsendable>,
}

impl<'a> Pass<'a> {
    /// Over the selected rows, with the tokens counted by these tokenizers.
    pub(super) fn over(
        ground: &'a Ground,
        selection: &Selection,
        tokenizer_of: fn(&str) -> Option<Tokenizer>,
    ) -> Result<Self, RunError> {
        let mut record = ground.record()?;
        let mut pass = Self {
            ground,
            tokenizer_of,
            experience: Experiences::of(ground)?,
            difference: ground.difference()?,
            changed_rows: 0,
            changed: BTreeMap::new(),
            rows: 0,
            resend: Resend::default(),
            shares: BTreeMap::new(),
            unsendable: BTreeMap::new(),
        };
        each(&ground.plan, &ground.input, selection, |row| pass.row(row, &mut record))?;
        Ok(pass)
    }

    fn row(&mut self, row: &source::Record, record: &mut Record) -> Result<(), RunError> {
        self.rows += 1;
        let plan = &self.ground.plan;
        let (end, prepared) = record.matching.find(plan, row)?;
        let standing = end.map(|end| Standing::of(&end, record.run_offset, plan.job.retry_failed));
        let failed = match standing {
            Some(Standing::Succeeded) => {
                self.done(row, end.map_or(0, |end| end.offset), prepared);
                return Ok(());
            }
            Some(Standing::Failed(_) | Standing::FailedBefore) => return Ok(()),
            Some(Standing::TriedAgain) => true,
            None => false,
        };
        let prepared = prepared.unwrap_or_else(|| prepare(plan, row));
        let reason = if failed { Reason::Failed } else { self.ground.reason(record, &prepared)? };
        self.resend.count(reason);
        let task = prepared.what.task().map(|task| &*plan.tasks[task].name);
        let changed = self.difference.as_ref().is_some_and(|difference| difference.sends_again(reason, task));
        self.changed_rows += u64::from(changed);
        match prepared.what {
            What::Ask(request) => self.request(row, &request, changed),
            What::Fail { failure, .. } => self.refuse(row, failure.kind, failure.message),
        }
        Ok(())
    }

    /// A row that has an answer: one of the last of them tells how its provider counts.
    fn done(&mut self, row: &source::Record, offset: u64, prepared: Option<Prepared>) {
        if self.experience.counted(offset)
            && let What::Ask(request) = prepared.unwrap_or_else(|| prepare(&self.ground.plan, row)).what
        {
            self.experience.compare(offset, &self.ground.plan, &request);
        }
    }

    fn request(&mut self, row: &source::Record, request: &Request, changed: bool) {
        let plan = &self.ground.plan;
        let Some(call) = FirstCall::of(plan, request) else {
            let message = "longer than the context of every model of its route".to_owned();
            return self.refuse(row, FailureKind::ContextLength, message);
        };
        let place = (request.task, call.choice.upstream);
        let asks = Asks {
            payload: &request.payload,
            hash: request_hash(request, &call),
            params_tokens: params_tokens(call.choice, request),
            output: output_tokens(call.output_cap, &self.experience.get(place)),
        };
        let new = || Share::new((self.tokenizer_of)(&plan.model(place.1).wire));
        self.shares.entry(place).or_insert_with(new).add(&asks);
        if changed {
            // What a change costs is told in round figures: not worth an exact count.
            self.changed.entry(place).or_insert_with(|| Share::new(None)).add(&asks);
        }
    }

    /// What is done and would be sent again because the job changed.
    pub(super) fn change(&self) -> Option<Change> {
        let difference = self.difference.as_ref().filter(|_| self.changed_rows > 0)?;
        let cost = |(place, share): (&Place, &Share)| {
            let (calls, _) = share.calls(self.experience.ratio(*place));
            self.cost(*place, &calls).expected
        };
        let cost = self.changed.iter().map(cost).sum::<Option<Money>>();
        Some(Change { rows: self.changed_rows, why: difference.words(), cost })
    }

    fn cost(&self, place: Place, calls: &Calls) -> Range<Money> {
        let price = self.ground.plan.model(place.1).price.as_ref();
        calls.output.cost(price, calls.count, &calls.input)
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
        let shares = std::mem::take(&mut self.shares);
        let (mut loads, mut by_model, mut saves) = (BTreeMap::new(), Vec::new(), DedupeSaves::default());
        for (place, mut share) in shares {
            let (told, load, saved) = self.share(place, &mut share);
            loads.entry(place.1).or_insert_with(Load::default).add(load);
            saves.add(&saved);
            by_model.push(told);
        }
        let plan = &self.ground.plan;
        let (seconds, bound_by) = duration(plan, &loads);
        Survey {
            rows: self.rows,
            remaining: self.resend.all(),
            resend: self.resend,
            over_budget: self.over_budget(&by_model),
            by_model,
            seconds,
            bound_by,
            duplicates: saves.calls,
            dedupe_saves: saves,
            dedupe: plan.job.dedupe,
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
            let (spent_usd, per) = (spent(&ledger, &Purpose::JOB, max.period, name, &now), word(max.period));
            let expected_usd = costs.filter_map(|share| share.cost_usd.expected).sum();
            OverBudget { key, max_usd: max.amount, per, spent_usd, expected_usd }
        };
        written(job).map(of).filter(|one| one.spent_usd + one.expected_usd > one.max_usd).collect()
    }

    /// What a share sends, how that weighs on its model, and what dedupe saves of it or would.
    fn share(&self, place: Place, share: &mut Share) -> (ModelShare, Load, DedupeSaves) {
        let plan = &self.ground.plan;
        let (task, upstream) = place;
        let model = plan.model(upstream);
        let (all, tokens) = share.calls(self.experience.ratio(place));
        let duplicates = share.duplicates(all.input.expected);
        let sent = if plan.job.dedupe { all.without(duplicates) } else { all };
        let output = sent.output.expected.unwrap_or(0);
        let load = Load::new(sent.count, sent.input.expected, output, &self.experience.get(place));
        let (seconds, bound_by) = duration(plan, &BTreeMap::from([(upstream, load)]));
        let told = ModelShare {
            provider: plan.job.providers[model.provider].settings.name.clone(),
            model: model.wire.clone(),
            task: plan.tasks[task].name.to_string(),
            rows: share.rows,
            input_tokens: sent.input.expected,
            tokens,
            output_tokens: sent.output,
            cost_usd: self.cost(place, &sent),
            seconds,
            bound_by,
            duplicates: duplicates.calls,
            cacheable: share.cacheable(all.input.expected),
        };
        (told, load, self.saved(place, &all, duplicates))
    }

    /// What one call for each of the requests that are alike would save.
    fn saved(&self, place: Place, all: &Calls, duplicates: Duplicates) -> DedupeSaves {
        let Duplicates { calls, input_tokens } = duplicates;
        if calls == 0 {
            return DedupeSaves::default();
        }
        let expected = all.output.expected.map(|tokens| tokens * calls / all.count);
        let output = Range { low: None, expected, high: None };
        let saved = Calls { count: calls, input: InputRange::of(input_tokens), output };
        DedupeSaves { calls, input_tokens, output_tokens: expected, cost_usd: self.cost(place, &saved).expected }
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
