//! What data is: its columns and what they are good for, from its first rows.

use std::collections::HashSet;
use std::path::Path;

use overnight::source::{Format, Input, InputPath, InputSettings, SourceError};
use overnight::types::Row;
use serde_json::Value;

/// Rows that are looked at: enough to tell columns apart, and read in an instant.
const ROWS: usize = 1_000;

/// Task types that get a table of their own.
const MOST_TASKS: usize = 8;

/// What was found out about data.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// In their order.
    pub columns: Vec<String>,
    /// What tells rows apart.
    pub id: Option<String>,
    /// Says the task type.
    pub task: Option<String>,
    /// The task types that came up.
    pub tasks: Vec<String>,
    /// The column with the longest texts.
    pub text: Option<String>,
    /// Rows bring their own messages or prompt.
    pub own_prompt: bool,
    /// `input.format`, where `auto` would not do.
    pub format: Option<&'static str>,
}

impl Data {
    /// Each row is a whole request, as `overnight batch` takes it too.
    pub fn is_batch(&self) -> bool {
        self.format == Some("openai-batch")
    }
}

/// Reads the first rows of a file or folder.
///
/// # Errors
/// Where it cannot be read as any format.
pub fn look(path: &Path) -> Result<Data, SourceError> {
    let shown = path.display().to_string();
    let entry = InputPath::Path { path: path.to_owned(), shown };
    let mut settings = InputSettings { paths: vec![entry], format: Format::Auto, delimiter: None, max_row: 16_000_000 };
    let nowhere = Path::new("");
    let (input, format) = match Input::open(&settings, nowhere) {
        // One document alone: its extension says nothing, but to read it as text always works.
        Err(SourceError::UnknownFormat { .. }) => {
            settings.format = Format::Text;
            (Input::open(&settings, nowhere)?, Some("text"))
        }
        opened => (opened?, None),
    };
    let mut rows = Vec::new();
    for record in input.records()?.take(ROWS) {
        rows.extend(record?.row().ok());
    }
    let columns = input.columns().unwrap_or_else(|| columns(&rows));
    Ok(Data { format, ..describe(columns, &rows) })
}

fn columns(rows: &[Row]) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    for name in rows.iter().flat_map(|row| row.fields().keys()) {
        if !columns.contains(name) {
            columns.push(name.clone());
        }
    }
    columns
}

fn describe(columns: Vec<String>, rows: &[Row]) -> Data {
    let id = id(&columns, rows);
    let task = columns.iter().find(|name| ["task_type", "task"].contains(&name.as_str())).cloned();
    let tasks = task.as_deref().map_or_else(Vec::new, |task| values(task, rows));
    let has = |name: &str| columns.iter().any(|column| column == name);
    let own_prompt = has("messages") || has("prompt") || (has("custom_id") && has("body"));
    let others = columns.iter().filter(|name| Some(*name) != id.as_ref() && Some(*name) != task.as_ref());
    let text = others.max_by_key(|name| (letters(name, rows), name.as_str() == "text")).cloned();
    let is_batch = has("custom_id") && has("body");
    Data { columns, id, task, tasks, text, own_prompt, format: is_batch.then_some("openai-batch") }
}

/// The column by its name, if its values tell all rows apart.
fn id(columns: &[String], rows: &[Row]) -> Option<String> {
    let rank = |name: &str| match name.to_lowercase().as_str() {
        "id" | "custom_id" => Some(0),
        "path" | "uuid" | "key" | "ticket" => Some(1),
        name if name.ends_with("_id") || name.ends_with("id") && name.len() <= 4 => Some(2),
        _ => None,
    };
    let mut named: Vec<(u8, &String)> = columns.iter().filter_map(|name| Some((rank(name)?, name))).collect();
    named.sort_by_key(|(rank, _)| *rank);
    let found = named.into_iter().find(|(_, name)| {
        let mut seen = HashSet::new();
        rows.iter().all(|row| row.get(name).is_some_and(|value| is_plain(value) && seen.insert(value.to_string())))
    });
    found.map(|(_, name)| name.clone())
}

fn is_plain(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.is_empty(),
        Value::Number(_) => true,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

fn values(column: &str, rows: &[Row]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for value in rows.iter().filter_map(|row| row.get(column)?.as_str()) {
        if !value.is_empty() && found.len() < MOST_TASKS && !found.iter().any(|known| known == value) {
            found.push(value.to_owned());
        }
    }
    found
}

fn letters(column: &str, rows: &[Row]) -> usize {
    rows.iter().filter_map(|row| row.get(column)?.as_str()).map(str::len).sum()
}
