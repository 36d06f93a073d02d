//! The template language: minijinja, made to keep the promises of the job file.

use std::collections::HashSet;

use minijinja::value::Kwargs;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};
use serde::Serialize;
use serde_json::Value as Json;

use super::error::TemplateError;
use super::values;
use crate::types::tokens;

/// Names that templates have without any column.
pub(super) const GLOBALS: [&str; 4] = ["debug", "dict", "namespace", "range"];

/// How much of a line an error shows.
const EXCERPT: usize = 60;

/// A language without templates.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(print);
    environment.add_filter("tojson", json_text);
    environment.add_filter("truncate_tokens", truncate_tokens);
    environment
}

fn print(out: &mut Output, _state: &mut State, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) => out.write_str(text)?,
        None => out.write_str(&values::to_text(value))?,
    }
    Ok(())
}

/// minijinja's own `tojson` escapes for HTML, which a model would read as noise.
#[expect(clippy::needless_pass_by_value, reason = "minijinja hands keyword arguments over by value")]
fn json_text(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    options.assert_all_used()?;
    let json = values::to_json(value);
    Ok(indent.map_or_else(|| json.to_string(), |width| pretty(&json, width)))
}

/// `text | truncate_tokens(500, end="…")`: by estimate, as the tokenizer is the model's own.
#[expect(clippy::needless_pass_by_value, reason = "minijinja hands keyword arguments over by value")]
fn truncate_tokens(value: &Value, tokens: usize, options: Kwargs) -> Result<String, Error> {
    let end: Option<String> = options.get("end")?;
    options.assert_all_used()?;
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let text = values::to_text(value);
    Ok(tokens::truncated(&text, tokens, end.as_deref().unwrap_or_default()))
}

fn pretty(json: &Json, width: usize) -> String {
    let indent = " ".repeat(width.min(16));
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
    let mut text = Vec::new();
    let written = json.serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter));
    written.ok().and_then(|()| String::from_utf8(text).ok()).unwrap_or_else(|| json.to_string())
}

/// An error of the engine as an error of the job's text.
pub(super) fn template_error(what: &str, source: &str, error: &Error) -> TemplateError {
    let line = error.line().unwrap_or(1);
    let text = source.lines().nth(line.saturating_sub(1)).unwrap_or_default().trim();
    let excerpt = text.chars().take(EXCERPT).collect();
    TemplateError { what: what.to_owned(), line, message: message(error), excerpt }
}

/// What an error says, without the place.
pub(super) fn message(error: &Error) -> String {
    let told = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    match error.kind() {
        ErrorKind::UnknownMethod => format!("{told} (values have no methods: use a filter, such as `x | upper`)"),
        // minijinja's list of kinds is open.
        _ => told,
    }
}

/// Every name that the source could mean as a variable: a superset, so that no column it uses is left out.
pub(super) fn identifiers(source: &str) -> HashSet<String> {
    let words = source.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')).map(str::to_owned).collect()
}
