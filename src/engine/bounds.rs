//! What a budget needs: for every model that a row may be sent to, the most that a call can cost.

use std::collections::BTreeSet;

use super::RunError;
use super::estimate::output_cap;
use super::passed::passes_on;
use super::plan::{Choice, Plan, ReadyTask};
use crate::job::{JobError, Problem, dotted};
use crate::types::Price;

/// Finds the models under a budget whose calls have no known bound.
///
/// # Errors
/// [`RunError::Job`] with all of them.
pub(super) fn check(plan: &Plan) -> Result<(), RunError> {
    let mut problems = Vec::new();
    let mut told = BTreeSet::new();
    for (index, task) in plan.tasks.iter().enumerate() {
        let Some(budget) = budget_of(plan, index) else { continue };
        for choice in task.all_choices() {
            let model = plan.model(choice.upstream);
            if model.price.as_ref().is_some_and(Price::is_free) {
                continue;
            }
            if model.price.is_none() && told.insert((choice.upstream, None)) {
                problems.push(no_price(plan, task, choice, &budget));
            }
            let bound = model.output_bound();
            // Lines that are passed on have caps of their own; one that has none fails alone.
            let capped =
                passes_on(plan) || output_cap(model.endpoint, false, &|name| choice.params.get(name), bound).is_some();
            if !capped && told.insert((choice.upstream, Some(index))) {
                problems.push(no_cap(plan, task, choice, &budget));
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(RunError::Job(JobError { problems })) }
}

/// The key of a budget that holds for a task.
fn budget_of(plan: &Plan, task: usize) -> Option<String> {
    let task = &plan.job.tasks[task];
    let own = task.max_cost.map(|_| format!("tasks.{}.max_cost", task.name));
    // Of a job that was made the user knows no keys.
    let name = if plan.job.made.is_some() { "--max-cost" } else { "run.max_cost" };
    own.or_else(|| plan.job.max_cost.map(|_| name.to_owned()))
}

fn no_price(plan: &Plan, task: &ReadyTask, choice: &Choice, budget: &str) -> Problem {
    let alias = &plan.model(choice.upstream).alias;
    let price = "price = { input = 0.40, output = 1.20 }, in USD per million tokens";
    let (key, hint) = if plan.job.made.is_some() {
        let set = format!("--set 'models.{alias:?}.price={{ input = 0.40, output = 1.20 }}'");
        (
            format!("{}.price", dotted("models", alias)),
            format!("USD per million tokens by {set}, or a price file by --prices"),
        )
    } else if alias.contains('/') {
        let hint = format!("add a table [models.X] for {alias} with {price}, and name X here");
        (format!("{}.model", dotted("tasks", &task.name)), hint)
    } else {
        (format!("{}.price", dotted("models", alias)), format!("write for example {price}"))
    };
    plan.job.problem(&key, format!("{budget} needs a price for {alias}")).with_hint(hint)
}

fn no_cap(plan: &Plan, task: &ReadyTask, choice: &Choice, budget: &str) -> Problem {
    let alias = &plan.model(choice.upstream).alias;
    let hint = if alias.contains('/') {
        "write max_tokens in the task's params".to_owned()
    } else {
        format!("write max_tokens in the task's params, or max_output in [models.{alias}]")
    };
    let message = format!("{budget} needs a bound on the output of {alias}");
    plan.job.problem(&format!("{}.params", dotted("tasks", &task.name)), message).with_hint(hint)
}
