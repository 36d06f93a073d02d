//! From a record to the request that it makes, and its key.

use serde_json::{Map, Value};

use super::key::{
    RequestParts, broken_row_key, canonical_json, content_id, request_key, row_hash, used_hash, whole_row_hash,
};
use super::passed::{self, passes_on};
use super::plan::Plan;
use crate::source::Record;
use crate::types::{Endpoint, Failure, FailureKind, Key, Payload, Row, RowHash, UsedValues};

/// A row that is known by its key.
pub(super) struct Prepared {
    pub key: Key,
    pub hashes: Hashes,
    pub what: What,
}

/// What a row is recognised by when its key has changed.
#[derive(Clone)]
pub(super) struct Hashes {
    /// Of its own id, where it has one that can be told.
    pub id: Option<RowHash>,
    /// Of its bytes.
    pub row: RowHash,
    /// Of the values that its request is made of, where it has an id and they are not all of its bytes, and nothing else.
    pub used: Option<UsedValues>,
    /// Its request, whoever makes it, where such rows share their answer.
    pub request: Option<Key>,
}

/// What a row comes to.
pub(super) enum What {
    /// A request to send.
    Ask(Request),
    /// A failure before anything is sent, with the task's table where the row has one.
    Fail { task: Option<usize>, failure: Failure },
}

impl What {
    /// The task's table, where the row has one.
    pub fn task(&self) -> Option<usize> {
        match self {
            Self::Ask(request) => Some(request.task),
            Self::Fail { task, .. } => *task,
        }
    }
}

/// What a row asks, whichever model is asked.
pub(super) struct Request {
    /// The task's table.
    pub task: usize,
    pub payload: Payload,
    /// The endpoint that the row names itself: there it is asked, whatever its models have.
    pub endpoint: Option<Endpoint>,
    /// The row's own params: they win over the task's.
    pub params: Map<String, Value>,
    /// They are sent as they stand, under whichever names.
    pub as_written: bool,
    /// The model that the row names (its index among the plan's): asked before the task's route.
    pub model: Option<usize>,
    /// The row's key where the files that go with it cannot be read, as they could not be at once: with them it has another.
    pub unread: Option<Key>,
}

impl Request {
    /// The bytes that it takes beside its row while it is sent: of its files, which are read then.
    pub fn further_bytes(&self) -> usize {
        // The window counts four copies of a row; of a file there is one, as it is sent.
        usize::try_from(self.payload.file_bytes() / 4).unwrap_or(usize::MAX)
    }

    /// Where a model with this endpoint is asked.
    pub fn endpoint_at(&self, models: Endpoint) -> Endpoint {
        self.endpoint.unwrap_or(models)
    }
}

/// Parses, routes and renders a record.
pub(super) fn prepare(plan: &Plan, record: &Record) -> Prepared {
    let prepared = prepare_by(plan, record);
    match &plan.keyed_by {
        Some(own) => Prepared { key: prepare_by(own, record).key, ..prepared },
        None => prepared,
    }
}

fn prepare_by(plan: &Plan, record: &Record) -> Prepared {
    match record.row() {
        Ok(row) => prepare_row(plan, record, &row),
        Err(bad) => {
            let failure = Failure::new(FailureKind::BadRow, bad.to_string());
            let hashes = Hashes { id: None, row: row_hash(&record.raw()), used: None, request: None };
            Prepared { key: broken_row_key(&record.raw(), b""), hashes, what: What::Fail { task: None, failure } }
        }
    }
}

/// As [`prepare_by`], for a record that is parsed already.
fn prepare_row(plan: &Plan, record: &Record, row: &Row) -> Prepared {
    let id = row_id(plan, row).map(|id| id.as_ref().map(canonical_json));
    let id_hash = id.as_ref().ok().and_then(|id| id.as_deref().map(row_hash));
    let mut hashes = Hashes { id: id_hash, row: row_hash(&record.raw()), used: None, request: None };
    let task = match route(plan, row) {
        Ok(task) => task,
        Err(failure) => {
            let key = broken_row_key(&record.raw(), b"no route");
            return Prepared { key, hashes, what: What::Fail { task: None, failure } };
        }
    };
    let columns = plan.tasks[task].used.as_ref();
    let used = |request: &Request| {
        let images = request.payload.images();
        // Of all its bytes alone the row's own hash tells.
        let columns = if images.is_empty() { Some(columns?) } else { columns };
        let hash =
            columns.map_or_else(|| whole_row_hash(hashes.row, images), |columns| used_hash(columns, row, images));
        Some(UsedValues { columns: columns.cloned(), files: !images.is_empty(), hash })
    };
    match id.and_then(|id| render(plan, task, row, id.as_deref())) {
        Ok((keys, mut request)) => {
            let has_files = !request.payload.images().is_empty();
            request.unread = has_files.then(|| broken_row_key(&record.raw(), &plan.tasks[task].template_text));
            let used = if id_hash.is_some() { used(&request) } else { None };
            (hashes.used, hashes.request) = (used, keys.shared);
            Prepared { key: keys.own, hashes, what: What::Ask(request) }
        }
        Err(failure) => {
            let key = broken_row_key(&record.raw(), &plan.tasks[task].template_text);
            Prepared { key, hashes, what: What::Fail { task: Some(task), failure } }
        }
    }
}

