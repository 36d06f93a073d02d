//! A row at one model of its route: in line, the call, and what follows from its end.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::select_all;
use tokio::time::Instant;

use super::asking::{Turn, reask};
use super::blame::{is_servers_fault, may_be_rows_fault};
use super::budget::{Refused, Reservation};
use super::call::{Called, NotSent, Rejected};
use super::hedge::Outgoing;
use super::prepare::Request;
use super::recorder::Message;
use super::shared::Shared;
use super::trail::{CallEnd, CallRecord, row_timeout};
use super::upstream::Upstream;
use super::walk::Tries;
use super::worker::{LastCall, Life, Visit};
use crate::event::StopReason;
use crate::limit::{Admission, Need, Refusal};
use crate::provider::{CallError, ModelRequest};
use crate::retry::{History, Next, OnInvalid, decide};
use crate::types::{Failure, FailureKind, Money};

/// What is known of an outage is looked at again this often, by each row that waits for its end.
const LOOK_AGAIN: Duration = Duration::from_secs(20);

/// A row steps back by so much for each call of its own that met what may be an outage, up to so many: another one probes next.
const STEP_BACK: Duration = Duration::from_millis(50);
const STEPS: u32 = 20;

/// Why a wait in line ended without an admission.
enum Detour {
    /// Not now: it is down, or told to wait for too long.
    Refused,
    /// Never again in this run.
    Closed,
    Stopped,
    /// The run was paused, and is no more.
    Paused,
    /// A model that comes before can be asked again.
    Reopened,
}

/// What a worker does after a failed call.
pub(super) enum Step {
    /// The same model again, after a pause.
    Again { pause: Duration },
    /// On along the route, and perhaps back: the failure was not the row's.
    PassBy,
    /// On along the route; the row fails at its end.
    Leave,
    /// The model is out of the run.
    Removed,
    /// The row fails.
    End,
    /// The row fails because its own time ran out.
    OutOfTime(Failure),
}

impl Life {
    /// Asks one model until it answers or `decide` leads elsewhere.
    pub(super) async fn visit(&mut self, at: usize) -> Visit {
        let shared = Arc::clone(&self.shared);
        let upstream = &shared.upstreams[self.walk.stop(at).upstream];
        let mut reserved = None;
        loop {
            self.walk.stop(at).take_way();
            // Longer each time that it is asked again with what was wrong.
            let request = self.model_request(at, upstream);
            let need = upstream.need(&request);
            let worst_cost = upstream.worst_cost(&request);
            if self.spent >= upstream.row_timeout {
                return Visit::Through(Some(row_timeout(upstream.row_timeout, None)));
            }
            let admission = match self.line(at, upstream, need).await {
                Ok(admission) => admission,
                Err(Detour::Refused) => return Visit::Unavailable,
                Err(Detour::Closed) => return Visit::Through(None),
                Err(Detour::Stopped) => return Visit::Left,
                Err(Detour::Reopened) => return Visit::BackToStart,
                Err(Detour::Paused) => continue,
            };
            if self.walk.look(at).is_outdated() {
                admission.give_back();
                continue;
            }
            // While it waited for money, the request may have become a longer one.
            let reserved_before = reserved.take().filter(|money: &Reservation| money.covers(worst_cost));
            let money = reserved_before.or_else(|| shared.budget.try_reserve(self.request.task, worst_cost));
            let Some(money) = money else {
                // Others may send while this one waits for money.
                admission.give_back();
                match self.afford(worst_cost).await {
                    Ok(money) => reserved = Some(money),
                    Err(visit) => return visit,
                }
                continue;
            };
            let call = Outgoing { at, upstream, request, need, worst_cost, admission, money };
            // Large, and rows that wait in line need not hold it.
            if let Some(visit) = Box::pin(self.send(call)).await {
                return visit;
            }
        }
    }

    /// Sends a call and does what follows, also where it could not be sent; `None`: the same model is asked again.
    async fn send(&mut self, call: Outgoing<'_>) -> Option<Visit> {
        match self.ask(call).await {
            Ok(visit) => visit,
            Err(NotSent::Unread(failure)) => Some(Visit::Unread(failure)),
            Err(NotSent::Unnoted(error)) => {
                self.shared.tell(Message::Broken(error)).await;
                Some(Visit::Left)
            }
        }
    }

