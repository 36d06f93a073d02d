//! What a whole reply means: an answer, or which failure.

use http::HeaderMap;
use serde_json::Value;

use super::reading::{self, Said};
use super::rules::{RULES, Rule, STATUS_OF_CODE, When};
use super::wait;
use super::{Answer, CallError};
use crate::types::{Failure, FailureKind, ReplyError, ReplyView, Usage, WireReply, read_reply, read_usage};

/// Reasons to stop that mean the output limit.
const AT_LIMIT: [&str; 4] = ["length", "max_tokens", "model_length", "model_context_window_exceeded"];
/// Reasons to stop that mean a filter.
const FILTERED: [&str; 7] =
    ["content_filter", "safety", "recitation", "prohibited_content", "blocklist", "spii", "image_safety"];
/// Headers that name the call at the provider.
const REQUEST_IDS: [&str; 3] = ["x-request-id", "request-id", "apim-request-id"];

/// Reads a reply with any status.
pub(super) fn read(reply: &WireReply) -> Result<Answer, Box<CallError>> {
    if !(200..300).contains(&reply.status) {
        return Err(Box::new(http_error(reply)));
    }
    match read_reply(&reply.body) {
        Ok(view) => answer(reply, view),
        Err(error) => Err(Box::new(no_answer(reply, &error))),
    }
}

fn answer(reply: &WireReply, view: ReplyView) -> Result<Answer, Box<CallError>> {
    if let Some((kind, message)) = unusable(&view) {
        return Err(Box::new(CallError { usage: view.usage, ..failed(reply, kind, message) }));
    }
    Ok(Answer {
        truncated: is_one_of(view.finish_reason.as_deref(), &AT_LIMIT),
        content: view.content,
        finish_reason: view.finish_reason,
        usage: view.usage,
        request_id: request_id(&reply.headers),
        body: reply.body.clone(),
    })
}

/// Why a completion that is well formed is no answer, if so.
fn unusable(view: &ReplyView) -> Option<(FailureKind, String)> {
    let reason = view.finish_reason.as_deref();
    let blank = |text: &Option<String>| text.as_deref().is_none_or(|text| text.trim().is_empty());
    if is_one_of(reason, &FILTERED) {
        let told = reason.unwrap_or_default();
        return Some((FailureKind::ContentFilter, format!("the provider's filter stopped the answer ({told})")));
    }
    if let Some(refusal) = view.refusal.as_deref().filter(|refusal| !refusal.trim().is_empty()) {
        return Some((FailureKind::Refusal, reading::one_line(refusal)));
    }
    if is_one_of(reason, &["refusal"]) {
        return Some((FailureKind::Refusal, "the model refused".to_owned()));
    }
    if is_one_of(reason, &["error"]) {
        return Some((FailureKind::ServerError, "the provider broke off the answer (finish_reason error)".to_owned()));
    }
    if is_one_of(reason, &["insufficient_system_resource"]) {
        return Some((FailureKind::Overloaded, "the provider ran out of capacity within the answer".to_owned()));
    }
    if blank(&view.content) && view.tool_calls.is_none() {
        return Some((FailureKind::Empty, empty_message(reason)));
    }
    None
}

fn empty_message(reason: Option<&str>) -> String {
    if is_one_of(reason, &AT_LIMIT) {
        "the output limit was reached before any text: raise max_tokens".to_owned()
    } else {
        "the reply has neither text nor tool calls".to_owned()
    }
}

fn is_one_of(reason: Option<&str>, names: &[&str]) -> bool {
    reason.is_some_and(|reason| names.iter().any(|name| reason.eq_ignore_ascii_case(name)))
}

/// A reply with a good status that holds no completion.
fn no_answer(reply: &WireReply, error: &ReplyError) -> CallError {
    let json = serde_json::from_slice::<Value>(&reply.body).ok();
    let usage = json.as_ref().and_then(read_usage);
    let (kind, message) = match (error, &json) {
        (ReplyError::Error(_), Some(json)) => error_within(json),
        (ReplyError::NoChoices, Some(json)) if blocked(json).is_some() => {
            let reason = blocked(json).unwrap_or_default();
            (FailureKind::ContentFilter, format!("the provider's filter stopped the request ({reason})"))
        }
        (ReplyError::Malformed(_) | ReplyError::NoChoices | ReplyError::Error(_), _) => {
            (FailureKind::MalformedReply, malformed_message(&reply.body, error, json.is_some()))
        }
    };
    let possibly_billed = kind == FailureKind::MalformedReply && usage.is_none();
    let retry_after = wait::told(&reply.headers, json.as_ref().and_then(|json| reading::said_in(json).wait));
    CallError { retry_after, usage, possibly_billed, ..failed(reply, kind, message) }
}