/// The table of the job that a row goes to.
pub(super) fn route(plan: &Plan, row: &Row) -> Result<usize, Failure> {
    let task_type = plan.task_type.text(row).map_err(|error| Failure::new(FailureKind::Template, error.to_string()))?;
    plan.task_for(task_type.as_deref()).ok_or_else(|| {
        let known: Vec<&str> = plan.tasks.iter().map(|task| &*task.name).collect();
        let what = match task_type {
            Some(name) => format!("no table [tasks.{name}] and no [tasks.default]"),
            None => format!(
                "the row has no value for input.task (`{}`), and there is no [tasks.default]",
                plan.task_type.source()
            ),
        };
        Failure::new(FailureKind::NoRoute, format!("{what}; the job has: {}", known.join(", ")))
    })
}

/// The row's own id, as read: by `input.id`, else a column `id` or `custom_id`.
pub(super) fn row_id(plan: &Plan, row: &Row) -> Result<Option<Value>, Failure> {
    match &plan.id {
        Some(expr) => expr.value(row).map_err(|error| Failure::new(FailureKind::Template, error.to_string())),
        None => Ok(row.get("id").or_else(|| row.get("custom_id")).cloned()),
    }
}

/// The id that stands in results: the row's own, else digits of its content's hash.
pub(super) fn shown_id(plan: &Plan, record: &Record, row: Option<&Row>) -> Value {
    let own = row.and_then(|row| row_id(plan, row).ok().flatten());
    own.unwrap_or_else(|| Value::String(content_id(&record.raw())))
}

/// A request's key with its row's id, and without it where such rows share their answer.
struct Keys {
    own: Key,
    shared: Option<Key>,
}

fn render(plan: &Plan, index: usize, row: &Row, id: Option<&[u8]>) -> Result<(Keys, Request), Failure> {
    let task = &plan.tasks[index];
    let form = plan.model(task.route[0].upstream).endpoint.form();
    let rendered = task.prompt.render(row, form);
    let rendered = rendered.map_err(|error| Failure::new(error.kind(), error.to_string()))?;
    let own = overrides(plan, row, rendered.model.as_deref())?;
    let first = own.model.map_or(&task.route[0], |model| &task.overrides[model]);
    let model = plan.model(first.upstream);
    let endpoint = rendered.endpoint.unwrap_or(model.endpoint);
    let as_written = passes_on(plan);
    let mut params = if as_written { passed::params(row, endpoint.field())? } else { rendered.params };
    params.extend(own.params);
    if !as_written {
        one_answer(&params)?;
    }
    let request = Request {
        task: index,
        payload: rendered.payload,
        endpoint: rendered.endpoint,
        params,
        as_written,
        model: own.model,
        unread: None,
    };
    fits(endpoint, &request.payload, &model.alias)?;
    let payload = request.payload.json().get();
    let params = first.params_key(&request.params);
    let answer = task.answer_key.as_deref();
    let parts = RequestParts { id, endpoint, payload, params: &params, model: &model.wire, answer };
    // Another task may have another route, and other rules for what is not valid: its answer is not this one's.
    let shared_by = Some(task.name.as_bytes());
    let shared = plan.job.dedupe.then(|| request_key(&RequestParts { id: shared_by, ..parts }));
    let keys = Keys { own: request_key(&parts), shared };
    Ok((keys, request))
}

/// A row has one answer: of several, all but the first would be paid for in vain.
fn one_answer(params: &Map<String, Value>) -> Result<(), Failure> {
    match params.get("n") {
        None | Some(Value::Null) => Ok(()),
        Some(n) if n.as_f64() == Some(1.0) => Ok(()),
        Some(n) => Err(Failure::new(FailureKind::InvalidRequest, format!("the row asks for n = {n}: it must be 1"))),
    }
}

/// A model that the row names itself may be asked in another form than those of its task.
fn fits(endpoint: Endpoint, payload: &Payload, model: &str) -> Result<(), Failure> {
    if endpoint.takes(payload.form()) {
        return Ok(());
    }
    let message =
        format!("the row asks for the model {model}, whose endpoint ({}) cannot be asked that", endpoint.name());
    Err(Failure::new(FailureKind::InvalidRequest, message))
}

/// What a row says of its model and params, where it may.
#[derive(Default)]
struct Overrides {
    model: Option<usize>,
    params: Map<String, Value>,
}

fn overrides(plan: &Plan, row: &Row, batch_model: Option<&str>) -> Result<Overrides, Failure> {
    if !plan.job.allow_overrides {
        return Ok(Overrides::default());
    }
    // A comparison asks its own models.
    let name = row.get("model").and_then(Value::as_str).or(batch_model).filter(|_| plan.compared.is_none());
    let model = name.map(|name| plan.model_named(name).ok_or_else(|| unknown_model(name))).transpose()?;
    let params = match row.get("params") {
        None => Map::new(),
        Some(Value::Object(params)) => params.clone(),
        Some(_) => return Err(Failure::new(FailureKind::InvalidRequest, "the row's `params` is no object")),
    };
    Ok(Overrides { model, params })
}

fn unknown_model(name: &str) -> Failure {
    let message = format!("the row asks for the model {name:?}, which is not among the job's [models]");
    Failure::new(FailureKind::NoRoute, message)
}
