//! One call: on record in the flight file while it is out, settled with its limits and its price when it is back.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::budget::Reservation;
use super::recorder::now_ms;
use super::shared::Shared;
use super::trail::{CallEnd, CallRecord, row_timeout};
use super::upstream::Upstream;
use crate::limit::{self, Admission, Need, Sickness, Standing, Used};
use crate::provider::{Answer, CallError, ModelRequest};
use crate::store::{FlightEntry, StoreError};
use crate::types::{Billing, CallNumber, Failure, FailureKind, Key, Money, RateReport, Usage};
use crate::validate::Rules;

/// A longer wait told with a quota's end is not waited for: the model is asked again, and leaves the run when that confirms it.
const LONGEST_DOUBT: Duration = Duration::from_mins(2);

/// Whose call it is, and how large it was taken to be.
pub(super) struct Caller<'a> {
    pub row: u64,
    pub key: Key,
    pub task: &'a Arc<str>,
    /// The tokens that the admission reserved.
    pub need: Need,
    /// The most that it can cost.
    pub worst_cost: Option<Money>,
    /// What is left of the row's own time.
    pub left: Duration,
    /// No model of the provider has failed the row before.
    pub first_failure: bool,
    /// Told when another call has answered the row first.
    pub cut: &'a Notify,
    /// What a valid answer is; `None`: any.
    pub rules: Option<&'a Rules>,
    /// The model is told what was wrong with an answer of its own.
    pub reask: bool,
    /// The row waits for a model that has answered others: an error of this one is not the job's fault, nor the row's end.
    pub vouched: bool,
}

/// A call that has ended; with the error where it failed. In boxes, as each wait that follows would hold room for them.
pub(super) struct Called {
    pub record: Box<CallRecord>,
    pub error: Option<Box<CallError>>,
    /// With the error, where that is of the answer alone.
    pub rejected: Option<Rejected>,
    /// How the model stands after it.
    pub standing: Standing,
    /// It was sent to see whether a model that was down is back.
    pub probe: bool,
}

impl Called {
    /// Whether the model was down when it was sent, or was found to be by its end.
    pub fn met_outage(&self) -> bool {
        self.standing == Standing::Open || self.probe
    }
}

/// Why a call was not sent after all.
pub(super) enum NotSent {
    /// The flight file cannot take it: nothing more may be sent.
    Unnoted(StoreError),
    /// A file that goes with it cannot be read, or is another one by now.
    Unread(Failure),
}

impl From<StoreError> for NotSent {
    fn from(error: StoreError) -> Self {
        Self::Unnoted(error)
    }
}

/// An answer that broke the task's rules.
pub(super) struct Rejected {
    /// The text, where there was some.
    pub said: Option<String>,
    /// What is wrong with it.
    pub why: String,
    /// The model stopped at its output limit.
    pub truncated: bool,
}

/// Sends one call.
pub(super) async fn call(
    shared: &Shared,
    upstream: &Upstream,
    request: &ModelRequest,
    caller: &Caller<'_>,
    admission: &mut Admission,
    reservation: Reservation,
) -> Result<Called, NotSent> {
    let number = shared.call_number();
    let entry = noted(number, upstream, caller);
    shared.flight.take(admission.slot(), &entry)?;
    if let Some(reading) = &upstream.reading {
        reading.sent(&request.payload);
    }
    let sent = Instant::now();
    let result = tokio::select! {
        biased;
        result = upstream.members[admission.member()].provider.call(request) => Some(result),
        () = shared.stop.aborting() => None,
        () = caller.cut.notified() => None,
        () = tokio::time::sleep(caller.left) => Some(Err(out_of_time(upstream))),
    };
    if let Some(Err(error)) = result.as_ref().filter(|result| result.as_ref().is_err_and(CallError::is_unsent)) {
        shared.flight.free(admission.slot())?;
        return Err(NotSent::Unread(error.failure.clone()));
    }
    let unread = result.as_ref().and_then(|result| unread(upstream, request, result.as_ref().ok()?));
    let result = unread.map(Err).or(result);
    let record = cut_off(entry, sent.elapsed(), caller);
    let told = result.as_ref().map(|result| result.as_ref().map_or_else(|error| &error.rate, |answer| &answer.rate));
    admission.learn(told.unwrap_or(&RateReport::new()));
    let probe = admission.is_probe();
    let known = caller.vouched || upstream.has_answered();
    let end = how_it_ended(result.as_ref(), caller.first_failure, known);
    // Settled before it ends: what a server brings is measured in tokens.
    let (record, error, rejected) = settled(result, upstream, record, admission, caller);
    let standing = admission.ended(end);
    reservation.settle(record.cost.filter(|_| !record.possibly_billed));
    Ok(Called { record: Box::new(record), error: error.map(Box::new), rejected, standing, probe })
}