/// An error in a reply that says 200, as gateways send when the provider fails after the headers are out.
fn error_within(json: &Value) -> (FailureKind, String) {
    let said = reading::said_in(json);
    let by_code = || STATUS_OF_CODE.iter().find(|(code, _)| said.codes.contains(code)).map(|(_, status)| *status);
    let status = said.status.or_else(by_code).unwrap_or(500);
    (kind_of(status, &said, said.wait.is_some()), message_of(&said, status))
}

fn blocked(json: &Value) -> Option<&str> {
    json.pointer("/promptFeedback/blockReason").and_then(Value::as_str)
}

fn malformed_message(body: &[u8], error: &ReplyError, is_json: bool) -> String {
    if is_json {
        return error.to_string();
    }
    match body {
        [] => "the reply is empty".to_owned(),
        _ => match reading::said(body).message {
            page if page.starts_with("an HTML page") => format!("the reply is {page} (is base_url right?)"),
            _ => error.to_string(),
        },
    }
}

/// A reply with a bad status.
fn http_error(reply: &WireReply) -> CallError {
    let said = reading::said(&reply.body);
    let retry_after = wait::told(&reply.headers, said.wait);
    let kind = kind_of(reply.status, &said, retry_after.is_some());
    let message = match reply.headers.get(http::header::LOCATION).filter(|_| (300..400).contains(&reply.status)) {
        Some(place) => format!("it redirects to {}: set base_url to match", String::from_utf8_lossy(place.as_bytes())),
        None => message_of(&said, reply.status),
    };
    CallError { retry_after, ..failed(reply, kind, message) }
}

fn message_of(said: &Said, status: u16) -> String {
    match (said.message.as_str(), said.codes.as_str()) {
        ("", "") => format!("status {status} without a word"),
        ("", codes) => codes.to_owned(),
        (message, _) => message.to_owned(),
    }
}

fn failed(reply: &WireReply, kind: FailureKind, message: String) -> CallError {
    let header = |name: &str| reply.headers.get(name).and_then(|value| value.to_str().ok());
    CallError {
        failure: Failure { kind, status: Some(reply.status), message },
        retry_after: None,
        retryable: header("x-should-retry").and_then(|value| value.trim().parse().ok()),
        usage: None::<Usage>,
        request_id: request_id(&reply.headers),
        possibly_billed: false,
        body: Some(reply.body.clone()),
    }
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    REQUEST_IDS.iter().find_map(|name| headers.get(*name)?.to_str().ok()).map(str::to_owned)
}

/// The kind of a status and what was said with it.
fn kind_of(status: u16, said: &Said, tells_wait: bool) -> FailureKind {
    let fits = |rule: &&Rule| {
        rule.statuses.iter().any(|range| range.contains(&status))
            && match rule.when {
                When::Always => true,
                When::Says(patterns) => patterns.iter().any(|pattern| says(&said.text, pattern)),
                When::TellsWait => tells_wait,
                When::OverLimitAlone => over_limit_alone(&said.text),
            }
    };
    RULES.iter().find(fits).map_or(FailureKind::InvalidRequest, |rule| rule.kind)
}

fn says(text: &str, pattern: &str) -> bool {
    let mut rest = text;
    pattern.split('*').all(|piece| match rest.find(piece) {
        Some(at) => {
            rest = &rest[at + piece.len()..];
            true
        }
        None => false,
    })
}

/// "Request too large ...: Limit 30000, Requested 80715" has the codes of a throttle, but waiting does not help.
fn over_limit_alone(text: &str) -> bool {
    if !text.contains("request too large") {
        return false;
    }
    match (number_after(text, "limit "), number_after(text, "requested ")) {
        (Some(limit), Some(requested)) => requested > limit,
        (None, _) | (_, None) => true,
    }
}

fn number_after(text: &str, word: &str) -> Option<u64> {
    text.match_indices(word).find_map(|(at, _)| {
        let rest = &text[at + word.len()..];
        let digits: String = rest.chars().filter(|c| *c != ',').take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    })
}
