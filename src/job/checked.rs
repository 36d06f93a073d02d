//! The job as meant: nothing downstream checks it again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::made::MadeJob;
use super::problem::Problem;
use super::stopping::{Deadline, MaxCost, MaxFailures};
use super::tree::Spot;
use crate::limit::Limits;
use crate::prompt::PromptSettings;
use crate::provider::{AnswerMode, ProviderSettings};
use crate::retry::{OnInvalid, RetrySettings, is_transient};
use crate::sink::OutputSettings;
use crate::source::{Format, InputSettings};
use crate::types::{Endpoint, FailureKind, Price, PriceSource};
use crate::validate::Rules;

/// A checked job. Expressions and templates stand as text: whoever compiles them tells what is wrong with
/// [`Job::problem`].
#[derive(Clone, Debug)]
pub struct Job {
    /// The label.
    pub name: String,
    /// The job file, absolute.
    pub file: PathBuf,
    /// What it is, where it was made and not read.
    pub made: Option<MadeJob>,
    /// The state directory.
    pub state: PathBuf,
    /// What is read.
    pub input: InputSettings,
    /// `input.id`: a column or an expression.
    pub id: Option<String>,
    /// `input.task`: a column or an expression.
    pub task: String,
    /// `input.where`: an expression.
    pub filter: Option<String>,
    /// Whether a row may carry `model` and `params` of its own.
    pub allow_overrides: bool,
    /// Where results go.
    pub output: OutputSettings,
    /// In the order of the job file; at least one.
    pub tasks: Vec<Task>,
    /// The task called `default`.
    pub default_task: Option<usize>,
    /// The providers of `models`.
    pub providers: Vec<JobProvider>,
    /// Those that a route names, and with `allow_overrides` all that the job file names.
    pub models: Vec<Model>,
    /// How attempts are repeated.
    pub retry: RetrySettings,
    /// Calls in flight at most, all providers together; at least 1.
    pub concurrency: usize,
    /// How long calls in flight may take after a stop; may be nothing.
    pub drain: Duration,
    /// Whether a call that takes far too long gets a second one beside it, at the next model of its route.
    pub hedge: bool,
    /// When the run has ended, drain included.
    pub deadline: Option<Deadline>,
    /// How many rows of one invocation may fail before it stops; `None`: the first ones may not all fail.
    pub max_failures: Option<MaxFailures>,
    /// What may be spent: over it nothing is sent.
    pub max_cost: Option<MaxCost>,
    /// How long all models of a route may be down before the run ends; may be nothing.
    pub on_outage: Duration,
    /// Which failures of earlier runs are tried again.
    pub retry_failed: RetryFailed,
    /// What follows where the job changed so that rows that are done would be sent again.
    pub on_change: OnChange,
    /// Requests that are the same are sent once.
    pub dedupe: bool,
    /// What templates see as `vars`.
    pub vars: Map<String, Value>,
    pub(super) places: BTreeMap<String, Spot>,
    pub(super) whole: Spot,
}

/// A task type: what its models are told, and which ones are tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// The table's name.
    pub name: String,
    /// What is said.
    pub prompt: PromptSettings,
    /// The task's own params; they win over the model's.
    pub params: Map<String, Value>,
    /// Indexes into [`Job::models`], each once: the first choice, then the fallbacks; at least one.
    pub route: Vec<usize>,
    /// A wait that the server told and that is longer sends rows on to the fallback; `None`: no wait does.
    pub fallback_after: Option<Duration>,
    /// What may be spent on its rows, within what the job may spend.
    pub max_cost: Option<MaxCost>,
    /// What a valid answer is; `None`: any text that is not empty.
    pub answer: Option<TaskAnswer>,
}

/// What a valid answer of a task is, and what becomes of one that is not.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskAnswer {
    /// At least one.
    pub rules: Rules,
    /// How models are asked for what the schema says.
    pub mode: AnswerMode,
    /// What follows from an answer that breaks a rule.
    pub on_invalid: OnInvalid,
    /// How often a row asks a model again with what is wrong.
    pub max_reasks: u32,
}

