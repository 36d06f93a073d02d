//! What the simulator says.

use std::ops::RangeInclusive;

use serde::Serialize;

use crate::types::Usage;

use super::request::{Request, Wanted};
use super::schema;

/// Replies count their time from here (2026-01-01), so that the same requests get the same bytes in every run.
pub(super) const EPOCH: u64 = 1_767_225_600;

/// Bytes of the prompt's first words that an answer repeats at most.
const ECHO: usize = 96;

/// The mark with which the answer to this user message begins: `sim:` and 16 hex digits of its hash.
///
/// In an answer to a JSON schema it begins the first free text.
#[must_use]
pub fn answer_mark(last_user_message: &str) -> String {
    mark(digest(last_user_message))
}

fn mark(digest: u64) -> String {
    format!("sim:{digest:016x}")
}

pub(super) fn digest(text: &str) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..8]);
    u64::from_be_bytes(first)
}

/// How a model departs from a good answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Good,
    /// Stops half-way.
    HalfWay,
    /// Answers in plain text, though JSON is asked for.
    Plain,
    /// Answers with JSON that does not fit what is asked for.
    Misfit,
    /// Says nothing.
    Silent,
    /// Is stopped by the content filter before the first word.
    Filtered,
}

/// An answer, before it becomes a body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) mark: String,
    pub(super) content: String,
    pub(super) finish_reason: &'static str,
    pub(super) usage: Usage,
}

impl Answer {
    /// Answers: the same to the same request each time.
    pub(super) fn to(request: &Request<'_>, manner: Manner, length: Option<&RangeInclusive<u64>>) -> Self {
        let prompt = request.prompt();
        let mut writer = Writer::new(prompt);
        let content = match (manner, request.wanted()) {
            (Manner::Silent | Manner::Filtered, _) => String::new(),
            (Manner::Misfit, Wanted::Schema(schema)) => schema::misfit(&schema, &mut writer).to_string(),
            (Manner::Misfit, Wanted::ToldSchema(schema)) => schema::misfit(&schema, &mut writer).to_string(),
            (Manner::Misfit, Wanted::Object | Wanted::OneOf(_) | Wanted::Text)
            | (Manner::Good | Manner::HalfWay, Wanted::Object) => writer.object(),
            (Manner::Good | Manner::HalfWay, Wanted::Schema(schema)) => schema::fit(&schema, &mut writer).to_string(),
            (Manner::Good | Manner::HalfWay, Wanted::ToldSchema(schema)) => writer.fenced(&schema),
            (Manner::Good | Manner::HalfWay, Wanted::OneOf(labels)) => writer.label(&labels),
            (Manner::Good | Manner::HalfWay, Wanted::Text) | (Manner::Plain, _) => writer.text(request, length),
        };
        let mut answer = Self::new(writer.mark, content, manner);
        answer.cap(request.output_cap());
        answer.usage.input_tokens = request.prompt_tokens();
        answer.usage.output_tokens = if request.endpoint.writes() { tokens(&answer.content) } else { 0 };
        answer
    }

