//! Tokens of a text, told without a tokenizer: about how many, and how many at least.

/// Estimates count in quarters of a token.
const WHOLE: usize = 4;
/// A run of letters and digits of this length may be one token; each further [`RUN_STEP`] is one more.
const LONGEST_WORD: usize = 16;
const RUN_STEP: usize = 8;
/// So many letters of scripts without spaces may be one token.
const DENSE: usize = 4;
/// A longer word at the end is cut rather than left out, in bytes.
const LONG_WORD: usize = 64;
/// What follows, up to the end of its text, is no text: a file's bytes.
const ENCODED: [&[u8]; 2] = [b";base64,", b"\"data\":\""];

/// The longest beginning of a text that has about so many tokens at most: four ASCII characters are taken for one token,
/// two letters of other alphabets, and one character of any other script.
fn about_first(text: &str, tokens: usize) -> &str {
    let mut left = tokens.saturating_mul(WHOLE);
    for (at, c) in text.char_indices() {
        let weight = quarters(c);
        if weight > left {
            return &text[..at];
        }
        left -= weight;
    }
    text
}

/// About how many tokens a text has, as [`about_first`] counts them.
fn about(text: &str) -> usize {
    text.chars().map(quarters).sum::<usize>().div_ceil(WHOLE)
}

fn quarters(c: char) -> usize {
    match u32::from(c) {
        ..0x80 => 1,
        // Latin with marks, Greek, Cyrillic, Armenian, Hebrew, Arabic.
        0x80..0x0700 => 2,
        _ => WHOLE,
    }
}

/// No tokenizer in use makes fewer tokens of these messages (compact JSON): a word is at least one, blanks and punctuation
/// may be none, and files that stand in the text are not counted.
#[must_use]
pub fn at_least(messages: &str) -> u64 {
    let bytes = messages.as_bytes();
    let (mut tokens, mut run, mut dense, mut at) = (0, 0, 0, 0);
    while let Some(&byte) = bytes.get(at) {
        if byte.is_ascii_alphanumeric() {
            run += 1;
            at += 1;
            continue;
        }
        if byte == b'\'' && run > 0 {
            at += 1;
            continue;
        }
        if byte.is_ascii() {
            tokens += of_run(std::mem::take(&mut run));
            at += behind(&bytes[at..]);
            continue;
        }
        let Some(c) = messages[at..].chars().next() else { break };
        at += c.len_utf8();
        if is_dense(c) {
            dense += 1;
        } else if c.is_alphanumeric() {
            run += 1;
        } else {
            tokens += of_run(std::mem::take(&mut run));
        }
    }
    (tokens + of_run(run) + dense / DENSE) as u64
}

fn of_run(len: usize) -> usize {
    match len {
        0 => 0,
        len => 1 + len.saturating_sub(LONGEST_WORD) / RUN_STEP,
    }
}

/// How many bytes the punctuation takes that stands here: an escape is one, and so is a file.
fn behind(bytes: &[u8]) -> usize {
    match bytes {
        [b'\\', b'u', ..] => 6.min(bytes.len()),
        [b'\\', _, ..] => 2,
        [b';' | b'"', ..] => match ENCODED.iter().find(|begin| bytes.starts_with(begin)) {
            Some(begin) => {
                begin.len() + memchr::memchr(b'"', &bytes[begin.len()..]).unwrap_or(bytes.len() - begin.len())
            }
            None => 1,
        },
        _ => 1,
    }
}

/// Whether a letter is of a script that has no spaces between words, or has tokens of few letters.
fn is_dense(c: char) -> bool {
    let is_letter = c.is_alphanumeric();
    // Thai to Tibetan, Myanmar, Khmer; kana, ideographs, Hangul and what stands between them.
    is_letter && matches!(u32::from(c), 0x0E00..0x1100 | 0x1780..0x1800 | 0x2E80..0xD800 | 0xF900..0xFB00 | 0x2_0000..)
}

