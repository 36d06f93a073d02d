//! Bodies and replies of the endpoints beside chat, as the providers' documentation has them.

use std::io::Write;
use std::sync::Arc;

use futures::FutureExt;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Canned, reply};
use crate::provider::{Answer, CallError, ModelRequest, OpenAiProvider, Profile, Provider, TokenParam};
use crate::types::{Attached, Endpoint, FailureKind, Form, ImageFile, Payload, Usage};

fn raw(json: &Value) -> Box<RawValue> {
    RawValue::from_string(json.to_string()).unwrap()
}

fn request(endpoint: Endpoint, payload: Payload, params: Value) -> ModelRequest {
    let params = serde_json::from_value(params).unwrap();
    ModelRequest { model: "m".into(), endpoint, payload, params: Arc::new(params), as_written: false }
}

fn conversation(messages: &Value) -> Payload {
    Payload::messages(raw(messages))
}

/// The path and the body that a request is sent with.
fn sent(request: &ModelRequest, token_param: TokenParam) -> (&'static str, Value) {
    let canned = Canned::new(Ok(reply(200, &[], "{}")));
    let provider = OpenAiProvider::new(canned.clone(), Profile::Generic, token_param);
    let _ = provider.call(request).now_or_never().unwrap();
    let path = canned.sent.lock().unwrap()[0].path;
    (path, serde_json::from_str(&canned.body()).unwrap())
}

fn call(endpoint: Endpoint, body: &str) -> Result<Answer, Box<CallError>> {
    let provider = OpenAiProvider::new(Canned::new(Ok(reply(200, &[], body))), Profile::Generic, TokenParam::MaxTokens);
    let asked = Payload::new(endpoint.form(), raw(&json!([])));
    provider.call(&request(endpoint, asked, json!({}))).now_or_never().unwrap().map_err(Box::new)
}

fn failed(endpoint: Endpoint, body: &str) -> CallError {
    *call(endpoint, body).unwrap_err()
}

#[test]
fn texts_go_to_completions_and_embeddings_in_their_own_fields() {
    let text = || Payload::new(Form::Text, raw(&json!("hi")));
    let params = json!({"max_completion_tokens": 7, "stream": true, "prompt": "no", "echo": false});
    let (path, body) = sent(&request(Endpoint::Completions, text(), params), TokenParam::MaxCompletionTokens);
    assert_eq!(path, "completions");
    assert_eq!(body, json!({"model": "m", "prompt": "hi", "max_tokens": 7, "echo": false}));
    let params = json!({"dimensions": 256, "input": "no"});
    let (path, body) = sent(&request(Endpoint::Embeddings, text(), params), TokenParam::MaxTokens);
    assert_eq!((path, body), ("embeddings", json!({"model": "m", "input": "hi", "dimensions": 256})));
}

#[test]
fn a_conversation_and_its_params_become_a_response_s() {
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "https://e.example/a.png", "detail": "low"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
        ]},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "a cat"},
        {"role": "assistant", "content": [{"type": "text", "text": "A cat."}]},
        {"role": "user", "content": "Sure?"},
    ]);
    let params = json!({
        "max_tokens": 9, "temperature": 0, "n": 1, "reasoning_effort": "low", "verbosity": "low", "background": true,
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "strict": true, "schema": {"a": 1}}},
        "tools": [{"type": "function", "function": {"name": "look", "parameters": {}}}, {"type": "web_search"}],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
    });
    let (path, body) = sent(&request(Endpoint::Responses, conversation(&messages), params), TokenParam::MaxTokens);
    let expected = json!({
        "model": "m",
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": [
                {"type": "input_text", "text": "What is this?"},
                {"type": "input_image", "image_url": "https://e.example/a.png", "detail": "low"},
                {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"},
            ]},
            {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "a cat"},
            {"role": "assistant", "content": [{"type": "output_text", "text": "A cat."}]},
            {"role": "user", "content": "Sure?"},
        ],
        "max_output_tokens": 9, "temperature": 0,
        "reasoning": {"effort": "low"},
        "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "s", "strict": true, "schema": {"a": 1}}},
        "tools": [{"type": "function", "name": "look", "parameters": {}}, {"type": "web_search"}],
        "tool_choice": {"type": "function", "name": "look"},
    });
    assert_eq!((path, body), ("responses", expected));
}

