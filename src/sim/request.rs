//! A request, read for what the simulator needs of it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::types::{Endpoint, Form, NOT_VALID, SCHEMA_FOLLOWS};

/// Numbers of a vector where the request does not say it.
const DIMENSIONS: usize = 8;

/// A request to any endpoint.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) model: Cow<'a, str>,
    /// Of embeddings and completions, a message for each text.
    messages: Vec<Message<'a>>,
    output_cap: Option<u64>,
    format: Format,
    /// Numbers of each vector.
    pub(super) dimensions: usize,
    /// Vectors are asked for as bytes in base64.
    pub(super) base64: bool,
}

/// A chat completion's body, borrowed where it can be: the simulator is also the server of the benchmarks.
#[derive(Debug, Deserialize)]
struct ChatRequest<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    messages: Vec<Message<'a>>,
    #[serde(default)]
    max_tokens: Option<u64>,
    #[serde(default)]
    max_completion_tokens: Option<u64>,
    #[serde(borrow, default)]
    response_format: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct CompletionRequest {
    model: String,
    prompt: Value,
    #[serde(default)]
    max_tokens: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct EmbeddingRequest {
    model: String,
    input: Value,
    #[serde(default)]
    dimensions: Option<usize>,
    #[serde(default)]
    encoding_format: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ResponseRequest {
    model: String,
    input: Value,
    #[serde(default)]
    instructions: Option<String>,
    #[serde(default)]
    max_output_tokens: Option<u64>,
    #[serde(default)]
    text: Value,
}

#[derive(Debug, Default, Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Content<'a>,
}

/// What shape of answer the parameters ask for.
#[derive(Debug, Default)]
enum Format {
    #[default]
    Text,
    /// Any JSON object.
    Object,
    /// JSON of this schema.
    Schema(Value),
}

/// What shape of answer is wanted, the prompt's own words taken in.
#[derive(Debug)]
pub(super) enum Wanted<'r> {
    Text,
    /// Any JSON object.
    Object,
    /// JSON of this schema.
    Schema(Cow<'r, Value>),
    /// JSON of this schema, of which the prompt alone tells.
    ToldSchema(Value),
    /// One of these, of which the prompt tells.
    OneOf(Vec<&'r str>),
}

/// What stands before a list of the answers that are allowed.
const ONE_OF: &str = "ne of: ";

impl<'a> Request<'a> {
    /// Reads a body.
    pub(super) fn read(endpoint: Endpoint, body: &'a [u8]) -> Result<Self, serde_json::Error> {
        Ok(match endpoint {
            Endpoint::Chat => serde_json::from_slice::<ChatRequest<'a>>(body)?.into(),
            Endpoint::Completions => serde_json::from_slice::<CompletionRequest>(body)?.into(),
            Endpoint::Embeddings => serde_json::from_slice::<EmbeddingRequest>(body)?.into(),
            Endpoint::Responses => serde_json::from_slice::<ResponseRequest>(body)?.into(),
        })
    }

    fn new(endpoint: Endpoint, model: Cow<'a, str>, messages: Vec<Message<'a>>) -> Self {
        let (output_cap, format) = (None, Format::Text);
        Self { endpoint, model, messages, output_cap, format, dimensions: DIMENSIONS, base64: false }
    }

    /// The text that the answer's mark is made of: the last user message, or the last one of all. What only says that an
    /// answer was not valid is about the message before.
    pub(super) fn prompt(&self) -> &str {
        let users = || self.messages.iter().rev().filter(|message| message.role == "user");
        let asks = |message: &&Message<'_>| !message.content.text.starts_with(NOT_VALID);
        let user = users().find(asks).or(users().next());
        user.or(self.messages.last()).map_or("", |message| &message.content.text)
    }

    /// The texts of all messages.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.messages.iter().map(|message| &*message.content.text)
    }

    /// A quarter of the contents' bytes, and 3 for each message of a conversation.
    pub(super) fn prompt_tokens(&self) -> u64 {
        let bytes: usize = self.texts().map(str::len).sum();
        let around = if self.endpoint.form() == Form::Messages { 3 * self.messages.len() } else { 0 };
        (bytes.div_ceil(4) + around) as u64
    }

    /// The most that the answer may have, in tokens.
    pub(super) fn output_cap(&self) -> Option<u64> {
        self.output_cap
    }

    /// What `response_format` asks for, and the prompt. What cannot be understood asks for text.
    pub(super) fn wanted(&self) -> Wanted<'_> {
        match &self.format {
            Format::Schema(schema) => Wanted::Schema(Cow::Borrowed(schema)),
            Format::Object => self.told_schema().map_or(Wanted::Object, |schema| Wanted::Schema(Cow::Owned(schema))),
            Format::Text => {
                let told = self.told_schema().map(Wanted::ToldSchema);
                told.or_else(|| self.told_labels().map(Wanted::OneOf)).unwrap_or(Wanted::Text)
            }
        }
    }

    /// Whether it asks for JSON by a `response_format`.
    pub(super) fn asks_by_format(&self) -> bool {
        !matches!(self.format, Format::Text)
    }

    /// The schema that stands in some message.
    fn told_schema(&self) -> Option<Value> {
        self.messages.iter().rev().find_map(|message| {
            let (_, schema) = message.content.text.split_once(SCHEMA_FOLLOWS)?;
            serde_json::Deserializer::from_str(schema).into_iter().next()?.ok()
        })
    }

    /// The answers that the last message allows, up to the end of its line or sentence.
    fn told_labels(&self) -> Option<Vec<&str>> {
        let text: &str = &self.messages.last()?.content.text;
        let (_, list) = text.rsplit_once(ONE_OF)?;
        let list = list.split(['\n', '.', ';']).next()?;
        Some(list.split([',', '|']).map(|label| label.trim().trim_matches(['"', '\'', '`'])).collect())
    }
}

