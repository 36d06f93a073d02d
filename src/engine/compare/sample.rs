//! Which rows are compared: the ones with the smallest keys, as `--sample` takes them, but some of every task.

use std::collections::{BinaryHeap, HashSet};

use crate::engine::RunError;
use crate::engine::plan::Plan;
use crate::engine::prepare::{What, prepare};
use crate::source::Input;
use crate::types::Key;

/// The rows, and how many rows there are to choose from.
pub(super) struct Sample {
    /// Record numbers.
    pub rows: HashSet<u64>,
    /// By task of the job: its rows, and those that are compared.
    pub tasks: Vec<(u64, u64)>,
}

/// A task's rows with the smallest keys.
#[derive(Default)]
struct Drawn {
    rows: u64,
    smallest: BinaryHeap<(Key, u64)>,
}

impl Sample {
    /// Draws rows among all that ask for something: a pass over the input.
    pub fn draw(plan: &Plan, input: &Input, size: usize) -> Result<Self, RunError> {
        let mut drawn: Vec<Drawn> = plan.tasks.iter().map(|_| Drawn::default()).collect();
        for record in input.records()? {
            let record = record?;
            let taken =
                |filter: &crate::prompt::Expr| record.row().is_ok_and(|row| filter.is_true(&row).unwrap_or(false));
            if !plan.filter.as_ref().is_none_or(taken) {
                continue;
            }
            let prepared = prepare(plan, &record);
            if let What::Ask(request) = &prepared.what {
                drawn[request.task].add((prepared.key, record.number), size);
            }
        }
        Ok(Self::share_out(drawn, size))
    }

    /// Half of the places are shared out among the tasks, so that each is seen; the rest goes to the smallest keys of all.
    fn share_out(drawn: Vec<Drawn>, size: usize) -> Self {
        let own = if drawn.len() > size { 0 } else { (size / (2 * drawn.len().max(1))).max(1) };
        let (mut taken, mut others) = (Vec::new(), Vec::new());
        let mut tasks = Vec::new();
        for (task, drawn) in drawn.into_iter().enumerate() {
            tasks.push((drawn.rows, 0));
            for (place, row) in drawn.smallest.into_sorted_vec().into_iter().enumerate() {
                if place < own { &mut taken } else { &mut others }.push((row, task));
            }
        }
        others.sort_unstable();
        others.truncate(size.saturating_sub(taken.len()));
        taken.append(&mut others);
        for (_, task) in &taken {
            tasks[*task].1 += 1;
        }
        Self { rows: taken.into_iter().map(|((_, number), _)| number).collect(), tasks }
    }
}

impl Drawn {
    fn add(&mut self, row: (Key, u64), size: usize) {
        self.rows += 1;
        self.smallest.push(row);
        if self.smallest.len() > size {
            self.smallest.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(keys: &[u8], size: usize) -> Drawn {
        let mut drawn = Drawn::default();
        for key in keys {
            drawn.add((Key([*key; 16]), u64::from(*key)), size);
        }
        drawn
    }

    fn sample(tasks: &[&[u8]], size: usize) -> (Vec<u64>, Vec<(u64, u64)>) {
        let sample = Sample::share_out(tasks.iter().map(|keys| drawn(keys, size)).collect(), size);
        let mut rows: Vec<u64> = sample.rows.iter().copied().collect();
        rows.sort_unstable();
        (rows, sample.tasks)
    }

    #[test]
    fn the_smallest_keys_are_taken_and_some_of_every_task() {
        assert_eq!(sample(&[&[5, 1, 9, 3]], 2), (vec![1, 3], vec![(4, 2)]));
        // The second task has the largest keys and few rows.
        let large: Vec<u8> = (1..=100).collect();
        let (rows, tasks) = sample(&[&large, &[200, 201, 202, 203]], 8);
        assert_eq!((rows, tasks), (vec![1, 2, 3, 4, 5, 6, 200, 201], vec![(100, 6), (4, 2)]));
        assert_eq!(sample(&[&[1, 2], &[3]], 50).1, [(2, 2), (1, 1)], "there are no more");
        assert_eq!(sample(&[&[1], &[2], &[3]], 2).0, [1, 2], "fewer places than tasks");
        assert_eq!(sample(&[&[], &[2]], 4).1, [(0, 0), (1, 1)]);
    }
}
