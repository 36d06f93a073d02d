//! A reply as received, read for what we need of it: a chat completion here, those of other endpoints below.
//!
//! The log keeps the provider's reply as it came; the worker and the output both read it here, so they cannot disagree.

mod completions;
mod embeddings;
mod responses;

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::told::{WireUsage, Word};
use super::{Billing, Endpoint, Usage};

/// What we need of a reply.
#[derive(Clone, Debug, Default)]
pub struct ReplyView {
    /// The answer's text.
    pub content: Option<String>,
    /// The vector in place of a text: a list of numbers.
    pub embedding: Option<Box<RawValue>>,
    /// Why the model stopped, in the provider's words; a response has none, and gets those of chat.
    pub finish_reason: Option<String>,
    /// Tool calls, as received.
    pub tool_calls: Option<Box<RawValue>>,
    /// The probabilities of the answer's tokens, as received.
    pub logprobs: Option<Box<RawValue>>,
    /// The model's refusal, where it says so apart from the text.
    pub refusal: Option<String>,
    /// The tokens, where the provider tells them.
    pub usage: Option<Usage>,
    /// What it tells of its bill.
    pub billing: Billing,
}

/// Why a body is no answer of its endpoint.
#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    /// Not JSON, or not of the expected shape.
    #[error("the reply is not what its endpoint answers: {0}")]
    Malformed(#[from] serde_json::Error),
    /// An `error` object in a reply with a good status.
    #[error("the reply holds an error: {0}")]
    Error(String),
    /// What should hold the answer is missing, null or empty.
    #[error("the reply has no {0}")]
    Nothing(&'static str),
    /// A response that is not over, and never will be for us.
    #[error("the response is {0:?}, and holds no answer")]
    Unfinished(String),
}

/// A body whose answer stands in `choices`.
#[derive(Deserialize)]
#[serde(bound(deserialize = "C: Deserialize<'de>"))]
struct Body<C> {
    #[serde(default)]
    error: Option<Box<RawValue>>,
    #[serde(default)]
    choices: Option<Vec<C>>,
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
    #[serde(default)]
    logprobs: Option<Box<RawValue>>,
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

/// Reads a reply of this endpoint.
///
/// # Errors
/// Where the body is no answer of it: see [`ReplyError`].
pub fn read_reply(endpoint: Endpoint, body: &[u8]) -> Result<ReplyView, ReplyError> {
    match endpoint {
        Endpoint::Chat => read_chat(body),
        Endpoint::Completions => completions::read(body),
        Endpoint::Embeddings => embeddings::read(body),
        Endpoint::Responses => responses::read(body),
    }
}

/// Text is checked as a whole: out of bytes, each string would be by itself.
fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, serde_json::Error> {
    match std::str::from_utf8(body) {
        Ok(text) => serde_json::from_str(text),
        // Strings that nobody reads may hold anything.
        Err(_) => serde_json::from_slice(body),
    }
}

fn read_chat(body: &[u8]) -> Result<ReplyView, ReplyError> {
    let (choice, usage, billing) = first_choice::<Choice>(body)?;
    let message = choice.message.unwrap_or_default();
    Ok(ReplyView {
        content: message.content,
        embedding: None,
        finish_reason: choice.finish_reason,
        tool_calls: message.tool_calls.filter(says_something),
        logprobs: choice.logprobs.filter(says_something),
        refusal: message.refusal,
        usage,
        billing,
    })
}

/// The first choice of a body, and what that tells of tokens and bill.
fn first_choice<'de, C: Deserialize<'de>>(body: &'de [u8]) -> Result<(C, Option<Usage>, Billing), ReplyError> {
    let body: Body<C> = parse(body)?;
    no_error(body.error)?;
    let choice = body.choices.and_then(|choices| choices.into_iter().next()).ok_or(ReplyError::Nothing("choices"))?;
    let (usage, billing) = told(body.usage, body.model, body.service_tier);
    Ok((choice, usage, billing))
}

/// An `error` that is there in name only is none.
fn no_error(error: Option<Box<RawValue>>) -> Result<(), ReplyError> {
    match error.filter(|error| !matches!(error.get(), "null" | "false" | "{}" | "\"\"")) {
        Some(error) => Err(ReplyError::Error(error.get().to_owned())),
        None => Ok(()),
    }
}

#[expect(clippy::borrowed_box, reason = "for `Option::filter`")]
fn says_something(value: &Box<RawValue>) -> bool {
    !matches!(value.get(), "null" | "[]")
}

/// The tokens that a reply tells, and what it tells of their bill.
fn told(usage: Option<WireUsage>, model: Option<Word>, tier: Option<Word>) -> (Option<Usage>, Billing) {
    let (served, tier) = (model.and_then(|word| word.0), tier.and_then(|word| word.0));
    let told = usage.as_ref().map(|wire| wire.usage(served.as_deref()));
    (told, usage.unwrap_or_default().billing(served, tier.as_deref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_text_usage_and_reason() {
        let body = br#"{"choices":[{"message":{"content":"hi","tool_calls":[]},"finish_reason":"stop"}],
            "usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":8},
            "completion_tokens_details":null}}"#;
        let view = read_chat(body).unwrap();
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
        let view = read_chat(body).unwrap();
        assert_eq!(view.content.as_deref(), Some("ab"));
        let usage = Usage { input_tokens: 12, cached_input_tokens: 5, ..Usage::default() };
        assert_eq!(view.usage, Some(usage));
    }

    #[test]
    fn tells_apart_what_is_no_answer() {
        assert!(matches!(read_chat(b"<html>"), Err(ReplyError::Malformed(_))));
        assert!(matches!(read_chat(br#"{"choices":null}"#), Err(ReplyError::Nothing("choices"))));
        assert!(matches!(read_chat(br#"{"choices":[]}"#), Err(ReplyError::Nothing("choices"))));
        assert!(matches!(read_chat(br#"{"error":{"code":502}}"#), Err(ReplyError::Error(_))));
        let cut = br#"{"choices":[{"message":{"content":"hi"#;
        assert!(matches!(read_chat(cut), Err(ReplyError::Malformed(_))));
    }
}
