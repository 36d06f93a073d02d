//! One way to stop, for all reasons.
//!
//! Running, then draining (no new rows, waits end at once, calls in flight finish), then aborting (they are cut). A second
//! request from outside, or the end of the drain time, moves on from draining to aborting.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::event::StopReason;

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Running,
    Draining,
    Aborting,
}

/// The handle by which a run is stopped. Clones are the same handle.
#[derive(Clone, Debug)]
pub struct Stop {
    phase: Arc<watch::Sender<Phase>>,
    reason: Arc<Mutex<Option<StopReason>>>,
    /// Somebody outside has asked once.
    asked: Arc<AtomicBool>,
}

impl Default for Stop {
    fn default() -> Self {
        Self { phase: Arc::new(watch::Sender::new(Phase::Running)), reason: Arc::default(), asked: Arc::default() }
    }
}

impl Stop {
    /// Asks for a stop from outside: the first time to drain, also where a limit of the run's own drains already; the second
    /// time to cut what is in flight.
    pub fn request(&self, reason: StopReason) {
        self.note(reason);
        let again = self.asked.swap(true, Ordering::AcqRel);
        self.advance(if again { Phase::Aborting } else { Phase::Draining });
    }

    /// Asks for a drain; asked again, it stays one.
    pub(super) fn drain(&self, reason: StopReason) {
        self.note(reason);
        self.advance(Phase::Draining);
    }

    /// Cuts what is in flight, without a drain.
    pub(super) fn abort(&self, reason: StopReason) {
        self.note(reason);
        self.advance(Phase::Aborting);
    }

    /// Why the run stops, once it does.
    #[must_use]
    pub fn reason(&self) -> Option<StopReason> {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of several reasons the weightiest is told, and of equal ones the first.
    fn note(&self, reason: StopReason) {
        let mut noted = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.is_none_or(|before| weight(reason) > weight(before)) {
            *noted = Some(reason);
        }
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Returns when no new row may be sent.
    pub(super) fn draining(&self) -> impl Future<Output = ()> {
        self.reached(Phase::Draining)
    }

    /// Returns when calls in flight are to be cut.
    pub(super) fn aborting(&self) -> impl Future<Output = ()> {
        self.reached(Phase::Aborting)
    }

    /// Handed on as it is: each row that waits has room for it in its task, and another future around it would take more.
    async fn reached(&self, phase: Phase) {
        // The sender lives in `self`, so the channel cannot close.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|now| {
            let further = to > *now;
            *now = to.max(*now);
            further
        });
    }
}

/// A failure comes before a signal, and a signal before whatever made the run drain by itself.
fn weight(reason: StopReason) -> u8 {
    match reason {
        StopReason::Failed => 2,
        StopReason::Interrupted | StopReason::Terminated => 1,
        StopReason::Deadline
        | StopReason::MaxFailures
        | StopReason::FirstRowsFailed
        | StopReason::Budget
        | StopReason::NoModelLeft
        | StopReason::OutputClosed => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_request_drains_and_the_second_aborts() {
        let stop = Stop::default();
        assert_eq!(stop.phase(), Phase::Running);
        stop.request(StopReason::Interrupted);
        stop.draining().await;
        assert_eq!(stop.phase(), Phase::Draining);
        stop.request(StopReason::Terminated);
        stop.aborting().await;
        assert_eq!(stop.reason(), Some(StopReason::Interrupted));
    }
    #[test]
    fn a_signal_while_a_limit_drains_is_told_in_its_place_and_cuts_nothing() {
        let stop = Stop::default();
        stop.drain(StopReason::Deadline);
        stop.request(StopReason::Interrupted);
        assert_eq!((stop.phase(), stop.reason()), (Phase::Draining, Some(StopReason::Interrupted)));
        stop.drain(StopReason::MaxFailures);
        assert_eq!(stop.reason(), Some(StopReason::Interrupted));
        stop.request(StopReason::Terminated);
        assert_eq!((stop.phase(), stop.reason()), (Phase::Aborting, Some(StopReason::Interrupted)));
    }

    #[test]
    fn a_failure_is_told_before_all_else() {
        let stop = Stop::default();
        stop.request(StopReason::Terminated);
        stop.drain(StopReason::Failed);
        assert_eq!((stop.phase(), stop.reason()), (Phase::Draining, Some(StopReason::Failed)));
    }
}
