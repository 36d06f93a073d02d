//! One row looked at: how it is routed and rendered, what it is known by, and what is on record of it.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::RunError;
use super::estimate::{Experience, FirstCall, Range, Room, output_tokens, params_bytes};
use super::feed::Standing;
use super::ground::{Ground, Reason, Record};
use super::key::content_id;
use super::prepare::{Prepared, Request, What, prepare, row_id, shown_id};
use super::selection::{Selection, Subset};
use super::survey::one_request;
use crate::job::Job;
use crate::source;
use crate::store::End;
use crate::types::{Endpoint, Failure, Form, Key, Moment, Money, OutcomeLine, RunNumber};

/// Which row is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowRef {
    /// By its record number, from 1.
    Number(u64),
    /// By its id as it stands in results; the first one that has it.
    Id(String),
}

/// All about one row.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Its record number.
    pub row: u64,
    /// Its id, as in results.
    pub id: Value,
    /// Its place.
    pub at: String,
    /// The table of the job file that it uses; `None` where it has none.
    pub task: Option<String>,
    /// Whether `input.where` takes it.
    pub selected: bool,
    /// What it is known by.
    pub key: Key,
    /// What the key is made of; `None` for a row that makes no request.
    pub key_parts: Option<KeyParts>,
    /// The models in the order in which they are asked.
    pub route: Vec<RouteStop>,
    /// What the first of them is asked, where that is a conversation.
    pub messages: Option<Box<RawValue>>,
    /// What they are asked, where it is no conversation: a text, or the `input` of a response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<RawValue>>,
    /// Why it fails before anything is sent, where it does.
    pub failure: Option<Failure>,
    /// What is on record of it.
    pub outcome: Option<KnownOutcome>,
    /// Why a run would send it; `None`: it would not.
    pub reason: Option<Reason>,
    /// Variables of keys that a run needs and that are not set.
    pub missing_keys: Vec<String>,
}

/// What a key is made of: another value of any of these is another request.
#[derive(Clone, Debug, Serialize)]
pub struct KeyParts {
    /// The row's own id.
    pub id: Option<Value>,
    /// The wire name of the first choice.
    pub model: String,
    /// Where it is asked.
    pub endpoint: Endpoint,
    /// The params on the first choice.
    pub params: Map<String, Value>,
    /// 16 hex digits of the hash of the messages, or of what else is asked.
    pub messages_hash: String,
    /// The rules that its answer is held against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
}

/// A model of the row's route.
#[derive(Clone, Debug, Serialize)]
pub struct RouteStop {
    /// What the job file calls it.
    pub alias: String,
    /// The provider.
    pub provider: String,
    /// The model's name on the wire.
    pub model: String,
    /// Where it is asked.
    pub endpoint: Endpoint,
    /// Why it is passed over, where it is.
    pub skipped: Option<String>,
    /// The row's params on it.
    pub params: Map<String, Value>,
    /// What is sent with them to ask for JSON, where the task has a schema and the params do not say it themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_format: Option<Value>,
    /// The schema is told at the end of the prompt.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub schema_in_prompt: bool,
    /// By the model's tokenizer, where that is known; else by estimate.
    pub input_tokens: u64,
    /// Whether it is by the tokenizer.
    pub exact: bool,
    /// By what is on record, else by the params.
    pub output_tokens: Range<u64>,
    /// By the job's price.
    pub cost_usd: Range<Money>,
}

/// What stands in the log.
#[derive(Clone, Debug, Serialize)]
pub struct KnownOutcome {
    /// The run that it belongs to.
    pub run: RunNumber,
    /// When it ended, in milliseconds since 1970.
    pub at: u64,
    /// The provider asked last; empty where none was.
    pub provider: String,
    /// The model asked last; empty where none was.
    pub model: String,
    /// Requests sent for it.
    pub attempts: u32,
    /// What they cost; `None` where that is not known.
    pub cost_usd: Option<Money>,
    /// Why it failed; `None` where it succeeded.
    pub failure: Option<Failure>,
    /// When it failed, where it did.
    pub failed_at: Option<Moment>,
    /// It answers what the job asked before it changed: the row keeps it (`run.on_change`).
    pub kept: bool,
}

impl KnownOutcome {
    /// `key`: what the row is known by today.
    fn of(line: OutcomeLine, key: Key) -> Self {
        let OutcomeLine { run, at, provider, model, attempts, row_cost, failure, .. } = line;
        let failed_at = failure.is_some().then_some(Moment(at));
        Self { run, at, provider, model, attempts, cost_usd: row_cost, failure, failed_at, kept: line.key != key }
    }
}

/// Explains a row. Sends nothing, and changes no file.
///
/// # Errors
/// Where there is no such row, a run could not begin, or the state cannot be read.
pub fn explain(job: Job, which: &RowRef) -> Result<Explanation, RunError> {
    let ground = Ground::open(job)?;
    let plan = &ground.plan;
    let selection = Selection::new(plan, &ground.input, &Subset::default())?;
    let row = find(&ground, which)?;
    let prepared = prepare(plan, &row);
    let mut record = ground.record()?;
    let end = find_end(&ground, &selection, &mut record, &row, prepared.key)?;
    let standing = end.map(|end| Standing::of(&end, record.run_offset, plan.job.retry_failed));
    let selected = selection.takes(plan, &row);
    let reason = match standing {
        Some(Standing::Succeeded | Standing::Failed(_) | Standing::FailedBefore) => None,
        Some(Standing::TriedAgain) => Some(Reason::Failed),
        None => Some(ground.reason(&mut record, &prepared)?),
    };
    let outcome = match (end, ground.state()) {
        (Some(end), Some(state)) => Some(KnownOutcome::of(state.log()?.outcome_at(end.offset)?, prepared.key)),
        (Some(_) | None, _) => None,
    };
    let told = Told { outcome, reason: reason.filter(|_| selected), selected };
    describe(&ground, &row, prepared, told)
}

