//! A row of the input as templates see it, and where it stands.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

/// A row's columns in the order of the input. CSV columns are strings; JSONL ones any JSON.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    fields: Map<String, Value>,
}

impl Row {
    /// A row of these columns.
    #[must_use]
    pub fn new(fields: Map<String, Value>) -> Self {
        Self { fields }
    }

    /// A column's value; null counts as missing.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&Value> {
        self.fields.get(column).filter(|value| !value.is_null())
    }

    /// All columns, nulls included, in the order of the input.
    #[must_use]
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }
}

/// Where a record starts: for errors that a user can act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file as the job names it.
    pub file: Arc<str>,
    /// The line on which the record starts, from 1.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}
