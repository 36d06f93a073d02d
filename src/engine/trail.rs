//! What one row has been through, and the log lines that tell it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::prepare::Hashes;
use crate::provider::Answer;
use crate::types::{
    AttemptLine, CallNumber, Endpoint, Failure, FailureKind, Key, Money, Origin, OutcomeLine, TrailEntry, Usage,
};

/// A failed call's reply is kept for whoever asks what was said; one that is longer is a page or an echo of the prompt.
const LONGEST_REFUSAL: usize = 64 << 10;

/// One call that has ended, however it did.
pub(super) struct CallRecord {
    pub call: CallNumber,
    pub provider: Arc<str>,
    pub model: Arc<str>,
    pub latency: Duration,
    pub usage: Option<Usage>,
    /// `None` where it cost something that is not known.
    pub cost: Option<Money>,
    pub possibly_billed: bool,
    pub worst_cost: Option<Money>,
    pub request_id: Option<String>,
    /// What the provider said, where the call failed.
    pub said: Option<Bytes>,
    /// The model was told what was wrong with an answer of its own.
    pub reask: bool,
    pub end: CallEnd,
}

/// How a call ended.
pub(super) enum CallEnd {
    Answer(Answer),
    /// An answer that breaks the task's rules.
    Rejected(Answer, Failure),
    Failure(Failure),
    /// It was cut by a stop, or as another call was faster: its end is not known.
    Cut,
}

impl CallEnd {
    fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failure(failure) | Self::Rejected(_, failure) => Some(failure),
            Self::Answer(_) | Self::Cut => None,
        }
    }
}

/// A row's attempts so far.
pub(super) struct Trail {
    row: u64,
    key: Key,
    hashes: Hashes,
    task: Arc<str>,
    replaces: Option<u64>,
    entries: Vec<TrailEntry>,
    /// The model that was asked last.
    at: Option<Origin>,
}

impl Trail {
    /// `earlier`: attempts on record from before a stop, which the row's cost counts in.
    pub fn new(
        row: u64,
        key: Key,
        hashes: Hashes,
        task: Arc<str>,
        replaces: Option<u64>,
        earlier: Vec<TrailEntry>,
    ) -> Self {
        Self { row, key, hashes, task, replaces, entries: earlier, at: None }
    }

    /// The line of a call that is not the row's last. `retry`: it was a further try of the same model.
    pub fn attempt(&mut self, record: CallRecord, retry: bool) -> AttemptLine {
        let came_from = self.moves_to(&record);
        AttemptLine { came_from, ..self.attempt_aside(record, retry) }
    }

    /// The line of a call to a model that the row did not go to, beside the one where it is.
    pub fn attempt_aside(&mut self, record: CallRecord, retry: bool) -> AttemptLine {
        self.entries.push(entry(&record));
        let failure = record.end.failure().cloned();
        let CallRecord { call, provider, model, latency, usage, cost, possibly_billed, worst_cost, reask, .. } = record;
        AttemptLine {
            call,
            key: self.key,
            row: self.row,
            run: 0,
            at: 0,
            task: self.task.to_string(),
            provider: provider.to_string(),
            model: model.to_string(),
            failure,
            latency_ms: millis(latency),
            usage,
            cost,
            possibly_billed,
            worst_cost: worst_cost.filter(|_| possibly_billed || cost.is_none()),
            retry,
            reask,
            came_from: None,
        }
    }

    /// The line of a row that ends with this call.
    pub fn outcome(mut self, record: CallRecord, retry: bool) -> Box<OutcomeLine> {
        self.entries.push(entry(&record));
        let came_from = self.moves_to(&record);
        let mut line = Box::new(self.line());
        line.call = record.call;
        line.failure = record.end.failure().cloned();
        line.provider = record.provider.to_string();
        line.model = record.model.to_string();
        line.usage = record.usage;
        line.cost = record.cost;
        line.latency_ms = millis(record.latency);
        line.request_id = record.request_id;
        line.retry = retry;
        line.reask = record.reask;
        line.came_from = came_from;
        line.possibly_billed = record.possibly_billed;
        line.worst_cost = record.worst_cost.filter(|_| record.possibly_billed || record.cost.is_none());
        match record.end {
            // One that does not count is kept all the same: it was paid for, and shows what is wrong.
            CallEnd::Answer(answer) | CallEnd::Rejected(answer, _) => {
                line.truncated = answer.truncated && line.failure.is_none();
                line.endpoint = answer.endpoint;
                line.reply = reply_line(&answer.body);
            }
            CallEnd::Failure(_) | CallEnd::Cut => {
                let said = record.said.filter(|said| said.len() <= LONGEST_REFUSAL);
                line.reply = said.and_then(|said| reply_line(&said));
            }
        }
        line
    }