impl<'a> From<ChatRequest<'a>> for Request<'a> {
    fn from(chat: ChatRequest<'a>) -> Self {
        let output_cap = chat.max_completion_tokens.or(chat.max_tokens);
        let format = chat.response_format.map_or(Format::Text, |raw| chat_format(raw.get()));
        Self { output_cap, format, ..Self::new(Endpoint::Chat, chat.model, chat.messages) }
    }
}

impl From<CompletionRequest> for Request<'_> {
    fn from(request: CompletionRequest) -> Self {
        let messages = texts(&request.prompt);
        Self { output_cap: request.max_tokens, ..Self::new(Endpoint::Completions, request.model.into(), messages) }
    }
}

impl From<EmbeddingRequest> for Request<'_> {
    fn from(request: EmbeddingRequest) -> Self {
        let messages = texts(&request.input);
        let dimensions = request.dimensions.unwrap_or(DIMENSIONS);
        let base64 = request.encoding_format.as_deref() == Some("base64");
        Self { dimensions, base64, ..Self::new(Endpoint::Embeddings, request.model.into(), messages) }
    }
}

impl From<ResponseRequest> for Request<'_> {
    fn from(request: ResponseRequest) -> Self {
        let mut messages: Vec<Message<'_>> =
            request.instructions.into_iter().map(|text| Message::new("system", text)).collect();
        match &request.input {
            Value::Array(items) => messages.extend(items.iter().map(|item| {
                let role = item["role"].as_str().unwrap_or("user");
                Message::new(role, item_text(&item["content"]))
            })),
            text => messages.push(Message::new("user", item_text(text))),
        }
        let format = match request.text.pointer("/format/type").and_then(Value::as_str) {
            Some("json_object") => Format::Object,
            Some("json_schema") => Format::Schema(request.text["format"]["schema"].clone()),
            Some(_) | None => Format::Text,
        };
        let output_cap = request.max_output_tokens;
        Self { output_cap, format, ..Self::new(Endpoint::Responses, request.model.into(), messages) }
    }
}

impl Message<'_> {
    fn new(role: &str, text: String) -> Self {
        Self { role: role.to_owned().into(), content: Content { text: text.into() } }
    }
}

/// A message for each text of a list, or for the only one; lists of tokens are texts too.
fn texts<'a>(input: &Value) -> Vec<Message<'a>> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match input {
        Value::Array(items) if !items.iter().all(Value::is_number) => {
            items.iter().map(|item| Message::new("user", text(item))).collect()
        }
        one => vec![Message::new("user", text(one))],
    }
}

/// The text of an item's content.
fn item_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}

/// What `response_format` asks for. One that cannot be understood asks for text.
fn chat_format(raw: &str) -> Format {
    #[derive(Deserialize)]
    struct Written {
        r#type: String,
        #[serde(default)]
        json_schema: Option<JsonSchema>,
    }
    #[derive(Deserialize)]
    struct JsonSchema {
        #[serde(default)]
        schema: Value,
    }
    match serde_json::from_str::<Written>(raw) {
        Ok(Written { r#type, .. }) if r#type == "json_object" => Format::Object,
        Ok(Written { r#type, json_schema: Some(schema) }) if r#type == "json_schema" => Format::Schema(schema.schema),
        Ok(_) | Err(_) => Format::Text,
    }
}

/// A message's content: a text, or parts whose texts are joined.
#[derive(Debug, Default)]
struct Content<'a> {
    text: Cow<'a, str>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of parts")
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Content { text: Cow::Borrowed(text) })
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Content { text: Cow::Owned(text.to_owned()) })
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Ok(Content::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        let mut text = String::new();
        while let Some(Part(part)) = parts.next_element()? {
            text.push_str(&part);
        }
        Ok(Content { text: Cow::Owned(text) })
    }
}

/// The text of one part; empty for images and the like.
struct Part<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Part<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PartVisitor;
        impl<'de> Visitor<'de> for PartVisitor {
            type Value = Part<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a part of a message")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Part<'de>, A::Error> {
                let mut text = Cow::Borrowed("");
                while let Some(key) = fields.next_key::<Cow<'de, str>>()? {
                    if key == "text" {
                        text = fields.next_value()?;
                    } else {
                        fields.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Part(text))
            }
        }
        deserializer.deserialize_map(PartVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_user_message_counts_also_in_parts_and_among_others() {
        let body = br#"{"model":"m","messages":[{"role":"user","content":"one"},
            {"role":"user","content":[{"type":"text","text":"tw\u006f "},{"type":"image_url","image_url":{"url":"x"}},
            {"text":"three","type":"text"}]},{"role":"assistant","content":null}],"max_tokens":null,"temperature":0}"#;
        let request = Request::read(Endpoint::Chat, body).unwrap();
        assert_eq!(request.prompt(), "two three");
        assert_eq!(request.prompt_tokens(), 12_u64.div_ceil(4) + 9);
        assert_eq!(request.output_cap(), None);
        assert!(matches!(request.wanted(), Wanted::Text));
    }

    #[test]
    fn plain_texts_are_borrowed_from_the_body() {
        let body = br#"{"messages":[{"content":"plain","role":"user"}],"model":"m"}"#;
        let request = Request::read(Endpoint::Chat, body).unwrap();
        assert!(matches!(request.messages[0].content.text, Cow::Borrowed("plain")));
        assert!(matches!(request.model, Cow::Borrowed("m")));
    }
}
