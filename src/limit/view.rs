//! How a turnstile stands, for the screen.

use tokio::time::Instant;

use super::Limits;
use super::member::MemberState;
use super::model::{State, sum};

/// How a turnstile stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateView {
    /// Calls in flight to this model.
    pub in_flight: u64,
    /// Calls in line for it.
    pub waiting: usize,
    /// What the head of the line waits for.
    pub state: GateState,
    /// Its limits as they hold now, over all its members: the lower of its own, learnt ones included, and its provider's.
    pub limits: Limits,
}

/// Whether a turnstile lets calls through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateState {
    /// At once, as far as calls in flight allow.
    Open,
    /// The next call goes then, by the rate of the model or its provider.
    Pacing {
        /// When the next call may go.
        until: Instant,
    },
    /// The server said to wait.
    CoolingDown {
        /// When the wait is over.
        until: Instant,
    },
    /// No member answers, or each said to wait for long.
    Down {
        /// Since when the last good answer was missing.
        since: Instant,
        /// When the next probe is sent.
        until: Instant,
    },
    /// Out of the run.
    Closed,
}

pub(super) fn view(state: &State, waiting: usize, closed: bool) -> GateView {
    let now = Instant::now();
    GateView {
        in_flight: state.members.iter().map(MemberState::in_flight).sum(),
        waiting,
        state: if closed { GateState::Closed } else { standing(state, now, waiting > 0) },
        limits: sum(state.left().map(|member| member.limits().tightest(member.provider.setup().limits))),
    }
}

fn standing(state: &State, now: Instant, somebody_waits: bool) -> GateState {
    if let Some(since) = state.down_since() {
        let until = state.left().filter_map(MemberState::down_until).min();
        return GateState::Down { since, until: until.unwrap_or(now) };
    }
    let mut first = None;
    for member in state.left().filter(|member| member.down_since().is_none()) {
        let cooled = member.cooled_until(now);
        let provider = member.provider.lock().gate().paced_until().filter(|_| somebody_waits);
        let paced = member.paced_until().max(provider).filter(|until| *until > now);
        let waits = match (cooled, paced) {
            (None, None) => return GateState::Open,
            (Some(until), _) => (until, true),
            (None, Some(until)) => (until, false),
        };
        first = Some(first.map_or(waits, |first: (Instant, bool)| first.min(waits)));
    }
    match first {
        None => GateState::Open,
        Some((until, true)) => GateState::CoolingDown { until },
        Some((until, false)) => GateState::Pacing { until },
    }
}
