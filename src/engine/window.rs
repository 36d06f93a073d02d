//! The window: rows read and not yet written, which bounds memory.
//!
//! Wide enough that calls never wait for rows, narrow enough that memory stays flat whatever the size of the input or of
//! its rows. Rows of different tasks are in lanes of their own. Half of the window is shared out among the lanes, and of the
//! other half a lane takes at most as much as it leaves free: so one that has the run for itself has enough to keep all
//! calls busy, and tasks that wait leave room for another, however many of their rows come first. A lane whose models take
//! few calls at once has few rows, as more would only wait. Without other lanes, a lane may hold all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Bytes of rows, requests and replies in the window at most.
const MAX_BYTES: usize = 32 << 20;
/// Bytes are counted in pieces of this size.
const PIECE: usize = 1 << 10;
const PIECES: usize = MAX_BYTES / PIECE;
/// A row stands in memory as read, as rendered, as sent and with its reply.
const COPIES: usize = 4;
/// Rows for each call that may be out: one is on its way, others come next.
const ROWS_A_CALL: usize = 4;
/// The feed is woken for this part of a lane's own share at once. What is left then keeps all calls busy meanwhile.
const WAKE: usize = 16;

/// The window of a run. The feed alone waits for it.
pub(super) struct Window {
    places: Arc<Places>,
    /// There are no other lanes to leave room for.
    pub is_single: bool,
}

struct Places {
    held: Mutex<Held>,
    /// A row has left.
    left: Notify,
}

/// Rows and pieces that are free, and those that each lane holds.
struct Held {
    free: Room,
    lanes: Vec<Room>,
    /// How many rows each may hold, however much is free.
    most: Vec<usize>,
    /// What each lane has for itself alone.
    own: Room,
    /// The sum of what lanes have for themselves and do not hold.
    kept: Room,
    /// A lane that holds nothing and whose row is too large for what is free: the others wait for it, or it would wait for
    /// them as long as they have rows.
    first: Option<usize>,
    /// Rows that have left since the feed was woken.
    unseen: usize,
}

#[derive(Clone, Copy, Default)]
struct Room {
    rows: usize,
    pieces: usize,
}

/// A place in the window; dropping it gives it back.
pub(super) struct WindowPermit {
    places: Arc<Places>,
    lane: usize,
    pieces: usize,
}

impl Window {
    /// A window for this many calls in flight, and rows in this many lanes.
    pub fn new(concurrency: usize, lanes: usize) -> Self {
        let free = Room { rows: ROWS_A_CALL * concurrency + 1000, pieces: PIECES };
        let own = Room { rows: free.rows / (2 * lanes), pieces: free.pieces / (2 * lanes) };
        let kept = Room { rows: own.rows * lanes, pieces: own.pieces * lanes };
        let (held, most) = (vec![Room::default(); lanes], vec![usize::MAX; lanes]);
        let held = Held { free, lanes: held, most, own, kept, first: None, unseen: 0 };
        Self { places: Arc::new(Places { held: Mutex::new(held), left: Notify::new() }), is_single: lanes == 1 }
    }

    /// Lets each lane hold no more rows than keep so many calls busy.
    pub fn for_calls(self, calls: impl Iterator<Item = usize>) -> Self {
        {
            let mut held = self.places.lock();
            // The feed is woken when some have left, and the others are to last meanwhile.
            let spare = held.own.rows * 4 / WAKE;
            held.most = calls.map(|calls| calls.saturating_mul(ROWS_A_CALL).saturating_add(spare)).collect();
        }
        self
    }

    /// Whether a small row could enter this lane.
    pub fn has_room(&self, lane: usize) -> bool {
        self.places.lock().has_room(lane, 1)
    }

    /// A place for a row of this many bytes, where there is one. A row larger than the whole window gets it alone.
    pub fn enter(&self, lane: usize, bytes: usize) -> Option<WindowPermit> {
        let pieces = (bytes * COPIES).div_ceil(PIECE).clamp(1, PIECES);
        self.places.lock().take(lane, pieces).then(|| WindowPermit { places: Arc::clone(&self.places), lane, pieces })
    }

    /// This lane sends no more rows: nobody waits for it any more.
    pub fn leave_out(&self, lane: usize) {
        let mut held = self.places.lock();
        held.first = held.first.filter(|first| *first != lane);
    }

    /// Returns when rows have left since this last returned: soon, but not for each of them, as waking a thread costs as much
    /// as reading a row.
    pub async fn left(&self) {
        self.places.left.notified().await;
    }
}

