//! JSON lines: one for a row that succeeded, one for a row that failed.

use std::slice;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::types::{Failure, Moment, Money, OutcomeLine, TrailEntry, Usage};

use super::row::Columns;
use super::{FinishedRow, OutputSettings, SinkError};

/// The fields in the order in which they are written: it is part of the contract.
#[derive(Serialize)]
struct ResultLine<'a> {
    id: &'a Value,
    row: u64,
    task: &'a str,
    status: &'static str,
    provider: &'a str,
    model: &'a str,
    /// Absent where an `embedding` stands in its place, null where the model only called tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[expect(clippy::option_option, reason = "absent and null are two things on a line")]
    content: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<&'a RawValue>,
    finish_reason: Option<&'a str>,
    usage: Option<Usage>,
    cost_usd: Option<Money>,
    attempts: u32,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deduped: bool,
    latency_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    trail: Option<&'a [TrailEntry]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<&'a RawValue>,
    input: Columns<'a>,
}

/// Likewise. `provider` and `model` are null where no provider was asked.
#[derive(Serialize)]
struct ErrorLine<'a> {
    id: &'a Value,
    row: u64,
    task: &'a str,
    status: &'static str,
    provider: Option<&'a str>,
    model: Option<&'a str>,
    error: ErrorView<'a>,
    at: String,
    failed_at: Moment,
    cost_usd: Option<Money>,
    attempts: u32,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deduped: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<&'a RawValue>,
    input: Columns<'a>,
    trail: &'a [TrailEntry],
}

#[derive(Serialize)]
struct ErrorView<'a> {
    kind: &'static str,
    status: Option<u16>,
    message: &'a str,
}

/// One line of JSON, line break included, for a row that is written as soon as it ends: a result where it succeeded, else
/// an errors line. The results' file format plays no part.
///
/// # Errors
/// Where the row succeeded and its reply is missing or cannot be read.
pub fn result_line(row: &FinishedRow<'_>, settings: &OutputSettings) -> Result<Vec<u8>, SinkError> {
    let mut line = Vec::with_capacity(512);
    match &row.outcome.failure {
        None => add_result(row, settings, &mut line)?,
        Some(failure) => add_error(row, failure, settings, &mut line)?,
    }
    Ok(line)
}

/// Adds the line of a row that succeeded.
pub(super) fn add_result(row: &FinishedRow<'_>, settings: &OutputSettings, out: &mut Vec<u8>) -> Result<(), SinkError> {
    let (outcome, reply) = (row.outcome, row.reply()?);
    let line = ResultLine {
        id: row.id,
        row: row.row,
        task: &outcome.task,
        status: "succeeded",
        provider: &outcome.provider,
        model: &outcome.model,
        content: reply.embedding.is_none().then_some(row.content.or(reply.content.as_deref())),
        embedding: reply.embedding.as_deref(),
        data: row.data,
        tool_calls: reply.tool_calls.as_deref(),
        logprobs: reply.logprobs.as_deref(),
        finish_reason: reply.finish_reason.as_deref(),
        usage: outcome.usage,
        cost_usd: outcome.row_cost,
        attempts: outcome.attempts,
        deduped: outcome.deduped,
        latency_ms: outcome.latency_ms,
        trail: (outcome.attempts > 1).then_some(outcome.trail.as_slice()),
        response: response(outcome, settings),
        input: Columns { input: row.input, include: settings.include.as_deref() },
    };
    add_line(row.row, &line, out)
}

/// Adds the line of a row that failed. The whole row goes with it, whatever `include` says: the errors file is what a user
/// repairs and sends again.
pub(super) fn add_error(
    row: &FinishedRow<'_>,
    failure: &Failure,
    settings: &OutputSettings,
    out: &mut Vec<u8>,
) -> Result<(), SinkError> {
    let outcome = row.outcome;
    let only = only_attempt(outcome, failure);
    let line = ErrorLine {
        id: row.id,
        row: row.row,
        task: &outcome.task,
        status: "failed",
        provider: asked(&outcome.provider),
        model: asked(&outcome.model),
        error: ErrorView { kind: failure.kind.name(), status: failure.status, message: &failure.message },
        at: row.place.to_string(),
        failed_at: Moment(outcome.at),
        cost_usd: outcome.row_cost,
        attempts: outcome.attempts,
        deduped: outcome.deduped,
        response: response(outcome, settings),
        input: Columns { input: row.input, include: None },
        trail: only.as_ref().map_or(outcome.trail.as_slice(), slice::from_ref),
    };
    add_line(row.row, &line, out)
}

/// The log leaves the trail of a single attempt out, as the outcome says it all; the errors file has it for every row.
fn only_attempt(outcome: &OutcomeLine, failure: &Failure) -> Option<TrailEntry> {
    (outcome.attempts == 1 && outcome.trail.is_empty()).then(|| TrailEntry {
        provider: outcome.provider.clone(),
        model: outcome.model.clone(),
        kind: Some(failure.kind),
        status: failure.status,
        latency_ms: outcome.latency_ms,
        cost_usd: outcome.cost,
    })
}

fn asked(name: &str) -> Option<&str> {
    Some(name).filter(|name| !name.is_empty())
}

fn response<'a>(outcome: &'a OutcomeLine, settings: &OutputSettings) -> Option<&'a RawValue> {
    outcome.reply.as_deref().filter(|_| settings.response)
}

pub(super) fn add_line(row: u64, line: &impl Serialize, out: &mut Vec<u8>) -> Result<(), SinkError> {
    serde_json::to_writer(&mut *out, line).map_err(|source| SinkError::Encode { row, source })?;
    out.push(b'\n');
    Ok(())
}