    /// Does what follows from a call; `None`: the same model is asked again.
    pub(super) async fn follow(
        &mut self,
        at: usize,
        upstream: &Upstream,
        called: Called,
        admission: Admission,
    ) -> Option<Visit> {
        let (step, retry) = self.judge(at, upstream, &called, admission.member());
        let Called { mut record, error, .. } = called;
        let (Some(error), Some(step)) = (error, step) else {
            return Some(match record.end {
                CallEnd::Cut => {
                    self.send_attempt(record, retry, admission).await;
                    Visit::Left
                }
                CallEnd::Answer(_) | CallEnd::Rejected(..) | CallEnd::Failure(_) => end(record, admission, retry),
            });
        };
        match step {
            Step::Again { pause } => {
                self.send_attempt(record, retry, admission).await;
                self.back_off(upstream, pause).await
            }
            Step::PassBy => {
                // The row's own clock does not run while its models are down.
                self.spent = self.spent.saturating_sub(record.latency);
                self.send_attempt(record, retry, admission).await;
                Some(Visit::BackToStart)
            }
            Step::Leave => Some(self.leave(at, error, record, admission, retry).await),
            Step::Removed => {
                self.send_attempt(record, retry, admission).await;
                upstream.removed().map(|_| Visit::Through(None))
            }
            Step::End => Some(end(record, admission, retry)),
            Step::OutOfTime(failure) => {
                record.end = CallEnd::Failure(failure);
                Some(end(record, admission, retry))
            }
        }
    }

    /// Counts a call that has ended: what follows from its failure, if it failed, and whether it was a further try of its
    /// model.
    pub(super) fn judge(
        &mut self,
        at: usize,
        upstream: &Upstream,
        called: &Called,
        member: usize,
    ) -> (Option<Step>, bool) {
        self.walk.stop(at).tries.made += 1;
        let Some(error) = &called.error else {
            let is_answered = matches!(called.record.end, CallEnd::Answer(_));
            if is_answered && self.walk.failed_beside(at, &self.shared.upstreams).is_some() {
                upstream.note_takes_failed();
            }
            return (None, self.walk.tries(at).made > 1);
        };
        let step = self.next_step(at, upstream, called, error, member);
        let limited = error.failure.kind == FailureKind::RateLimited;
        (Some(step), !limited && self.walk.tries(at).made > 1)
    }

    /// The model has failed the row: on to the next, or the row ends with this call if there can be none.
    async fn leave(
        &mut self,
        at: usize,
        error: Box<CallError>,
        record: Box<CallRecord>,
        admission: Admission,
        retry: bool,
    ) -> Visit {
        if !self.walk.goes_on_after(at, &self.shared.upstreams, &self.request) {
            return end(record, admission, retry);
        }
        self.send_attempt(record, retry, admission).await;
        Visit::Through(Some(error.failure))
    }

    /// Waits for money; the row is left where there is none any more.
    async fn afford(&self, worst_cost: Option<Money>) -> Result<Reservation, Visit> {
        let reserved = tokio::select! {
            biased;
            () = self.shared.stop.draining() => return Err(Visit::Left),
            reserved = self.shared.budget.reserve(self.request.task, worst_cost) => reserved,
        };
        reserved.map_err(|refused| match refused {
            Refused::Run => {
                self.shared.stop.drain(StopReason::Budget);
                Visit::Left
            }
            Refused::Task => Visit::Left,
            Refused::Unbounded => {
                let message = "under a budget (max_cost) a row needs a cap on its output, such as max_tokens";
                Visit::Through(Some(Failure::new(FailureKind::InvalidRequest, message)))
            }
        })
    }

    /// Waits in the model's line, and out of it while the run is paused.
    async fn line(&self, at: usize, upstream: &Upstream, need: Need) -> Result<Admission, Detour> {
        let patience = self.patience();
        let before: Vec<usize> = self.walk.passed_by(at).collect();
        let ended = tokio::select! {
            biased;
            () = self.shared.stop.draining() => Err(Detour::Stopped),
            () = self.shared.pause.begun() => Err(Detour::Paused),
            admitted = self.admitted(at, upstream, need, patience) => admitted.map_err(|refusal| match refusal {
                Refusal::Closed => Detour::Closed,
                Refusal::Down | Refusal::Away { .. } => Detour::Refused,
            }),
            () = any_usable(&self.shared, &before, patience) => Err(Detour::Reopened),
        };
        if matches!(ended, Err(Detour::Paused)) {
            self.wait_for_resume().await;
        }
        ended
    }

