//! Rows that hold their own prompt: `messages`, an OpenAI Batch line, or `prompt` and `system`.

use std::borrow::Cow;

use serde_json::{Map, Value as Json, json};

use super::error::RenderError;
use super::render::{Rendered, plain_prompt, raw};
use crate::types::Row;

/// Keys of a batch line's body that are not its parameters: we make them ourselves, or cannot serve them.
const NOT_PARAMS: [&str; 4] = ["model", "messages", "stream", "stream_options"];

/// Makes the messages of a row of any of the shapes; `system` is the task's.
pub(super) fn render(row: &Row, system: Option<&str>) -> Result<Rendered, RenderError> {
    if let Some(Json::Array(messages)) = row.get("messages") {
        let messages = raw(&with_system("messages", messages, system)?, "messages")?;
        return Ok(Rendered { messages, params: Map::new(), model: None });
    }
    if let (Some(_), Some(Json::Object(body))) = (row.get("custom_id"), row.get("body"))
        && let Some(Json::Array(messages)) = body.get("messages")
    {
        return batch_line(body, messages, system);
    }
    match row.get("prompt") {
        Some(prompt) => prompt_column(row, prompt, system),
        None => Err(RenderError::NoPrompt { columns: row.fields().keys().cloned().collect() }),
    }
}

fn batch_line(body: &Map<String, Json>, messages: &[Json], system: Option<&str>) -> Result<Rendered, RenderError> {
    let messages = raw(&with_system("body.messages", messages, system)?, "body.messages")?;
    let own = body.iter().filter(|(name, _)| !NOT_PARAMS.contains(&name.as_str()));
    let params = own.map(|(name, value)| (name.clone(), value.clone())).collect();
    let model = body.get("model").and_then(Json::as_str).map(str::to_owned);
    Ok(Rendered { messages, params, model })
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

fn prompt_column(row: &Row, prompt: &Json, system: Option<&str>) -> Result<Rendered, RenderError> {
    let prompt = text(prompt);
    if prompt.trim().is_empty() {
        return Err(RenderError::Empty { what: "column `prompt`".to_owned() });
    }
    let own = row.get("system").map(text).filter(|text| !text.trim().is_empty());
    plain_prompt(own.as_deref().or(system), &prompt)
}

/// Strings as they are, everything else as JSON.
fn text(value: &Json) -> Cow<'_, str> {
    match value.as_str() {
        Some(text) => Cow::Borrowed(text),
        None => Cow::Owned(value.to_string()),
    }
}
