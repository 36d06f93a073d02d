//! Columns that the job needs and the input does not have: told before anything is sent.

use std::collections::BTreeSet;

use super::RunError;
use super::plan::Plan;
use super::prepare::route;
use crate::job::{Job, JobError, Problem};
use crate::prompt::Expr;
use crate::source::{Format, Input};
use crate::types::Row;

/// JSON has no header: what none of so many records has is taken for a slip.
const LOOKED_AT: usize = 1_000;

/// Of the columns there are, a hint names so many.
const NAMED: usize = 40;

/// Finds columns that no row can have, before anything is sent.
pub(super) fn check(plan: &Plan, input: &Input) -> Result<(), RunError> {
    refuse(match input.header() {
        Some(header) => not_in_header(plan, &header),
        None => in_no_record(plan, input)?,
    })
}

/// As [`check`], for an expression that says which rows to take: without its columns that would be none.
pub(super) fn check_filter(plan: &Plan, input: &Input, filter: &Expr) -> Result<(), RunError> {
    let Some(header) = input.header() else { return Ok(()) };
    refuse(missing(plan, needed_by(filter, &header), &header))
}

fn refuse(problems: Vec<Problem>) -> Result<(), RunError> {
    if problems.is_empty() { Ok(()) } else { Err(RunError::Job(JobError { problems })) }
}

fn not_in_header(plan: &Plan, header: &[String]) -> Vec<Problem> {
    let mut needed: BTreeSet<String> = plan.tasks.iter().flat_map(|task| task.prompt.required_columns()).collect();
    needed.extend([&plan.id, &plan.filter].into_iter().flatten().flat_map(|expr| needed_by(expr, header)));
    missing(plan, needed, header)
}

/// None where a column has the very name of the expression: that comes first.
fn needed_by(expr: &Expr, header: &[String]) -> BTreeSet<String> {
    if header.iter().any(|column| column == expr.source()) { BTreeSet::new() } else { expr.required_columns() }
}

fn missing(plan: &Plan, mut needed: BTreeSet<String>, header: &[String]) -> Vec<Problem> {
    needed.retain(|column| !header.contains(column));
    needed.iter().map(|column| missing_column(&plan.job, "the input has no column", column, header)).collect()
}

/// Of tasks with no row among these records nothing is said, nor of `where`: it may look for what is rare. A line of a batch
/// that has no id fails alone.
fn in_no_record(plan: &Plan, input: &Input) -> Result<Vec<Problem>, RunError> {
    let mut look = Look::new(plan);
    for record in input.records()?.take(LOOKED_AT) {
        if look.has_all() {
            break;
        }
        // Broken records fail for themselves.
        let Ok(row) = record?.row() else { continue };
        if plan.filter.as_ref().is_none_or(|filter| filter.is_true(&row).unwrap_or(true)) {
            look.at(plan, &row);
        }
    }
    let seen: Vec<String> = look.seen.iter().cloned().collect();
    let missing = look.missing();
    Ok(missing
        .iter()
        .map(|column| missing_column(&plan.job, "none of the first 1,000 records has a column", column, &seen))
        .collect())
}

/// What was found in the records so far.
struct Look {
    /// The columns of each task that no record had yet, and whether one was the task's.
    tasks: Vec<(BTreeSet<String>, bool)>,
    /// The same of `id`, and whether there was a record at all.
    id: (BTreeSet<String>, bool),
    seen: BTreeSet<String>,
}

impl Look {
    fn new(plan: &Plan) -> Self {
        let tasks = plan.tasks.iter().map(|task| (task.prompt.required_columns(), false)).collect();
        let fails_alone = |id: &Expr| plan.job.input.format == Format::OpenaiBatch && id.source() == "custom_id";
        let id = plan.id.as_ref().filter(|id| !fails_alone(id));
        Self { tasks, id: (id.map(Expr::required_columns).unwrap_or_default(), false), seen: BTreeSet::new() }
    }

    fn has_all(&self) -> bool {
        self.tasks.iter().chain([&self.id]).all(|(needed, _)| needed.is_empty())
    }

    fn at(&mut self, plan: &Plan, row: &Row) {
        for (needed, _) in self.tasks.iter_mut().chain([&mut self.id]) {
            needed.retain(|column| !row.fields().contains_key(column));
        }
        if plan.id.as_ref().is_some_and(|id| row.fields().contains_key(id.source())) {
            self.id.0.clear();
        }
        self.id.1 = true;
        if let Ok(task) = route(plan, row) {
            self.tasks[task].1 = true;
        }
        let new = row.fields().keys().filter(|column| !self.seen.contains(*column)).take(NAMED - self.seen.len());
        self.seen.extend(new.cloned().collect::<Vec<_>>());
    }

    fn missing(self) -> BTreeSet<String> {
        self.tasks.into_iter().chain([self.id]).filter(|(_, met)| *met).flat_map(|(needed, _)| needed).collect()
    }
}

fn missing_column(job: &Job, what: &str, column: &str, there: &[String]) -> Problem {
    let nearest = there
        .iter()
        .map(|known| (strsim::jaro_winkler(column, known), known))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|one, other| one.0.total_cmp(&other.0));
    let columns = there.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let hint = match nearest {
        Some((_, known)) => format!("did you mean {known:?}? The columns are: {columns}"),
        None => format!("the columns are: {columns}"),
    };
    let message = format!("{what} {column:?}, which the job uses");
    Problem { file: Some(job.file.clone()), key: "input.path".to_owned(), message, ..Problem::default() }
        .with_hint(hint)
}
