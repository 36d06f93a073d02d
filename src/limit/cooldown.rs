//! Waits after refusals: as told, or doubling.

use std::time::Duration;

use tokio::time::Instant;

/// Cooldowns without a hint double from the first to the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(1);

/// When a member may be asked again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cooldown {
    until: Option<Instant>,
    next: Duration,
}

impl Cooldown {
    pub(super) fn new() -> Self {
        Self { until: None, next: FIRST }
    }

    /// Nothing goes before this wait is over, or the doubling one where the server gave no hint. A shorter hint does not
    /// shorten a wait that was told before.
    pub(super) fn begin(&mut self, now: Instant, hint: Option<Duration>) {
        let wait = match hint {
            Some(hint) => hint,
            // The many refusals of one moment are one: only what comes after a cooldown makes the next one longer.
            None if self.until(now).is_some() => return,
            None => {
                let wait = self.next;
                self.next = (wait * 2).min(LONGEST);
                wait
            }
        };
        self.until = self.until.max(Some(now + wait));
    }

    /// An answer came: the next cooldown without a hint is a short one again.
    pub(super) fn answered(&mut self) {
        self.next = FIRST;
    }

    /// When it is over, if it is not yet.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }
}
