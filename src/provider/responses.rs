//! A conversation and its parameters in the words of `OpenAI`'s responses endpoint.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// The body of a request: `input` and `instructions` in place of messages, and its own names for some parameters.
///
/// # Errors
/// Where the messages are no list of objects.
pub(super) fn body(
    model: &str,
    messages: &RawValue,
    params: Map<String, Value>,
) -> Result<Map<String, Value>, serde_json::Error> {
    let mut messages: Vec<Map<String, Value>> = serde_json::from_str(messages.get())?;
    let mut body = Map::new();
    body.insert("model".to_owned(), model.into());
    if !params.contains_key("instructions")
        && let Some(text) = messages.first().and_then(instructions)
    {
        body.insert("instructions".to_owned(), text.into());
        messages.remove(0);
    }
    body.insert("input".to_owned(), messages.into_iter().flat_map(items).collect());
    for (name, value) in params {
        add_param(&mut body, name, value);
    }
    Ok(body)
}

/// What a first message tells the model before all others.
fn instructions(message: &Map<String, Value>) -> Option<String> {
    let role = message.get("role").and_then(Value::as_str)?;
    matches!(role, "system" | "developer").then(|| message.get("content")?.as_str().map(str::to_owned)).flatten()
}

/// The items of one message: itself, and the calls of tools that it makes.
fn items(mut message: Map<String, Value>) -> Vec<Value> {
    let content = message.remove("content").unwrap_or_default();
    let role = message.get("role").and_then(Value::as_str).unwrap_or("user").to_owned();
    if role == "tool" {
        let call = message.remove("tool_call_id").unwrap_or_default();
        return vec![json!({ "type": "function_call_output", "call_id": call, "output": content })];
    }
    let said = match content {
        Value::Array(parts) => Some(parts.into_iter().map(|part| content_part(part, &role)).collect()),
        Value::Null => None,
        text => Some(text),
    };
    let said = said.map(|content: Value| json!({ "role": role, "content": content }));
    let calls = message.remove("tool_calls");
    let calls = calls.as_ref().and_then(Value::as_array).into_iter().flatten().map(|call| {
        let function = |name: &str| call.pointer(&format!("/function/{name}")).cloned().unwrap_or_default();
        json!({ "type": "function_call", "call_id": call["id"], "name": function("name"), "arguments": function("arguments") })
    });
    said.into_iter().chain(calls).collect()
}

/// A part of a message. One that has no other name here stays as it is.
fn content_part(mut part: Value, role: &str) -> Value {
    match part.get("type").and_then(Value::as_str) {
        Some("text") => {
            part["type"] = if role == "assistant" { "output_text" } else { "input_text" }.into();
            part
        }
        Some("image_url") => {
            let image = part["image_url"].take();
            let url = image.get("url").unwrap_or(&image).clone();
            let mut item = json!({ "type": "input_image", "image_url": url });
            if let Some(detail) = image.get("detail") {
                item["detail"] = detail.clone();
            }
            item
        }
        Some("file") => {
            let mut item = json!({ "type": "input_file" });
            if let (Value::Object(item), Value::Object(file)) = (&mut item, part["file"].take()) {
                item.extend(file);
            }
            item
        }
        Some(_) | None => part,
    }
}

/// Adds a parameter of chat completions by its name here.
fn add_param(body: &mut Map<String, Value>, name: String, value: Value) {
    match name.as_str() {
        // What is asked stands there already, and one answer is all that there is.
        "input" | "n" => {}
        // A schema stands beside its type here, not below it.
        "response_format" => add_within(body, "text", "format", flat(&value, "json_schema")),
        "verbosity" => add_within(body, "text", "verbosity", value),
        "reasoning_effort" => add_within(body, "reasoning", "effort", value),
        "tools" => {
            let tools = value.as_array().into_iter().flatten().map(|tool| flat(tool, "function"));
            body.insert(name, tools.collect());
        }
        "tool_choice" => {
            body.insert(name, flat(&value, "function"));
        }
        "text" | "reasoning" => match value {
            Value::Object(fields) => {
                fields.into_iter().for_each(|(field, value)| add_within(body, &name, &field, value));
            }
            other => drop(body.insert(name, other)),
        },
        _ => drop(body.insert(name, value)),
    }
}

fn add_within(body: &mut Map<String, Value>, name: &str, field: &str, value: Value) {
    if let Value::Object(fields) = body.entry(name).or_insert_with(|| json!({})) {
        fields.insert(field.to_owned(), value);
    }
}

/// The object with the fields of the one below it in its place: `{type, function: {name}}` is `{type, name}` here.
fn flat(value: &Value, below: &str) -> Value {
    let (Some(fields), Some(inner)) = (value.as_object(), value.get(below).and_then(Value::as_object)) else {
        return value.clone();
    };
    let outer = fields.iter().filter(|(name, _)| *name != below);
    Value::Object(outer.chain(inner).map(|(name, value)| (name.clone(), value.clone())).collect())
}
