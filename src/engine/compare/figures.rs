//! What a comparison tells, read from the log: the same whoever paid for an answer, and however often it is asked.

use std::collections::{BTreeMap, HashMap};

use super::agreement::{Alike, Measure};
use super::answered::Answered;
use super::{
    ComparedAnswer, ComparedLatency, ComparedModel, ComparedRow, ComparedTask, Comparison, Field, Projection, Validity,
};
use crate::engine::RunError;
use crate::engine::estimate::{Experience, Load, duration};
use crate::engine::prepare::{prepare, shown_id};
use crate::event::Summary;
use crate::source::Record;
use crate::store::{KeyIndex, StateReader};
use crate::types::{FailureKind, Latency, Money, OutcomeLine, RunNumber, Usage, read_reply};

/// Reads how the compared rows stand, behind a run that ended so.
pub(super) fn tell(field: &Field, summary: Summary) -> Result<Comparison, RunError> {
    let mut models: Vec<Sums> = field.plans.iter().map(|_| Sums::new(field.sample.tasks.len())).collect();
    let rows = read(field, &mut models)?;
    let plan = &field.plans[0];
    let tasks = field.sample.tasks.iter().enumerate().map(|(at, (rows, compared))| ComparedTask {
        task: plan.tasks[at].name.to_string(),
        rows: *rows,
        compared: *compared,
    });
    Ok(Comparison {
        job: summary.job.clone(),
        run: summary.run.filter(|_| summary.attempts > 0 || models.iter().any(|sums| sums.run.is_some())),
        exit_code: summary.exit_code,
        stop_reason: summary.stop_reason,
        tasks: tasks.collect(),
        models: models.iter().enumerate().map(|(at, sums)| model(field, at, sums)).collect(),
        agreement: agreement(field, &rows),
        attempts: summary.attempts,
        cost_usd: summary.cost_usd,
        cost_unknown_rows: summary.cost_unknown_rows,
        possibly_billed: summary.possibly_billed,
        simulated: summary.simulated.clone(),
        summary,
        rows,
    })
}

/// All compared rows, in the order of the input.
fn read(field: &Field, models: &mut [Sums]) -> Result<Vec<ComparedRow>, RunError> {
    let state = StateReader::open(field.state.path(), &field.plans[0].job.file)?;
    let Some(state) = state else { return Ok(Vec::new()) };
    let index = KeyIndex::build(state.outcomes()?.map(|outcome| Ok(outcome?.ended)))?;
    let mut answered = Answered::new(index, state.log()?);
    let mut rows = Vec::with_capacity(field.sample.rows.len());
    for record in field.input.records()? {
        let record = record?;
        if field.sample.rows.contains(&record.number) {
            rows.push(row(field, &record, &mut answered, models)?);
        }
        if rows.len() == field.sample.rows.len() {
            break;
        }
    }
    Ok(rows)
}

fn row(field: &Field, record: &Record, answered: &mut Answered, models: &mut [Sums]) -> Result<ComparedRow, RunError> {
    let plan = &field.plans[0];
    let parsed = record.row().ok();
    let (mut task, mut answers) = (0, Vec::with_capacity(models.len()));
    for (plan, sums) in field.plans.iter().zip(models) {
        let prepared = prepare(plan, record);
        task = prepared.what.task().unwrap_or(0) % field.sample.tasks.len();
        let answer = match answered.take(plan, &prepared)? {
            None => ComparedAnswer::Open,
            Some((_, line)) => sums.add(task, &line),
        };
        answers.push(answer);
    }
    Ok(ComparedRow {
        row: record.number,
        id: shown_id(plan, record, parsed.as_ref()),
        task: plan.tasks[task].name.to_string(),
        answers,
    })
}

/// A model's sums.
struct Sums {
    succeeded: u64,
    reused: u64,
    truncated: u64,
    failures: BTreeMap<FailureKind, u64>,
    validity: Validity,
    attempts: u64,
    usage: Usage,
    latency: Latency,
    /// The last comparison that a row was asked in.
    run: Option<RunNumber>,
    tasks: Vec<OfTask>,
}

/// A model's sums over the rows of a task, by which the whole job is projected.
#[derive(Clone, Copy, Default)]
struct OfTask {
    ended: u64,
    cost: Money,
    cost_unknown: u64,
    usage: Usage,
    calls: u64,
    millis: u64,
}

impl Sums {
    fn new(tasks: usize) -> Self {
        Self {
            succeeded: 0,
            reused: 0,
            truncated: 0,
            failures: BTreeMap::new(),
            validity: Validity::default(),
            attempts: 0,
            usage: Usage::default(),
            latency: Latency::default(),
            run: None,
            tasks: vec![OfTask::default(); tasks],
        }
    }

    fn add(&mut self, task: usize, line: &OutcomeLine) -> ComparedAnswer {
        self.attempts += u64::from(line.attempts);
        self.usage += line.usage.unwrap_or_default();
        self.reused += u64::from(!line.compared);
        self.run = self.run.max(Some(line.run).filter(|_| line.compared));
        self.tasks[task].add(line);
        self.validity.add(line);
        if let Some(failure) = &line.failure {
            *self.failures.entry(failure.kind).or_default() += 1;
            return ComparedAnswer::Failed(failure.kind);
        }
        self.succeeded += 1;
        self.truncated += u64::from(line.truncated);
        self.latency.add(line.latency_ms);
        ComparedAnswer::Text(text(line))
    }

    fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}

