//! The window permit: rows read and not yet written, which bounds memory.
//!
//! Wide enough that rows of a model that waits do not hold up rows of another, narrow enough that memory stays flat
//! whatever the size of the input or of its rows.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of rows, requests and replies in the window at most.
const MAX_BYTES: usize = 32 << 20;
/// Bytes are counted in pieces of this size.
const PIECE: usize = 1 << 10;
/// A row stands in memory as read, as rendered, as sent and with its reply.
const COPIES: usize = 4;

pub(super) struct Window {
    rows: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

/// A place in the window; dropping it gives it back.
pub(super) struct WindowPermit {
    _row: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Window {
    /// A window for this many calls in flight.
    pub fn new(concurrency: usize) -> Self {
        let rows = 4 * concurrency + 1000;
        Self { rows: Arc::new(Semaphore::new(rows)), bytes: Arc::new(Semaphore::new(MAX_BYTES / PIECE)) }
    }

    /// Waits for room for a row of this many bytes. A row larger than the whole window gets it alone.
    pub async fn enter(&self, bytes: usize) -> Option<WindowPermit> {
        let pieces = (bytes * COPIES).div_ceil(PIECE).clamp(1, MAX_BYTES / PIECE);
        let row = Arc::clone(&self.rows).acquire_owned().await.ok()?;
        let pieces = u32::try_from(pieces).unwrap_or(u32::MAX);
        let bytes = Arc::clone(&self.bytes).acquire_many_owned(pieces).await.ok()?;
        Some(WindowPermit { _row: row, _bytes: bytes })
    }
}
