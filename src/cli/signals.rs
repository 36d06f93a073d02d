//! Signals ask for a stop: once to drain, twice to cut what is in flight.

use std::io;

use overnight::engine::Stop;
use overnight::event::StopReason;
use tokio::signal::unix::{SignalKind, signal};

/// Watches for SIGINT, SIGTERM and SIGHUP as long as it is polled.
pub async fn watch(stop: Stop) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    loop {
        let reason = tokio::select! {
            _ = interrupt.recv() => StopReason::Interrupted,
            _ = terminate.recv() => StopReason::Terminated,
            _ = hang_up.recv() => StopReason::Terminated,
        };
        stop.request(reason);
    }
}
