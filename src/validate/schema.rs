//! A JSON Schema, compiled once for all answers of a task.

use std::fmt;
use std::sync::Arc;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

use super::RuleError;
use super::columns::{columns, resolved, type_names};
use super::extract::{Wanted, extract};
use crate::types::AnswerColumn;

/// A model is told so many things that are wrong; each further one would make the request longer, not clearer.
const TOLD: usize = 3;
/// A value is repeated up to so many characters.
const REPEATED: usize = 80;
/// And each thing that is wrong is told in so many.
const LONGEST: usize = 240;

/// A JSON Schema. Schemas elsewhere are never fetched: a `$ref` leads within it.
#[derive(Clone)]
pub struct Schema {
    written: Arc<Value>,
    compiled: Arc<Validator>,
    wanted: Wanted,
}

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// Where it is no valid JSON Schema, or refers to another one.
    pub fn compile(written: Value) -> Result<Self, RuleError> {
        jsonschema::meta::validate(&written).map_err(|error| RuleError::Schema(told(&error)))?;
        let compiled = jsonschema::options().should_validate_formats(true).build(&written);
        let compiled = compiled.map_err(|error| match error.kind() {
            ValidationErrorKind::Referencing(_) => RuleError::Elsewhere(told(&error)),
            _ => RuleError::Schema(told(&error)),
        })?;
        let wanted = wanted(&written);
        Ok(Self { written: Arc::new(written), compiled: Arc::new(compiled), wanted })
    }

    /// As it was written.
    #[must_use]
    pub fn written(&self) -> &Arc<Value> {
        &self.written
    }

    /// A column for each top-level property; `None` where it has none.
    #[must_use]
    pub fn columns(&self) -> Option<Vec<AnswerColumn>> {
        columns(&self.written)
    }

    /// The JSON in a text, whether it fits or not.
    pub(super) fn find(&self, text: &str) -> Option<Value> {
        extract(text, self.wanted)
    }

    /// Why a text does not hold JSON that fits.
    pub(super) fn check(&self, text: &str) -> Result<(), String> {
        let Some(value) = self.find(text) else {
            return Err(format!("it holds no whole {}", self.wanted.words()));
        };
        let mut errors = self.compiled.iter_errors(&value);
        let mut wrong: Vec<String> = errors.by_ref().take(TOLD).map(|error| told(&error)).collect();
        let more = errors.count();
        if more > 0 {
            wrong.push(format!("and {more} more"));
        }
        if wrong.is_empty() { Ok(()) } else { Err(format!("it does not fit the schema: {}", wrong.join("; "))) }
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.written.fmt(f)
    }
}

fn wanted(schema: &Value) -> Wanted {
    let schema = resolved(schema, schema);
    match type_names(schema)[..] {
        ["object"] => Wanted::Object,
        ["array"] => Wanted::Array,
        ["string" | "number" | "integer" | "boolean"] => Wanted::Scalar,
        [] if schema.get("properties").is_some() => Wanted::Object,
        _ => Wanted::Any,
    }
}

/// What is wrong, where; a long value is not repeated.
fn told(error: &ValidationError<'_>) -> String {
    let short = error.instance().to_string().chars().nth(REPEATED).is_none();
    let message = if short { error.to_string() } else { error.masked_with("the value").to_string() };
    let place = error.instance_path().as_str();
    let whole = if place.is_empty() { message } else { format!("at {place}: {message}") };
    cut(&whole, LONGEST)
}

pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
