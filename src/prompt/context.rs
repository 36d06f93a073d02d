//! What a template sees of a row: its columns as variables, `row` and `vars`.

use std::collections::HashSet;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object};
use minijinja::{Error, ErrorKind, Value};
use serde_json::{Map, Value as Json};

use super::engine::{self, GLOBALS};
use super::error::RenderError;
use super::values::{JsonObject, Miss, Misses};
use crate::types::Row;

/// Which parts of a row some templates may read. Only these are converted: a column that is not used costs nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Reads {
    names: HashSet<String>,
    whole_row: bool,
}

impl Reads {
    /// Adds what one more template reads: `variables` are its undeclared ones.
    pub(super) fn add(&mut self, source: &str, variables: &HashSet<String>) {
        self.names.extend(engine::identifiers(source));
        self.whole_row |= variables.contains("row");
    }

    fn column(&self, name: &str) -> bool {
        self.whole_row || self.names.contains(name)
    }
}

/// One row as the context of one or more renderings.
pub(super) struct RowContext {
    value: Value,
    misses: Misses,
}

impl RowContext {
    pub(super) fn new(row: &Row, reads: &Reads, vars: &Map<String, Json>) -> Self {
        let misses = Misses::default();
        let columns = JsonObject::of_columns(row.fields(), &misses, |name| reads.column(name));
        let vars = reads.names.contains("vars").then(|| vars_value(vars, &misses));
        let names = Names { columns: Arc::new(columns), vars, misses: misses.clone() };
        Self { value: Value::from_object(names), misses }
    }

    /// Whether something that is not there was looked up.
    pub(super) fn missed(&self) -> bool {
        self.misses.last().is_some()
    }

    /// Some filters (`round`) take what is missing for a wrong value and do not say so.
    fn missing(&self) -> String {
        match self.misses.last() {
            Some(Miss { within: Some(column), name }) => format!(" (`{column}.{name}` is missing)"),
            Some(Miss { within: None, name }) => format!(" (column `{name}` is missing)"),
            None => String::new(),
        }
    }

    pub(super) fn value(&self) -> Value {
        self.value.clone()
    }

    /// The error of a rendering with this context, in words that a user can act on.
    pub(super) fn error(&self, what: &str, error: &Error, row: &Row) -> RenderError {
        let what = what.to_owned();
        let undefined = error.kind() == ErrorKind::UndefinedError;
        match self.misses.last().filter(|_| undefined) {
            Some(Miss { within: None, name }) => RenderError::missing_column(what, &name, row),
            Some(Miss { within: Some(column), name }) => {
                RenderError::MissingKey { what, column: column.to_string(), key: name }
            }
            None => {
                let message = format!("{}{}", engine::message(error), self.missing());
                RenderError::Template { what, line: error.line().unwrap_or(0), message }
            }
        }
    }
}

/// `vars` as templates see it.
pub(super) fn vars_value(vars: &Map<String, Json>, misses: &Misses) -> Value {
    Value::from_object(JsonObject::within(&"vars".into(), vars, misses))
}

/// The variables of a template. `row` and `vars` win over columns of these names, which `row["vars"]` still reaches.
#[derive(Debug)]
struct Names {
    columns: Arc<JsonObject>,
    vars: Option<Value>,
    misses: Misses,
}

impl Object for Names {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, name: &str) -> Option<Value> {
        match name {
            "row" => Some(Value::from_dyn_object(Arc::clone(&self.columns))),
            "vars" => self.vars.clone(),
            column => {
                let value = self.columns.peek(column);
                if value.is_none() && !GLOBALS.contains(&column) {
                    self.misses.note(None, column);
                }
                value
            }
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.columns.enumerate()
    }
}