    /// The same with a part of the prompt read from the cache, and some reasoning before the text.
    pub(super) fn with_parts(mut self, request: &Request<'_>, cached_share: f64, reasoning: u64) -> Self {
        if !request.endpoint.writes() {
            return self;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let cached = (self.usage.input_tokens as f64 * cached_share) as u64;
        self.usage.cached_input_tokens = cached;
        if reasoning > 0 && self.finish_reason != "content_filter" {
            let cap = request.output_cap();
            self.usage.reasoning_tokens = cap.map_or(reasoning, |cap| reasoning.min(cap));
            self.cap(cap.map(|cap| cap - self.usage.reasoning_tokens));
            self.usage.output_tokens = self.usage.reasoning_tokens + tokens(&self.content);
        }
        self
    }

    fn new(mark: String, content: String, manner: Manner) -> Self {
        let finish_reason = if manner == Manner::Filtered { "content_filter" } else { "stop" };
        let mut answer = Self { mark, content, finish_reason, usage: Usage::default() };
        if manner == Manner::HalfWay {
            answer.cut(answer.content.len() / 2);
        }
        answer
    }

    fn cap(&mut self, tokens: Option<u64>) {
        let bytes = tokens.and_then(|tokens| usize::try_from(tokens.saturating_mul(4)).ok()).unwrap_or(usize::MAX);
        if self.content.len() > bytes {
            self.cut(bytes);
        }
    }

    fn cut(&mut self, bytes: usize) {
        self.content.truncate(self.content.floor_char_boundary(bytes));
        self.finish_reason = "length";
    }

    /// The body of the reply. `choices` is false for a broken server's reply without them.
    pub(super) fn body(&self, model: &str, number: u64, seconds: u64, choices: bool) -> Vec<u8> {
        let content = (self.finish_reason != "content_filter").then_some(self.content.as_str());
        let choice = Choice {
            index: 0,
            message: Said { role: "assistant", content, refusal: None },
            logprobs: None,
            finish_reason: self.finish_reason,
        };
        let completion = Completion {
            id: format_args!("chatcmpl-sim-{number}"),
            object: "chat.completion",
            created: EPOCH + seconds,
            model,
            choices: choices.then_some([choice]),
            usage: Tokens {
                prompt_tokens: self.usage.input_tokens,
                completion_tokens: self.usage.output_tokens,
                total_tokens: self.usage.total(),
                prompt_tokens_details: Cached { cached_tokens: self.usage.cached_input_tokens },
                completion_tokens_details: Reasoned { reasoning_tokens: self.usage.reasoning_tokens },
            },
        };
        // Texts and numbers always serialise; an empty body would show at once.
        serde_json::to_vec(&completion).unwrap_or_default()
    }
}

fn tokens(text: &str) -> u64 {
    text.len().div_ceil(4) as u64
}

/// The words for one answer: a mark to begin with, then the prompt's own first words.
pub(super) struct Writer<'a> {
    mark: String,
    words: Vec<&'a str>,
    /// Seeded by the prompt, so that the answer depends on nothing else.
    pub(super) rng: fastrand::Rng,
    marked: bool,
}

impl<'a> Writer<'a> {
    pub(super) fn new(prompt: &'a str) -> Self {
        let digest = digest(prompt);
        let mut room = ECHO;
        let fits = |word: &&str| {
            room = room.saturating_sub(word.len() + 1);
            room > 0
        };
        let words = prompt.split_whitespace().take(12).take_while(fits).collect();
        Self { mark: mark(digest), words, rng: fastrand::Rng::with_seed(digest), marked: false }
    }

    /// A text for a place that takes any: with the mark the first time, one of the prompt's words afterwards.
    pub(super) fn free_text(&mut self) -> String {
        if !self.marked {
            self.marked = true;
            return self.sentence(usize::MAX);
        }
        let word = self.rng.choice(&self.words).copied().unwrap_or("text");
        word.trim_matches(|c: char| !c.is_alphanumeric()).to_owned()
    }

    fn object(&mut self) -> String {
        serde_json::json!({ "answer": self.free_text() }).to_string()
    }

    /// As models do that were told of a schema in words.
    fn fenced(&mut self, schema: &serde_json::Value) -> String {
        format!("```json\n{:#}\n```", schema::fit(schema, self))
    }

    fn label(&mut self, labels: &[&str]) -> String {
        self.rng.choice(labels).copied().unwrap_or_default().to_owned()
    }

    fn text(&mut self, request: &Request<'_>, length: Option<&RangeInclusive<u64>>) -> String {
        if let Some(length) = length {
            let tokens = self.rng.u64(length.clone());
            return self.filled(usize::try_from(tokens.saturating_mul(4)).unwrap_or(usize::MAX));
        }
        // A model that is asked to be short says less, rather than being cut.
        let cap = request.output_cap().unwrap_or(u64::MAX).saturating_mul(4);
        self.sentence(usize::try_from(cap).unwrap_or(usize::MAX))
    }

    /// The mark and as many of the words as fit.
    fn sentence(&self, bytes: usize) -> String {
        let mut text = self.mark.clone();
        for word in &self.words {
            if text.len() + 1 + word.len() > bytes {
                break;
            }
            text.push(' ');
            text.push_str(word);
        }
        text
    }

