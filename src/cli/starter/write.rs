//! The job file as it is written for data.

use std::fmt::Write as _;

use super::look::Data;
use super::model::Choice;

/// The text of a job file. `path` is the data as seen from it; `stem` names its results.
pub fn job_file(data: &Data, choice: &Choice, path: &str, stem: &str, command: &str) -> String {
    let mut text =
        format!("# Made by `overnight init`. It runs as it is:\n#\n#   {command} --limit 5\n#   {command}\n\n");
    input(&mut text, data, path);
    output(&mut text, data, stem);
    if data.tasks.is_empty() {
        task(&mut text, "default", None, data, choice);
    } else {
        for name in &data.tasks {
            task(&mut text, name, Some(name), data, choice);
        }
        if !data.tasks.iter().any(|name| name == "default") {
            line(&mut text, "# Rows of any other type; without this table they fail.");
            task(&mut text, "default", None, data, choice);
        }
    }
    if choice.simulated {
        line(&mut text, "# A provider of invented answers, for a rehearsal without key and cost.");
        line(&mut text, "[providers.sim]\nkind = \"simulated\"\n");
    }
    line(&mut text, "[run]\nconcurrency = 16                  # calls in flight at most");
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A column as an expression reads it.
fn variable(column: &str) -> String {
    let mut letters = column.chars();
    let starts = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
    let taken = ["row", "vars", "true", "false", "none", "not", "and", "or", "in", "is", "if", "else"];
    if starts && letters.all(|c| c.is_ascii_alphanumeric() || c == '_') && !taken.contains(&column) {
        return column.to_owned();
    }
    format!("row[{}]", serde_json::Value::from(column))
}

fn input(text: &mut String, data: &Data, path: &str) {
    if !data.columns.is_empty() {
        let _ = writeln!(text, "# Columns: {}", data.columns.join(", ").replace(['\n', '\r'], " "));
    }
    let _ = writeln!(text, "[input]\npath = {}", quoted(path));
    if let Some(format) = data.format {
        let _ = writeln!(text, "format = \"{format}\"");
    }
    match &data.id {
        Some(id) => {
            let _ = writeln!(text, "id = {}   # with it a row keeps its answer when it moves", quoted(id));
        }
        None => line(text, "# id = \"...\"                      # a column that tells rows apart"),
    }
    if let Some(task) = data.task.as_deref().filter(|task| *task != "task_type") {
        let _ = writeln!(text, "task = {}   # says which [tasks.X] a row gets", quoted(task));
    }
    line(text, "# where = \"...\"                   # rows to take, such as \"lang == 'en'\"; default: all\n");
}

fn output(text: &mut String, data: &Data, stem: &str) {
    let _ = writeln!(
        text,
        "[output]\npath = {}   # or .csv; failed rows go to .errors.jsonl",
        quoted(&format!("out/{stem}.jsonl"))
    );
    if data.is_batch() {
        line(
            text,
            "# format = \"openai-batch\"         # as OpenAI's Batch API writes it, failed rows among the others",
        );
    }
    if data.columns == ["path", "name", "text"] {
        line(text, "include = [\"name\"]                # the whole texts would make the results large");
    } else {
        line(text, "# include = [\"...\"]               # input columns to copy; default: all");
    }
    text.push('\n');
}

fn task(text: &mut String, name: &str, kind: Option<&str>, data: &Data, choice: &Choice) {
    let _ = writeln!(text, "[tasks.{}]", quoted_key(name));
    let _ = writeln!(text, "model = {}   # {}", quoted(&choice.model), choice.reason);
    line(text, "# fallback = [\"provider/model\"]   # tried when the model before fails");
    match data.text.as_deref().filter(|_| !data.own_prompt) {
        None => line(text, "# The rows bring their own prompt or messages."),
        Some(column) => prompt(text, kind, column),
    }
    if data.is_batch() {
        line(text, "# params = { max_tokens = 200 }     # for lines whose body does not say it; default: none\n");
    } else {
        line(text, "params = { temperature = 0, max_tokens = 200 }\n");
    }
}

fn prompt(text: &mut String, kind: Option<&str>, column: &str) {
    let order = match kind {
        Some(kind) => format!("Your task: {kind}."),
        None => "Summarize this in one sentence.".to_owned(),
    };
    line(text, "# Say here what is to be done; {{ column }} stands for a row's value.");
    let _ = writeln!(text, "prompt = {}", quoted(&format!("{order}\n\n{{{{ {} }}}}", variable(column))));
}

fn quoted_key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { name.to_owned() } else { serde_json::Value::from(name).to_string() }
}
