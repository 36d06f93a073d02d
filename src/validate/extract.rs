//! Finds the JSON in what a model said: alone, in a code fence, or among words.

use serde_json::Value;

/// What sort of JSON is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Object,
    Array,
    /// A text, a number, true, false or null.
    Scalar,
    /// An object or an array among words; alone anything.
    Any,
}

impl Wanted {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Object => "JSON object",
            Self::Array => "JSON array",
            Self::Scalar | Self::Any => "JSON value",
        }
    }

    fn takes(self, value: &Value) -> bool {
        match self {
            Self::Object => value.is_object(),
            Self::Array => value.is_array(),
            Self::Scalar | Self::Any => true,
        }
    }

    fn begins_with(self, c: char) -> bool {
        match self {
            Self::Object => c == '{',
            Self::Array => c == '[',
            Self::Scalar => false,
            Self::Any => c == '{' || c == '[',
        }
    }
}

/// The first whole JSON value of this sort. What is cut off is none, nor is any value within it.
pub(super) fn extract(text: &str, wanted: Wanted) -> Option<Value> {
    let text = unfenced(after_thinking(text).trim());
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        return Some(value).filter(|value| wanted.takes(value));
    }
    let mut rest = text;
    loop {
        rest = &rest[rest.find(|c| wanted.begins_with(c))?..];
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        match values.next()? {
            Ok(value) => return Some(value),
            Err(error) if error.is_eof() => return None,
            // A value within one that is broken is not the answer.
            Err(error) => rest = &rest[place(rest, &error)..],
        }
    }
}

/// Where the value that begins this text is broken; never at its first byte.
fn place(text: &str, error: &serde_json::Error) -> usize {
    let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    let at = lines.map(str::len).sum::<usize>() + error.column().saturating_sub(1);
    text.ceil_char_boundary(at.clamp(1, text.len()))
}

/// Some models think aloud before they answer.
fn after_thinking(text: &str) -> &str {
    let thought = text.trim_start().strip_prefix("<think>");
    thought.and_then(|thought| thought.split_once("</think>")).map_or(text, |(_, answer)| answer)
}

/// The content of a code fence that is all of the text.
fn unfenced(text: &str) -> &str {
    let inner = text.strip_prefix("```").and_then(|text| text.strip_suffix("```"));
    inner.and_then(|inner| inner.split_once('\n')).map_or(text, |(_language, inner)| inner.trim())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn object(text: &str) -> Option<Value> {
        extract(text, Wanted::Object)
    }

    #[test]
    fn json_alone_in_a_fence_or_among_words_is_found() {
        let value = json!({"a": {"b": 1}, "c": "} ü"});
        let plain = value.to_string();
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        for text in [
            plain.clone(),
            format!("\n {plain}\n"),
            format!("```json\n{pretty}\n```"),
            format!("```\n{plain}```\n"),
            format!("Sure! Here it is:\n```json\n{pretty}\n```\nHope that helps {{really}}."),
            format!("The set {{a, b}} gives {plain}, as asked."),
            format!("{{{{not json}}}} \u{fc} {{\n{plain}"),
            format!("<think>maybe {{\"a\": 2}}?</think>\n{plain}"),
            format!("{plain}\n{{\"a\": \"second\"}}"),
        ] {
            assert_eq!(object(&text), Some(value.clone()), "{text}");
        }
    }

    #[test]
    fn what_is_cut_off_or_broken_is_none_and_nothing_within_it_is_taken() {
        for text in [
            "",
            "no",
            "{",
            r#"{"a": {"b": 1}, "c": "#,
            r#"{"a": {"b": 1}, c: 2}"#,
            r#"```json
{"a": {"b": 1},"#,
            "[{\"a\": 1}",
        ] {
            let found = object(text);
            assert!(found.is_none() || text.starts_with('['), "{text}: {found:?}");
        }
        assert_eq!(object("[1]"), None, "an array is no object");
    }

    #[test]
    fn the_sort_that_is_wanted_is_found() {
        assert_eq!(extract("for {x}: [1, 2]", Wanted::Array), Some(json!([1, 2])));
        assert_eq!(extract("[1] {\"a\": 1}", Wanted::Object), Some(json!({"a": 1})));
        assert_eq!(extract("[1] {\"a\": 1}", Wanted::Any), Some(json!([1])));
        assert_eq!(extract("```\n7\n```", Wanted::Scalar), Some(json!(7)));
        assert_eq!(extract("about 7", Wanted::Scalar), None);
        assert_eq!(extract("7", Wanted::Object), None);
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in r#"[\[\]{}":,a1 \n\u{fc}`]{0,40}"#) {
            for wanted in [Wanted::Object, Wanted::Array, Wanted::Scalar, Wanted::Any] {
                let found = extract(&text, wanted);
                prop_assert!(found.is_none_or(|value| wanted.takes(&value)));
            }
        }
    }
}
