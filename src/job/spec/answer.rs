//! `[tasks.X.answer]`.

use serde_json::Value;

use crate::job::checked::TaskAnswer;
use crate::job::files::read_text;
use crate::job::reader::{Field, Reader};
use crate::job::tree;
use crate::provider::AnswerMode;
use crate::retry::OnInvalid;
use crate::validate::{Pattern, RuleError, Rules, Schema};

const MODES: [(&str, AnswerMode); 4] = [
    ("auto", AnswerMode::Auto),
    ("json_schema", AnswerMode::JsonSchema),
    ("json_object", AnswerMode::JsonObject),
    ("prompt", AnswerMode::Prompt),
];
const ON_INVALID: [(&str, OnInvalid); 4] = [
    ("reask", OnInvalid::Reask),
    ("retry", OnInvalid::Retry),
    ("fallback", OnInvalid::Fallback),
    ("fail", OnInvalid::Fail),
];
const DEFAULT_MAX_REASKS: u32 = 2;
/// Each one repeats the whole conversation, and makes it longer.
const MOST_REASKS: u64 = 20;

pub(super) fn read_answer(reader: &Reader<'_>) -> Option<TaskAnswer> {
    let (schema, one_of, regex) = (reader.take("schema"), reader.take("one_of"), reader.take("regex"));
    refuse_beside(&[("schema", &schema), ("one_of", &one_of), ("regex", &regex)]);
    let (mode, on_invalid) = (reader.take("mode"), reader.take("on_invalid"));
    let max_chars = reader.take("max_chars");
    let ruled = [&schema, &one_of, &regex, &max_chars].into_iter().any(Option::is_some);
    if let Some(field) = on_invalid.as_ref().filter(|_| !ruled) {
        let hint = "write schema, one_of, regex or max_chars".to_owned();
        field.refuse("no rule says which answers are valid", Some(hint));
    }
    let asks_for_schema = mode.as_ref().and_then(|field| field.choice(&MODES)).unwrap_or_default();
    if let Some(field) = mode.filter(|_| schema.is_none() && asks_for_schema != AnswerMode::Auto) {
        field.refuse("says how models are asked for a schema, and there is none", Some("write schema".to_owned()));
    }
    let answer = TaskAnswer {
        rules: Rules {
            schema: schema.and_then(|field| read_schema(&field)),
            one_of: one_of.and_then(|field| read_one_of(&field)),
            regex: regex.and_then(|field| compiled(&field, Pattern::compile(field.text()?))),
            max_chars: max_chars.and_then(|field| field.positive()),
        },
        mode: asks_for_schema,
        on_invalid: on_invalid.and_then(|field| field.choice(&ON_INVALID)).unwrap_or_default(),
        max_reasks: reader.take("max_reasks").and_then(|field| reasks(&field)).unwrap_or(DEFAULT_MAX_REASKS),
    };
    Some(answer).filter(|answer| !answer.rules.is_empty())
}

/// Each of these says all of what an answer is.
fn refuse_beside(fields: &[(&str, &Option<Field<'_>>)]) {
    let mut written = fields.iter().filter_map(|(name, field)| Some((name, field.as_ref()?)));
    let Some((first, _)) = written.next() else { return };
    for (_, field) in written {
        field.refuse(format!("cannot stand beside `{first}`"), Some("keep one of them".to_owned()));
    }
}

fn compiled<T>(field: &Field<'_>, rule: Result<T, RuleError>) -> Option<T> {
    rule.map_err(|error| field.refuse(error.to_string(), None)).ok()
}

fn reasks(field: &Field<'_>) -> Option<u32> {
    field.whole(0..=MOST_REASKS).and_then(|number| u32::try_from(number).ok())
}

fn read_one_of(field: &Field<'_>) -> Option<Vec<String>> {
    let items = field.items()?;
    if items.is_empty() {
        field.refuse("must not be empty: no answer would be valid", None);
    }
    // An answer is looked at without the blanks around it.
    items.iter().map(|item| item.text().map(|text| text.trim().to_owned())).collect()
}

/// A file, or the schema itself.
fn read_schema(field: &Field<'_>) -> Option<Schema> {
    let written = match &field.node.value {
        tree::Value::Text(_) => json_file(field)?,
        tree::Value::Table(table) if table.entries.len() == 1 && table.get("file").is_some() => {
            field.table(|reader| json_file(&reader.take("file")?))??
        }
        tree::Value::Table(_) => Value::Object(field.json_table()?),
        other => {
            field.refuse(format!("must be a file or a table, is {}", other.kind()), None);
            return None;
        }
    };
    compiled(field, Schema::compile(written))
}

fn json_file(field: &Field<'_>) -> Option<Value> {
    let path = field.path()?;
    let json =
        read_text(&path).and_then(|text| serde_json::from_str(&text).map_err(|error| format!("is not JSON: {error}")));
    json.map_err(|message| field.refuse(format!("{} {message}", path.display()), None)).ok()
}