/// A text cut to about so many tokens, with `end` behind it where something was cut, which counts too. It ends with a whole
/// word where one begins in the last part of it.
#[must_use]
pub fn truncated(text: &str, tokens: usize, end: &str) -> String {
    if about(text) <= tokens {
        return text.to_owned();
    }
    let room = tokens.saturating_sub(about(end));
    let cut = about_first(text, room);
    let in_word = text[cut.len()..].chars().next().is_some_and(|c| !c.is_whitespace());
    let kept = if in_word { whole_words(cut) } else { cut };
    let end = if about(end) <= tokens { end } else { "" };
    [kept.trim_end(), end].concat()
}

/// Without the word that was cut, unless it is most of the end.
fn whole_words(cut: &str) -> &str {
    let most = LONG_WORD.min(cut.len() / 2);
    let word = cut.rfind(char::is_whitespace).filter(|at| cut.len() - at <= most);
    word.map_or(cut, |at| &cut[..at])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn messages(text: &str) -> String {
        serde_json::json!([{ "role": "user", "content": text }]).to_string()
    }

    #[test]
    fn words_are_tokens_at_least_and_blanks_may_be_none() {
        let none = at_least(&messages(""));
        let of = |text: &str| at_least(&messages(text)) - none;
        assert_eq!(of("The quick brown fox doesn't jump."), 6);
        assert_eq!(of("a\n\n\tb \u{2028} \u{e9}t\u{e9}"), 3);
        assert_eq!(of(&" ".repeat(10_000)), 0);
        assert_eq!(of(&"=".repeat(10_000)), 0);
        assert_eq!(of(&"x".repeat(10_000)), 1_249);
        assert_eq!(of("привет мир"), 2);
        assert_eq!(of("今天天气很好我们去"), 2);
        assert_eq!(of("\\u1234 \"quoted\""), 2);
    }

    #[test]
    fn files_in_messages_are_no_text() {
        let image = format!("data:image/png;base64,{}", "iVBOR/w0KGgo+".repeat(10_000));
        let parts = serde_json::json!([{ "role": "user", "content": [
            { "type": "text", "text": "one two" },
            { "type": "image_url", "image_url": { "url": image } },
            { "type": "input_audio", "input_audio": { "data": "UklGR+".repeat(10_000), "format": "wav" } },
        ] }]);
        assert!(at_least(&parts.to_string()) < 40, "{}", at_least(&parts.to_string()));
    }

    #[test]
    fn a_text_is_cut_at_a_word_where_there_is_one() {
        assert_eq!(truncated("one two three four", 3, ""), "one two");
        assert_eq!(truncated("one two three four", 3, "…"), "one two…");
        assert_eq!(truncated("one two three four", 5, "…"), "one two three four");
        assert_eq!(truncated("one two three", 2, " [cut]"), " [cut]");
        assert_eq!(truncated("今天天气很好", 3, ""), "今天天");
        assert_eq!(truncated("привет, мир и все остальные", 6, ""), "привет, мир и");
        assert_eq!(truncated(&"x".repeat(100), 5, ""), "x".repeat(20));
        assert_eq!(truncated("one two", 0, "…"), "");
    }

    proptest! {
        #[test]
        fn what_was_cut_fits_and_is_a_beginning(text in "\\PC{0,200}", tokens in 0usize..60, end in "(…| \\[cut\\])?") {
            let cut = truncated(&text, tokens, &end);
            prop_assert!(about(&cut) <= tokens || cut == text);
            let own = cut.strip_suffix(&end).unwrap_or(&cut);
            prop_assert!(cut == text || text.starts_with(own));
        }

        #[test]
        fn the_least_is_never_more_than_half_of_the_bytes(text in "\\PC{0,200}") {
            let json = messages(&text);
            prop_assert!(at_least(&json) <= (json.len() as u64).div_ceil(2));
        }
    }
}
