//! Rows that were passed over because their lane of the window had no room: a bit each, and taken in later passes.
//!
//! So a million rows of a task that waits hold up no row of another one behind them. A lane that lags has a pass of its own
//! over the input. It begins at the first row that was passed over and only ever goes forward, so that each lane costs at
//! most one more pass; and while it lags, all its rows take that way, so that none is missed or overtakes another.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::RunError;
use super::window::{Window, WindowPermit};
use crate::source::{Input, Record, Records};
use crate::store::End;

/// Ends of rows that were passed over and can only be found once are kept, but no more of them than this: some megabytes.
const ENDS: usize = 1 << 16;

/// What lags, by lane.
pub(super) struct Lagging {
    input: Arc<Input>,
    lanes: Vec<Lane>,
    /// The lane that comes first: each in its turn.
    turn: usize,
}

#[derive(Default)]
struct Lane {
    passed_over: Marks,
    /// The lane's own pass; `None` before it first lags.
    records: Option<Records>,
    /// The next row, read already.
    head: Option<Record>,
    /// What rows that were passed over replace.
    ends: HashMap<u64, End>,
}

/// Record numbers, a bit each: put in and taken out in ascending order, in memory for those between the first and the last.
#[derive(Default)]
struct Marks {
    words: VecDeque<u64>,
    /// The number of the first word's first bit.
    base: u64,
}

impl Lagging {
    pub fn new(input: Arc<Input>, lanes: usize) -> Self {
        let lanes = std::iter::repeat_with(Lane::default).take(lanes).collect();
        Self { input, lanes, turn: 0 }
    }

    /// Whether rows of this lane were passed over that have not been taken yet.
    pub fn lags(&self, lane: usize) -> bool {
        let lane = &self.lanes[lane];
        lane.head.is_some() || !lane.passed_over.is_empty()
    }

    /// Whether any lane lags.
    pub fn any(&self) -> bool {
        (0..self.lanes.len()).any(|lane| self.lags(lane))
    }

    /// Passes a row over; with the end that it replaces, where that must be kept for it. `false`: too many of those are kept
    /// already, so the row has to wait.
    pub fn pass_over(&mut self, lane: usize, row: u64, replaces: Option<End>) -> bool {
        if let Some(end) = replaces {
            if self.lanes.iter().map(|lane| lane.ends.len()).sum::<usize>() >= ENDS {
                return false;
            }
            self.lanes[lane].ends.insert(row, end);
        }
        self.lanes[lane].passed_over.put(row);
        true
    }

    /// The next row of a lane that has room by now, with the end that was kept for it. Rows of a lane that is dead are left.
    ///
    /// # Errors
    /// Where the input cannot be read, or is another one now.
    pub fn next(
        &mut self,
        window: &Window,
        is_dead: impl Fn(usize) -> bool,
    ) -> Result<Option<(Record, Option<End>, WindowPermit)>, RunError> {
        let (count, turn) = (self.lanes.len(), self.turn);
        for lane in (0..count).map(|offset| (turn + offset) % count) {
            if !self.lags(lane) {
                continue;
            }
            if is_dead(lane) {
                self.lanes[lane].leave();
                window.leave_out(lane);
                continue;
            }
            if let Some((record, permit)) = self.lanes[lane].enter(lane, window, &self.input)? {
                self.turn = (lane + 1) % count;
                let replaces = self.lanes[lane].ends.remove(&record.number);
                return Ok(Some((record, replaces, permit)));
            }
        }
        Ok(None)
    }

    /// All that lags is left for another run.
    pub fn leave_all(&mut self) {
        self.lanes.iter_mut().for_each(Lane::leave);
    }
}

impl Lane {
    fn leave(&mut self) {
        self.head = None;
        self.passed_over = Marks::default();
        self.ends.clear();
    }

    fn enter(
        &mut self,
        lane: usize,
        window: &Window,
        input: &Input,
    ) -> Result<Option<(Record, WindowPermit)>, RunError> {
        if !window.has_room(lane) {
            return Ok(None);
        }
        let Some(record) = self.next(input)? else { return Ok(None) };
        if let Some(permit) = window.enter(lane, record.size()) {
            return Ok(Some((record, permit)));
        }
        self.head = Some(record);
        Ok(None)
    }

    fn next(&mut self, input: &Input) -> Result<Option<Record>, RunError> {
        if let Some(head) = self.head.take() {
            return Ok(Some(head));
        }
        let Some(row) = self.passed_over.take_first() else { return Ok(None) };
        let records = match &mut self.records {
            Some(records) => records,
            None => self.records.insert(input.records()?),
        };
        let record = records.at(row)?.ok_or(RunError::InputChanged)?;
        Ok(Some(record))
    }
}

impl Marks {
    fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    fn put(&mut self, number: u64) {
        if self.words.is_empty() {
            self.base = number - number % 64;
        }
        let (word, bit) = ((number - self.base) / 64, number % 64);
        // Numbers ascend, and a distance in memory fits a usize.
        let word = usize::try_from(word).unwrap_or(usize::MAX);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << bit;
    }

