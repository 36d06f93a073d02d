//! Whether a server has read the whole of a prompt. Servers of one's own may cut what is over their context without a word,
//! and answer as if nothing were missing.
//!
//! It is told by the prompt tokens that they count, and must never blame one that has read all: so only the least that any
//! tokenizer makes of a text is held against them, and only half of that. Some count no tokens that they have in their
//! cache: what the beginning of a prompt shares with another one's is left out.

use std::sync::{Mutex, PoisonError};

use crate::types::{Payload, tokens};

/// Shorter prompts are over no server's context, in tokens at least.
const SHORTEST: u64 = 1_000;
/// Fewer are what is left beside a cache, or no count at all.
const FEWEST_TOLD: u64 = 256;
/// What stands around the texts, in tokens.
const AROUND: u64 = 64;

/// What a model of a server of one's own was sent.
#[derive(Default)]
pub(super) struct Reading {
    /// The last two prompts: one of them is another one's.
    recent: Mutex<[Option<Payload>; 2]>,
}

impl Reading {
    /// A prompt is about to be sent.
    pub fn sent(&self, payload: &Payload) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.rotate_left(1);
        recent[1] = Some(payload.clone());
    }

    /// How many tokens a prompt has at least, where the server surely has not read them all.
    pub fn was_cut(&self, payload: &Payload, told: u64) -> Option<u64> {
        let text = payload.json().get();
        let fewer = |tokens: u64| told + AROUND < tokens / 2;
        // No text has more tokens at least than half of its bytes: most need no counting.
        if told < FEWEST_TOLD || !fewer(text.len() as u64 / 2) {
            return None;
        }
        let least = tokens::at_least(text);
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let others = recent.iter().flatten().filter(|other| !std::ptr::eq(other.json(), payload.json()));
        let rests = others.map(|other| tokens::at_least(behind_common(text, other.json().get())));
        (least >= SHORTEST && fewer(rests.min().unwrap_or(least))).then_some(least)
    }
}

/// What follows where two texts begin to differ.
fn behind_common<'a>(text: &'a str, other: &str) -> &'a str {
    let common = text.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    let begin = (0..=common).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[begin..]
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use serde_json::value::RawValue;

    use super::*;

    fn prompt(text: &str) -> Payload {
        let messages = json!([{ "role": "user", "content": text }]).to_string();
        Payload::messages(RawValue::from_string(messages).unwrap())
    }

    fn words(count: usize, first: &str) -> String {
        (0..count).map(|at| format!("{first}{} of", at % 7)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_server_that_counts_far_too_few_tokens_has_cut_the_prompt() {
        let (reading, long) = (Reading::default(), prompt(&words(5_000, "word")));
        reading.sent(&long);
        let least = tokens::at_least(long.json().get());
        assert_eq!((reading.was_cut(&long, 4_096), least > 10_000), (Some(least), true));
        assert_eq!(reading.was_cut(&long, least / 2), None);
        assert_eq!(reading.was_cut(&long, 1), None, "no count at all");
        assert_eq!(reading.was_cut(&prompt(&words(499, "word")), 300), None, "too short to tell");
    }

    #[test]
    fn whoever_counts_a_quarter_of_the_bytes_or_no_blanks_is_never_blamed() {
        let texts = [words(5_000, "x"), " ".repeat(90_000), "a b c ".repeat(9_000), "=-".repeat(50_000)];
        let more = ["今天天气很好。".repeat(5_000), "x".repeat(90_000), "0123456789abcdef+/".repeat(5_000)];
        for text in texts.iter().chain(&more) {
            let (reading, long) = (Reading::default(), prompt(text));
            reading.sent(&long);
            assert_eq!(reading.was_cut(&long, (text.len() as u64).div_ceil(4)), None, "{}", &text[..14]);
            let words = text.split_whitespace().count() as u64;
            assert_eq!(reading.was_cut(&long, words), None, "{}", &text[..14]);
        }
    }

    #[test]
    fn tokens_that_a_cache_has_may_go_uncounted() {
        let (reading, shared) = (Reading::default(), words(5_000, "example"));
        let (one, other) =
            (prompt(&format!("{shared} first {}", words(300, "a"))), prompt(&format!("{shared} second")));
        reading.sent(&one);
        assert!(reading.was_cut(&one, 700).is_some(), "nothing else was sent that could be in a cache");
        reading.sent(&other);
        assert_eq!(reading.was_cut(&one, 700), None);
        reading.sent(&one);
        reading.sent(&prompt(&words(5_000, "else")));
        assert!(reading.was_cut(&one, 700).is_some());
    }
}