impl OfTask {
    fn add(&mut self, line: &OutcomeLine) {
        self.ended += 1;
        self.cost += line.row_cost.unwrap_or_default();
        self.cost_unknown += u64::from(line.row_cost.is_none());
        if let Some(usage) = line.usage {
            self.usage += usage;
            self.calls += 1;
            self.millis += line.latency_ms;
        }
    }
}

impl Validity {
    fn add(&mut self, line: &OutcomeLine) {
        let kind = line.failure.as_ref().map(|failure| failure.kind);
        if kind.is_some_and(|kind| kind != FailureKind::InvalidAnswer) {
            return;
        }
        let is_valid = kind.is_none();
        let was_invalid = line.trail.iter().any(|entry| entry.kind == Some(FailureKind::InvalidAnswer));
        self.answered += 1;
        self.valid += u64::from(is_valid);
        self.at_once += u64::from(is_valid && !was_invalid);
    }
}

/// What the model said.
fn text(line: &OutcomeLine) -> String {
    let view = line
        .reply
        .as_ref()
        .and_then(|reply| read_reply(line.endpoint, reply.get().as_bytes()).ok())
        .unwrap_or_default();
    let calls = view.tool_calls.map(|calls| calls.get().to_owned());
    view.content.or(calls).unwrap_or_default()
}

fn model(field: &Field, at: usize, sums: &Sums) -> ComparedModel {
    let model = field.model(at);
    let rows = field.sample.rows.len() as u64;
    let mut failures: Vec<(FailureKind, u64)> = sums.failures.iter().map(|(kind, rows)| (*kind, *rows)).collect();
    failures.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
    let ended = sums.succeeded + sums.failed();
    let cost: Money = sums.tasks.iter().map(|task| task.cost).sum();
    let unknown: u64 = sums.tasks.iter().map(|task| task.cost_unknown).sum();
    let percentile = |percent| sums.latency.percentile(percent);
    let has_rules = field.plans[at].job.tasks.iter().any(|task| task.answer.is_some());
    ComparedModel {
        alias: model.alias.clone(),
        provider: field.plans[at].job.providers[model.provider].settings.name.clone(),
        model: model.wire.clone(),
        rows,
        succeeded: sums.succeeded,
        failed: sums.failed(),
        remaining: rows - ended,
        reused: sums.reused,
        truncated: sums.truncated,
        valid: has_rules.then_some(sums.validity),
        failures,
        attempts: sums.attempts,
        input_tokens: sums.usage.input_tokens,
        output_tokens: sums.usage.output_tokens,
        cost_usd: Some(cost).filter(|cost| *cost > Money::ZERO || unknown == 0),
        cost_unknown_rows: unknown,
        cost_per_1000_rows_usd: (unknown == 0 && ended > 0).then(|| scaled_cost(cost, 1_000, ended)),
        latency_ms: ComparedLatency { p50: percentile(50), p95: percentile(95) },
        whole_job: projection(field, at, sums),
    }
}

/// The whole job as the rows of each task did.
fn projection(field: &Field, at: usize, sums: &Sums) -> Projection {
    let (mut cost, mut load, mut timed) = (Some(Money::ZERO), Load::default(), true);
    for ((rows, _), of) in field.sample.tasks.iter().zip(&sums.tasks).filter(|((rows, _), _)| *rows > 0) {
        let known = of.ended > 0 && of.cost_unknown == 0;
        cost = cost.filter(|_| known).map(|cost| cost + scaled_cost(of.cost, *rows, of.ended));
        timed &= of.calls > 0;
        load.add(of.projected(*rows));
    }
    let (seconds, bound_by) = duration(&field.plans[at], &BTreeMap::from([(field.upstream(at), load)]));
    let rows = field.sample.tasks.iter().map(|(rows, _)| rows).sum();
    Projection { rows, cost_usd: cost, seconds: timed.then_some(seconds), bound_by: bound_by.filter(|_| timed) }
}

impl OfTask {
    fn projected(&self, rows: u64) -> Load {
        let calls = self.calls.max(1);
        let of = |tokens: u64| scaled(tokens, rows, calls);
        // Both are far below 2^52.
        #[expect(clippy::cast_precision_loss)]
        let mean_seconds = Some(self.millis as f64 / 1000.0 / calls as f64);
        let known = Experience { mean_seconds, ..Experience::default() };
        Load::new(rows, of(self.usage.input_tokens), of(self.usage.output_tokens), &known)
    }
}

fn scaled_cost(cost: Money, rows: u64, of: u64) -> Money {
    Money::from_pico(scaled(cost.pico(), rows, of))
}

fn scaled(amount: u64, rows: u64, of: u64) -> u64 {
    let scaled = (u128::from(amount) * u128::from(rows)).div_ceil(u128::from(of));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// Each model with each that comes behind it.
fn agreement(field: &Field, rows: &[ComparedRow]) -> Vec<super::Agreement> {
    let models = field.plans.len();
    let tasks = &field.plans[0].job.tasks[..field.sample.tasks.len()];
    let measures: HashMap<&str, Measure> = tasks.iter().map(|task| (task.name.as_str(), Measure::of(task))).collect();
    let pairs = (0..models).flat_map(|one| (one + 1..models).map(move |other| (one, other)));
    let told = pairs.map(|(one, other)| {
        let mut alike = Alike::default();
        for row in rows {
            let measure = measures.get(row.task.as_str()).unwrap_or(&Measure::Whole);
            if let (ComparedAnswer::Text(one), ComparedAnswer::Text(other)) = (&row.answers[one], &row.answers[other]) {
                alike.add(measure, one, other);
            }
        }
        alike.told(&field.model(one).alias, &field.model(other).alias)
    });
    told.collect()
}
