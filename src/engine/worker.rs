//! One row's whole life: render, then along its route until a model answers or all have failed it.
//!
//! A worker decides nothing about kinds of failures (`retry::decide` does) and writes nothing (the recorder does). What it
//! sends to the recorder carries the permits along, so that they are given back only when the line stands in the log.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::lazy;

use super::dedupe::{CopyPermit, Lead, Share};
use super::output::with_row;
use super::prepare::{Prepared, Request, What, prepare};
use super::recorder::{Message, Permits};
use super::shared::Shared;
use super::trail::{CallEnd, CallRecord, Trail};
use super::walk::Walk;
use super::window::WindowPermit;
use crate::limit::Admission;
use crate::sink::{SinkError, result_line};
use crate::source::Record;
use crate::store::End;
use crate::types::{Failure, Key, OutcomeLine};

/// A row on its way.
pub(super) struct Item {
    pub record: Record,
    /// The row's request, where the feed has rendered it already.
    pub prepared: Option<Box<Prepared>>,
    /// The outcome that this one replaces.
    pub replaces: Option<End>,
    pub window: WindowPermit,
}

/// Works on a row until its outcome is on its way to the recorder, or until the run stops or has no model for it.
///
/// Futures of which one takes the place of another: in a single one, the item would keep its room in each row's task.
pub(super) fn work(shared: Arc<Shared>, item: Item) -> impl Future<Output = ()> {
    lazy(|_| begin(shared, item)).then(|begun| match begun {
        Begun::Asks(life) => life.run().left_future(),
        Begun::Ended(shared, message) => async move { shared.tell(message).await }.right_future(),
    })
}

/// What a row begins as.
enum Begun {
    Asks(Box<Life>),
    /// It has its end without a call.
    Ended(Arc<Shared>, Message),
}

/// A function of its own, and none that waits: what it has moved on would stay in each row's task, beside the room for it
/// in its new place.
fn begin(shared: Arc<Shared>, item: Item) -> Begun {
    let Item { record, prepared, replaces, window } = item;
    let Prepared { key, hashes, what } = prepared.map_or_else(|| prepare(&shared.plan, &record), |prepared| *prepared);
    let row = record.number;
    // The request holds all that is still needed of it, unless its line is written as it ends.
    let record = shared.streams.then(|| Box::new(record));
    let task = what.task().map_or_else(|| "".into(), |task| Arc::clone(&shared.plan.tasks[task].name));
    let request_key = hashes.request;
    let trail = Trail::new(row, key, hashes, task, replaces.map(|end| end.offset), shared.take_spent(key));
    let has_answer = replaces.is_some_and(|end| end.failure.is_none());
    match what {
        What::Ask(request) => {
            // Whoever wants another answer than the one that there is asks for himself.
            let shares = request_key.filter(|_| !has_answer);
            let walk = Walk::new(shared.plan.tasks[request.task].choices(request.model), &shared.upstreams);
            let (lead, spent) = (None, Duration::ZERO);
            let life = Life { shared, request, walk, row, key, trail, record, has_answer, shares, lead, window, spent };
            Begun::Asks(Box::new(life))
        }
        What::Fail { .. } if has_answer => Begun::Ended(shared, Message::AnswerKept { window }),
        What::Fail { failure, .. } => {
            let line = trail.failed(failure);
            let permits = Permits { window: Some(window), ..Permits::default() };
            Begun::Ended(shared, Message::Outcome { line, result: None, permits })
        }
    }
}

/// A row that asks models. In a box, as what waits in its task should be small: the task is moved when it starts and ends.
pub(super) struct Life {
    pub shared: Arc<Shared>,
    pub request: Request,
    pub walk: Walk,
    pub row: u64,
    pub key: Key,
    trail: Trail,
    /// The record, where a result line is made of it.
    record: Option<Box<Record>>,
    /// The row has an answer, which only another answer may replace.
    has_answer: bool,
    /// What it would ask, where another row's answer will do.
    shares: Option<Key>,
    /// It asks for others too.
    lead: Option<Lead>,
    window: WindowPermit,
    /// Calls and backoffs so far; waits for limits, cooldowns and outages do not count.
    pub spent: Duration,
}

/// How asking one model ended.
pub(super) enum Visit {
    /// The row ends with this call.
    End(LastCall),
    /// The run stops, and the row is left for the next one.
    Left,
    /// The row is through with the model: with the failure, if it was the row's.
    Through(Option<Failure>),
    /// The model is down, or told to wait for too long.
    Unavailable,
    /// A model that comes before it can be asked again.
    BackToStart,
    /// A file that goes with the row cannot be read any more.
    Unread(Failure),
}

/// The call that a row ends with.
pub(super) struct LastCall {
    pub record: Box<CallRecord>,
    pub admission: Admission,
    pub retry: bool,
}

/// How a round along the route ended.
enum Round {
    End(LastCall),
    Left,
    /// Every model has failed the row or is out of the run.
    Over,
    /// Models are left that cannot be asked now.
    Waits,
    Again,
    /// A file that goes with the row cannot be read any more.
    Unread(Failure),
}