#[test]
fn own_instructions_and_own_input_stay_as_they_are() {
    let messages = json!([{"role": "system", "content": "S"}, {"role": "user", "content": "hi"}]);
    let params = json!({"instructions": "Mine.", "text": {"verbosity": "high"}, "verbosity": "low"});
    let (_, body) = sent(&request(Endpoint::Responses, conversation(&messages), params), TokenParam::MaxTokens);
    let expected = json!({"model": "m", "input": messages, "instructions": "Mine.", "text": {"verbosity": "low"}});
    assert_eq!(body, expected);
    let own = Payload::new(Form::Input, raw(&json!("hi")));
    let params = json!({"max_output_tokens": 5, "reasoning": {"effort": "low"}});
    let (_, body) = sent(&request(Endpoint::Responses, own, params), TokenParam::MaxTokens);
    assert_eq!(body, json!({"model": "m", "input": "hi", "max_output_tokens": 5, "reasoning": {"effort": "low"}}));
    // The fallback of a response is a chat completion.
    let chat = request(Endpoint::Chat, conversation(&messages), json!({"max_output_tokens": 5}));
    let (_, body) = sent(&chat, TokenParam::MaxCompletionTokens);
    assert_eq!(body, json!({"model": "m", "messages": messages, "max_completion_tokens": 5}));
}

const USAGE: &str = r#""usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":0},"output_tokens":4,
    "output_tokens_details":{"reasoning_tokens":0},"total_tokens":13}"#;

fn response(status: &str, more: &str, part: &str) -> String {
    let message =
        format!(r#"{{"id":"msg_1","type":"message","role":"assistant","status":"{status}","content":[{part}]}}"#);
    format!(
        r#"{{"id":"resp_1","object":"response","status":"{status}","error":null,{more}"output":[{message}],{USAGE}}}"#
    )
}

fn text(text: &str) -> String {
    format!(r#"{{"type":"output_text","text":"{text}","annotations":[]}}"#)
}

#[test]
fn answers_are_told_in_the_same_way_at_every_endpoint() {
    let usage = |output_tokens| Some(Usage { input_tokens: 9, output_tokens, ..Usage::default() });
    let answer = call(Endpoint::Responses, &response("completed", "", &text("hi"))).unwrap();
    assert_eq!((answer.content.as_deref(), answer.finish_reason.as_deref()), (Some("hi"), Some("stop")));
    assert_eq!((answer.usage, answer.truncated, answer.endpoint), (usage(4), false, Endpoint::Responses));
    let more = r#""incomplete_details":{"reason":"max_output_tokens"},"#;
    assert!(call(Endpoint::Responses, &response("incomplete", more, &text("hi"))).unwrap().truncated);
    let call_alone =
        r#"{"status":"completed","output":[{"type":"function_call","call_id":"1","name":"f","arguments":"{}"}]}"#;
    assert_eq!(call(Endpoint::Responses, call_alone).unwrap().content, None);

    let body = r#"{"object":"text_completion","choices":[{"text":" world","index":0,"logprobs":null,
        "finish_reason":"length"}],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}"#;
    let answer = call(Endpoint::Completions, body).unwrap();
    assert_eq!((answer.content.as_deref(), answer.truncated, answer.usage), (Some(" world"), true, usage(4)));

    let body = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-1e-3]}],
        "model":"text-embedding-3-small","usage":{"prompt_tokens":9,"total_tokens":9}}"#;
    let answer = call(Endpoint::Embeddings, body).unwrap();
    assert_eq!((answer.content, answer.usage), (None, usage(0)));
}

