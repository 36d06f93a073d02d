//! Steers a running job from outside: what `overnight control` leaves in the state directory is done here.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::shutdown::Stop;
use crate::event::StopReason;
use crate::store::{Control, StateDir};

/// How often the state directory is asked for a word.
const EVERY: Duration = Duration::from_secs(1);

/// Whether calls may be sent. Clones are the same switch.
#[derive(Clone, Debug)]
pub(super) struct Pause(Arc<watch::Sender<Sending>>);

/// Since when calls may be sent; `None` while they may not.
type Sending = Option<Instant>;

impl Default for Pause {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Some(Instant::now()))))
    }
}

impl Pause {
    pub fn is_on(&self) -> bool {
        self.resumed().is_none()
    }

    /// When the last pause ended, or the run began; `None` while it is paused.
    pub fn resumed(&self) -> Option<Instant> {
        *self.0.borrow()
    }

    /// Returns once no call may be sent.
    pub fn begun(&self) -> impl Future<Output = ()> {
        self.reached(true)
    }

    /// Returns once calls may be sent.
    pub fn over(&self) -> impl Future<Output = ()> {
        self.reached(false)
    }

    /// Handed on as it is: each row that waits has room for it in its task, and another future around it would take more.
    async fn reached(&self, on: bool) {
        // The sender lives in `self`, so the channel cannot close.
        let _ = self.0.subscribe().wait_for(|sending| sending.is_none() == on).await;
    }

    fn set(&self, on: bool) {
        if on != self.is_on() {
            self.0.send_replace((!on).then(Instant::now));
        }
    }
}

/// Does what it is told, for as long as it is polled.
pub(super) async fn obey(state: &StateDir, stop: &Stop, pause: &Pause) -> Infallible {
    loop {
        tokio::time::sleep(EVERY).await;
        match state.take_control() {
            Some(Control::Pause) => pause.set(true),
            Some(Control::Resume) => pause.set(false),
            Some(Control::Drain) => stop.drain(StopReason::Terminated),
            None => {}
        }
    }
}