/// A model of a provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// What the job file calls it: an alias, or `provider/model`.
    pub alias: String,
    /// An index into [`Job::providers`].
    pub provider: usize,
    /// Its name on the wire.
    pub wire: String,
    /// `None`: not known. A model of an own server without a price is free.
    pub price: Option<Price>,
    /// Where that comes from.
    pub price_source: PriceSource,
    /// Its own limits, beside the provider's.
    pub limits: Limits,
    /// Tokens that input and output may have together, as the job says, else as is listed.
    pub context: Option<u64>,
    /// Tokens that an answer may have, as the job says.
    pub max_output: Option<u64>,
    /// Tokens that an answer may have at most, as is listed: its provider sees to it.
    pub listed_max_output: Option<u64>,
    /// Default params.
    pub params: Map<String, Value>,
    /// Where it is asked.
    pub endpoint: Endpoint,
}

/// A provider that the job uses.
#[derive(Clone, Debug)]
pub struct JobProvider {
    /// How it is reached, or where it has several addresses or keys: how the first of its members is. A simulated one has
    /// an empty `base_url` until its simulator runs.
    pub settings: ProviderSettings,
    /// Its further members: each address with each key is one. They differ in address, key and the name of the token
    /// parameter alone.
    pub further: Vec<ProviderSettings>,
    /// A real server, or the simulator in this process.
    pub kind: ProviderKind,
    /// Limits over all its models, of each member.
    pub limits: Limits,
    /// Whether its limits are learnt from what it says and how it does.
    pub adaptive: bool,
    /// Whether it is a server of the user's own, where models cost nothing unless they have a price.
    pub free: bool,
    /// Whose list prices its models cost, by the table's name: it is reached at an address of that provider's own.
    pub listed_as: Option<&'static str>,
    /// The variables that its keys came from, or would come from.
    pub key_envs: Vec<String>,
    /// The variables of keys that it needs and that are not set. Only where [`super::JobArgs::keys_optional`] lets it pass, or
    /// where no route needs the provider.
    pub missing_keys: Vec<String>,
}

impl Model {
    /// Tokens that an answer has at most, where the params do not say it.
    #[must_use]
    pub fn output_bound(&self) -> Option<u64> {
        self.max_output.or(self.listed_max_output)
    }
}

impl JobProvider {
    /// How each of its members is reached: at least one. Each has limits and health of its own.
    pub fn members(&self) -> impl Iterator<Item = &ProviderSettings> {
        std::iter::once(&self.settings).chain(&self.further)
    }

    /// The host of its address; empty where it has none yet.
    pub(super) fn host(&self) -> String {
        let uri = self.settings.base_url.parse::<http::Uri>().ok();
        uri.as_ref().and_then(http::Uri::host).unwrap_or_default().to_ascii_lowercase()
    }

    /// What tells this member from the others: its address, and the name of its key's variable.
    pub(crate) fn member_name(&self, number: usize) -> String {
        let address = self.members().nth(number).map_or("", |settings| settings.base_url.as_str());
        // Each address has the keys in the order in which they are named.
        let key = number.checked_rem(self.key_envs.len()).map(|key| &self.key_envs[key]);
        key.map_or_else(|| address.to_owned(), |key| format!("{address} with {key}"))
    }
}

/// What stands behind a provider.
#[derive(Clone, Debug, PartialEq)]
pub enum ProviderKind {
    /// A server.
    Http,
    /// The simulator, with its `simulate` table as written.
    Simulated(Map<String, Value>),
}

/// `run.retry_failed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetryFailed {
    /// Those that may go away by themselves.
    #[default]
    Transient,
    /// All.
    All,
    /// None.
    None,
}

impl RetryFailed {
    /// Whether the next run tries a row again that failed in this way.
    #[must_use]
    pub fn takes(self, kind: FailureKind) -> bool {
        match self {
            Self::Transient => is_transient(kind),
            Self::All => true,
            Self::None => false,
        }
    }
}

/// `run.on_change`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnChange {
    /// They are sent again; the run says so first.
    #[default]
    Resend,
    /// They keep the answers they have, where id and used values are as they were.
    Keep,
    /// Nothing is sent, and the run ends.
    Stop,
}

