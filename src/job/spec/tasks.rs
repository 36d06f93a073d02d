//! `[tasks.X]`.

use std::time::Duration;

use serde_json::{Map, Value};

use super::answer::read_answer;
use crate::job::checked::TaskAnswer;
use crate::job::files::read_text;
use crate::job::reader::{Field, Reader};
use crate::job::stopping::{MaxCost, read_max_cost};
use crate::job::tree;
use crate::prompt::PromptSettings;

const DEFAULT_FALLBACK_AFTER: Duration = Duration::from_mins(1);
const ROLES: [(&str, &str); 4] =
    [("system", "system"), ("developer", "developer"), ("user", "user"), ("assistant", "assistant")];

/// A task before its models are looked up.
pub(in crate::job) struct TaskSpec<'a> {
    pub(in crate::job) name: String,
    pub(in crate::job) prompt: PromptSettings,
    pub(in crate::job) params: Map<String, Value>,
    pub(in crate::job) params_at: Option<Field<'a>>,
    /// What only a conversation can hold: `system`, `messages`, `images`.
    pub(in crate::job) talk: Vec<Field<'a>>,
    /// The names as written: first choice, then fallbacks.
    pub(in crate::job) route: Vec<Field<'a>>,
    pub(in crate::job) fallback_after: Option<Duration>,
    pub(in crate::job) max_cost: Option<MaxCost>,
    pub(in crate::job) answer: Option<TaskAnswer>,
    /// Where it stands.
    pub(in crate::job) answer_at: Option<Field<'a>>,
}

pub(in crate::job) fn read_tasks<'a>(reader: &Reader<'a>) -> Vec<TaskSpec<'a>> {
    let entries = reader.entries();
    if entries.is_empty() {
        let problem = reader.problem("no task: nothing says which model a row gets");
        let hint = "write for example [tasks.default] with model = \"openai/gpt-4o-mini\" and a prompt";
        reader.scope().problems.add(problem.with_hint(hint));
    }
    entries.into_iter().filter_map(|(name, field)| field.table(|reader| read_task(name, reader))).collect()
}

fn read_task<'a>(name: &str, reader: &Reader<'a>) -> TaskSpec<'a> {
    let model = reader.require("model", "model = \"openai/gpt-4o-mini\"");
    let fallback = reader.take("fallback").and_then(|field| field.items()).unwrap_or_default();
    let (prompt, talk) = read_prompt(reader);
    let params_at = reader.take("params");
    let answer_at = reader.take("answer");
    TaskSpec {
        name: name.to_owned(),
        prompt,
        params: params_at.as_ref().and_then(read_params).unwrap_or_default(),
        params_at,
        talk,
        route: model.into_iter().chain(fallback).collect(),
        fallback_after: read_fallback_after(reader),
        max_cost: reader.take("max_cost").and_then(|field| read_max_cost(&field)),
        answer: answer_at.as_ref().and_then(|field| field.table(read_answer)).flatten(),
        answer_at,
    }
}

fn read_fallback_after(reader: &Reader<'_>) -> Option<Duration> {
    let Some(field) = reader.take("fallback_after") else { return Some(DEFAULT_FALLBACK_AFTER) };
    match &field.node.value {
        tree::Value::Text(text) if text == "never" => None,
        _ => field.duration(),
    }
}

/// What a task says, and the fields of it that only a conversation can hold.
fn read_prompt<'a>(reader: &Reader<'a>) -> (PromptSettings, Vec<Field<'a>>) {
    let system_at = reader.take("system");
    let (system, prompt) = (system_at.as_ref().and_then(content), reader.take("prompt"));
    let prompt = prompt.and_then(|field| content(&field));
    let messages_at = reader.take("messages");
    let messages = messages_at.as_ref().and_then(Field::items).unwrap_or_default();
    let messages_at = messages_at.filter(|_| !messages.is_empty());
    if let Some(field) = messages_at.as_ref().filter(|_| system.is_some() || prompt.is_some()) {
        let hint = "put them into messages as { role = \"system\", content = ... }".to_owned();
        field.refuse("stands instead of `system` and `prompt`, not beside them", Some(hint));
    }
    let images_at = reader.take("images");
    let images = images_at.as_ref().and_then(Field::items).unwrap_or_default();
    let images_at = images_at.filter(|_| !images.is_empty());
    let image_dir = images_at.as_ref().map(|field| field.node.spot.origin.dir.clone()).unwrap_or_default();
    let settings = PromptSettings {
        system,
        prompt,
        messages: messages.iter().filter_map(message).collect(),
        images: images.iter().filter_map(|field| Some(field.text()?.to_owned())).collect(),
        image_dir,
    };
    (settings, [system_at, messages_at, images_at].into_iter().flatten().collect())
}

fn message(field: &Field<'_>) -> Option<(String, String)> {
    let (role, content) = field.table(|reader| {
        let role = reader.require("role", "role = \"user\"").and_then(|field| field.choice(&ROLES));
        (role, reader.require("content", "content = \"...\"").and_then(|field| content(&field)))
    })?;
    Some((role?.to_owned(), content?))
}

/// A text, or a file's with `{ file = ".." }`; line ends are LF, so that a checkout on another system changes no key.
fn content(field: &Field<'_>) -> Option<String> {
    let text = if matches!(field.node.value, tree::Value::Table(_)) {
        field.table(file_text)??
    } else {
        field.any_text()?.to_owned()
    };
    if text.trim().is_empty() {
        field.refuse("must not be empty", None);
    }
    Some(text.replace("\r\n", "\n"))
}

fn file_text(reader: &Reader<'_>) -> Option<String> {
    let file = reader.require("file", "{ file = \"prompts/tag.md\" }")?;
    let path = file.path()?;
    let text = read_text(&path);
    text.map_err(|message| file.refuse(format!("{} {message}", path.display()), None)).ok()
}

/// Params of a task or model as JSON, less those that are not the user's to set.
pub(in crate::job) fn read_params(field: &Field<'_>) -> Option<Map<String, Value>> {
    const OURS: [&str; 4] = ["model", "messages", "stream", "background"];
    let params = field.json_table()?;
    for name in OURS.into_iter().filter(|name| params.contains_key(*name)) {
        field.refuse(format!("`{name}` cannot be set here: overnight sets it for each call"), None);
    }
    if params.get("n").is_some_and(|n| n.as_f64() != Some(1.0)) {
        let hint = "a row has one answer: give it several rows where it is to have more".to_owned();
        field.refuse("`n` must be 1", Some(hint));
    }
    Some(params)
}
