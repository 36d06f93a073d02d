//! What a whole reply means: an answer, or which failure.

use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;

use super::profile::Profile;
use super::reading::{self, Said};
use super::rules::STATUS_OF_CODE;
use super::verdict::{self, Evidence};
use super::{Answer, CallError};
use super::{rates, wait};
use crate::types::{Billing, Endpoint, Failure, FailureKind, RateReport, ReplyError, ReplyView, Usage};
use crate::types::{WireReply, read_reply, read_usage};

/// Reasons to stop that mean the output limit.
const AT_LIMIT: [&str; 4] = ["length", "max_tokens", "model_length", "model_context_window_exceeded"];
/// Reasons to stop that make an answer none, and what they mean.
const ENDINGS: [(&[&str], FailureKind, &str); 5] = [
    (&FILTERED, FailureKind::ContentFilter, "the provider's filter stopped the answer"),
    (&["refusal"], FailureKind::Refusal, "the model refused"),
    (&["error"], FailureKind::ServerError, "the provider broke off the answer"),
    (&["insufficient_system_resource"], FailureKind::Overloaded, "the provider ran out of capacity within the answer"),
    (
        &["malformed_function_call"],
        FailureKind::MalformedReply,
        "the model called a tool in a way that the provider could not read",
    ),
];
const FILTERED: [&str; 8] =
    ["content_filter", "safety", "recitation", "prohibited_content", "blocklist", "spii", "image_safety", "language"];
/// Headers that name the call at the provider.
const REQUEST_IDS: [&str; 3] = ["x-request-id", "request-id", "apim-request-id"];

/// Reads a reply with any status.
pub(super) fn read(profile: Profile, endpoint: Endpoint, reply: &WireReply) -> Result<Answer, Box<CallError>> {
    let received = Received { profile, endpoint, reply, rate: rates::read(profile, &reply.headers) };
    if !(200..300).contains(&reply.status) {
        return Err(Box::new(http_error(received)));
    }
    match read_reply(endpoint, &reply.body) {
        Ok(view) => answer(received, view),
        Err(error) => Err(Box::new(no_answer(received, &error))),
    }
}

/// A reply, whose it is, and what its headers tell of limits.
struct Received<'a> {
    profile: Profile,
    endpoint: Endpoint,
    reply: &'a WireReply,
    rate: RateReport,
}

fn answer(received: Received<'_>, view: ReplyView) -> Result<Answer, Box<CallError>> {
    let billing = trusted(view.billing.clone(), received.profile);
    if let Some((kind, message)) = unusable(&received, &view) {
        return Err(Box::new(CallError { usage: view.usage, billing, ..received.failed(kind, message) }));
    }
    let reply = received.reply;
    Ok(Answer {
        truncated: is_one_of(view.finish_reason.as_deref(), &AT_LIMIT),
        endpoint: received.endpoint,
        content: view.content,
        finish_reason: view.finish_reason,
        usage: view.usage,
        billing: Box::new(billing),
        request_id: request_id(&reply.headers),
        rate: received.rate,
        body: reply.body.clone(),
    })
}

/// Why a reply that is well formed is no answer, if so.
fn unusable(received: &Received<'_>, view: &ReplyView) -> Option<(FailureKind, String)> {
    let reason = view.finish_reason.as_deref();
    let blank = |text: &Option<String>| text.as_deref().is_none_or(|text| text.trim().is_empty());
    let ending = ENDINGS.iter().find(|(reasons, ..)| is_one_of(reason, reasons));
    let refusal = view.refusal.as_deref().filter(|refusal| !refusal.trim().is_empty());
    match (ending, refusal) {
        (Some((_, kind, message)), refusal) if refusal.is_none() || *kind == FailureKind::ContentFilter => {
            Some((*kind, format!("{message} (finish_reason {})", reason.unwrap_or_default())))
        }
        (_, Some(refusal)) => Some((FailureKind::Refusal, reading::one_line(refusal))),
        (_, None) if view.embedding.is_none() && blank(&view.content) && view.tool_calls.is_none() => {
            Some((FailureKind::Empty, empty_message(received, reason)))
        }
        (_, None) => None,
    }
}

fn empty_message(received: &Received<'_>, reason: Option<&str>) -> String {
    if !received.endpoint.writes() {
        "the reply has a vector without numbers".to_owned()
    } else if is_one_of(reason, &AT_LIMIT) {
        "the output limit was reached before any text: raise max_tokens".to_owned()
    } else if received.profile == Profile::LmStudio {
        "the reply has neither text nor tool calls (LM Studio answers so when a prompt is over the loaded context)"
            .to_owned()
    } else {
        "the reply has neither text nor tool calls".to_owned()
    }
}

/// Whether a reason to stop is one of these; some add a detail to theirs (`content_filter: RECITATION`).
fn is_one_of(reason: Option<&str>, names: &[&str]) -> bool {
    let reason = reason.map(|reason| reason.split(':').next().unwrap_or(reason).trim());
    reason.is_some_and(|reason| names.iter().any(|name| reason.eq_ignore_ascii_case(name)))
}

