//! One row's whole life: render, then for each model of its route wait in line, call, and decide what follows.
//!
//! A worker decides nothing about kinds of failures (`retry::decide` does) and writes nothing (the recorder does). What it
//! sends to the recorder carries the permits along, so that they are given back only when the line stands in the log.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::call::{Called, Caller, call};
use super::output::with_row;
use super::plan::Choice;
use super::prepare::{Prepared, Request, What, prepare};
use super::recorder::Message;
use super::shared::Shared;
use super::trail::{CallEnd, CallRecord, Trail, row_timeout};
use super::upstream::Upstream;
use super::window::WindowPermit;
use crate::limit::Admission;
use crate::provider::{CallError, ModelRequest};
use crate::retry::{History, Next, decide};
use crate::sink::{SinkError, result_line};
use crate::source::Record;
use crate::store::End;
use crate::types::{Failure, FailureKind, Key, OutcomeLine};

/// A row on its way.
pub(super) struct Item {
    pub record: Record,
    /// The row's request, where the feed has rendered it already.
    pub prepared: Option<Prepared>,
    /// The outcome that this one replaces.
    pub replaces: Option<End>,
    pub window: WindowPermit,
}

/// Works on a row until its outcome is on its way to the recorder, or until the run stops or has no model for it.
pub(super) async fn work(shared: Arc<Shared>, item: Item) {
    let Item { record, prepared, replaces, window } = item;
    let Prepared { key, hashes, what } = prepared.unwrap_or_else(|| prepare(&shared.plan, &record));
    let row = record.number;
    // The request holds all that is still needed of it, unless its line is written as it ends.
    let record = shared.streams.then_some(record);
    let task = match &what {
        What::Ask(request) => Some(request.task),
        What::Fail { task, .. } => *task,
    };
    let task = task.map_or_else(|| "".into(), |task| Arc::clone(&shared.plan.tasks[task].name));
    let trail = Trail::new(row, key, hashes, task, replaces.map(|end| end.offset), shared.take_spent(key));
    let has_answer = replaces.is_some_and(|end| end.failure.is_none());
    match what {
        What::Ask(request) => {
            let spent = Duration::ZERO;
            Life { shared, request, row, key, trail, record, has_answer, window, spent }.run().await;
        }
        What::Fail { .. } if has_answer => keep_answer(&shared, window).await,
        What::Fail { failure, .. } => {
            let line = Box::new(trail.failed(failure));
            send(&shared, Message::Outcome { line, result: None, admission: None, window }).await;
        }
    }
}

/// A row that asks models.
struct Life {
    shared: Arc<Shared>,
    request: Request,
    row: u64,
    key: Key,
    trail: Trail,
    /// The record, where a result line is made of it.
    record: Option<Record>,
    /// The row has an answer, which only another answer may replace.
    has_answer: bool,
    window: WindowPermit,
    /// Calls and backoffs so far; waits for limits do not count.
    spent: Duration,
}

/// What has been tried on one model.
#[derive(Default)]
struct Tries {
    /// All calls but those that a rate limit answered, the one under way included.
    made: u32,
    /// Those that failed, for `decide`.
    counted: u32,
    timeouts: u32,
}

impl Tries {
    fn more_than_one(&self) -> bool {
        self.made > 1
    }
}

/// What follows after a model.
enum After {
    /// The row ends with this call.
    End(Box<(CallRecord, Admission)>),
    /// The run stops, and the row is left for the next one.
    Left,
    /// The next model of the route is asked; with the failure that led there, if it was the row's.
    NextModel(Option<Failure>),
}

impl After {
    fn end(record: CallRecord, admission: Admission) -> Self {
        Self::End(Box::new((record, admission)))
    }
}

