//! A second call for a row whose first one takes far too long: to the next model of its route, if the run has room for it.
//!
//! The first good answer wins, and the other call is cut, which may be billed. Where the first call fails while the second
//! is out, the second goes on as the row's fallback; where the second fails, the first goes on as if there had been none.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::budget::Reservation;
use super::call::{Called, Caller, NotSent, call};
use super::shared::Shared;
use super::shutdown::Phase;
use super::trail::CallEnd;
use super::upstream::Upstream;
use super::visit::Step;
use super::worker::{Life, Visit};
use crate::limit::{Admission, Need};
use crate::provider::ModelRequest;
use crate::types::{Failure, Money};

/// Whether there is room for a second call is looked at again this often.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// A call that may be sent now.
pub(super) struct Outgoing<'a> {
    /// Where on the route.
    pub at: usize,
    pub upstream: &'a Upstream,
    pub request: ModelRequest,
    pub need: Need,
    pub worst_cost: Option<Money>,
    pub admission: Admission,
    pub money: Reservation,
}

/// A call that has ended, and what it holds until its line is written.
type Ended = (Called, Admission);

/// A model of the row's route.
type Stop<'a> = (usize, &'a Upstream);

impl Life {
    /// Sends a call and does what follows; `None`: the same model is asked again.
    pub(super) async fn ask(&mut self, call: Outgoing<'_>) -> Result<Option<Visit>, NotSent> {
        if self.shared.plan.job.hedge {
            // Twice as large.
            return Box::pin(self.ask_hedged(call)).await;
        }
        let shared = Arc::clone(&self.shared);
        let (here, sent) = ((call.at, call.upstream), Instant::now());
        let cut = Notify::new();
        let caller = self.caller(&shared, &call, &cut);
        let ended = send(&shared, call, caller).await?;
        self.follow_alone(here, sent, ended).await
    }

    /// Sends a call, and another one beside it where it takes far too long; else as [`Self::ask`].
    async fn ask_hedged(&mut self, first: Outgoing<'_>) -> Result<Option<Visit>, NotSent> {
        let shared = Arc::clone(&self.shared);
        let (here, sent) = ((first.at, first.upstream), Instant::now());
        let cut_first = Notify::new();
        let caller = self.caller(&shared, &first, &cut_first);
        let mut first = pin!(send(&shared, first, caller));
        let second = tokio::select! {
            biased;
            ended = &mut first => return self.follow_alone(here, sent, ended?).await,
            second = self.overdue(&shared, here, sent) => second,
        };
        let there = (second.at, second.upstream);
        let cut_second = Notify::new();
        let caller = self.caller(&shared, &second, &cut_second);
        let caller = Caller { left: caller.left.saturating_sub(sent.elapsed()), ..caller };
        let mut second = pin!(send(&shared, second, caller));
        tokio::select! {
            biased;
            ended = &mut first => {
                let first = match ended {
                    Err(NotSent::Unread(why)) => return self.second_alone(there, second, why).await,
                    ended => ended?,
                };
                if first.0.error.is_some() {
                    return self.fall_back(here, sent, first, there, second).await.map(Some);
                }
                cut_second.notify_one();
                match was_sent(second.await)? {
                    // Cut by a stop, which the answer came just before.
                    Some(second) if is_good(&second) && !is_good(&first) => {
                        return Ok(self.take_second(here, Some(first), there, second).await);
                    }
                    Some(second) => self.send_aside(there, second).await,
                    None => {}
                }
                self.follow_alone(here, sent, first).await
            }
            ended = &mut second => {
                match was_sent(ended)? {
                    Some(second) if is_good(&second) => {
                        cut_first.notify_one();
                        here.1.took_at_least(sent.elapsed());
                        let first = was_sent(first.await)?;
                        return Ok(self.take_second(here, first, there, second).await);
                    }
                    Some(second) => self.send_aside(there, second).await,
                    None => {}
                }
                self.follow_alone(here, sent, first.await?).await
            }
        }
    }

    /// No second call was sent, or it came to nothing.
    async fn follow_alone(&mut self, here: Stop<'_>, sent: Instant, first: Ended) -> Result<Option<Visit>, NotSent> {
        self.spent += sent.elapsed();
        Ok(self.follow(here.0, here.1, first.0, first.1).await)
    }

    /// The second call has answered the row, and the first was cut.
    async fn take_second(
        &mut self,
        here: Stop<'_>,
        first: Option<Ended>,
        there: Stop<'_>,
        second: Ended,
    ) -> Option<Visit> {
        let retry = self.walk.tries(here.0).made > 0;
        if let Some((called, admission)) = first {
            self.send_attempt(called.record, retry, admission).await;
        }
        self.follow(there.0, there.1, second.0, second.1).await
    }

    /// The first call was never sent, for this reason. The second one was, and may yet answer the row.
    async fn second_alone(
        &mut self,
        there: Stop<'_>,
        second: impl Future<Output = Result<Ended, NotSent>>,
        why: Failure,
    ) -> Result<Option<Visit>, NotSent> {
        let second = second.await?;
        if is_good(&second) {
            return Ok(self.follow(there.0, there.1, second.0, second.1).await);
        }
        self.send_aside(there, second).await;
        Err(NotSent::Unread(why))
    }