    /// The line of a row that ends as another one with the same request did. What it had spent of its own stays.
    pub fn copied(self, other: &OutcomeLine) -> Box<OutcomeLine> {
        Box::new(OutcomeLine {
            deduped: true,
            failure: other.failure.clone(),
            provider: other.provider.clone(),
            model: other.model.clone(),
            usage: other.usage.map(|_| Usage::default()),
            truncated: other.truncated,
            endpoint: other.endpoint,
            reply: other.reply.clone(),
            trail: self.entries.clone(),
            ..self.line()
        })
    }

    /// The line of a row whose files cannot be read any more. They are what it is known by, so it has another key; and who
    /// asks the same may have them under another name.
    pub fn unread(self, key: Key, failure: Failure) -> Box<OutcomeLine> {
        let asked_as = (!self.entries.is_empty()).then_some(self.key);
        let hashes = Hashes { request: None, ..self.hashes };
        let mut line = Self { key, hashes, ..self }.failed(failure);
        line.asked_as = asked_as;
        line
    }

    /// The line of a row that fails without a further call.
    pub fn failed(self, failure: Failure) -> Box<OutcomeLine> {
        let mut line = Box::new(self.line());
        if let Some(last) = line.trail.last().or(self.entries.last()) {
            (line.provider, line.model) = (last.provider.clone(), last.model.clone());
        }
        line.failure = Some(failure);
        line
    }

    /// Where the row comes from with this call, if it was at another model before.
    fn moves_to(&mut self, record: &CallRecord) -> Option<Origin> {
        let here = |at: &Origin| *at.provider == *record.provider && *at.model == *record.model;
        if self.at.as_ref().is_some_and(here) {
            return None;
        }
        let now = Origin { provider: record.provider.to_string(), model: record.model.to_string() };
        self.at.replace(now)
    }

    /// A line with all that does not depend on the last call.
    fn line(&self) -> OutcomeLine {
        OutcomeLine {
            call: 0,
            key: self.key,
            asked_as: None,
            row: self.row,
            id_hash: self.hashes.id,
            row_hash: Some(self.hashes.row),
            used: self.hashes.used.clone(),
            request: self.hashes.request,
            deduped: false,
            run: 0,
            at: 0,
            task: self.task.to_string(),
            failure: None,
            provider: String::new(),
            model: String::new(),
            attempts: u32::try_from(self.entries.len()).unwrap_or(u32::MAX),
            usage: None,
            cost: Some(Money::ZERO),
            row_cost: self.entries.iter().map(|entry| entry.cost_usd).sum(),
            latency_ms: 0,
            request_id: None,
            replaces: self.replaces,
            retry: false,
            reask: false,
            came_from: None,
            truncated: false,
            compared: false,
            possibly_billed: false,
            worst_cost: None,
            endpoint: Endpoint::Chat,
            trail: if self.entries.len() > 1 { self.entries.clone() } else { Vec::new() },
            reply: None,
        }
    }
}

fn entry(record: &CallRecord) -> TrailEntry {
    let failure = record.end.failure();
    TrailEntry {
        provider: record.provider.to_string(),
        model: record.model.to_string(),
        kind: failure.map(|failure| failure.kind),
        status: failure.and_then(|failure| failure.status),
        latency_ms: millis(record.latency),
        cost_usd: record.cost,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The reply as it goes into a line: JSON has no raw line breaks but between tokens, where a blank means the same.
fn reply_line(body: &[u8]) -> Option<Arc<RawValue>> {
    let text = std::str::from_utf8(body).ok()?;
    if memchr::memchr2(b'\n', b'\r', body).is_some() {
        return RawValue::from_string(text.replace(['\n', '\r'], " ")).ok().map(Arc::from);
    }
    Some(serde_json::from_str::<&RawValue>(text).ok()?.to_owned().into())
}

/// The failure of a row whose own time ran out.
pub(super) fn row_timeout(limit: Duration, last: Option<&Failure>) -> Failure {
    let told = last.map_or_else(String::new, |last| format!("; the last attempt: {}", last.message));
    Failure {
        kind: FailureKind::RowTimeout,
        status: last.and_then(|last| last.status),
        message: format!("no answer within the row's {limit:?} (timeout.row){told}"),
    }
}