/// What stands in the flight file while the call is out.
fn noted(number: CallNumber, upstream: &Upstream, caller: &Caller<'_>) -> FlightEntry {
    FlightEntry {
        call: number,
        row: caller.row,
        key: caller.key,
        at: now_ms(),
        worst_cost: caller.worst_cost,
        task: Arc::clone(caller.task),
        provider: Arc::clone(&upstream.provider_name),
        model: Arc::clone(&upstream.wire),
    }
}

/// The record of a call of which nothing came back.
fn cut_off(entry: FlightEntry, latency: Duration, caller: &Caller<'_>) -> CallRecord {
    CallRecord {
        call: entry.call,
        provider: entry.provider,
        model: entry.model,
        latency,
        usage: None,
        cost: Some(Money::ZERO),
        possibly_billed: false,
        worst_cost: entry.worst_cost,
        request_id: None,
        said: None,
        reask: caller.reask,
        end: CallEnd::Cut,
    }
}

/// What has come of a call, with its tokens told to the limits.
fn settled(
    result: Option<Result<Answer, CallError>>,
    upstream: &Upstream,
    record: CallRecord,
    admission: &mut Admission,
    caller: &Caller<'_>,
) -> (CallRecord, Option<CallError>, Option<Rejected>) {
    match result {
        None => (CallRecord { possibly_billed: true, ..record }, None, None),
        Some(Ok(answer)) => {
            // The server has done well, whatever the task makes of the answer.
            let rejected = broken(caller.rules, &answer);
            let record = answered(upstream, answer, record, admission, caller.need);
            match rejected {
                None => (record, None, None),
                Some(rejected) => {
                    let (record, error) = reject(record, &rejected);
                    (record, Some(error), Some(rejected))
                }
            }
        }
        Some(Err(error)) => (failed(upstream, &error, record, admission), Some(error), None),
    }
}

/// What a call's end tells of the server.
///
/// Replies that are errors tell of an outage only where there were good ones before, from whichever member: of a model that
/// never gave any, rows fail by their own count, as its errors are more often the job's fault than an hour's. But a row that
/// waits for a model anyway does not fail by them, and thousands of such rows would be a storm.
fn how_it_ended(result: Option<&Result<Answer, CallError>>, first_failure: bool, known: bool) -> limit::CallEnd {
    use FailureKind as K;
    let error = match result {
        None => return limit::CallEnd::Cut,
        Some(Ok(_)) => return limit::CallEnd::Good,
        Some(Err(error)) => error,
    };
    let hint = error.retry_after;
    let sick = |weight| limit::CallEnd::Sick { hint, weight };
    let by_row = |counts: bool| sick(if counts && first_failure { Sickness::First } else { Sickness::Again });
    match error.failure.kind {
        K::RateLimited => limit::CallEnd::Throttled { hint },
        K::Overloaded if known => sick(Sickness::Certain),
        // A row may break the server that works on it; one that nobody listens to is down for all.
        K::Connection if !error.possibly_billed => sick(Sickness::Certain),
        K::Timeout | K::Overloaded => by_row(true),
        K::Connection | K::ServerError | K::MalformedReply => by_row(known),
        K::RowTimeout => limit::CallEnd::Cut,
        // Whether it is so is asked again soon, not when it is over.
        K::QuotaExhausted | K::DailyQuota => {
            limit::CallEnd::Neutral { hint: hint.filter(|hint| *hint <= LONGEST_DOUBT) }
        }
        K::BadRow
        | K::Template
        | K::NoRoute
        | K::Empty
        | K::ContextLength
        | K::TooLarge
        | K::ContentFilter
        | K::Refusal
        | K::InvalidRequest
        | K::Auth
        | K::Permission
        | K::ModelNotFound
        | K::InvalidAnswer => limit::CallEnd::Neutral { hint },
    }
}