/// A reply with a good status that holds no answer.
fn no_answer(received: Received<'_>, error: &ReplyError) -> CallError {
    let reply = received.reply;
    let json = serde_json::from_slice::<Value>(&reply.body).ok();
    let (usage, billing) = told_usage(json.as_ref(), received.profile);
    let (kind, message) = match (error, &json) {
        (ReplyError::Error(_), Some(json)) => {
            let said = reading::said_in(json);
            let status = status_within(&said);
            return CallError { usage, billing, ..received.refused(&said, status, message_of(&said, status)) };
        }
        (ReplyError::Nothing(_), Some(json)) if blocked(json).is_some() => {
            let reason = blocked(json).unwrap_or_default();
            (FailureKind::ContentFilter, format!("the provider's filter stopped the request ({reason})"))
        }
        (ReplyError::Malformed(_) | ReplyError::Nothing(_) | ReplyError::Error(_) | ReplyError::Unfinished(_), _) => {
            (FailureKind::MalformedReply, malformed_message(&reply.body, error, json.is_some()))
        }
    };
    let possibly_billed = kind == FailureKind::MalformedReply && usage.is_none();
    let retry_after = wait::told(&reply.headers, json.as_ref().and_then(|json| reading::said_in(json).wait));
    CallError { retry_after, usage, billing, possibly_billed, ..received.failed(kind, message) }
}

/// The status that an error would have had which came with a good one, as gateways send it when the provider fails after
/// the headers are out.
fn status_within(said: &Said) -> u16 {
    let by_code = || STATUS_OF_CODE.iter().find(|(code, _)| said.codes.contains(code)).map(|(_, status)| *status);
    said.status.or_else(by_code).unwrap_or(500)
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
fn http_error(received: Received<'_>) -> CallError {
    let reply = received.reply;
    let said = reading::said(&reply.body);
    let message = match reply.headers.get(http::header::LOCATION).filter(|_| (300..400).contains(&reply.status)) {
        Some(place) => format!("it redirects to {}: set base_url to match", String::from_utf8_lossy(place.as_bytes())),
        None => message_of(&said, reply.status),
    };
    let json = tells_usage(&reply.body).then(|| serde_json::from_slice::<Value>(&reply.body).ok()).flatten();
    let (usage, billing) = told_usage(json.as_ref(), received.profile);
    CallError { usage, billing, ..received.refused(&said, reply.status, message) }
}

/// Few errors do, and most bodies need not be read for it.
fn tells_usage(body: &[u8]) -> bool {
    memchr::memmem::find(body, b"\"usage\"").is_some()
}

/// The tokens that a body tells although it is no answer: they are billed.
fn told_usage(body: Option<&Value>, profile: Profile) -> (Option<Usage>, Billing) {
    let (usage, billing) = body.and_then(read_usage).unzip();
    (usage, trusted(billing.unwrap_or_default(), profile))
}

/// A gateway may tell a cost of its own making: only who bills by what it tells is believed.
fn trusted(billing: Billing, profile: Profile) -> Billing {
    Billing { cost: billing.cost.filter(|_| profile.tells_cost()), ..billing }
}

fn message_of(said: &Said, status: u16) -> String {
    match (said.message.as_str(), said.codes.as_str()) {
        ("", "") => format!("status {status} without a word"),
        ("", codes) => codes.to_owned(),
        (message, _) => message.to_owned(),
    }
}

impl Received<'_> {
    /// An error that says what is wrong. Its status is not the reply's where it came within a good one.
    fn refused(self, said: &Said, status: u16, message: String) -> CallError {
        let hint = wait::told(&self.reply.headers, said.wait);
        let kind = verdict::kind(&Evidence {
            profile: self.profile,
            status,
            headers: &self.reply.headers,
            has_body: !self.reply.body.trim_ascii().is_empty(),
            said,
            tells_wait: hint.is_some(),
            rate: &self.rate,
        });
        let retry_after = self.wait(kind, hint);
        let error = self.failed(kind, message);
        CallError { retry_after, retryable: error.retryable.or(said.retryable), ..error }
    }

    /// The wait that was asked for, else until the limit's reset, where it was a limit that refused.
    fn wait(&self, kind: FailureKind, hint: Option<Duration>) -> Option<Duration> {
        let reset = rates::until_room(&self.rate);
        if kind == FailureKind::RateLimited {
            return hint.or(reset);
        }
        if kind != FailureKind::DailyQuota {
            return hint;
        }
        // A hint may be that of a limit per minute beside it (Gemini's is): the day's end is what counts.
        let midnight = || wait::until_midnight_in_california(&self.reply.headers);
        hint.max(reset).max((self.profile == Profile::Gemini).then(midnight))
    }

    fn failed(self, kind: FailureKind, message: String) -> CallError {
        let reply = self.reply;
        let header = |name: &str| reply.headers.get(name).and_then(|value| value.to_str().ok());
        CallError {
            failure: Failure { kind, status: Some(reply.status), message },
            retry_after: None,
            rate: self.rate,
            retryable: header("x-should-retry").and_then(|value| value.trim().parse().ok()),
            usage: None,
            billing: Billing::default(),
            request_id: request_id(&reply.headers),
            possibly_billed: false,
            body: Some(reply.body.clone()),
        }
    }
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    REQUEST_IDS.iter().find_map(|name| headers.get(*name)?.to_str().ok()).map(str::to_owned)
}
