//! Which rows of the input a run is about.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::fmt;

use super::RunError;
use super::needs;
use super::plan::Plan;
use super::prepare::{prepare, route};
use crate::prompt::{Expr, Templates};
use crate::source::{Input, Record};
use crate::types::Row;

/// A part of the input, as asked for on the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subset {
    /// The first N records.
    pub limit: Option<u64>,
    /// The N rows with the smallest keys: the same ones each time.
    pub sample: Option<usize>,
    /// The rows of this task.
    pub task: Option<String>,
    /// The rows for which this expression is true.
    pub filter: Option<String>,
}

impl Subset {
    /// Whether it is a part at all.
    #[must_use]
    pub fn is_part(&self) -> bool {
        *self != Self::default()
    }
}

/// As the command line has it: `--limit 20 --task tag`.
impl fmt::Display for Subset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self.limit.map(|rows| format!("--limit {rows}"));
        let sample = self.sample.map(|rows| format!("--sample {rows}"));
        let task = self.task.as_ref().map(|task| format!("--task {task}"));
        let filter = self.filter.as_ref().map(|filter| format!("--where {filter:?}"));
        let parts: Vec<String> = [limit, sample, task, filter].into_iter().flatten().collect();
        f.write_str(&parts.join(" "))
    }
}

/// The rows that a run is about.
pub(super) struct Selection {
    limit: u64,
    task: Option<usize>,
    filter: Option<Expr>,
    sample: Option<HashSet<u64>>,
    is_part: bool,
}

impl Selection {
    /// Finds the sample, where one is asked for: a pass over the input.
    pub fn new(plan: &Plan, input: &Input, subset: &Subset) -> Result<Self, RunError> {
        let task = subset.task.as_deref().map(|name| task_named(plan, name)).transpose()?;
        let filter = subset.filter.as_deref().map(|source| expr(plan, source)).transpose()?;
        if let Some(filter) = &filter {
            needs::check_filter(input, filter)?;
        }
        let limit = subset.limit.unwrap_or(u64::MAX);
        let mut selection = Self { limit, task, filter, sample: None, is_part: subset.is_part() };
        if let Some(size) = subset.sample {
            selection.sample = Some(selection.smallest_keys(plan, input, size)?);
        }
        Ok(selection)
    }

    /// These records and no others.
    pub fn of_rows(rows: HashSet<u64>) -> Self {
        let limit = rows.iter().copied().max().unwrap_or(0);
        Self { limit, task: None, filter: None, sample: Some(rows), is_part: true }
    }

    /// Whether rows are selected by their number alone, so that they need not be parsed for it.
    pub fn by_number(&self, plan: &Plan) -> bool {
        self.task.is_none() && self.filter.is_none() && plan.filter.is_none()
    }

    /// Whether all records up to the limit are taken.
    pub fn is_prefix(&self, plan: &Plan) -> bool {
        self.by_number(plan) && self.sample.is_none()
    }

    /// Whether a pass over the selection meets all rows that the plan's identity speaks of.
    pub fn is_whole(&self, plan: &Plan) -> bool {
        let same_rows = plan.keyed_by.as_ref().is_none_or(|own| own.job.filter == plan.job.filter);
        !self.is_part && same_rows
    }

    /// Whether results go to a `.partial` file.
    pub fn is_part(&self) -> bool {
        self.is_part
    }

    /// The number of the last record that can be selected.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Whether a record is selected. A row that cannot be parsed, or for which `where` cannot be told, is: it fails with
    /// its place instead of being left out in silence.
    pub fn takes(&self, plan: &Plan, record: &Record) -> bool {
        if self.sample.as_ref().is_some_and(|sample| !sample.contains(&record.number)) {
            return false;
        }
        if self.by_number(plan) {
            return true;
        }
        match record.row() {
            Ok(row) => self.takes_row(plan, &row),
            Err(_) => self.task.is_none() && self.filter.is_none(),
        }
    }

    fn takes_row(&self, plan: &Plan, row: &Row) -> bool {
        let of_task = self.task.is_none_or(|task| route(plan, row).is_ok_and(|of| of == task));
        // What cannot be told of a row that was asked for by it, is not so.
        let asked_for = self.filter.as_ref().is_none_or(|filter| filter.is_true(row).unwrap_or(false));
        of_task && asked_for && plan.filter.as_ref().is_none_or(|filter| filter.is_true(row).unwrap_or(true))
    }

    fn smallest_keys(&self, plan: &Plan, input: &Input, size: usize) -> Result<HashSet<u64>, RunError> {
        let mut smallest = BinaryHeap::new();
        for record in input.records()? {
            let record = record?;
            if record.number > self.limit {
                break;
            }
            if self.takes(plan, &record) {
                smallest.push((prepare(plan, &record).key, record.number));
                if smallest.len() > size {
                    smallest.pop();
                }
            }
        }
        Ok(smallest.into_iter().map(|(_, number)| number).collect())
    }
}

fn expr(plan: &Plan, source: &str) -> Result<Expr, RunError> {
    let compiled = Templates::new(&plan.job.vars).expr(source);
    compiled.map_err(|error| RunError::Usage(format!("--where: {error}")))
}

/// The index of the task with this name.
pub(super) fn task_named(plan: &Plan, name: &str) -> Result<usize, RunError> {
    let names: Vec<&str> = plan.tasks.iter().map(|task| &*task.name).collect();
    names.iter().position(|known| *known == name).ok_or_else(|| {
        let mut near: Vec<_> = names.iter().map(|known| (Reverse(likeness(known, name)), *known)).collect();
        near.sort_unstable();
        let names: Vec<&str> = near.into_iter().map(|(_, known)| known).collect();
        RunError::Usage(format!("no task {name:?} in the job; it has: {}", names.join(", ")))
    })
}

fn likeness(one: &str, other: &str) -> u64 {
    // In thousandths, to be ordered.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let thousandths = (strsim::jaro_winkler(one, other) * 1000.0) as u64;
    thousandths
}