impl Life {
    async fn run(mut self: Box<Self>) {
        match self.share().await {
            None => {}
            Some(Share::Asks(lead)) => self.lead = Some(lead),
            Some(Share::Copies(other, permit)) => return self.copy(&other, permit).await,
            Some(Share::Left) => return,
        }
        loop {
            match self.round().await {
                Round::End(last) => return self.end(last).await,
                Round::Left => return,
                Round::Over => return self.fail().await,
                Round::Unread(failure) => return self.fail_unread(failure).await,
                Round::Again => {}
                Round::Waits => {
                    if !self.wait_for_a_model().await {
                        return;
                    }
                }
            }
        }
    }

    /// Finds out whether another row asks the same; `None` where that does not matter.
    async fn share(&self) -> Option<Share> {
        let (dedupe, request) = self.shared.dedupe.as_ref().zip(self.shares)?;
        Some(dedupe.share(request, &self.shared.stop).await)
    }

    /// Asks the models of the route in order, as far as they can be asked now.
    async fn round(&mut self) -> Round {
        let shared = Arc::clone(&self.shared);
        let mut waits = false;
        self.walk.begin_round();
        for at in 0..self.walk.len() {
            if !self.walk.may_ask(at, &shared.upstreams, &self.request) {
                continue;
            }
            match self.visit(at).await {
                Visit::End(last) => return Round::End(last),
                Visit::Left => return Round::Left,
                Visit::Through(failure) => self.walk.leave(at, failure),
                Visit::Unavailable => {
                    self.walk.pass_by(at);
                    waits = true;
                }
                Visit::BackToStart => return Round::Again,
                Visit::Unread(failure) => return Round::Unread(failure),
            }
        }
        if waits { Round::Waits } else { Round::Over }
    }

    /// The row's end with this call.
    async fn end(mut self: Box<Self>, last: LastCall) {
        if self.has_answer && !matches!(last.record.end, CallEnd::Answer(_)) {
            let LastCall { record, admission, retry } = last;
            self.send_attempt(record, retry, admission).await;
            return keep_answer(&self.shared, self.window).await;
        }
        let line = self.trail.outcome(*last.record, last.retry);
        let permits = Permits { admission: Some(last.admission), window: Some(self.window), ..Permits::default() };
        tell_outcome(&self.shared, line, self.record, permits, self.lead).await;
    }

    /// The row ends as another one did that asked the same.
    async fn copy(self: Box<Self>, other: &OutcomeLine, permit: CopyPermit) {
        let permits = Permits { admission: None, copy: Some(permit), window: Some(self.window) };
        tell_outcome(&self.shared, self.trail.copied(other), self.record, permits, None).await;
    }

    /// The row's end without a further call. Without a failure of its own it has not failed: a later run will ask.
    async fn fail(self: Box<Self>) {
        let Some(failure) = self.walk.into_failure(&self.request) else { return };
        if self.has_answer {
            return keep_answer(&self.shared, self.window).await;
        }
        let line = self.trail.failed(failure);
        let permits = Permits { window: Some(self.window), ..Permits::default() };
        tell_outcome(&self.shared, line, None, permits, self.lead).await;
    }

    /// The row's end where nothing more can be sent for it. Whoever waits for its answer asks then.
    async fn fail_unread(self: Box<Self>, failure: Failure) {
        if self.has_answer {
            return keep_answer(&self.shared, self.window).await;
        }
        let line = self.trail.unread(self.request.unread.unwrap_or(self.key), failure);
        let permits = Permits { window: Some(self.window), ..Permits::default() };
        tell_outcome(&self.shared, line, None, permits, None).await;
    }

    /// Tells of an attempt at a model that the row did not go to.
    pub async fn send_attempt_aside(&mut self, record: Box<CallRecord>, retry: bool, admission: Admission) {
        let line = Box::new(self.trail.attempt_aside(*record, retry));
        self.shared.tell(Message::Attempt { line, admission }).await;
    }

    pub async fn send_attempt(&mut self, record: Box<CallRecord>, retry: bool, admission: Admission) {
        let line = Box::new(self.trail.attempt(*record, retry));
        self.shared.tell(Message::Attempt { line, admission }).await;
    }
}

/// Tells the recorder of a row's end, and then whoever waits for it: so their lines stand behind its own.
async fn tell_outcome(
    shared: &Shared,
    line: Box<OutcomeLine>,
    record: Option<Box<Record>>,
    permits: Permits,
    lead: Option<Lead>,
) {
    let result = record.filter(|_| line.failure.is_none()).map(|record| result_of(shared, &record, &line));
    let told = lead.map(|lead| (lead, line.clone()));
    shared.tell(Message::Outcome { line, result, permits }).await;
    if let Some((lead, line)) = told {
        lead.ended(*line);
    }
}

/// A failure does not take the place of an answer: the row stays as it was.
async fn keep_answer(shared: &Shared, window: WindowPermit) {
    shared.tell(Message::AnswerKept { window }).await;
}

fn result_of(shared: &Shared, record: &Record, line: &OutcomeLine) -> Result<Vec<u8>, SinkError> {
    with_row(&shared.plan, record, line, |row| result_line(row, &shared.plan.job.output))
}
