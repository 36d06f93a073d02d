//! A response: a list of items, of which messages and calls of tools count.

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{ReplyError, ReplyView, WireUsage, Word, no_error, says_something, told};

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    error: Option<Box<RawValue>>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    incomplete_details: Option<Incomplete>,
    #[serde(default)]
    output: Option<Vec<Box<RawValue>>>,
    #[serde(default)]
    usage: Option<WireUsage>,
    #[serde(default)]
    model: Option<Word>,
    #[serde(default)]
    service_tier: Option<Word>,
}

#[derive(Deserialize)]
struct Incomplete {
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    content: Option<Vec<Part>>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    logprobs: Option<Vec<Box<RawValue>>>,
}

pub(super) fn read(body: &[u8]) -> Result<ReplyView, ReplyError> {
    let body: Body = super::parse(body)?;
    no_error(body.error)?;
    let status = body.status.unwrap_or_else(|| "completed".to_owned());
    if !matches!(status.as_str(), "completed" | "incomplete") {
        return Err(ReplyError::Unfinished(status));
    }
    let said = Said::of(body.output.ok_or(ReplyError::Nothing("output"))?)?;
    let reason = body.incomplete_details.and_then(|details| details.reason).filter(|_| status == "incomplete");
    let finish_reason = match reason.as_deref() {
        // The word that everybody else has for it.
        Some("max_output_tokens") => "length",
        Some(other) => other,
        None if status == "incomplete" => "incomplete",
        None if !said.calls.is_empty() => "tool_calls",
        None => "stop",
    };
    let (usage, billing) = told(body.usage, body.model, body.service_tier);
    Ok(ReplyView {
        finish_reason: Some(finish_reason.to_owned()),
        tool_calls: Some(to_raw_value(&said.calls)?).filter(says_something),
        logprobs: Some(to_raw_value(&said.logprobs)?).filter(says_something),
        content: said.text,
        refusal: said.refusal,
        usage,
        billing,
        embedding: None,
    })
}

/// What the items of a response say together.
#[derive(Default)]
struct Said {
    text: Option<String>,
    refusal: Option<String>,
    calls: Vec<Box<RawValue>>,
    logprobs: Vec<Box<RawValue>>,
}

impl Said {
    fn of(output: Vec<Box<RawValue>>) -> Result<Self, ReplyError> {
        let mut said = Self::default();
        for raw in output {
            let item: Item = serde_json::from_str(raw.get())?;
            match item.r#type.as_str() {
                "message" => item.content.unwrap_or_default().into_iter().for_each(|part| said.add(part)),
                "function_call" | "custom_tool_call" => said.calls.push(raw),
                // Reasoning, and the calls of tools that the provider runs itself.
                _ => {}
            }
        }
        Ok(said)
    }

    fn add(&mut self, part: Part) {
        match part.r#type.as_str() {
            "output_text" => {
                self.text.get_or_insert_default().push_str(&part.text.unwrap_or_default());
                self.logprobs.extend(part.logprobs.unwrap_or_default());
            }
            "refusal" => self.refusal.get_or_insert_default().push_str(&part.refusal.unwrap_or_default()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Usage;

    fn body(status: &str, more: &str, output: &str) -> String {
        let usage = r#""usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":8},"output_tokens":87,
            "output_tokens_details":{"reasoning_tokens":64},"total_tokens":123}"#;
        format!(
            r#"{{"id":"resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b","object":"response","created_at":1741476542,
            "status":"{status}","error":null,{more}"instructions":null,"max_output_tokens":null,
            "model":"gpt-4.1-2025-04-14","output":{output},"parallel_tool_calls":true,"previous_response_id":null,
            "reasoning":{{"effort":null,"summary":null}},"store":true,"temperature":1.0,
            "text":{{"format":{{"type":"text"}}}},"tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled",
            {usage},"user":null,"metadata":{{}}}}"#
        )
    }

    const MESSAGE: &str = r#"{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[
        {"type":"output_text","text":"In a peaceful grove","annotations":[],"logprobs":[{"token":"In","logprob":-0.5}]}]}"#;

    fn of(status: &str, more: &str, output: &str) -> ReplyView {
        read(body(status, more, output).as_bytes()).unwrap()
    }

    #[test]
    fn reads_text_tokens_and_logprobs_behind_reasoning() {
        let view = of("completed", "", &format!(r#"[{{"type":"reasoning","id":"rs_1","summary":[]}},{MESSAGE}]"#));
        assert_eq!(view.content.as_deref(), Some("In a peaceful grove"));
        assert_eq!((view.finish_reason.as_deref(), view.tool_calls.is_none()), (Some("stop"), true));
        assert_eq!(view.logprobs.unwrap().get(), r#"[{"token":"In","logprob":-0.5}]"#);
        let usage = Usage {
            input_tokens: 36,
            cached_input_tokens: 8,
            output_tokens: 87,
            reasoning_tokens: 64,
            ..Usage::default()
        };
        assert_eq!(view.usage, Some(usage));
    }

    #[test]
    fn calls_of_tools_are_kept_as_received() {
        let call = r#"{"type":"function_call","id":"fc_1","call_id":"call_1","name":"get_weather","arguments":"{\"city\":\"Paris\"}","status":"completed"}"#;
        let view = of("completed", "", &format!("[{call}]"));
        assert_eq!((view.content, view.finish_reason.as_deref()), (None, Some("tool_calls")));
        assert_eq!(view.tool_calls.unwrap().get(), format!("[{call}]"));
    }

    #[test]
    fn what_is_incomplete_says_why_in_the_words_of_chat() {
        let reason = |reason: &str| {
            let more = format!(r#""incomplete_details":{{"reason":"{reason}"}},"#);
            of("incomplete", &more, &format!("[{MESSAGE}]")).finish_reason.unwrap()
        };
        assert_eq!(reason("max_output_tokens"), "length");
        assert_eq!(reason("content_filter"), "content_filter");
        let part = r#"[{"type":"message","content":[{"type":"refusal","refusal":"I cannot."}]}]"#;
        assert_eq!(of("completed", "", part).refusal.as_deref(), Some("I cannot."));
    }

    #[test]
    fn what_failed_or_is_not_over_is_no_answer() {
        let failed = r#"{"status":"failed","error":{"code":"server_error","message":"The model failed"},"output":[]}"#;
        assert!(matches!(read(failed.as_bytes()), Err(ReplyError::Error(error)) if error.contains("server_error")));
        for status in ["queued", "in_progress", "cancelled", "failed"] {
            let told = read(body(status, "", "[]").as_bytes());
            assert!(matches!(told, Err(ReplyError::Unfinished(told)) if told == status));
        }
        assert!(matches!(read(br#"{"status":"completed"}"#), Err(ReplyError::Nothing("output"))));
    }
}