impl Life {
    async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let route = self.route(&shared);
        let mut last = None;
        for (position, choice) in route.iter().enumerate() {
            let upstream = &shared.upstreams[choice.upstream];
            if upstream.removed().is_some() {
                continue;
            }
            if upstream.is_too_long(self.request.messages.get()) {
                last = last.or_else(|| Some(too_long(upstream)));
                continue;
            }
            let mut tries = Tries::default();
            let messages = Arc::clone(&self.request.messages);
            let has_next = || {
                let mut more = route[position + 1..].iter().map(|choice| &shared.upstreams[choice.upstream]);
                more.any(|next| next.removed().is_none() && !next.is_too_long(messages.get()))
            };
            match self.ask(upstream, &choice.params, &mut tries, &has_next).await {
                After::End(end) => {
                    let (record, admission) = *end;
                    return self.end(record, admission, tries.more_than_one()).await;
                }
                After::Left => return,
                After::NextModel(failure) => last = failure.or(last),
            }
        }
        // Without a failure of its own the row is not failed: no model could be asked, and a later run will.
        if let Some(failure) = last {
            if self.has_answer {
                return keep_answer(&shared, self.window).await;
            }
            let (line, window) = (Box::new(self.trail.failed(failure)), self.window);
            send(&shared, Message::Outcome { line, result: None, admission: None, window }).await;
        }
    }

    /// The row's end with this call.
    async fn end(mut self, record: CallRecord, admission: Admission, retry: bool) {
        let shared = Arc::clone(&self.shared);
        if self.has_answer && !matches!(record.end, CallEnd::Answer(_)) {
            self.send_attempt(record, retry, false, admission).await;
            return keep_answer(&shared, self.window).await;
        }
        let line = Box::new(self.trail.outcome(record, retry));
        let result = self.record.filter(|_| line.failure.is_none());
        let result = result.map(|record| result_of(&shared, &record, &line));
        let message = Message::Outcome { line, result, admission: Some(admission), window: self.window };
        send(&shared, message).await;
    }

    /// The models to ask, in order: the one that the row names, then the task's.
    fn route<'a>(&self, shared: &'a Shared) -> Vec<&'a Choice> {
        shared.plan.tasks[self.request.task].choices(self.request.model).collect()
    }

    /// Asks one model until it answers or `decide` leads elsewhere.
    async fn ask(
        &mut self,
        upstream: &Upstream,
        params: &Arc<Map<String, Value>>,
        tries: &mut Tries,
        has_next: &(impl Fn() -> bool + Sync),
    ) -> After {
        let shared = Arc::clone(&self.shared);
        let request = self.model_request(upstream, params);
        let tokens = upstream.tokens_to_reserve(request.messages.get(), &request.params);
        loop {
            if self.spent >= upstream.row_timeout {
                return After::NextModel(Some(row_timeout(upstream.row_timeout, None)));
            }
            let mut admission = tokio::select! {
                biased;
                () = shared.stop.draining() => return After::Left,
                () = shared.pause.begun() => {
                    self.wait_for_resume().await;
                    continue;
                }
                admitted = upstream.gate.admit(tokens) => match admitted {
                    Ok(admission) => admission,
                    Err(_) => return After::NextModel(None),
                },
            };
            let called = match call(&shared, upstream, &request, &self.caller(upstream, tokens), &mut admission).await {
                Ok(called) => called,
                Err(error) => {
                    self.send(Message::Broken(error)).await;
                    return After::Left;
                }
            };
            let Called { record, error } = called;
            self.spent += record.latency;
            tries.made += 1;
            let Some(error) = error else {
                return match record.end {
                    CallEnd::Cut => self.cut(record, admission).await,
                    CallEnd::Answer(_) | CallEnd::Failure(_) => After::end(record, admission),
                };
            };
            match self.next_step(upstream, &error, tries) {
                Step::Again { pause } => {
                    self.send_attempt(record, tries.more_than_one(), false, admission).await;
                    if !self.pause(pause).await {
                        return After::Left;
                    }
                }
                Step::Leave { fault_is_rows } => {
                    let fell_back = has_next();
                    if fault_is_rows && !fell_back {
                        return After::end(record, admission);
                    }
                    self.send_attempt(record, tries.more_than_one(), fell_back, admission).await;
                    return After::NextModel(fault_is_rows.then_some(error.failure));
                }
                Step::End => return After::end(record, admission),
                Step::OutOfTime(failure) => {
                    let record = CallRecord { end: CallEnd::Failure(failure), ..record };
                    return After::end(record, admission);
                }
            }
        }
    }

    fn caller(&self, upstream: &Upstream, reserved: u64) -> Caller<'_> {
        let task = &self.shared.plan.tasks[self.request.task].name;
        let left = upstream.row_timeout.saturating_sub(self.spent);
        Caller { row: self.row, key: self.key, task, reserved, left }
    }

    /// Counts a failure and asks `decide` what follows.
    fn next_step(&self, upstream: &Upstream, error: &CallError, tries: &mut Tries) -> Step {
        let kind = error.failure.kind;
        match (kind, error.retry_after) {
            (FailureKind::RateLimited, hint) => upstream.gate.cool_down(hint),
            (_, Some(wait)) => upstream.gate.cool_down(Some(wait)),
            (_, None) => {}
        }
        let counts = u32::from(kind != FailureKind::RateLimited);
        tries.counted += counts;
        tries.made -= 1 - counts;
        tries.timeouts += u32::from(kind == FailureKind::Timeout);
        let history = History {
            attempts_on_model: tries.counted,
            timeouts_on_model: tries.timeouts,
            answered_before: upstream.answered_before(kind),
            confirmations: upstream.count_failure(kind),
            retryable: error.retryable,
        };
        match decide(kind, &history, &self.shared.plan.job.retry, &mut fastrand::f64) {
            Next::Requeue => Step::Again { pause: Duration::ZERO },
            Next::RetryAfter(pause) if self.spent + pause >= upstream.row_timeout => {
                Step::OutOfTime(row_timeout(upstream.row_timeout, Some(&error.failure)))
            }
            Next::RetryAfter(pause) => Step::Again { pause },
            Next::Fallback => Step::Leave { fault_is_rows: true },
            Next::GiveUp => Step::End,
            Next::RemoveTarget => {
                self.shared.remove(upstream, &error.failure);
                Step::Leave { fault_is_rows: false }
            }
        }
    }

    /// Waits while the run is paused, out of all lines.
    async fn wait_for_resume(&self) {
        tokio::select! {
            () = self.shared.stop.draining() => {}
            () = self.shared.pause.over() => {}
        }
    }

    /// Backs off; false where the run stops meanwhile.
    async fn pause(&mut self, pause: Duration) -> bool {
        if pause.is_zero() {
            return true;
        }
        self.spent += pause;
        tokio::select! {
            biased;
            () = self.shared.stop.draining() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }

    async fn cut(&mut self, record: CallRecord, admission: Admission) -> After {
        self.send_attempt(record, false, false, admission).await;
        After::Left
    }

    async fn send_attempt(&mut self, record: CallRecord, retry: bool, fell_back: bool, admission: Admission) {
        let line = Box::new(self.trail.attempt(record, retry, fell_back));
        self.send(Message::Attempt { line, admission }).await;
    }

    async fn send(&self, message: Message) {
        self.shared.tell(message).await;
    }

    fn model_request(&self, upstream: &Upstream, params: &Arc<Map<String, Value>>) -> ModelRequest {
        let params = if self.request.params.is_empty() {
            Arc::clone(params)
        } else {
            let mut own = (**params).clone();
            own.extend(self.request.params.clone());
            Arc::new(own)
        };
        ModelRequest { model: Arc::clone(&upstream.wire), messages: Arc::clone(&self.request.messages), params }
    }
}

/// What a worker does after a failed call.
enum Step {
    /// The same model again, after a pause.
    Again { pause: Duration },
    /// On along the route; the row fails at its end if the fault was its own.
    Leave { fault_is_rows: bool },
    /// The row fails.
    End,
    /// The row fails because its own time ran out.
    OutOfTime(Failure),
}

async fn send(shared: &Shared, message: Message) {
    shared.tell(message).await;
}

/// A failure does not take the place of an answer: the row stays as it was.
async fn keep_answer(shared: &Shared, window: WindowPermit) {
    send(shared, Message::AnswerKept { window }).await;
}

fn result_of(shared: &Shared, record: &Record, line: &OutcomeLine) -> Result<Vec<u8>, SinkError> {
    with_row(&shared.plan, record, line, |row| result_line(row, &shared.plan.job.output))
}

fn too_long(upstream: &Upstream) -> Failure {
    let context = upstream.context.unwrap_or_default();
    let model = &upstream.wire;
    Failure::new(
        FailureKind::ContextLength,
        format!("longer than the context of {model} ({context} tokens): not sent; give the task a fallback with more"),
    )
}
