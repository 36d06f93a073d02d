//! A completion of a text.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{ReplyError, ReplyView, first_choice, says_something};

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    logprobs: Option<Box<RawValue>>,
}

pub(super) fn read(body: &[u8]) -> Result<ReplyView, ReplyError> {
    let (choice, usage, billing) = first_choice::<Choice>(body)?;
    Ok(ReplyView {
        content: choice.text,
        finish_reason: choice.finish_reason,
        logprobs: choice.logprobs.filter(says_something),
        usage,
        billing,
        ..ReplyView::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_completion() {
        let body = br#"{"id":"cmpl-uqkvlQyYK7bGYrRHQ0eXlWi7","object":"text_completion","created":1589478378,
            "model":"gpt-3.5-turbo-instruct","system_fingerprint":"fp_44709d6fcb","choices":[{"text":"\n\nThis is indeed a test",
            "index":0,"logprobs":null,"finish_reason":"length"}],
            "usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}"#;
        let view = read(body).unwrap();
        assert_eq!(view.content.as_deref(), Some("\n\nThis is indeed a test"));
        assert_eq!((view.finish_reason.as_deref(), view.logprobs.is_none()), (Some("length"), true));
        assert_eq!(view.usage.map(|usage| (usage.input_tokens, usage.output_tokens)), Some((5, 7)));
        let with = br#"{"choices":[{"text":"a","logprobs":{"tokens":["a"],"token_logprobs":[-0.1]}}]}"#;
        let logprobs = read(with).unwrap().logprobs.unwrap();
        assert_eq!(logprobs.get(), r#"{"tokens":["a"],"token_logprobs":[-0.1]}"#);
        assert!(matches!(read(br#"{"choices":[]}"#), Err(ReplyError::Nothing("choices"))));
        assert!(matches!(read(br#"{"error":{"message":"x"}}"#), Err(ReplyError::Error(_))));
    }
}