#[test]
fn responses_that_are_no_answer_fail_by_the_same_kinds() {
    let filtered = r#""incomplete_details":{"reason":"content_filter"},"#;
    let at_limit = r#""incomplete_details":{"reason":"max_output_tokens"},"#;
    let failed_with = |code: &str| {
        format!(r#"{{"status":"failed","error":{{"code":"{code}","message":"it failed"}},"output":[],{USAGE}}}"#)
    };
    let cases = [
        (response("completed", "", &text("")), FailureKind::Empty),
        (response("incomplete", at_limit, &text(" ")), FailureKind::Empty),
        (response("incomplete", filtered, &text("half")), FailureKind::ContentFilter),
        (response("completed", "", r#"{"type":"refusal","refusal":"I cannot"}"#), FailureKind::Refusal),
        (failed_with("server_error"), FailureKind::ServerError),
        (failed_with("rate_limit_exceeded"), FailureKind::RateLimited),
        (format!(r#"{{"status":"queued","output":[],{USAGE}}}"#), FailureKind::MalformedReply),
        (format!(r#"{{"status":"completed","output":null,{USAGE}}}"#), FailureKind::MalformedReply),
    ];
    for (body, kind) in cases {
        let error = failed(Endpoint::Responses, &body);
        assert_eq!((error.failure.kind, error.possibly_billed), (kind, false), "{body}");
        assert_eq!(error.usage.map(|usage| usage.total()), Some(13), "{body}");
    }
    let cut = failed(Endpoint::Responses, r#"{"status":"completed","output":[{"type":"mess"#);
    assert_eq!((cut.failure.kind, cut.possibly_billed), (FailureKind::MalformedReply, true));
}

#[test]
fn completions_and_embeddings_that_are_no_answer_fail_by_the_same_kinds() {
    let completion = |text: &str, reason: &str| {
        format!(
            r#"{{"choices":[{{"text":"{text}","index":0,"finish_reason":"{reason}"}}],"usage":{{"prompt_tokens":9}}}}"#
        )
    };
    let vector = |data: &str| format!(r#"{{"object":"list","data":{data},"usage":{{"prompt_tokens":9}}}}"#);
    let in_200 = r#"{"error":{"code":429,"message":"slow down"},"usage":{"prompt_tokens":9}}"#.to_owned();
    for (endpoint, body, kind) in [
        (Endpoint::Completions, completion("", "stop"), FailureKind::Empty),
        (Endpoint::Completions, completion("half", "content_filter"), FailureKind::ContentFilter),
        (Endpoint::Completions, in_200.clone(), FailureKind::RateLimited),
        (Endpoint::Completions, vector("[]"), FailureKind::MalformedReply),
        (Endpoint::Embeddings, vector(r#"[{"index":0,"embedding":[]}]"#), FailureKind::Empty),
        (Endpoint::Embeddings, vector("[]"), FailureKind::MalformedReply),
        (Endpoint::Embeddings, vector("null"), FailureKind::MalformedReply),
        (Endpoint::Embeddings, vector(r#"[{"index":0,"embedding":"?"}]"#), FailureKind::MalformedReply),
        (Endpoint::Embeddings, in_200, FailureKind::RateLimited),
    ] {
        let error = failed(endpoint, &body);
        assert_eq!((error.failure.kind, error.possibly_billed), (kind, false), "{body}");
        assert_eq!(error.usage.map(|usage| usage.input_tokens), Some(9), "{body}");
    }
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nbytes of a picture";

/// Two messages with the same picture, once by its file and once by its address.
fn with_picture(path: &std::path::Path) -> Payload {
    let hash = *blake3::hash(PNG).as_bytes();
    let file = ImageFile { path: path.to_owned(), hash, media: "image/png", bytes: PNG.len() as u64 };
    let part = |url: &str| json!({"type": "image_url", "image_url": {"url": url}});
    let content = json!([part(&file.reference()), part("https://e.example/a.png"), part(&file.reference())]);
    let attached = Attached { images: 3, ..Attached::default() };
    conversation(&json!([{"role": "user", "content": content}])).with(attached, vec![file.clone(), file])
}

#[tokio::test]
async fn files_are_sent_by_their_bytes_and_not_once_they_have_changed() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(PNG).unwrap();
    let canned = Canned::new(Ok(reply(200, &[], "{}")));
    let provider = OpenAiProvider::new(canned.clone(), Profile::Generic, TokenParam::MaxTokens);
    let data = "data:image/png;base64,iVBORw0KGgpieXRlcyBvZiBhIHBpY3R1cmU=";

    let asked = request(Endpoint::Chat, with_picture(file.path()), json!({}));
    let _ = provider.call(&asked).await;
    let body: Value = serde_json::from_str(&canned.body()).unwrap();
    let urls = [0, 1, 2].map(|at| body["messages"][0]["content"][at]["image_url"]["url"].clone());
    assert_eq!(urls, [data, "https://e.example/a.png", data]);

    let asked = request(Endpoint::Responses, with_picture(file.path()), json!({}));
    let _ = provider.call(&asked).await;
    let body: Value = serde_json::from_slice(&canned.sent.lock().unwrap()[1].body).unwrap();
    assert_eq!(body["input"][0]["content"][0], json!({"type": "input_image", "image_url": data}));

    file.write_all(b"!").unwrap();
    let error = provider.call(&asked).await.unwrap_err();
    assert_eq!((error.failure.kind, error.possibly_billed), (FailureKind::Template, false));
    assert!(error.failure.message.contains("has changed"), "{}", error.failure.message);
    let path = file.path().display().to_string();
    drop(file);
    let error = provider.call(&asked).await.unwrap_err();
    assert!(
        error.failure.message.starts_with(&format!("{path}: cannot be read any more")),
        "{}",
        error.failure.message
    );
    assert_eq!(canned.sent.lock().unwrap().len(), 2, "nothing was sent");
}
