//! One way to stop, for all reasons.
//!
//! Running, then draining (no new rows, waits end at once, calls in flight finish), then aborting (they are cut). A second
//! request, or the end of the drain time, moves on from draining to aborting.

use std::sync::{Arc, OnceLock};

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
    reason: Arc<OnceLock<StopReason>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self { phase: Arc::new(watch::Sender::new(Phase::Running)), reason: Arc::new(OnceLock::new()) }
    }
}

impl Stop {
    /// Asks for a stop: the first time to drain, the second time to cut what is in flight.
    pub fn request(&self, reason: StopReason) {
        let first = self.reason.set(reason).is_ok();
        self.advance(if first { Phase::Draining } else { Phase::Aborting });
    }

    /// Asks for a drain; asked again, it stays one.
    pub(super) fn drain(&self, reason: StopReason) {
        // As in `abort`.
        let _ = self.reason.set(reason);
        self.advance(Phase::Draining);
    }

    /// Cuts what is in flight, without a drain.
    pub(super) fn abort(&self, reason: StopReason) {
        // A reason that stands already came first, and is the one to tell.
        let _ = self.reason.set(reason);
        self.advance(Phase::Aborting);
    }

    /// Why the run stops, once it does.
    #[must_use]
    pub fn reason(&self) -> Option<StopReason> {
        self.reason.get().copied()
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Returns when no new row may be sent.
    pub(super) async fn draining(&self) {
        self.reached(Phase::Draining).await;
    }

    /// Returns when calls in flight are to be cut.
    pub(super) async fn aborting(&self) {
        self.reached(Phase::Aborting).await;
    }

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
}
