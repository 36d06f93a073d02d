//! Lines of an `OpenAI` Batch output file: one for every row that ended.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use super::{FinishedRow, InputView, SinkError, line};
use crate::types::{Endpoint, Failure, FailureKind};

/// The fields in the order of `OpenAI`'s own.
#[derive(Serialize)]
struct BatchLine<'a> {
    id: String,
    custom_id: Option<String>,
    response: Option<BatchResponse<'a>>,
    error: Option<BatchError>,
}

#[derive(Serialize)]
struct BatchResponse<'a> {
    status_code: u16,
    /// Readers of such files expect a text: it is empty where the server told none.
    request_id: &'a str,
    body: Body<'a>,
}

/// What a server said, or what is known of it.
enum Body<'a> {
    Received(&'a RawValue),
    Made(Box<RawValue>),
}

impl Serialize for Body<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Received(body) => body.serialize(serializer),
            Self::Made(body) => body.serialize(serializer),
        }
    }
}

#[derive(Serialize)]
struct BatchError {
    code: &'static str,
    message: String,
}

/// Adds the line of a row, whichever way it ended.
///
/// An answer, and a refusal with an HTTP status, is a response. A call that brought none, and a row that was never sent, is
/// an error. Both stand where a server answered well and the answer is none (a filter, a refusal): it was paid for.
pub(super) fn add_batch(row: &FinishedRow<'_>, out: &mut Vec<u8>) -> Result<(), SinkError> {
    let outcome = row.outcome;
    let reply = outcome.reply.as_deref();
    let (response, error) = match &outcome.failure {
        None => (Some((200, Body::Received(reply.ok_or(SinkError::NoReply { row: row.row })?))), None),
        Some(failure) => match (failure.status.filter(|status| *status >= 400), reply) {
            (Some(status), reply) => (Some((status, error_body(row.row, failure, reply)?)), None),
            (None, Some(reply)) => (Some((200, Body::Received(reply))), Some(error(row, failure))),
            (None, None) => (None, Some(error(row, failure))),
        },
    };
    let request_id = outcome.request_id.as_deref().unwrap_or_default();
    let response = response.map(|(status_code, body)| BatchResponse { status_code, request_id, body });
    let line = BatchLine { id: format!("batch_req_{}", outcome.key), custom_id: custom_id(row), response, error };
    line::add_line(row.row, &line, out)
}

/// The row's id as text. One that was made up for a line that has none would mean nothing to whoever looks for theirs.
fn custom_id(row: &FinishedRow<'_>) -> Option<String> {
    let never_sent = row.outcome.attempts == 0 && row.outcome.failure.is_some();
    if never_sent && row.outcome.id_hash.is_none() {
        return None;
    }
    Some(row.id.as_str().map_or_else(|| row.id.to_string(), str::to_owned))
}

/// The body as received; of one without `error` that is added, so that every reader finds it.
fn error_body<'a>(row: u64, failure: &Failure, reply: Option<&'a RawValue>) -> Result<Body<'a>, SinkError> {
    let body = reply.and_then(|reply| serde_json::from_str::<Map<String, Value>>(reply.get()).ok());
    let mut body = match (reply, body) {
        (Some(reply), Some(body)) if body.contains_key("error") => return Ok(Body::Received(reply)),
        (_, body) => body.unwrap_or_default(),
    };
    let kind = failure.kind.name();
    let error = json!({ "message": failure.message, "type": kind, "param": null, "code": kind });
    body.insert("error".to_owned(), error);
    to_raw_value(&body).map(Body::Made).map_err(|source| SinkError::Encode { row, source })
}

/// Of a record that cannot be read, nothing else tells which one it was.
fn error(row: &FinishedRow<'_>, failure: &Failure) -> BatchError {
    let message = match row.input {
        InputView::Row(_) if row.outcome.id_hash.is_some() => failure.message.clone(),
        InputView::Row(_) | InputView::Raw(_) => format!("line {}: {}", row.place.line, failure.message),
    };
    let url = match row.input {
        InputView::Row(line) => line.get("url").and_then(Value::as_str),
        InputView::Raw(_) => None,
    };
    let is_unknown = row.outcome.attempts == 0 && url.is_some_and(|url| Endpoint::of_url(url).is_none());
    let code = match failure.kind {
        FailureKind::InvalidRequest if is_unknown => "unsupported_url",
        kind => kind.name(),
    };
    BatchError { code, message }
}
