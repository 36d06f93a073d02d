//! Columns that the job needs and the input does not have: told before anything is sent.

use std::collections::BTreeSet;

use super::RunError;
use super::plan::{Plan, ReadyTask};
use super::prepare::route;
use crate::job::{Job, JobError, Problem};
use crate::prompt::Expr;
use crate::source::{Format, Input};
use crate::types::Row;

/// JSON has no header: what none of so many records has is taken for a slip.
const LOOKED_AT: usize = 1_000;

/// Of the columns there are, a hint names so many.
const NAMED: usize = 40;

/// A column that the job needs, and the key that names it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Need {
    column: String,
    key: String,
}

/// Finds columns that no row can have, before anything is sent.
pub(super) fn check(plan: &Plan, input: &Input) -> Result<(), RunError> {
    refuse(match input.header() {
        Some(header) => not_in_header(plan, &header),
        None => in_no_record(plan, input)?,
    })
}

/// As [`check`], for the expression of `--where`, which says which rows to take: without its columns that would be none.
pub(super) fn check_filter(input: &Input, filter: &Expr) -> Result<(), RunError> {
    let Some(header) = input.header() else { return Ok(()) };
    let missing = filter.required_columns().into_iter().filter(|column| !header.contains(column));
    let flagged = |column: String| {
        let problem = Problem { flag: Some("--where"), message: lacks(&column), ..Problem::default() };
        problem.with_hint(nearest(&column, &header))
    };
    let is_column = header.iter().any(|column| column == filter.source());
    refuse(if is_column { Vec::new() } else { missing.map(flagged).collect() })
}

fn refuse(mut problems: Vec<Problem>) -> Result<(), RunError> {
    problems.sort_by_key(|problem| (problem.line, problem.column));
    if problems.is_empty() { Ok(()) } else { Err(RunError::Job(JobError { problems })) }
}

fn not_in_header(plan: &Plan, header: &[String]) -> Vec<Problem> {
    let mut needs: BTreeSet<Need> = plan.tasks.iter().flat_map(of_task).collect();
    for (key, expr) in [("input.id", &plan.id), ("input.where", &plan.filter)] {
        // None where a column has the very name of the expression: that comes first.
        let expr = expr.iter().filter(|expr| !header.iter().any(|column| column == expr.source()));
        needs.extend(expr.flat_map(|expr| of_expr(key, expr)));
    }
    needs.retain(|need| !header.contains(&need.column));
    needs.iter().map(|need| missing(&plan.job, need, lacks(&need.column), header)).collect()
}

fn of_task(task: &ReadyTask) -> BTreeSet<Need> {
    let need = |column: String| {
        let text = task.prompt.text_with(&column).unwrap_or_default();
        Need { key: format!("tasks.{}.{text}", task.name), column }
    };
    task.prompt.required_columns().into_iter().map(need).collect()
}

fn of_expr(key: &str, expr: &Expr) -> BTreeSet<Need> {
    expr.required_columns().into_iter().map(|column| Need { column, key: key.to_owned() }).collect()
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
    let needs = look.missing();
    let told = |need: &Need| {
        let message = format!("none of the first 1,000 records has a column {:?}", need.column);
        missing(&plan.job, need, message, &seen)
    };
    Ok(needs.iter().map(told).collect())
}

/// What was found in the records so far.
struct Look {
    /// The columns of each task that no record had yet, and whether one was the task's.
    tasks: Vec<(BTreeSet<Need>, bool)>,
    /// The same of `id`, and whether there was a record at all.
    id: (BTreeSet<Need>, bool),
    seen: BTreeSet<String>,
}

impl Look {
    fn new(plan: &Plan) -> Self {
        let tasks = plan.tasks.iter().map(|task| (of_task(task), false)).collect();
        let fails_alone = |id: &Expr| plan.job.input.format == Format::OpenaiBatch && id.source() == "custom_id";
        let id = plan.id.as_ref().filter(|id| !fails_alone(id));
        let id = id.map(|id| of_expr("input.id", id)).unwrap_or_default();
        Self { tasks, id: (id, false), seen: BTreeSet::new() }
    }

    fn has_all(&self) -> bool {
        self.tasks.iter().chain([&self.id]).all(|(needed, _)| needed.is_empty())
    }

    fn at(&mut self, plan: &Plan, row: &Row) {
        for (needed, _) in self.tasks.iter_mut().chain([&mut self.id]) {
            needed.retain(|need| !row.fields().contains_key(&need.column));
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

    fn missing(self) -> BTreeSet<Need> {
        self.tasks.into_iter().chain([self.id]).filter(|(_, met)| *met).flat_map(|(needed, _)| needed).collect()
    }
}

fn lacks(column: &str) -> String {
    format!("the input has no column {column:?}")
}

fn missing(job: &Job, need: &Need, message: String, there: &[String]) -> Problem {
    job.problem(&need.key, message).with_hint(nearest(&need.column, there))
}

fn nearest(column: &str, there: &[String]) -> String {
    let nearest = there
        .iter()
        .map(|known| (strsim::jaro_winkler(column, known), known))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|one, other| one.0.total_cmp(&other.0));
    let columns = there.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match nearest {
        Some((_, known)) => format!("did you mean {known:?}? The columns are: {columns}"),
        None => format!("the columns are: {columns}"),
    }
}
