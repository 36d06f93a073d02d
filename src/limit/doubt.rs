//! Doubt about a member that fails: whoever fails fast has the most room, and would draw all calls.

use std::time::Duration;

use tokio::time::Instant;

/// It lasts so long for each failure in a row...
const EACH: Duration = Duration::from_secs(1);

/// ...of so many at most.
const MOST: u32 = 10;

/// While it is on, members that it is not about come first.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    failures: u32,
    until: Option<Instant>,
}

impl Doubt {
    pub(super) fn failed(&mut self, now: Instant) {
        self.failures = (self.failures + 1).min(MOST);
        self.until = Some(now + EACH * self.failures);
    }

    pub(super) fn answered(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_on(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until > now)
    }
}
