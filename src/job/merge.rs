//! What overrides what: the job's keys lie over the config's, and flags over both.

use toml::de::DeTable;

use super::problem::{Problem, nearest};
use super::tree::{Entry, Node, Spot, Table, Value};

/// Lays the whole tree `over` on `base`, key by key; each value keeps its own place.
pub(super) fn lay(base: &mut Table, over: Table) {
    if let (Some(below), Some(above)) = (base.get_mut("models"), over.get("models")) {
        spell_out(&mut below.node, &above.node);
    }
    lay_table(base, over);
}

fn lay_table(base: &mut Table, over: Table) {
    for entry in over.entries {
        match base.get_mut(&entry.name) {
            Some(below) => {
                below.spot = entry.spot;
                lay_node(&mut below.node, entry.node);
            }
            None => base.entries.push(entry),
        }
    }
}

fn lay_node(base: &mut Node, over: Node) {
    match (&mut base.value, over.value) {
        (Value::Table(below), Value::Table(above)) => {
            base.spot = over.spot;
            lay_table(below, above);
        }
        (_, value) => *base = Node { value, spot: over.spot },
    }
}

/// Turns `cheap = "gateway/qwen-plus"` into its long form where a table is laid over it: `--set models.cheap.limits.rpm=5`
/// adds a limit to the model and must not lose which one it is.
fn spell_out(models: &mut Node, over: &Node) {
    let (Value::Table(models), Value::Table(over)) = (&mut models.value, &over.value) else { return };
    for entry in &mut models.entries {
        let longer = over.get(&entry.name).is_some_and(|above| matches!(above.node.value, Value::Table(_)));
        let Value::Text(short) = &entry.node.value else { continue };
        let Some((provider, model)) = short.split_once('/').filter(|_| longer) else { continue };
        let part = |name: &str, text: &str| Entry {
            name: name.to_owned(),
            spot: entry.spot.clone(),
            node: Node { value: Value::Text(text.to_owned()), spot: entry.node.spot.clone() },
        };
        let entries = vec![part("provider", provider), part("model", model)];
        entry.node.value = Value::Table(Table { entries });
    }
}

/// Keeps those sections of a config that hold for all jobs.
pub(super) fn restrict_config(config: &mut Table, found: &mut Vec<Problem>) {
    const SHARED: [&str; 5] = ["providers", "models", "retry", "run", "env_file"];
    const JOB_ONLY: [&str; 5] = ["job", "input", "output", "tasks", "vars"];
    config.entries.retain(|entry| {
        let name = entry.name.as_str();
        if SHARED.contains(&name) {
            return true;
        }
        found.push(if JOB_ONLY.contains(&name) {
            Problem::new(&entry.spot, name, "belongs in a job file, not in the config for all jobs")
        } else {
            let mut problem = Problem::new(&entry.spot, name, "unknown key");
            problem.hint = nearest("known here", name, SHARED);
            problem
        });
        false
    });
}

/// A tree that holds nothing but `node` at `path`.
pub(super) fn branch(path: &[String], node: Node) -> Table {
    let spot = node.spot.clone();
    let mut parts = path.iter().rev();
    let entry = |name: &String, node: Node| Entry { name: name.clone(), spot: spot.clone(), node };
    let mut table = Table::default();
    if let Some(last) = parts.next() {
        table.entries.push(entry(last, node));
    }
    for name in parts {
        let inner = Node { value: Value::Table(table), spot: spot.clone() };
        table = Table { entries: vec![entry(name, inner)] };
    }
    table
}

/// Splits `tasks."my task".model` as TOML does; `None` where it is no key.
pub(super) fn split_key(key: &str) -> Option<Vec<String>> {
    let line = format!("{key} = 0");
    // One line, so that a key cannot smuggle in a second one.
    if key.contains(['\n', '\r', '#', '=']) && !key.contains(['"', '\'']) {
        return None;
    }
    let mut table = DeTable::parse(&line).ok()?.into_inner();
    let mut path = Vec::new();
    loop {
        let (name, value) = if table.len() == 1 { table.into_iter().next()? } else { return None };
        path.push(name.into_inner().into_owned());
        match value.into_inner() {
            toml::de::DeValue::Table(inner) => table = inner,
            toml::de::DeValue::Integer(_) => return Some(path),
            _ => return None,
        }
    }
}

/// A text with the place of its flag.
pub(super) fn text(text: &str, spot: &Spot) -> Node {
    Node { value: Value::Text(text.to_owned()), spot: spot.clone() }
}
