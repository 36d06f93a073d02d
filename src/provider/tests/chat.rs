//! Request bodies, good replies and what stands in for them.

use std::time::Duration;

use futures::FutureExt;
use serde_json::{Value, json};

use super::{Canned, call, failed, reply, request};
use crate::provider::{OpenAiProvider, Profile, Provider, TokenParam};
use crate::types::{FailureKind, TransportError, Usage};

const USAGE: &str = r#""usage":{"prompt_tokens":9,"completion_tokens":4}"#;

fn body(token_param: TokenParam, params: Value) -> String {
    let canned = Canned::new(Ok(reply(200, &[], "{}")));
    let provider = OpenAiProvider::new(canned.clone(), Profile::Generic, token_param);
    let _ = provider.call(&request(params)).now_or_never().unwrap();
    canned.body()
}

pub(super) fn completion(message: &str, reason: &str) -> String {
    format!(r#"{{"choices":[{{"message":{message},"finish_reason":{reason}}}],{USAGE}}}"#)
}

#[test]
fn the_body_holds_model_messages_and_params_in_their_order() {
    let params =
        json!({"temperature": 0, "top_p": 0.5, "max_tokens": 7, "stream": true, "model": "no", "x": {"b": 1, "a": 2}});
    let expected = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":0,"top_p":0.5,"max_tokens":7,"x":{"b":1,"a":2}}"#;
    assert_eq!(body(TokenParam::MaxTokens, params), expected);
}

#[test]
fn the_output_cap_is_sent_once_by_the_providers_name_for_it() {
    let (old, new) = (TokenParam::MaxTokens, TokenParam::MaxCompletionTokens);
    for (param, params, expected) in [
        (old, json!({"max_completion_tokens": 7}), r#""max_tokens":7}"#),
        (old, json!({"max_completion_tokens": 7, "max_tokens": 5}), r#""max_tokens":5}"#),
        (new, json!({"max_tokens": 5}), r#""max_completion_tokens":5}"#),
        (new, json!({"max_completion_tokens": 7, "max_tokens": 5}), r#""max_completion_tokens":7}"#),
    ] {
        let sent = body(param, params);
        assert!(sent.ends_with(expected), "{sent}");
        assert_eq!(sent.matches("_tokens\"").count(), 1, "{sent}");
    }
}

#[test]
fn an_answer_is_told_with_usage_and_request_id() {
    let body = completion(r#"{"content":"hi"}"#, r#""stop""#);
    let answer = call(Ok(reply(200, &[("x-request-id", "req_1")], &body))).unwrap();
    assert_eq!(answer.content.as_deref(), Some("hi"));
    assert_eq!(answer.finish_reason.as_deref(), Some("stop"));
    assert_eq!(answer.usage, Some(Usage { input_tokens: 9, output_tokens: 4, ..Usage::default() }));
    assert_eq!((answer.request_id.as_deref(), answer.truncated), (Some("req_1"), false));
    assert_eq!(answer.body, body.as_bytes());
}

#[test]
fn an_answer_cut_at_the_output_limit_is_an_answer() {
    for reason in ["length", "max_tokens", "MAX_TOKENS", "model_context_window_exceeded"] {
        let body = completion(r#"{"content":"hi"}"#, &format!("\"{reason}\""));
        assert!(call(Ok(reply(200, &[], &body))).unwrap().truncated, "{reason}");
    }
}

#[test]
fn tool_calls_without_text_are_an_answer() {
    let body = completion(r#"{"content":null,"tool_calls":[{"id":"1"}]}"#, r#""tool_calls""#);
    assert_eq!(call(Ok(reply(200, &[], &body))).unwrap().content, None);
}

#[test]
fn completions_that_are_no_answer_fail_and_keep_their_usage() {
    let cases = [
        (r#"{"content":""}"#, r#""stop""#, FailureKind::Empty),
        (r#"{"content":" \n"}"#, "null", FailureKind::Empty),
        (r#"{"content":null}"#, r#""length""#, FailureKind::Empty),
        (r#"{"content":"half"}"#, r#""content_filter""#, FailureKind::ContentFilter),
        (r#"{"content":null}"#, r#""SAFETY""#, FailureKind::ContentFilter),
        (r#"{"content":null,"refusal":"I cannot"}"#, r#""stop""#, FailureKind::Refusal),
        (r#"{"content":"x"}"#, r#""refusal""#, FailureKind::Refusal),
        (r#"{"content":"half"}"#, r#""error""#, FailureKind::ServerError),
        (r#"{"content":"half"}"#, r#""insufficient_system_resource""#, FailureKind::Overloaded),
    ];
    for (message, reason, kind) in cases {
        let error = failed(200, &[], &completion(message, reason));
        assert_eq!(error.failure.kind, kind, "{message} {reason}");
        assert_eq!(error.usage.map(|usage| usage.total()), Some(13), "{message}");
        assert!(!error.possibly_billed && error.body.is_some(), "{message}");
    }
}

#[test]
fn good_replies_that_cannot_be_understood_are_malformed_and_may_be_billed() {
    for body in [
        "",
        "<!DOCTYPE html><html><head><title>Sign in</title></head></html>",
        r#"{"choices":[{"message":{"content":"hi"#,
        r#"{"choices":[]}"#,
        r#"{"choices":null,"id":"x"}"#,
        "[]",
    ] {
        let error = failed(200, &[], body);
        assert_eq!(error.failure.kind, FailureKind::MalformedReply, "{body}");
        assert_eq!(error.failure.status, Some(200));
        assert!(error.possibly_billed, "{body}");
    }
    assert!(failed(200, &[], "<html><title>Sign in</title>").failure.message.contains("an HTML page: Sign in"));
    let told = failed(200, &[], &format!(r#"{{"choices":[],{USAGE}}}"#));
    assert_eq!((told.usage.map(|usage| usage.output_tokens), told.possibly_billed), (Some(4), false));
}

#[test]
fn an_error_within_a_good_reply_counts_by_its_code() {
    let cases = [
        (r#"{"error":{"code":429,"message":"slow down"}}"#, FailureKind::RateLimited),
        (r#"{"error":{"code":502,"message":"Provider returned error"}}"#, FailureKind::ServerError),
        (r#"{"error":{"code":"503","message":"x"}}"#, FailureKind::Overloaded),
        (r#"{"error":{"type":"overloaded_error","message":"Overloaded"}}"#, FailureKind::Overloaded),
        (r#"{"error":{"type":"rate_limit_error","message":"x"}}"#, FailureKind::RateLimited),
        (r#"{"error":{"type":"authentication_error","message":"x"}}"#, FailureKind::Auth),
        (r#"{"error":{"code":"context_length_exceeded","message":"x"}}"#, FailureKind::ContextLength),
        (r#"{"error":{"message":"x","metadata":{"error_type":"provider_unavailable"}}}"#, FailureKind::Overloaded),
        (r#"{"error":"it broke"}"#, FailureKind::ServerError),
        (r#"{"choices":[],"promptFeedback":{"blockReason":"SAFETY"}}"#, FailureKind::ContentFilter),
    ];
    for (body, kind) in cases {
        let error = failed(200, &[], body);
        assert_eq!((error.failure.kind, error.possibly_billed), (kind, false), "{body}");
    }
}

#[test]
fn no_reply_may_be_billed_unless_nothing_was_sent() {
    let second = Duration::from_secs(1);
    for (error, kind, billed) in [
        (TransportError::Connect("refused".to_owned()), FailureKind::Connection, false),
        (TransportError::Timeout(second), FailureKind::Timeout, true),
        (TransportError::Broken("reset".to_owned()), FailureKind::Connection, true),
        (TransportError::TooLarge(9), FailureKind::MalformedReply, true),
    ] {
        let told = call(Err(error.clone())).unwrap_err();
        assert_eq!((told.failure.kind, told.possibly_billed), (kind, billed), "{error}");
        assert_eq!((told.failure.status, told.failure.message), (None, error.to_string()));
    }
}
