//! One call: on record in the flight file while it is out, settled with its limits and its price when it is back.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::recorder::now_ms;
use super::shared::Shared;
use super::trail::{CallEnd, CallRecord, row_timeout};
use super::upstream::Upstream;
use crate::limit::Admission;
use crate::provider::{Answer, CallError, ModelRequest};
use crate::store::{FlightEntry, StoreError};
use crate::types::{Key, Money, RateReport};

/// Whose call it is, and how large it was taken to be.
pub(super) struct Caller<'a> {
    pub row: u64,
    pub key: Key,
    pub task: &'a Arc<str>,
    /// The tokens that the admission reserved.
    pub reserved: u64,
    /// What is left of the row's own time.
    pub left: Duration,
}

/// A call that has ended; with the error where it failed.
pub(super) struct Called {
    pub record: CallRecord,
    pub error: Option<CallError>,
}

/// Sends one call. Where the flight file cannot take it, it is not sent.
pub(super) async fn call(
    shared: &Shared,
    upstream: &Upstream,
    request: &ModelRequest,
    caller: &Caller<'_>,
    admission: &mut Admission,
) -> Result<Called, StoreError> {
    let number = shared.call_number();
    let worst_cost = upstream.worst_cost(request.messages.get(), &request.params);
    let entry = FlightEntry {
        call: number,
        row: caller.row,
        key: caller.key,
        at: now_ms(),
        worst_cost,
        task: Arc::clone(caller.task),
        provider: Arc::clone(&upstream.provider_name),
        model: Arc::clone(&upstream.wire),
    };
    shared.flight.take(admission.slot(), &entry)?;
    let sent = Instant::now();
    let result = tokio::select! {
        biased;
        result = upstream.provider.call(request) => Some(result),
        () = shared.stop.aborting() => None,
        () = tokio::time::sleep(caller.left) => Some(Err(out_of_time(upstream))),
    };
    let record = CallRecord {
        call: number,
        provider: entry.provider,
        model: entry.model,
        latency: sent.elapsed(),
        usage: None,
        cost: Some(Money::ZERO),
        possibly_billed: false,
        worst_cost,
        request_id: None,
        end: CallEnd::Cut,
    };
    Ok(match result {
        None => Called { record: CallRecord { possibly_billed: true, ..record }, error: None },
        Some(Ok(answer)) => answered(upstream, answer, record, admission, caller.reserved),
        Some(Err(error)) => failed(upstream, error, record, admission),
    })
}

/// The failure of a call that is cut because the row's own time is over: it may be billed.
fn out_of_time(upstream: &Upstream) -> CallError {
    CallError {
        failure: row_timeout(upstream.row_timeout, None),
        retry_after: None,
        retryable: None,
        usage: None,
        request_id: None,
        possibly_billed: true,
        body: None,
        rate: RateReport::new(),
    }
}

fn answered(
    upstream: &Upstream,
    answer: Answer,
    record: CallRecord,
    admission: &mut Admission,
    reserved: u64,
) -> Called {
    upstream.answered();
    admission.settle(answer.usage.map_or(reserved, |usage| usage.total()));
    let record = CallRecord {
        usage: answer.usage,
        cost: upstream.cost(answer.usage.as_ref()),
        request_id: answer.request_id.clone(),
        end: CallEnd::Answer(answer),
        ..record
    };
    Called { record, error: None }
}

fn failed(upstream: &Upstream, error: CallError, record: CallRecord, admission: &mut Admission) -> Called {
    // A failure that tells no usage keeps its reservation: some providers count failed requests against the limit.
    if let Some(usage) = &error.usage {
        admission.settle(usage.total());
    }
    let record = CallRecord {
        usage: error.usage,
        cost: error.usage.as_ref().map_or(record.cost, |usage| upstream.cost(Some(usage))),
        possibly_billed: error.possibly_billed,
        request_id: error.request_id.clone(),
        end: CallEnd::Failure(error.failure.clone()),
        ..record
    };
    Called { record, error: Some(error) }
}