    fn take_first(&mut self) -> Option<u64> {
        let word = self.words.front_mut()?;
        // The first and the last word always have a bit.
        let bit = u64::from(word.trailing_zeros());
        let number = self.base + bit;
        *word &= *word - 1;
        while self.words.front() == Some(&0) {
            self.words.pop_front();
            self.base += 64;
        }
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::{Format, InputPath, InputSettings};

    proptest! {
        #[test]
        fn marks_come_out_in_the_order_in_which_they_went_in(
            steps in proptest::collection::vec((1u64..300, any::<bool>()), 0..200),
        ) {
            let (mut marks, mut model, mut number) = (Marks::default(), VecDeque::new(), 0);
            for (step, is_put) in steps {
                if is_put {
                    number += step;
                    marks.put(number);
                    model.push_back(number);
                } else {
                    prop_assert_eq!(marks.take_first(), model.pop_front());
                }
                prop_assert_eq!(marks.is_empty(), model.is_empty());
                let span = model.back().zip(model.front()).map_or(0, |(last, first)| last / 64 - first / 64 + 1);
                prop_assert_eq!(marks.words.len() as u64, span);
            }
        }
    }

    /// An input of so many rows of three bytes.
    fn input(rows: usize) -> (tempfile::TempDir, Arc<Input>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in.jsonl");
        std::fs::write(&path, "{ }\n".repeat(rows)).unwrap();
        let settings = InputSettings {
            paths: vec![InputPath::Path { path, shown: "in.jsonl".to_owned() }],
            format: Format::Auto,
            delimiter: None,
            max_row: 1_000,
        };
        let input = Input::open(&settings, dir.path()).unwrap();
        (dir, Arc::new(input))
    }

    fn next(lagging: &mut Lagging, window: &Window) -> Option<u64> {
        let (record, _, permit) = lagging.next(window, |_| false).unwrap()?;
        // It stays in the window.
        std::mem::forget(permit);
        Some(record.number)
    }

    #[test]
    fn lanes_are_served_in_turn_and_each_in_the_order_of_the_input() {
        let (_dir, input) = input(200);
        let (mut lagging, window) = (Lagging::new(input, 3), Window::new(8, 3));
        for (lane, row) in [(0, 3), (2, 4), (0, 70), (0, 71), (2, 200)] {
            assert!(lagging.pass_over(lane, row, None));
        }
        let taken: Vec<u64> = std::iter::from_fn(|| next(&mut lagging, &window)).collect();
        assert_eq!(taken, [3, 4, 70, 200, 71]);
        assert!(!lagging.any());
        // Its pass goes on from where it is.
        lagging.pass_over(0, 99, None);
        assert_eq!(next(&mut lagging, &window), Some(99));
    }

    #[test]
    fn a_lane_without_room_waits_and_one_that_is_dead_is_left() {
        let (_dir, input) = input(20);
        let (mut lagging, window) = (Lagging::new(input, 2), Window::new(0, 2));
        let held: Vec<WindowPermit> = std::iter::from_fn(|| window.enter(0, 1)).collect();
        lagging.pass_over(0, 5, None);
        lagging.pass_over(1, 6, None);
        assert_eq!((next(&mut lagging, &window), next(&mut lagging, &window)), (Some(6), None));
        assert!(lagging.lags(0) && !lagging.lags(1));
        drop(held);
        lagging.pass_over(1, 7, None);
        let (record, ..) = lagging.next(&window, |lane| lane == 0).unwrap().unwrap();
        assert_eq!((record.number, lagging.any()), (7, false));
    }

    #[test]
    fn what_a_row_replaces_is_kept_for_it_but_not_without_bound() {
        let (_dir, input) = input(20);
        let (mut lagging, window) = (Lagging::new(input, 2), Window::new(8, 2));
        let end = |offset| End { offset, failure: None, truncated: false, compared: false };
        for row in 1..=ENDS as u64 {
            assert!(lagging.pass_over(0, row, Some(end(row))));
        }
        assert!(!lagging.pass_over(0, 1 << 20, Some(end(1))));
        assert!(lagging.pass_over(0, 1 << 20, None), "a row without an end needs no place");
        let (record, replaces, _) = lagging.next(&window, |_| false).unwrap().unwrap();
        assert_eq!((record.number, replaces.map(|end| end.offset)), (1, Some(1)));
        assert!(lagging.pass_over(0, (1 << 20) + 1, Some(end(1))));
    }

    #[test]
    fn an_input_that_has_become_shorter_is_an_error() {
        let (_dir, input) = input(20);
        let (mut lagging, window) = (Lagging::new(input, 2), Window::new(8, 2));
        lagging.pass_over(0, 21, None);
        assert!(matches!(lagging.next(&window, |_| false), Err(RunError::InputChanged)));
    }
}