/// What was found on record.
struct Told {
    outcome: Option<KnownOutcome>,
    reason: Option<Reason>,
    selected: bool,
}

fn describe(ground: &Ground, row: &source::Record, prepared: Prepared, told: Told) -> Result<Explanation, RunError> {
    let plan = &ground.plan;
    let parsed = row.row().ok();
    let mut explanation = Explanation {
        row: row.number,
        id: shown_id(plan, row, parsed.as_ref()),
        at: row.place.to_string(),
        task: None,
        selected: told.selected,
        key: prepared.key,
        key_parts: None,
        route: Vec::new(),
        messages: None,
        input: None,
        failure: None,
        outcome: told.outcome,
        reason: told.reason,
        missing_keys: ground.missing_keys(),
    };
    let task_name = |task: usize| plan.tasks[task].name.to_string();
    match prepared.what {
        What::Fail { task, failure } => {
            explanation.task = task.map(task_name);
            explanation.failure = Some(failure);
        }
        What::Ask(request) => {
            explanation.task = Some(task_name(request.task));
            explanation.route = route(ground, &request)?;
            explanation.key_parts = explanation.route.first().map(|first| KeyParts {
                id: parsed.as_ref().and_then(|row| row_id(plan, row).ok().flatten()),
                model: first.model.clone(),
                endpoint: first.endpoint,
                params: first.params.clone(),
                messages_hash: content_id(request.payload.json().get().as_bytes()),
                answer: plan.job.tasks[request.task].answer.as_ref().map(|answer| answer.rules.written()),
            });
            let first = plan.tasks[request.task].choices(request.model).next();
            let sent = first.map(|first| first.asking.way(0).payload(&request.payload, &request.params));
            let asked = sent.map(|sent| sent.json().to_owned());
            match request.payload.form() {
                Form::Messages => explanation.messages = asked,
                Form::Text | Form::Input => explanation.input = asked,
            }
        }
    }
    Ok(explanation)
}

fn route(ground: &Ground, request: &Request) -> Result<Vec<RouteStop>, RunError> {
    let plan = &ground.plan;
    let task = &plan.tasks[request.task];
    let known = ground.answers()?.experiences;
    let stops = task.choices(request.model).map(|choice| {
        let model = plan.model(choice.upstream);
        let provider = plan.job.providers[model.provider].settings.name.clone();
        let of = [task.name.to_string(), provider.clone(), model.wire.clone()];
        let experience = known.get(&of).copied().unwrap_or(Experience::default());
        let call = FirstCall::on(plan, choice, request);
        let output = output_tokens(call.output_cap, &experience);
        let mut params = (*choice.params).clone();
        params.extend(request.params.clone());
        let json = request.payload.json().get();
        let (input, exact) =
            one_request(json, &model.wire, (params_bytes(&params) + choice.asking.way(0).bytes()).div_ceil(4));
        let room = Room::of(&plan.job, model);
        let too_long = room.is_too_small_for(request, model.endpoint, &choice.params);
        let way = choice.asking.way(0);
        let asks = !params.contains_key("response_format");
        RouteStop {
            alias: model.alias.clone(),
            provider,
            model: model.wire.clone(),
            endpoint: request.endpoint_at(model.endpoint),
            skipped: too_long.then(|| {
                format!("longer than its context: {}", room.in_words(request, model.endpoint, &choice.params))
            }),
            params,
            response_format: way.response_format.clone().filter(|_| asks),
            schema_in_prompt: asks && way.prompt.is_some(),
            input_tokens: input.expected,
            exact,
            output_tokens: output,
            cost_usd: output.cost(model.price.as_ref(), 1, &input),
        }
    });
    Ok(stops.collect())
}

fn find(ground: &Ground, which: &RowRef) -> Result<source::Record, RunError> {
    let mut last = 0;
    for row in ground.input.records()? {
        let row = row?;
        let found = match which {
            RowRef::Number(number) => row.number == *number,
            RowRef::Id(id) => has_id(ground, &row, id),
        };
        if found {
            return Ok(row);
        }
        last = row.number;
    }
    Err(RunError::Usage(match which {
        RowRef::Number(number) => format!("there is no row {number}: the input has {last}, counted from 1"),
        RowRef::Id(id) => format!("no row has the id {id:?} among the input's {last}"),
    }))
}

fn has_id(ground: &Ground, row: &source::Record, wanted: &str) -> bool {
    let id = shown_id(&ground.plan, row, row.row().ok().as_ref());
    let text = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
    text == wanted
}

/// The row's end. By key, rows before it with the same key take theirs first, as in a run.
fn find_end(
    ground: &Ground,
    selection: &Selection,
    record: &mut Record,
    row: &source::Record,
    key: Key,
) -> Result<Option<End>, RunError> {
    if record.matching.depends_on_order(key) {
        for other in ground.input.records()? {
            let other = other?;
            if other.number >= row.number {
                break;
            }
            if selection.takes(&ground.plan, &other) {
                record.matching.find(&ground.plan, &other)?;
            }
        }
    }
    Ok(record.matching.find(&ground.plan, row)?.0)
}