/// The failure behind an answer whose server cut the prompt without a word.
fn unread(upstream: &Upstream, request: &ModelRequest, answer: &Answer) -> Option<CallError> {
    // Who asks for it, as by `truncate_prompt_tokens`, knows.
    if request.params.keys().any(|name| name.starts_with("truncat")) {
        return None;
    }
    let told = answer.usage?.input_tokens;
    let least = upstream.reading.as_ref()?.was_cut(&request.payload, told)?;
    let message = format!(
        "the server read {told} tokens of a prompt of at least {least}, and cut the rest without a word: give it a longer \
         context (such as num_ctx), or cut the text with truncate_tokens"
    );
    Some(CallError {
        failure: Failure::new(FailureKind::ContextLength, message),
        retry_after: None,
        retryable: None,
        usage: answer.usage,
        request_id: answer.request_id.clone(),
        possibly_billed: false,
        body: Some(answer.body.clone()),
        rate: answer.rate.clone(),
        billing: (*answer.billing).clone(),
    })
}

/// What is wrong with an answer, if it is.
fn broken(rules: Option<&Rules>, answer: &Answer) -> Option<Rejected> {
    let invalid = rules?.check(answer.content.as_deref(), answer.truncated).err()?;
    let said = answer.content.clone().filter(|said| !said.trim().is_empty());
    Some(Rejected { said, why: invalid.to_string(), truncated: answer.truncated })
}

/// A call whose answer does not count: what it cost does.
fn reject(record: CallRecord, rejected: &Rejected) -> (CallRecord, CallError) {
    let message = format!("the answer is not valid: {}", rejected.why);
    // The server did answer.
    let failure = Failure { status: Some(200), ..Failure::new(FailureKind::InvalidAnswer, message) };
    let error =
        CallError { usage: record.usage, request_id: record.request_id.clone(), ..error(failure.clone(), false) };
    let end = match record.end {
        CallEnd::Answer(answer) => CallEnd::Rejected(answer, failure),
        end @ (CallEnd::Rejected(..) | CallEnd::Failure(_) | CallEnd::Cut) => end,
    };
    (CallRecord { end, ..record }, error)
}

/// The failure of a call that is cut because the row's own time is over: it may be billed.
fn out_of_time(upstream: &Upstream) -> CallError {
    error(row_timeout(upstream.row_timeout, None), true)
}

/// A failure that no server told.
fn error(failure: Failure, possibly_billed: bool) -> CallError {
    CallError {
        failure,
        retry_after: None,
        retryable: None,
        usage: None,
        billing: Billing::default(),
        request_id: None,
        possibly_billed,
        body: None,
        rate: RateReport::new(),
    }
}

fn answered(
    upstream: &Upstream,
    answer: Answer,
    record: CallRecord,
    admission: &mut Admission,
    reserved: Need,
) -> CallRecord {
    upstream.answered(admission.member(), record.latency);
    admission.settle(answer.usage.as_ref().map_or(Used { input: reserved.input, output: reserved.output }, used));
    CallRecord {
        usage: answer.usage,
        cost: upstream.cost(answer.usage.as_ref(), &answer.billing, now_ms()),
        request_id: answer.request_id.clone(),
        end: CallEnd::Answer(answer),
        ..record
    }
}

fn failed(upstream: &Upstream, error: &CallError, record: CallRecord, admission: &mut Admission) -> CallRecord {
    // A failure that tells no usage keeps its reservation: some providers count failed requests against the limit.
    if let Some(usage) = &error.usage {
        admission.settle(used(usage));
    }
    let tells = error.usage.is_some() || error.billing.cost.is_some();
    CallRecord {
        usage: error.usage,
        cost: if tells { upstream.cost(error.usage.as_ref(), &error.billing, now_ms()) } else { record.cost },
        possibly_billed: error.possibly_billed,
        request_id: error.request_id.clone(),
        said: error.body.clone(),
        end: CallEnd::Failure(error.failure.clone()),
        ..record
    }
}

fn used(usage: &Usage) -> Used {
    Used { input: usage.input_tokens, output: usage.total().saturating_sub(usage.input_tokens) }
}
