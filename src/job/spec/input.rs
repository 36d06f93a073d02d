//! `[input]`.

use crate::job::problem::Problem;
use crate::job::reader::{Field, Reader};
use crate::source::{Format, InputPath, InputSettings};

const DEFAULT_MAX_ROW: usize = 16_000_000;

const FORMATS: [(&str, Format); 8] = [
    ("auto", Format::Auto),
    ("jsonl", Format::Jsonl),
    ("csv", Format::Csv),
    ("tsv", Format::Tsv),
    ("openai-batch", Format::OpenaiBatch),
    ("json", Format::Json),
    ("text", Format::Text),
    ("parquet", Format::Parquet),
];

/// What is read, and which of a row's values steer it.
pub(in crate::job) struct Input {
    pub(in crate::job) settings: InputSettings,
    pub(in crate::job) id: Option<String>,
    pub(in crate::job) task: String,
    pub(in crate::job) filter: Option<String>,
    pub(in crate::job) allow_overrides: bool,
}

pub(in crate::job) fn read_input(reader: &Reader<'_>) -> Option<Input> {
    let paths = reader.require("path", "path = \"data/rows.jsonl\"");
    let format = reader.take("format").and_then(|field| field.choice(&FORMATS));
    let delimiter = reader.take("delimiter").and_then(|field| delimiter(&field));
    let max_row = reader.take("max_row").and_then(|field| field.size());
    let expression = |name| Some(reader.take(name)?.text()?.to_owned());
    let (id, task, filter) = (expression("id"), expression("task"), expression("where"));
    let allow_overrides = reader.take("allow_overrides").and_then(|field| field.flag());
    let paths = paths?.one_or_more()?.iter().map(input_path).collect::<Option<_>>()?;
    Some(Input {
        settings: InputSettings {
            paths,
            format: format.unwrap_or_default(),
            delimiter,
            max_row: max_row.unwrap_or(DEFAULT_MAX_ROW),
        },
        id,
        task: task.unwrap_or_else(|| "task_type".to_owned()),
        filter,
        allow_overrides: allow_overrides.unwrap_or(false),
    })
}

fn input_path(field: &Field<'_>) -> Option<InputPath> {
    let shown = field.expanded()?;
    if shown == "-" {
        return Some(InputPath::Stdin);
    }
    Some(InputPath::Path { path: field.path()?, shown })
}

fn delimiter(field: &Field<'_>) -> Option<u8> {
    // Not `text`: a tab is all white space.
    match *field.any_text()?.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Some(byte),
        _ => {
            let problem: Problem = field.problem("must be one character");
            let problem = problem.with_hint("write for example \";\" or \"\\t\"");
            field.scope().problems.add(problem);
            None
        }
    }
}