    /// The mark and the words, again and again, up to this length.
    fn filled(&self, bytes: usize) -> String {
        let mut text = self.mark.clone();
        let words = if self.words.is_empty() { &["words"] } else { self.words.as_slice() };
        let mut words = words.iter().cycle();
        while text.len() < bytes {
            text.push(' ');
            text.push_str(words.next().copied().unwrap_or_default());
        }
        text.truncate(text.floor_char_boundary(bytes));
        text
    }
}

#[derive(Serialize)]
struct Completion<'a> {
    id: std::fmt::Arguments<'a>,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Option<[Choice<'a>; 1]>,
    usage: Tokens,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u8,
    message: Said<'a>,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Said<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: Option<&'a str>,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the names on the wire")]
struct Tokens {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: Cached,
    completion_tokens_details: Reasoned,
}

#[derive(Serialize)]
struct Reasoned {
    reasoning_tokens: u64,
}

#[derive(Serialize)]
struct Cached {
    cached_tokens: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Endpoint;

    fn answer(body: &str, manner: Manner, length: Option<&RangeInclusive<u64>>) -> Answer {
        Answer::to(&Request::read(Endpoint::Chat, body.as_bytes()).unwrap(), manner, length)
    }

    const BODY: &str = r#"{"model":"m","messages":[{"role":"user","content":"Tag this: Größe passt gut"}]}"#;

    #[test]
    fn an_answer_begins_with_the_mark_and_repeats_the_prompt() {
        let answer = answer(BODY, Manner::Good, None);
        assert_eq!(answer.content, format!("{} Tag this: Größe passt gut", answer_mark("Tag this: Größe passt gut")));
        assert_eq!(answer.finish_reason, "stop");
        assert_eq!(answer.usage.input_tokens, 27_u64.div_ceil(4) + 3);
        assert_eq!(answer.usage.output_tokens, 48_u64.div_ceil(4));
        assert_eq!(answer_mark("a").len(), 20);
        assert_ne!(answer_mark("a"), answer_mark("b"));
    }

    #[test]
    fn the_length_asked_for_is_met_and_the_cap_holds() {
        let long = answer(BODY, Manner::Good, Some(&(50..=50)));
        assert_eq!((long.usage.output_tokens, long.finish_reason), (50, "stop"));
        let capped = BODY.replace(r#""model""#, r#""max_tokens":7,"model""#);
        let cut = answer(&capped, Manner::Good, Some(&(50..=60)));
        assert_eq!((cut.usage.output_tokens, cut.finish_reason), (7, "length"));
        let short = answer(&capped, Manner::Good, None);
        assert!(short.usage.output_tokens <= 7);
        assert_eq!(short.finish_reason, "stop");
        let range = answer(BODY, Manner::Good, Some(&(10..=20)));
        assert!((10..=20).contains(&range.usage.output_tokens));
    }

    #[test]
    fn each_manner_shows() {
        let half = answer(BODY, Manner::HalfWay, None);
        assert_eq!((half.content.len(), half.finish_reason), (24, "length"));
        let silent = answer(BODY, Manner::Silent, None);
        assert_eq!((silent.content.as_str(), silent.usage.output_tokens), ("", 0));
        let filtered = answer(BODY, Manner::Filtered, None);
        let body = String::from_utf8(filtered.body("m", 1, 0, true)).unwrap();
        assert!(body.contains(r#""content":null"#) && body.contains(r#""finish_reason":"content_filter""#), "{body}");
        let json = BODY.replace(r#""model""#, r#""response_format":{"type":"json_object"},"model""#);
        assert!(answer(&json, Manner::Good, None).content.starts_with(r#"{"answer":"sim:"#));
        assert!(answer(&json, Manner::Plain, None).content.starts_with("sim:"));
    }

    #[test]
    fn a_prompt_without_blanks_is_not_repeated_whole() {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{}"}}]}}"#, "x".repeat(10_000));
        assert_eq!(answer(&body, Manner::Good, None).content.len(), 20);
    }
}
