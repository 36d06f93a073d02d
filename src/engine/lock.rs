//! Taking the job's lock, at once or in time.

use std::time::Duration;

use tokio::time::Instant;

use super::RunError;
use super::recorder::Watcher;
use super::rules::Rules;
use super::shutdown::Stop;
use crate::event::Event;
use crate::store::{StateDir, StateLock, StoreError};

/// Who only looks whether a job runs has the lock for an instant: it is not refused for that.
const GLANCE: Duration = Duration::from_millis(20);
/// How often it is tried again.
const EVERY: Duration = Duration::from_millis(250);

/// What a run does while another one holds the job's lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IfLocked {
    /// Ends with [`StoreError::Locked`].
    #[default]
    Fail,
    /// Waits until the lock is free, the run is stopped or its deadline is near.
    Wait,
}

/// Takes the lock.
pub(super) async fn take(
    state: &StateDir,
    if_locked: IfLocked,
    stop: &Stop,
    rules: &Rules,
    watcher: &mut Watcher,
) -> Result<StateLock, RunError> {
    let began = Instant::now();
    let mut told = false;
    if let Ok(lock) = state.lock() {
        return Ok(lock);
    }
    tokio::time::sleep(GLANCE).await;
    loop {
        let holder = match (state.lock(), if_locked) {
            (Err(StoreError::Locked { holder, .. }), IfLocked::Wait) => holder,
            (result, IfLocked::Fail | IfLocked::Wait) => return Ok(result?),
        };
        if !told {
            told = true;
            let message = format!("waiting for {holder}, which runs this job");
            watcher(&Event::Note { message, warning: false });
        }
        let clock = jiff::Timestamp::now();
        if let Some(reason) = stop.reason().or_else(|| rules.by_time(began.elapsed(), clock)) {
            return Err(RunError::StoppedWaiting(reason));
        }
        tokio::select! {
            () = stop.draining() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
