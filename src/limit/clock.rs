//! Tokio's clock for governor, so that paused time governs it too.

use governor::clock::Clock;
use governor::nanos::Nanos;
use tokio::time::Instant;

/// Nanoseconds since the clock was made, by tokio's time.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokioClock {
    start: Instant,
}

impl TokioClock {
    pub(super) fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// The instant that a reading of this clock stands for.
    pub(super) fn instant(&self, reading: Nanos) -> Instant {
        self.start + reading.into()
    }
}

impl Clock for TokioClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.start.elapsed().into()
    }
}
