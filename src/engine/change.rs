//! What a change of the job would send again, counted before it does.

use std::collections::BTreeMap;

use serde_json::Value;

use super::RunError;
use super::output::each;
use super::plan::Plan;
use super::prepare::{What, prepare};
use super::selection::Selection;
use crate::source::Input;
use crate::store::{KeyIndex, StateDir, Store};
use crate::types::{Money, Usage};

/// Rows that are done and would be sent again.
pub(super) struct Change {
    rows: u64,
    why: String,
    /// `None`: a price is not known.
    cost: Option<Money>,
}

impl Change {
    /// In words, for a note or an error.
    pub fn words(&self) -> String {
        let rows =
            if self.rows == 1 { "1 row that is done".to_owned() } else { format!("{} rows that are done", self.rows) };
        let cost = match self.cost {
            Some(Money::ZERO) => "at no cost".to_owned(),
            Some(cost) => format!("for about {} USD", rounded(cost)),
            None => "at a cost that is not known".to_owned(),
        };
        format!("the job changed ({}): {rows} must be sent again, {cost}", self.why)
    }
}

/// What is done and would be sent again because the job asks otherwise than when a run of it last began; `None` where
/// nothing would. A pass over the input, and only where the job changed.
pub(super) fn find(
    plan: &Plan,
    input: &Input,
    selection: &Selection,
    state: &StateDir,
    store: &Store,
) -> Result<Option<Change>, RunError> {
    let Some(before) = state.asked()?.filter(|before| *before != plan.job.identity()) else { return Ok(None) };
    let mut index = KeyIndex::build(store.outcomes())?;
    let mut unclaimed = index.len() as u64;
    if unclaimed == 0 {
        return Ok(None);
    }
    let mut due = Due::default();
    each(plan, input, selection, |record| {
        let prepared = prepare(plan, record);
        match index.take(prepared.key) {
            Some(_) => unclaimed -= 1,
            None => due.add(plan, &prepared.what),
        }
        Ok(())
    })?;
    // A row without an outcome is new, or it is one whose outcome nobody claims any more.
    let rows = due.rows.min(unclaimed);
    if rows == 0 {
        return Ok(None);
    }
    let cost = due.cost(plan, mean_output(store), rows);
    Ok(Some(Change { rows, why: difference(&before, &plan.job.identity()), cost }))
}

/// Rows without an outcome, and what they would send.
#[derive(Default)]
struct Due {
    rows: u64,
    /// By upstream: rows, and their input tokens by estimate.
    sent: BTreeMap<usize, (u64, u64)>,
}

impl Due {
    fn add(&mut self, plan: &Plan, what: &What) {
        self.rows += 1;
        let What::Ask(request) = what else { return };
        let first = plan.tasks[request.task].route[0].upstream;
        let sent = self.sent.entry(request.model.unwrap_or(first)).or_default();
        sent.0 += 1;
        sent.1 += (request.messages.get().len() as u64).div_ceil(4);
    }

    /// What so many of these rows cost, at the first choices' prices.
    fn cost(&self, plan: &Plan, mean_output: u64, rows: u64) -> Option<Money> {
        let mut all = Money::ZERO;
        for (upstream, (rows, input_tokens)) in &self.sent {
            let usage = Usage { input_tokens: *input_tokens, output_tokens: rows * mean_output, ..Usage::default() };
            all += plan.model(*upstream).price?.cost(&usage);
        }
        let share = u128::from(all.pico()) * u128::from(rows) / u128::from(self.rows.max(1));
        Some(Money::from_pico(u64::try_from(share).unwrap_or(u64::MAX)))
    }
}

/// The output tokens of an answer so far.
fn mean_output(store: &Store) -> u64 {
    let (mut tokens, mut answers) = (0, 0);
    for run in &store.ledger().runs {
        let sum = run.totals.sum();
        tokens += sum.usage.output_tokens;
        answers += sum.succeeded;
    }
    tokens / answers.max(1)
}

/// To a tenth of a cent: an estimate with twelve decimals would pass for more than it is.
fn rounded(cost: Money) -> Money {
    const STEP: u64 = 1_000_000_000;
    if cost.pico() < STEP { cost } else { Money::from_pico(cost.pico().div_ceil(STEP) * STEP) }
}

/// What the job asks now otherwise than before, by the names of its keys.
fn difference(before: &[u8], now: &[u8]) -> String {
    /// What `Job::identity` tells of a task, in its order.
    const PARTS: [&str; 6] = ["name", "system", "prompt", "messages", "params", "model"];
    let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    let (before, now) = (read(before), read(now));
    let mut parts = Vec::new();
    for (key, value) in now.as_object().into_iter().flatten().filter(|(key, value)| before[*key] != **value) {
        if key != "tasks" {
            parts.push(key.clone());
            continue;
        }
        for task in value.as_array().into_iter().flatten() {
            let name = task[0].as_str().unwrap_or_default();
            let old = before["tasks"].as_array().into_iter().flatten().find(|old| old[0] == task[0]);
            let Some(old) = old else {
                parts.push(format!("tasks.{name}"));
                continue;
            };
            let changed = PARTS.iter().enumerate().filter(|(at, _)| old[*at] != task[*at]);
            parts.extend(changed.map(|(_, part)| format!("tasks.{name}.{part}")));
        }
    }
    if parts.is_empty() { "other tasks".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_which_keys_changed() {
        let task = |prompt: &str, model: &str| serde_json::json!(["tag", null, prompt, [], {}, [model, {}]]);
        let job = |task: Value, id: &str| serde_json::json!({ "id": id, "tasks": [task] }).to_string().into_bytes();
        let before = job(task("a", "m"), "x");
        assert_eq!(difference(&before, &job(task("b", "n"), "x")), "tasks.tag.prompt, tasks.tag.model");
        assert_eq!(difference(&before, &job(task("a", "m"), "y")), "id");
    }

    #[test]
    fn an_estimate_is_round() {
        assert_eq!(rounded("0.123456".parse().unwrap()).to_string(), "0.124");
        assert_eq!(rounded("0.000012".parse().unwrap()).to_string(), "0.000012");
    }
}
