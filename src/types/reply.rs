//! A chat completion as received, read for what we need of it.
//!
//! The log keeps the provider's reply as it came; the worker and the output both read it here, so they cannot disagree.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::told::{WireUsage, Word};
use super::{Billing, Usage};

/// What we need of a reply.
#[derive(Clone, Debug, Default)]
pub struct ReplyView {
    /// The answer's text.
    pub content: Option<String>,
    /// Why the model stopped, in the provider's words.
    pub finish_reason: Option<String>,
    /// Tool calls, as received.
    pub tool_calls: Option<Box<RawValue>>,
    /// The model's refusal, where it says so apart from the text.
    pub refusal: Option<String>,
    /// The tokens, where the provider tells them.
    pub usage: Option<Usage>,
    /// What it tells of its bill.
    pub billing: Billing,
}

/// Why a body is no chat completion.
#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    /// Not JSON, or not of the expected shape.
    #[error("the reply is not a chat completion: {0}")]
    Malformed(#[from] serde_json::Error),
    /// An `error` object in a reply with a good status.
    #[error("the reply holds an error: {0}")]
    Error(String),
    /// `choices` is missing, null or empty.
    #[error("the reply has no choices")]
    NoChoices,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    error: Option<Box<RawValue>>,
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<WireUsage>,
    #[serde(default)]
    model: Option<Word>,
    #[serde(default)]
    service_tier: Option<Word>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    message: Option<Message>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Message {
    #[serde(default, deserialize_with = "text")]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    tool_calls: Option<Box<RawValue>>,
}

/// A message's text: a string, or a list of parts of which those with a text count.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct Text;
    impl<'de> Visitor<'de> for Text {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text, a list of parts, or null")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(text.to_owned()))
        }

        fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
            Ok(Some(text))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
            let mut text = String::new();
            while let Some(part) = parts.next_element::<Part>()? {
                text.push_str(part.text.as_deref().unwrap_or_default());
            }
            Ok(Some(text))
        }
    }
    deserializer.deserialize_any(Text)
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: Option<String>,
}

/// Reads a chat completion.
///
/// # Errors
/// Where the body is no chat completion: see [`ReplyError`].
pub fn read_reply(body: &[u8]) -> Result<ReplyView, ReplyError> {
    let body: Body = serde_json::from_slice(body)?;
    if let Some(error) = body.error.filter(|error| !matches!(error.get(), "null" | "false" | "{}" | "\"\"")) {
        return Err(ReplyError::Error(error.get().to_owned()));
    }
    let choice = body.choices.and_then(|choices| choices.into_iter().next()).ok_or(ReplyError::NoChoices)?;
    let message = choice.message.unwrap_or_default();
    let (served, tier) = (body.model.and_then(|word| word.0), body.service_tier.and_then(|word| word.0));
    let usage = body.usage.as_ref().map(|wire| wire.usage(served.as_deref()));
    let billing = body.usage.unwrap_or_default().billing(served, tier.as_deref());
    Ok(ReplyView {
        content: message.content,
        finish_reason: choice.finish_reason,
        tool_calls: message.tool_calls.filter(|calls| !matches!(calls.get(), "null" | "[]")),
        refusal: message.refusal,
        usage,
        billing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_text_usage_and_reason() {
        let body = br#"{"choices":[{"message":{"content":"hi","tool_calls":[]},"finish_reason":"stop"}],
            "usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":8},
            "completion_tokens_details":null}}"#;
        let view = read_reply(body).unwrap();
        assert_eq!(view.content.as_deref(), Some("hi"));
        assert_eq!(view.finish_reason.as_deref(), Some("stop"));
        assert!(view.tool_calls.is_none());
        let usage = Usage { input_tokens: 9, cached_input_tokens: 8, output_tokens: 4, ..Usage::default() };
        assert_eq!(view.usage, Some(usage));
    }

    #[test]
    fn takes_what_other_servers_make_of_it() {
        let body = br#"{"error":{},"choices":[{"message":{"content":[{"type":"thinking","thinking":[]},
            {"type":"text","text":"a"},{"type":"text","text":"b"}]}}],
            "usage":{"prompt_tokens":12.0,"completion_tokens":null,"prompt_cache_hit_tokens":5}}"#;
        let view = read_reply(body).unwrap();
        assert_eq!(view.content.as_deref(), Some("ab"));
        let usage = Usage { input_tokens: 12, cached_input_tokens: 5, ..Usage::default() };
        assert_eq!(view.usage, Some(usage));
    }

    #[test]
    fn tells_apart_what_is_no_answer() {
        assert!(matches!(read_reply(b"<html>"), Err(ReplyError::Malformed(_))));
        assert!(matches!(read_reply(br#"{"choices":null}"#), Err(ReplyError::NoChoices)));
        assert!(matches!(read_reply(br#"{"choices":[]}"#), Err(ReplyError::NoChoices)));
        assert!(matches!(read_reply(br#"{"error":{"code":502}}"#), Err(ReplyError::Error(_))));
        let cut = br#"{"choices":[{"message":{"content":"hi"#;
        assert!(matches!(read_reply(cut), Err(ReplyError::Malformed(_))));
    }
}
