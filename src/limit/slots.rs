//! The call permits of the whole run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The call permits of the whole run (`[run] concurrency`), each with a slot number for the flight file.
#[derive(Debug)]
pub struct Slots {
    permits: Arc<Semaphore>,
    concurrency: usize,
    free: Mutex<BinaryHeap<Reverse<usize>>>,
}

impl Slots {
    /// Permits for this many calls at a time, at least one.
    #[must_use]
    pub fn new(concurrency: usize) -> Arc<Self> {
        let concurrency = concurrency.clamp(1, Semaphore::MAX_PERMITS);
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(concurrency)),
            concurrency,
            free: Mutex::new((0..concurrency).map(Reverse).collect()),
        })
    }

    /// Waits for a permit, first come, first served, and takes the smallest free slot: a run that keeps few calls in
    /// flight touches few slots of the flight file.
    pub async fn acquire(self: &Arc<Self>) -> CallPermit {
        // The semaphore is never closed; were it, the permit would be missing and the slot number still be our own.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        let slot = self.free().pop().map_or(self.concurrency, |Reverse(slot)| slot);
        CallPermit { slots: Arc::clone(self), slot, _permit: permit }
    }

    /// Takes a permit that nobody waits for, if there is one.
    pub(super) fn acquire_now(self: &Arc<Self>) -> Option<CallPermit> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        let slot = self.free().pop().map_or(self.concurrency, |Reverse(slot)| slot);
        Some(CallPermit { slots: Arc::clone(self), slot, _permit: Some(permit) })
    }

    /// Calls at a time.
    pub(super) fn concurrency(&self) -> u64 {
        self.concurrency as u64
    }

    /// Permits that are taken.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.concurrency - self.permits.available_permits()
    }

    fn free(&self) -> MutexGuard<'_, BinaryHeap<Reverse<usize>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to have one call in flight. Dropping it frees the slot.
#[derive(Debug)]
pub struct CallPermit {
    slots: Arc<Slots>,
    slot: usize,
    _permit: Option<OwnedSemaphorePermit>,
}

impl CallPermit {
    /// The slot's number, from 0, below the run's concurrency; no two permits have the same at a time.
    #[must_use]
    pub fn slot(&self) -> usize {
        self.slot
    }
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        // Before the semaphore's permit goes, which is a field and dropped after this: who gets it finds a number.
        self.slots.free().push(Reverse(self.slot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_smallest_free_slot_is_taken() {
        let slots = Slots::new(3);
        let (first, second, third) = (slots.acquire().await, slots.acquire().await, slots.acquire().await);
        assert_eq!((first.slot(), second.slot(), third.slot(), slots.in_use()), (0, 1, 2, 3));
        drop(second);
        drop(first);
        assert_eq!(slots.acquire().await.slot(), 0);
        drop(third);
        assert_eq!(slots.in_use(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_gets_a_slot_that_is_in_use() {
        let slots = Slots::new(1);
        let held = slots.acquire().await;
        let waits = tokio::time::timeout(std::time::Duration::from_secs(9), slots.acquire());
        assert!(waits.await.is_err());
        drop(held);
        assert_eq!(slots.acquire().await.slot(), 0);
    }
}