impl Places {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    fn plus(self, pieces: usize) -> Self {
        Self { rows: self.rows + 1, pieces: self.pieces + pieces }
    }

    fn less(self, other: Self) -> Self {
        Self { rows: self.rows.saturating_sub(other.rows), pieces: self.pieces.saturating_sub(other.pieces) }
    }

    fn fits(self, other: Self) -> bool {
        self.rows <= other.rows && self.pieces <= other.pieces
    }
}

impl Held {
    fn has_room(&self, lane: usize, pieces: usize) -> bool {
        let mine = self.lanes[lane];
        if !Room::default().plus(pieces).fits(self.free) || mine.rows >= self.most[lane] {
            return false;
        }
        if self.lanes.len() == 1 || mine.rows == 0 {
            return self.first.is_none_or(|first| first == lane);
        }
        self.first.is_none() && mine.plus(pieces).less(self.own).fits(self.free.less(self.kept))
    }

    fn take(&mut self, lane: usize, pieces: usize) -> bool {
        if !self.has_room(lane, pieces) {
            if self.lanes[lane].rows == 0 && self.free.pieces < pieces {
                self.first.get_or_insert(lane);
            }
            return false;
        }
        self.first = None;
        self.free = self.free.less(Room::default().plus(pieces));
        self.set(lane, self.lanes[lane].plus(pieces));
        true
    }

    /// Whether the feed is to be woken.
    fn give_back(&mut self, lane: usize, pieces: usize) -> bool {
        self.free = self.free.plus(pieces);
        self.set(lane, self.lanes[lane].less(Room::default().plus(pieces)));
        self.unseen += 1;
        // Where half of it is free, such as in a window of few large rows, it cannot wait for many to leave.
        let wakes = self.unseen > self.own.rows / WAKE || self.free.rows > self.own.rows * self.lanes.len();
        if wakes {
            self.unseen = 0;
        }
        wakes
    }

    fn set(&mut self, lane: usize, holds: Room) {
        let (before, now) = (self.own.less(self.lanes[lane]), self.own.less(holds));
        self.kept = Room {
            rows: self.kept.rows - before.rows + now.rows,
            pieces: self.kept.pieces - before.pieces + now.pieces,
        };
        self.lanes[lane] = holds;
    }
}