impl Job {
    /// The task of a row: the one of this name; without a name the job's only one; else `default`. `None`: no route.
    #[must_use]
    pub fn task_for(&self, task_type: Option<&str>) -> Option<usize> {
        let by_name = |name| self.tasks.iter().position(|task| task.name == name);
        let only = || (self.tasks.len() == 1).then_some(0);
        let own = task_type.map_or_else(only, by_name);
        own.or(self.default_task)
    }

    /// The model that a row names, by its alias or as `provider/model`.
    #[must_use]
    pub fn model_for(&self, name: &str) -> Option<usize> {
        let by_alias = self.models.iter().position(|model| model.alias == name);
        by_alias.or_else(|| {
            let (provider, wire) = name.split_once('/')?;
            let same = |model: &Model| {
                let theirs = self.providers.get(model.provider);
                model.wire == wire && theirs.is_some_and(|theirs| theirs.settings.name == provider)
            };
            self.models.iter().position(same)
        })
    }

    /// A problem with the value of this key, such as `tasks.tag.prompt`, at its place; a key that is not written has the
    /// place of the table it belongs to.
    #[must_use]
    pub fn problem(&self, key: &str, message: impl Into<String>) -> Problem {
        let mut place = key;
        let spot = loop {
            match (self.places.get(place), place.rfind(['.', '['])) {
                (Some(spot), _) => break spot,
                (None, Some(end)) => place = &place[..end],
                (None, None) => break &self.whole,
            }
        };
        Problem::new(spot, key, message)
    }

    /// Everything that decides the keys of rows and how rows are read, in a stable form: while it stays the same, rows
    /// can be matched by their number. Fallbacks, URLs, limits and output are not part of it.
    #[must_use]
    pub fn identity(&self) -> Vec<u8> {
        let model = |index: usize| {
            let model = self.models.get(index)?;
            // Jobs of chat alone keep the identity that they had before there were others.
            let endpoint = (!model.endpoint.is_chat()).then(|| model.endpoint.name().into());
            let parts = [model.wire.as_str().into(), model.params.clone().into()].into_iter().chain(endpoint);
            Some(Value::Array(parts.collect()))
        };
        let task = |task: &Task| {
            let PromptSettings { system, prompt, messages, images, image_dir: _ } = &task.prompt;
            let first = task.route.first().copied().and_then(model);
            let mut parts = vec![json!(task.name), json!(system), json!(prompt), json!(messages)];
            parts.extend([json!(task.params), json!(first)]);
            // As with endpoints: only where they are used. The answer's place is behind that of the images.
            let answer = task.answer.as_ref().map(|answer| answer.rules.written());
            parts.extend(
                (!images.is_empty() || answer.is_some())
                    .then(|| if images.is_empty() { Value::Null } else { json!(images) }),
            );
            parts.extend(answer);
            Value::Array(parts)
        };
        // With overrides a row's own words choose among all models.
        let named = |index: usize| json!([self.models.get(index).map(|model| &model.alias), model(index)]);
        let models: Option<Vec<Value>> = self.allow_overrides.then(|| (0..self.models.len()).map(named).collect());
        let mut identity = json!({
            "version": 1,
            "format": format_name(self.input.format),
            "delimiter": self.input.delimiter,
            "max_row": self.input.max_row,
            "id": self.id,
            "task": self.task,
            "where": self.filter,
            "tasks": self.tasks.iter().map(task).collect::<Vec<_>>(),
            "models": models,
            "vars": self.vars,
        });
        // Rows then have other outcomes than those of their keys.
        if self.on_change == OnChange::Keep {
            identity["on_change"] = json!("keep");
        }
        identity.to_string().into_bytes()
    }
}

/// Not `Debug`'s name: that is no promise.
const fn format_name(format: Format) -> &'static str {
    match format {
        Format::Auto => "auto",
        Format::Jsonl => "jsonl",
        Format::Csv => "csv",
        Format::Tsv => "tsv",
        Format::OpenaiBatch => "openai-batch",
        Format::Json => "json",
        Format::Text => "text",
        Format::Parquet => "parquet",
    }
}