    /// The first call has failed, and the second one goes on in its place: the row ends with it, or goes on along its route.
    async fn fall_back(
        &mut self,
        here: Stop<'_>,
        sent: Instant,
        first: Ended,
        there: Stop<'_>,
        second: impl Future<Output = Result<Ended, NotSent>>,
    ) -> Result<Visit, NotSent> {
        self.spent += sent.elapsed();
        let failed_at = Instant::now();
        let pause = self.give_way(here, first).await;
        let (called, admission) = second.await?;
        self.spent += failed_at.elapsed();
        match self.follow(there.0, there.1, called, admission).await {
            Some(visit @ (Visit::End(_) | Visit::Left | Visit::Unread(_))) => return Ok(visit),
            Some(Visit::Through(failure)) => self.walk.leave(there.0, failure),
            Some(Visit::Unavailable | Visit::BackToStart) | None => {}
        }
        let rest = pause.saturating_sub(failed_at.elapsed());
        Ok(self.back_off(here.1, rest).await.unwrap_or(Visit::BackToStart))
    }

    /// Counts the first call's failure. How long its model is to be left alone.
    async fn give_way(&mut self, (at, upstream): Stop<'_>, (called, admission): Ended) -> Duration {
        let (step, retry) = self.judge(at, upstream, &called, admission.member());
        self.send_attempt(called.record, retry, admission).await;
        match step {
            Some(Step::Again { pause }) => return pause,
            Some(Step::Leave | Step::End) => self.walk.leave(at, called.error.map(|error| error.failure)),
            Some(Step::OutOfTime(failure)) => self.walk.leave(at, Some(failure)),
            Some(Step::PassBy | Step::Removed) | None => {}
        }
        Duration::ZERO
    }

    /// The second call has lost: its attempt is on record, and its failure counts, but the row never was at its model.
    async fn send_aside(&mut self, (at, upstream): Stop<'_>, (called, admission): Ended) {
        let (step, retry) = self.judge(at, upstream, &called, admission.member());
        match step {
            Some(Step::Leave | Step::End | Step::OutOfTime(_)) => {
                self.walk.leave(at, called.error.map(|error| error.failure));
            }
            Some(Step::Again { .. } | Step::PassBy | Step::Removed) | None => {}
        }
        self.send_attempt_aside(called.record, retry, admission).await;
    }

    /// Waits until the call is far too long out and a second one can go at once, in nobody's way.
    async fn overdue<'a>(&mut self, shared: &'a Shared, (at, upstream): Stop<'_>, sent: Instant) -> Outgoing<'a> {
        loop {
            match upstream.overdue_after() {
                Some(after) if sent.elapsed() < after => sleep_until(sent + after).await,
                Some(_) => match self.second(shared, at) {
                    Some(second) => return second,
                    None => sleep(LOOK_AGAIN).await,
                },
                None => sleep(LOOK_AGAIN).await,
            }
        }
    }

    /// A call to the next model of the route that would take one at once.
    fn second<'a>(&mut self, shared: &'a Shared, at: usize) -> Option<Outgoing<'a>> {
        if shared.stop.phase() != Phase::Running || shared.pause.is_on() {
            return None;
        }
        let after = self.walk.usable_after(at, &shared.upstreams, &self.request);
        after.into_iter().find_map(|at| {
            let upstream = &shared.upstreams[self.walk.upstream(at)];
            self.walk.stop(at).take_way();
            let request = self.model_request(at, upstream);
            let need = upstream.need(&request);
            let worst_cost = upstream.worst_cost(&request);
            let money = shared.budget.try_reserve(self.request.task, worst_cost)?;
            let admission = upstream.gate.admit_now(need)?;
            Some(Outgoing { at, upstream, request, need, worst_cost, admission, money })
        })
    }

    fn caller<'a>(&self, shared: &'a Shared, outgoing: &Outgoing<'_>, cut: &'a Notify) -> Caller<'a> {
        let mut passed_by = self.walk.passed_by(outgoing.at);
        Caller {
            row: self.row,
            key: self.key,
            task: &shared.plan.tasks[self.request.task].name,
            need: outgoing.need,
            worst_cost: outgoing.worst_cost,
            left: outgoing.upstream.row_timeout.saturating_sub(self.spent),
            first_failure: self.walk.has_failed_nowhere(outgoing.at, &shared.upstreams),
            cut,
            rules: shared.plan.job.tasks[self.request.task].answer.as_ref().map(|answer| &answer.rules),
            reask: !self.walk.look(outgoing.at).turns.is_empty(),
            vouched: passed_by.any(|before| shared.upstreams[before].has_answered()),
        }
    }
}

async fn send(shared: &Shared, outgoing: Outgoing<'_>, caller: Caller<'_>) -> Result<Ended, NotSent> {
    let Outgoing { upstream, request, mut admission, money, .. } = outgoing;
    match call(shared, upstream, &request, &caller, &mut admission, money).await {
        Ok(called) => Ok((called, admission)),
        Err(why) => {
            admission.give_back();
            Err(why)
        }
    }
}

/// `None`: a call that was never sent, and leaves the row to the other one.
fn was_sent(ended: Result<Ended, NotSent>) -> Result<Option<Ended>, NotSent> {
    match ended {
        Ok(ended) => Ok(Some(ended)),
        Err(NotSent::Unread(_)) => Ok(None),
        Err(broken @ NotSent::Unnoted(_)) => Err(broken),
    }
}

fn is_good(ended: &Ended) -> bool {
    matches!(ended.0.record.end, CallEnd::Answer(_))
}