impl Drop for WindowPermit {
    fn drop(&mut self) {
        let wakes = self.places.lock().give_back(self.lane, self.pieces);
        if wakes {
            self.places.left.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use proptest::prelude::*;

    use super::*;

    const SMALL: usize = 10;

    fn fill(window: &Window, lane: usize, bytes: usize) -> Vec<WindowPermit> {
        std::iter::from_fn(|| window.enter(lane, bytes)).collect()
    }

    #[test]
    fn a_single_lane_may_hold_all_of_the_rows_and_of_the_bytes() {
        assert_eq!(fill(&Window::new(8, 1), 0, SMALL).len(), 1_032);
        assert_eq!(fill(&Window::new(8, 1), 0, 1 << 20).len(), 8);
    }

    #[test]
    fn a_lane_takes_its_own_share_and_leaves_as_much_of_the_others_free_as_it_takes() {
        for (bytes, all) in [(SMALL, 1_200_usize), (100_000, (32 << 20) / 400_000)] {
            let window = Window::new(50, 4);
            let mut held = Vec::new();
            for (lane, share) in [(0, 4), (1, 8), (2, 16), (3, 32)] {
                let of_lane = fill(&window, lane, bytes);
                let expected = all / 8 + all / share;
                assert!(expected.abs_diff(of_lane.len()) <= 2, "lane {lane}: {} of {all}", of_lane.len());
                held.extend(of_lane);
            }
            assert!(held.len() < all);
            drop(held);
            assert!(fill(&window, 3, bytes).len().abs_diff(all / 8 + all / 4) <= 2, "all was given back");
        }
    }

    #[test]
    fn tasks_that_wait_leave_enough_to_keep_all_calls_busy() {
        for (tasks, concurrency) in [(2, 2_000), (3, 700), (4, 256)] {
            let window = Window::new(concurrency, tasks + 1);
            let waiting: Vec<_> = (0..tasks - 1).map(|lane| fill(&window, lane, SMALL)).collect();
            let rows = fill(&window, tasks - 1, SMALL).len();
            assert!(rows >= concurrency, "{rows} rows beside {} tasks that wait", waiting.len());
        }
    }

    #[test]
    fn a_lane_whose_models_take_few_calls_holds_few_rows() {
        let window = Window::new(256, 3).for_calls([64, usize::MAX, usize::MAX].into_iter());
        let mut slow = fill(&window, 0, SMALL);
        assert_eq!(slow.len(), 4 * 64 + 2_024 / 6 * 4 / WAKE);
        assert!(fill(&window, 1, SMALL).len() > 600, "the others have what it leaves");
        slow.pop();
        assert!(window.has_room(0));
    }

    #[test]
    fn the_feed_is_woken_before_a_lane_of_few_rows_has_none_left() {
        let window = Window::new(10_000, 3).for_calls([1, usize::MAX, usize::MAX].into_iter());
        let _waiting: Vec<_> = [1, 2].map(|lane| fill(&window, lane, SMALL)).into_iter().flatten().collect();
        let mut slow = fill(&window, 0, SMALL);
        while window.left().now_or_never().is_none() {
            assert!(slow.pop().is_some(), "nobody fills it up again");
        }
        assert!(slow.len() >= ROWS_A_CALL);
    }

    proptest! {
        #[test]
        fn no_more_rows_and_bytes_are_held_than_there_is_room_for(
            steps in proptest::collection::vec((0usize..4, 1usize..3_000_000, any::<bool>()), 0..400),
        ) {
            let (window, mut permits) = (Window::new(0, 4), Vec::new());
            for (lane, bytes, leaves) in steps {
                permits.extend(window.enter(lane, bytes));
                if leaves && !permits.is_empty() {
                    permits.swap_remove(bytes % permits.len());
                }
                let pieces: usize = permits.iter().map(|permit| permit.pieces).sum();
                prop_assert!(permits.len() <= 1_000 && pieces <= PIECES);
                let held = window.places.lock();
                prop_assert_eq!((held.free.rows, held.free.pieces), (1_000 - permits.len(), PIECES - pieces));
                let kept: usize = held.lanes.iter().map(|lane| held.own.less(*lane).pieces).sum();
                prop_assert_eq!(held.kept.pieces, kept);
            }
        }
    }

    #[test]
    fn a_lane_that_held_all_it_may_comes_back_when_others_take_room() {
        let window = Window::new(0, 2);
        let mut slow = fill(&window, 0, SMALL);
        let _fast = fill(&window, 1, SMALL);
        assert!(!window.has_room(0));
        slow.truncate(slow.len() / 2);
        assert!(window.has_room(0));
    }

    #[test]
    fn a_row_as_large_as_the_window_gets_it_in_the_end() {
        let window = Window::new(8, 2);
        let mut small = fill(&window, 0, 1 << 20);
        assert!(window.enter(1, 100 << 20).is_none());
        small.pop();
        assert!(window.enter(0, SMALL).is_none(), "the others wait for it");
        drop(small);
        let huge = window.enter(1, 100 << 20);
        assert!(huge.is_some() && window.enter(0, SMALL).is_none() && window.enter(1, SMALL).is_none());
        drop(huge);
        assert!(window.enter(0, SMALL).is_some());
    }

    #[test]
    fn nobody_waits_for_a_lane_that_is_left_out() {
        let window = Window::new(8, 2);
        let _small = window.enter(0, SMALL);
        assert!(window.enter(1, 100 << 20).is_none());
        window.leave_out(1);
        assert!(window.enter(0, SMALL).is_some());
    }

    #[test]
    fn the_feed_is_woken_for_many_rows_at_once_and_for_each_where_few_are_left() {
        let window = Window::new(250, 1);
        let mut held = fill(&window, 0, SMALL);
        let mut woken_at = Vec::new();
        while held.pop().is_some() {
            woken_at.extend(window.left().now_or_never().map(|()| held.len()));
        }
        let (many, few): (Vec<usize>, Vec<usize>) = woken_at.into_iter().partition(|left| *left >= 1_000);
        assert_eq!(many, (1..=15).map(|wake| 2_000 - 63 * wake).collect::<Vec<_>>());
        assert_eq!(few, (0..1_000).rev().collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_that_left_before_anybody_waited_is_not_missed() {
        let window = Window::new(8, 1);
        drop(window.enter(0, SMALL));
        window.left().await;
        let waits = tokio::time::timeout(std::time::Duration::from_secs(9), window.left());
        assert!(waits.await.is_err());
    }
}
