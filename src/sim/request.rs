//! A chat completion request, read for what the simulator needs of it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// The request's body, borrowed where it can be: the simulator is also the server of the benchmarks.
#[derive(Debug, Deserialize)]
pub(super) struct ChatRequest<'a> {
    #[serde(borrow)]
    pub(super) model: Cow<'a, str>,
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
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Content<'a>,
}

/// What shape of answer is wanted.
#[derive(Debug)]
pub(super) enum Format {
    Text,
    /// Any JSON object.
    Object,
    /// JSON of this schema.
    Schema(Value),
}

impl ChatRequest<'_> {
    /// The text that the answer's mark is made of: the last user message, or the last one of all.
    pub(super) fn last_user_message(&self) -> &str {
        let user = self.messages.iter().rev().find(|message| message.role == "user");
        user.or(self.messages.last()).map_or("", |message| &message.content.text)
    }

    /// A quarter of the contents' bytes, and 3 for each message.
    pub(super) fn prompt_tokens(&self) -> u64 {
        let bytes: usize = self.messages.iter().map(|message| message.content.text.len()).sum();
        (bytes.div_ceil(4) + 3 * self.messages.len()) as u64
    }

    /// The most that the answer may have, in tokens.
    pub(super) fn output_cap(&self) -> Option<u64> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    /// What `response_format` asks for. One that cannot be understood asks for text.
    pub(super) fn format(&self) -> Format {
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
        let Some(raw) = self.response_format else { return Format::Text };
        match serde_json::from_str::<Written>(raw.get()) {
            Ok(Written { r#type, .. }) if r#type == "json_object" => Format::Object,
            Ok(Written { r#type, json_schema: Some(schema) }) if r#type == "json_schema" => {
                Format::Schema(schema.schema)
            }
            Ok(_) | Err(_) => Format::Text,
        }
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
        let request: ChatRequest<'_> = serde_json::from_slice(body).unwrap();
        assert_eq!(request.last_user_message(), "two three");
        assert_eq!(request.prompt_tokens(), 12_u64.div_ceil(4) + 9);
        assert_eq!(request.output_cap(), None);
        assert!(matches!(request.format(), Format::Text));
    }

    #[test]
    fn plain_texts_are_borrowed_from_the_body() {
        let body = br#"{"messages":[{"content":"plain","role":"user"}],"model":"m"}"#;
        let request: ChatRequest<'_> = serde_json::from_slice(body).unwrap();
        assert!(matches!(request.messages[0].content.text, Cow::Borrowed("plain")));
        assert!(matches!(request.model, Cow::Borrowed("m")));
    }
}
