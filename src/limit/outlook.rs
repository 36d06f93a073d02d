//! What those in line are told of a model, so that they need not ask each for themselves.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Refusal;

/// Changes of a told wait below this are not worth waking a whole line for.
const TELLING: Duration = Duration::from_millis(100);

/// Why a member lets nothing through, beyond its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// Its breaker is open until then, or until a probe is back.
    Down(Option<Instant>),
    /// The server told to wait.
    Told(Instant),
}

/// How a model stands as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// Some member lets calls through.
    Open,
    /// Every member is down; with the time of the next probe, unless one is out.
    Down(Option<Instant>),
    /// Every member is down or was told to wait, the first one until then.
    Told(Instant),
    /// Out of the run.
    Closed,
}

impl Outlook {
    /// Of the members that are left; `None` for one that is not blocked.
    pub(super) fn of(blocks: impl Iterator<Item = Option<Block>>) -> Self {
        let (mut told, mut probe, mut any) = (None::<Instant>, None::<Instant>, false);
        let first = |one: Option<Instant>, other: Instant| Some(one.map_or(other, |one| one.min(other)));
        for block in blocks {
            any = true;
            match block {
                None => return Self::Open,
                Some(Block::Told(until)) => told = first(told, until),
                Some(Block::Down(Some(until))) => probe = first(probe, until),
                Some(Block::Down(None)) => {}
            }
        }
        match (any, told) {
            (false, _) => Self::Closed,
            (true, Some(until)) => Self::Told(until),
            (true, None) => Self::Down(probe),
        }
    }

    /// Whether somebody with this patience is sent away.
    pub(super) fn refusal(self, now: Instant, patience: Option<Duration>) -> Option<Refusal> {
        match (self, patience) {
            (Self::Closed, _) => Some(Refusal::Closed),
            (Self::Down(probe), Some(_)) if probe.is_none_or(|at| at > now) => Some(Refusal::Down),
            (Self::Told(until), Some(patience)) if until.saturating_duration_since(now) > patience => {
                Some(Refusal::Away { until })
            }
            (Self::Open | Self::Down(_) | Self::Told(_), _) => None,
        }
    }

    /// When a refusal is over by time alone.
    fn usable_at(self, patience: Duration) -> Option<Instant> {
        match self {
            Self::Open | Self::Closed | Self::Down(None) => None,
            Self::Down(Some(probe)) => Some(probe),
            Self::Told(until) => Some(until.checked_sub(patience).unwrap_or(until)),
        }
    }

    fn differs(self, other: Self) -> bool {
        match (self, other) {
            (Self::Told(one), Self::Told(other)) => {
                one.saturating_duration_since(other).max(other.saturating_duration_since(one)) > TELLING
            }
            _ => self != other,
        }
    }
}

/// Tells all who watch, if there is something new.
pub(super) fn tell(watched: &watch::Sender<Outlook>, outlook: Outlook) {
    watched.send_if_modified(|old| {
        let news = *old != Outlook::Closed && old.differs(outlook);
        if news {
            *old = outlook;
        }
        news
    });
}

/// Waits until somebody with this patience is sent away.
pub(super) async fn refused(watched: &mut watch::Receiver<Outlook>, patience: Option<Duration>) -> Refusal {
    loop {
        let outlook = *watched.borrow_and_update();
        if let Some(refusal) = outlook.refusal(Instant::now(), patience) {
            return refusal;
        }
        if watched.changed().await.is_err() {
            return Refusal::Closed;
        }
    }
}

/// Waits until somebody with this patience would not be sent away, or the model is out of the run.
pub(super) async fn usable(watched: &mut watch::Receiver<Outlook>, patience: Duration) {
    loop {
        let outlook = *watched.borrow_and_update();
        match outlook.refusal(Instant::now(), Some(patience)) {
            None | Some(Refusal::Closed) => return,
            Some(Refusal::Down | Refusal::Away { .. }) => {}
        }
        let over = async {
            match outlook.usable_at(patience) {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = watched.changed() => if changed.is_err() { return },
            () = over => {}
        }
    }
}
