//! Whose fault it is that a row fails at a model which seems to be down: an outage's, or the row's own.
//!
//! A row that fails while the model answers others is suspect, and what a suspect meets tells nothing of the model. As long
//! as any other row may yet ask it, that one shows whether the model is back. Where suspects alone are left, as at the end
//! of a job, their failures are their own: else a few rows that no server can take would pass for an outage for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;

use super::upstream::Upstream;
use crate::provider::CallError;
use crate::types::FailureKind;

/// How many rows on their way may yet ask a model, and are not suspect there.
#[derive(Default)]
pub(super) struct Hopes(Arc<AtomicUsize>);

impl Hopes {
    pub fn one(&self) -> Hope {
        self.0.fetch_add(1, Ordering::Relaxed);
        Hope(Arc::clone(&self.0))
    }

    fn are_gone(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// One of them, until it is dropped.
pub(super) struct Hope(Arc<AtomicUsize>);

impl Drop for Hope {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What speaks against a row at one model.
pub(super) struct Blame {
    hope: Option<Hope>,
    suspicion: Option<Suspicion>,
}

/// The first failure of a kind that counted, as the model was up.
struct Suspicion {
    kind: FailureKind,
    member: usize,
    sent_at: Instant,
}

impl Blame {
    pub fn none(hope: Hope) -> Self {
        Self { hope: Some(hope), suspicion: None }
    }

    /// The row asks the model no more.
    pub fn lose_hope(&mut self) {
        self.hope = None;
    }

    /// A call that was sent then failed in a way that may be the row's, while the model was up.
    pub fn suspect(&mut self, kind: FailureKind, member: usize, sent_at: Instant) {
        if self.suspicion.as_ref().is_none_or(|suspicion| suspicion.kind != kind) {
            self.suspicion = Some(Suspicion { kind, member, sent_at });
        }
    }

    /// Whether the model failed the row in this way, and answered calls that were sent later.
    pub fn is_confirmed(&self, upstream: &Upstream, kind: FailureKind) -> bool {
        let suspicion = self.suspicion.as_ref().filter(|suspicion| suspicion.kind == kind);
        suspicion.is_some_and(|suspicion| upstream.answered_since(suspicion.member, suspicion.sent_at))
    }

    /// Whether a failure of this kind, while the model is down, is the row's own; `beside`: how another model of the
    /// provider has failed the row for good.
    pub fn is_own(&mut self, upstream: &Upstream, kind: FailureKind, beside: Option<FailureKind>) -> bool {
        let is_suspect = beside == Some(kind) || self.is_confirmed(upstream, kind);
        if is_suspect {
            self.hope = None;
        } else {
            self.hope.get_or_insert_with(|| upstream.hopes.one());
        }
        is_suspect && upstream.hopes.are_gone()
    }
}

/// Whether a failure tells of the server whoever asks.
pub(super) fn is_servers_fault(kind: FailureKind) -> bool {
    matches!(
        kind,
        FailureKind::Overloaded
            | FailureKind::ServerError
            | FailureKind::Timeout
            | FailureKind::Connection
            | FailureKind::MalformedReply
    )
}

/// Whether a row may bring such a failure about by itself: a server without capacity, or one that nobody listens to, is
/// the same for all.
pub(super) fn may_be_rows_fault(error: &CallError) -> bool {
    let kind = error.failure.kind;
    is_servers_fault(kind)
        && kind != FailureKind::Overloaded
        && (kind != FailureKind::Connection || error.possibly_billed)
}
