//! Rows that hold their own prompt: `messages`, an OpenAI Batch line, or `prompt` and `system`.

use std::borrow::Cow;

use serde_json::{Map, Value as Json, json};

use super::attached;
use super::error::RenderError;
use super::render::{Rendered, plain_prompt, raw, text_alone};
use crate::types::{Endpoint, Form, Payload, Row};

/// Keys of a batch line's body that are not its parameters: we make them ourselves, or cannot serve them.
const NOT_PARAMS: [&str; 3] = ["model", "stream", "stream_options"];

/// What [`render`] reads of a row.
pub(super) const COLUMNS: [&str; 5] = ["messages", "url", "body", "prompt", "system"];

/// Makes what a row of any of the shapes asks, in this form; `system` is the task's. A batch line has the form of its own
/// endpoint, where it names one.
pub(super) fn render(row: &Row, system: Option<&str>, form: Form) -> Result<Rendered, RenderError> {
    if let Some(Json::Array(messages)) = row.get("messages") {
        if form == Form::Text {
            return Err(RenderError::NotText { what: "the row has `messages`" });
        }
        return Ok(Rendered::of(conversation("messages", messages, system)?));
    }
    if let (Some(_), Some(Json::Object(body))) = (row.get("custom_id"), row.get("body"))
        && let Some(line) = BatchLine::of(row.get("url").and_then(Json::as_str), body, form)?
    {
        return line.render(system);
    }
    match row.get("prompt") {
        Some(prompt) => prompt_column(row, prompt, system, form),
        None => Err(match lacking(row) {
            Some(field) => RenderError::BatchLine { field },
            None => RenderError::NoPrompt { columns: row.fields().keys().cloned().collect() },
        }),
    }
}

/// What a row lacks that is a line of an OpenAI Batch file for the rest.
fn lacking(row: &Row) -> Option<&'static str> {
    let is_there = |name: &&str| row.get(name).is_some();
    let known = ["custom_id", "method", "url", "body"].iter().filter(|name| is_there(name)).count();
    (known > 1).then(|| if is_there(&"custom_id") { "body" } else { "custom_id" })
}

/// A line of an OpenAI Batch file.
struct BatchLine<'a> {
    body: &'a Map<String, Json>,
    /// What is asked, and the field of the body that holds it.
    asked: (&'static str, &'a Json),
    /// The endpoint whose words it is in; `None`: messages, for whichever endpoint its model has.
    endpoint: Option<Endpoint>,
}

impl<'a> BatchLine<'a> {
    /// `None`: it is something else.
    fn of(url: Option<&str>, body: &'a Map<String, Json>, form: Form) -> Result<Option<Self>, RenderError> {
        let field = |name: &'static str| body.get(name).filter(|value| !value.is_null()).map(|value| (name, value));
        let messages = field("messages").filter(|(_, value)| value.is_array());
        let (asked, endpoint) = match (url.map(Endpoint::of_url), messages) {
            (Some(Some(endpoint)), _) => {
                let asked = field(endpoint.field());
                let asked = asked.filter(|(_, value)| endpoint != Endpoint::Chat || value.is_array());
                let asked = asked.ok_or(RenderError::BatchBody { endpoint, field: endpoint.field() })?;
                (asked, Some(endpoint))
            }
            (None, Some(messages)) => (messages, None),
            (Some(None), _) => {
                return Err(RenderError::BatchUrl { url: url.unwrap_or_default().to_owned() });
            }
            (None, None) => match (field("prompt"), field("input"), form) {
                (_, Some(input), Form::Messages | Form::Input) => (input, Some(Endpoint::Responses)),
                (Some(prompt), _, _) => (prompt, Some(Endpoint::Completions)),
                (None, Some(input), Form::Text) => (input, Some(Endpoint::Embeddings)),
                (None, None, _) => return Ok(None),
            },
        };
        Ok(Some(Self { body, asked, endpoint }))
    }

    fn render(self, system: Option<&str>) -> Result<Rendered, RenderError> {
        let Self { body, asked: (field, asked), endpoint } = self;
        let column = format!("body.{field}");
        let payload = match endpoint.unwrap_or_default() {
            Endpoint::Chat => {
                let messages = asked.as_array().map_or(&[][..], Vec::as_slice);
                conversation(&column, messages, system)?
            }
            Endpoint::Completions | Endpoint::Embeddings => Payload::new(Form::Text, raw(asked, &column)?),
            Endpoint::Responses => {
                let attached = attached::within(asked.as_array().into_iter().flatten());
                Payload::new(Form::Input, raw(asked, &column)?).with(attached, Vec::new())
            }
        };
        let own = body.iter().filter(|(name, _)| *name != field && !NOT_PARAMS.contains(&name.as_str()));
        let mut params: Map<_, _> = own.map(|(name, value)| (name.clone(), value.clone())).collect();
        if let (Some(Endpoint::Responses), Some(system)) = (endpoint, system) {
            params.entry("instructions").or_insert_with(|| system.into());
        }
        let model = body.get("model").and_then(Json::as_str).map(str::to_owned);
        Ok(Rendered { payload, params, model, endpoint })
    }
}

fn conversation(column: &str, messages: &[Json], system: Option<&str>) -> Result<Payload, RenderError> {
    let json = raw(&with_system(column, messages, system)?, column)?;
    Ok(Payload::messages(json).with(attached::within(messages), Vec::new()))
}

fn with_system<'a>(
    column: &str,
    messages: &'a [Json],
    system: Option<&str>,
) -> Result<Vec<Cow<'a, Json>>, RenderError> {
    let bad = |message: String| RenderError::BadMessages { column: column.to_owned(), message };
    if messages.is_empty() {
        return Err(bad("it is empty".to_owned()));
    }
    let role = |message: &Json| message.get("role").and_then(Json::as_str).map(str::to_owned);
    if let Some(index) = messages.iter().position(|message| role(message).is_none()) {
        return Err(bad(format!("entry {} has no `role`", index + 1)));
    }
    let has_system = messages.iter().any(|message| matches!(role(message).as_deref(), Some("system" | "developer")));
    let first = system.filter(|_| !has_system).map(|content| json!({"role": "system", "content": content}));
    Ok(first.into_iter().map(Cow::Owned).chain(messages.iter().map(Cow::Borrowed)).collect())
}

fn prompt_column(row: &Row, prompt: &Json, system: Option<&str>, form: Form) -> Result<Rendered, RenderError> {
    let prompt = text(prompt);
    if prompt.trim().is_empty() {
        return Err(RenderError::Empty { what: "column `prompt`".to_owned() });
    }
    let own = row.get("system").map(text).filter(|text| !text.trim().is_empty());
    match form {
        Form::Text if own.is_some() => Err(RenderError::NotText { what: "the row has `system`" }),
        Form::Text => text_alone(&prompt, "prompt"),
        Form::Messages | Form::Input => plain_prompt(own.as_deref().or(system), &prompt),
    }
}

/// Strings as they are, everything else as JSON.
fn text(value: &Json) -> Cow<'_, str> {
    match value.as_str() {
        Some(text) => Cow::Borrowed(text),
        None => Cow::Owned(value.to_string()),
    }
}