    /// Admitted at its turn: what one row meets may be its own fault, so those that have probed less come first. A row that
    /// another model takes meanwhile goes there at once.
    async fn admitted(
        &self,
        at: usize,
        upstream: &Upstream,
        need: Need,
        patience: Duration,
    ) -> Result<Admission, Refusal> {
        let steps = self.walk.tries(at).in_vain.min(STEPS);
        if steps > 0 && upstream.gate.down_since().is_some() && !self.is_taken_behind(at) {
            tokio::time::sleep(STEP_BACK * steps).await;
        }
        upstream.gate.admit(need, Some(patience)).await
    }

    /// Whether a model behind this one can take the row now.
    fn is_taken_behind(&self, at: usize) -> bool {
        let upstreams = &self.shared.upstreams;
        let behind = self.walk.usable_after(at, upstreams, &self.request);
        behind.into_iter().any(|other| upstreams[self.walk.upstream(other)].gate.down_since().is_none())
    }

    /// Waits until some model of the route can be asked again; false where the row is left instead, as the run stops or
    /// the route has been down for too long.
    pub(super) async fn wait_for_a_model(&self) -> bool {
        let passed_by: Vec<usize> = self.walk.passed_by(self.walk.len()).collect();
        loop {
            let look_again = Instant::now() + LOOK_AGAIN;
            let given_up = self.gives_up_at(&passed_by);
            if given_up.is_some_and(|at| at <= Instant::now()) {
                self.shared.give_up(self.request.task, &passed_by);
                return false;
            }
            tokio::select! {
                biased;
                () = self.shared.stop.draining() => return false,
                () = any_usable(&self.shared, &passed_by, self.patience()) => return true,
                () = tokio::time::sleep_until(given_up.map_or(look_again, |at| at.min(look_again))) => {}
            }
        }
    }

    /// When the row's wait for models that are down has lasted too long; `None` where one of them is not down, or nobody
    /// asks as the run is paused.
    fn gives_up_at(&self, upstreams: &[usize]) -> Option<Instant> {
        let on_outage = self.shared.plan.job.on_outage;
        let resumed = self.shared.pause.resumed()?;
        let ends = upstreams.iter().map(|upstream| self.shared.upstreams[*upstream].gives_up_at(on_outage, resumed));
        ends.collect::<Option<Vec<Instant>>>()?.into_iter().max()
    }

    /// How long a wait that a server tells may be, before other models are asked.
    fn patience(&self) -> Duration {
        self.shared.plan.job.tasks[self.request.task].fallback_after.unwrap_or(Duration::MAX)
    }

    /// Counts a failure and asks `decide` what follows. A failure of a model that is down is not the row's.
    fn next_step(&mut self, at: usize, upstream: &Upstream, called: &Called, error: &CallError, member: usize) -> Step {
        let kind = error.failure.kind;
        let turn = called.rejected.as_ref().and_then(|rejected| self.reask(at, upstream, rejected));
        let answer = self.shared.plan.job.tasks[self.request.task].answer.as_ref();
        let (stop, own) = (self.walk.stop(at), &self.request.params);
        let other_way = kind == FailureKind::InvalidRequest && stop.asking.step_down(stop.way, &error.failure, own);
        let tries = &mut stop.tries;
        let history = History {
            other_way,
            on_invalid: answer.map(|answer| answer.on_invalid).unwrap_or_default(),
            may_reask: turn.is_some() && answer.is_some_and(|answer| tries.reasks < answer.max_reasks),
            truncated: called.rejected.as_ref().is_some_and(|rejected| rejected.truncated),
            ..count(tries, upstream, error, member)
        };
        self.walk.stop(at).tries.in_vain += u32::from(called.met_outage() && may_be_rows_fault(error));
        if called.met_outage() && (is_servers_fault(kind) || kind == FailureKind::RateLimited) {
            upstream.note_fault(&error.failure);
        }
        if is_servers_fault(kind) && !self.is_rows_own(at, upstream, called, error, member) {
            let tries = &mut self.walk.stop(at).tries;
            tries.counted -= 1;
            tries.timeouts -= u32::from(kind == FailureKind::Timeout);
            return Step::PassBy;
        }
        match decide(kind, &history, &self.shared.plan.job.retry, &mut fastrand::f64) {
            Next::Requeue => {
                self.walk.stop(at).tries.counted -= u32::from(kind != FailureKind::RateLimited);
                Step::Again { pause: Duration::ZERO }
            }
            Next::Reask => {
                let stop = self.walk.stop(at);
                stop.tries.counted -= 1;
                stop.tries.reasks += 1;
                stop.turns.extend(turn);
                Step::Again { pause: Duration::ZERO }
            }
            Next::RetryAfter(pause) if self.spent + pause >= upstream.row_timeout => {
                Step::OutOfTime(row_timeout(upstream.row_timeout, Some(&error.failure)))
            }
            Next::RetryAfter(pause) => Step::Again { pause },
            Next::Fallback => Step::Leave,
            Next::GiveUp => Step::End,
            Next::RemoveTarget => {
                self.shared.remove(upstream, member, &error.failure);
                Step::Removed
            }
        }
    }

