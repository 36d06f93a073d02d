//! What a change of the job would send again, told before it does.

use serde_json::Value;

use super::ground::Reason;
use crate::types::Money;

/// Rows that are done and would be sent again.
pub(super) struct Change {
    pub rows: u64,
    /// The keys of the job that changed.
    pub why: String,
    /// By estimate; `None`: a price or the length of answers is not known.
    pub cost: Option<Money>,
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

/// To a tenth of a cent: an estimate with twelve decimals would pass for more than it is.
fn rounded(cost: Money) -> Money {
    const STEP: u64 = 1_000_000_000;
    if cost.pico() < STEP { cost } else { Money::from_pico(cost.pico().div_ceil(STEP) * STEP) }
}

/// What the job asks otherwise than before, by the names of its keys.
pub(super) struct Difference {
    keys: Vec<String>,
    /// The tasks that ask otherwise.
    tasks: Vec<String>,
    /// Rows of all tasks may be read or asked otherwise.
    everywhere: bool,
    /// Answers are kept where nothing but the job changed.
    keeps: bool,
}

impl Difference {
    /// Compares what [`crate::job::Job::identity`] told before with what it tells now.
    pub fn new(before: &[u8], now: &[u8]) -> Self {
        /// What it tells of a task, in its order.
        const PARTS: [&str; 8] = ["name", "system", "prompt", "messages", "params", "model", "images", "answer"];
        let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap_or_default();
        let (before, now) = (read(before), read(now));
        let mut found = Self { keys: Vec::new(), tasks: Vec::new(), everywhere: false, keeps: false };
        found.keeps = now["on_change"] == "keep";
        if !found.keeps && before["on_change"] == "keep" {
            // What was kept so far is sent now, whatever was asked in between.
            found.keys.push("run.on_change".to_owned());
            found.everywhere = true;
        }
        for (key, value) in now.as_object().into_iter().flatten().filter(|(key, value)| before[*key] != **value) {
            if key == "on_change" {
                continue;
            }
            if key != "tasks" {
                found.keys.push(key.clone());
                // Which rows are taken does not change what they ask.
                found.everywhere |= key != "where";
                continue;
            }
            for task in value.as_array().into_iter().flatten() {
                let name = task[0].as_str().unwrap_or_default();
                let old = before["tasks"].as_array().into_iter().flatten().find(|old| old[0] == task[0]);
                let Some(old) = old else {
                    found.keys.push(format!("tasks.{name}"));
                    found.tasks.push(name.to_owned());
                    continue;
                };
                let changed = PARTS.iter().enumerate().filter(|(at, _)| old[*at] != task[*at]);
                found.keys.extend(changed.map(|(_, part)| format!("tasks.{name}.{part}")));
                if old != task {
                    found.tasks.push(name.to_owned());
                }
            }
        }
        found
    }

    /// The keys that changed.
    pub fn words(&self) -> String {
        if self.keys.is_empty() { "other tasks".to_owned() } else { self.keys.join(", ") }
    }

    /// Whether a row that is done is sent again because of it. One whose own columns changed too may be: nothing tells
    /// whether its answer would still fit, and what is in doubt is told before it is paid for.
    pub fn sends_again(&self, reason: Reason, task: Option<&str>) -> bool {
        match reason {
            Reason::JobChanged => true,
            // It would have kept its answer, had its own columns not changed.
            Reason::RowChanged if self.keeps => false,
            Reason::RowChanged => self.everywhere || task.is_none_or(|task| self.tasks.iter().any(|one| one == task)),
            Reason::New | Reason::Failed => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_which_keys_changed() {
        let task = |prompt: &str, model: &str| serde_json::json!(["tag", null, prompt, [], {}, [model, {}]]);
        let job = |task: Value, id: &str| serde_json::json!({ "id": id, "tasks": [task] }).to_string().into_bytes();
        let before = job(task("a", "m"), "x");
        let words = |now: &[u8]| Difference::new(&before, now).words();
        assert_eq!(words(&job(task("b", "n"), "x")), "tasks.tag.prompt, tasks.tag.model");
        assert_eq!(words(&job(task("a", "m"), "y")), "id");
        let mut ruled = task("a", "m");
        ruled.as_array_mut().unwrap().extend([serde_json::json!(null), serde_json::json!({ "max_chars": 9 })]);
        assert_eq!(words(&job(ruled, "x")), "tasks.tag.answer");
    }

    #[test]
    fn an_edited_row_counts_only_where_its_task_asks_otherwise() {
        let tasks = |tag: &str| {
            let task = |name: &str, prompt: &str| serde_json::json!([name, null, prompt, [], {}, ["m", {}]]);
            serde_json::json!({ "where": tag, "tasks": [task("tag", tag), task("sum", "s")] }).to_string().into_bytes()
        };
        let changed = Difference::new(&tasks("a"), &tasks("b"));
        assert!(changed.sends_again(Reason::RowChanged, Some("tag")));
        assert!(!changed.sends_again(Reason::RowChanged, Some("sum")));
        assert!(changed.sends_again(Reason::JobChanged, Some("sum")));
        assert!(!changed.sends_again(Reason::New, Some("tag")));
    }

    #[test]
    fn answers_that_are_kept_no_more_are_a_change_and_edited_rows_beside_kept_ones_are_none() {
        let job = |keep: bool| {
            let task = serde_json::json!(["tag", null, "a", [], {}, ["m", {}]]);
            let mut job = serde_json::json!({ "id": "x", "tasks": [task] });
            if keep {
                job["on_change"] = "keep".into();
            }
            job.to_string().into_bytes()
        };
        let no_more = Difference::new(&job(true), &job(false));
        assert_eq!(no_more.words(), "run.on_change");
        assert!(no_more.sends_again(Reason::RowChanged, Some("tag")));
        let from_now_on = Difference::new(&job(false), &job(true));
        assert!(!from_now_on.sends_again(Reason::RowChanged, Some("tag")));
        assert!(from_now_on.sends_again(Reason::JobChanged, Some("tag")), "a row without an id");
    }

    #[test]
    fn an_estimate_is_round() {
        assert_eq!(rounded("0.123456".parse().unwrap()).to_string(), "0.124");
        assert_eq!(rounded("0.000012".parse().unwrap()).to_string(), "0.000012");
    }
}