    /// Whether the row is to blame for a failure that may be the server's. While that is up it is, for all that is known.
    fn is_rows_own(
        &mut self,
        at: usize,
        upstream: &Upstream,
        called: &Called,
        error: &CallError,
        member: usize,
    ) -> bool {
        if !may_be_rows_fault(error) {
            return !called.met_outage();
        }
        let kind = error.failure.kind;
        let beside = self.walk.failed_beside(at, &self.shared.upstreams);
        let blame = &mut self.walk.stop(at).blame;
        if called.met_outage() {
            return blame.is_own(upstream, kind, beside);
        }
        if let Some(sent_at) = Instant::now().checked_sub(called.record.latency) {
            blame.suspect(kind, member, sent_at);
        }
        true
    }

    /// What the model is told of its last answer; `None` where nothing was said, or the conversation would be too long.
    fn reask(&self, at: usize, upstream: &Upstream, rejected: &Rejected) -> Option<Turn> {
        let so_far = self.model_request(at, upstream).payload;
        let turn = Turn::new(rejected.said.clone()?, rejected.why.clone());
        let payload = reask(&so_far, std::iter::once(&turn))?;
        let Request { task, endpoint, model, as_written, unread, .. } = self.request;
        let request =
            Request { task, endpoint, model, payload, params: self.request.params.clone(), as_written, unread };
        let fits = !upstream.is_too_long(&request, &self.walk.look(at).params);
        fits.then_some(turn)
    }

    /// Waits while the run is paused, out of all lines.
    async fn wait_for_resume(&self) {
        tokio::select! {
            () = self.shared.stop.draining() => {}
            () = self.shared.pause.over() => {}
        }
    }

    /// Backs off; a row whose model goes down meanwhile moves on at once.
    pub(super) async fn back_off(&mut self, upstream: &Upstream, pause: Duration) -> Option<Visit> {
        if pause.is_zero() {
            return None;
        }
        let began = Instant::now();
        let visit = tokio::select! {
            biased;
            () = self.shared.stop.draining() => Some(Visit::Left),
            () = upstream.gate.down() => Some(Visit::Unavailable),
            () = tokio::time::sleep(pause) => None,
        };
        self.spent += began.elapsed();
        visit
    }

    pub(super) fn model_request(&self, at: usize, upstream: &Upstream) -> ModelRequest {
        let (stop, own) = (self.walk.look(at), &self.request.params);
        let way = stop.asking.way(stop.way);
        let asked = way.payload(&self.request.payload, own);
        let longer = if stop.turns.is_empty() { None } else { reask(&asked, stop.turns.iter()) };
        let payload = longer.unwrap_or(asked);
        ModelRequest {
            model: Arc::clone(&upstream.wire),
            endpoint: self.request.endpoint_at(upstream.endpoint),
            payload,
            params: way.params(&stop.params, own),
            as_written: self.request.as_written,
        }
    }
}

fn end(record: Box<CallRecord>, admission: Admission, retry: bool) -> Visit {
    Visit::End(LastCall { record, admission, retry })
}

/// Counts a failed call among a row's tries, and tells what `decide` asks for.
fn count(tries: &mut Tries, upstream: &Upstream, error: &CallError, member: usize) -> History {
    let kind = error.failure.kind;
    let counts = u32::from(kind != FailureKind::RateLimited);
    tries.counted += counts;
    tries.made -= 1 - counts;
    tries.timeouts += u32::from(kind == FailureKind::Timeout);
    History {
        attempts_on_model: tries.counted,
        timeouts_on_model: tries.timeouts,
        answered_before: upstream.answered_before(member, kind),
        confirmations: upstream.count_failure(member, kind),
        retryable: error.retryable,
        told_wait: error.retry_after.is_some_and(|wait| !wait.is_zero()),
        other_way: false,
        on_invalid: OnInvalid::default(),
        may_reask: false,
        truncated: false,
    }
}

/// Returns once one of these models can be asked; of none, never.
async fn any_usable(shared: &Shared, upstreams: &[usize], patience: Duration) {
    if upstreams.is_empty() {
        return pending().await;
    }
    let waits = upstreams.iter().map(|upstream| shared.upstreams[*upstream].gate.usable(patience).boxed());
    select_all(waits).await;
}
