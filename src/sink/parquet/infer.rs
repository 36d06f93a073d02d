//! What types columns of JSON have.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde_json::Value;

use crate::types::Row;

/// The types of columns, found out row by row: all rows must be seen, as the last one may differ.
#[derive(Debug, Default)]
pub struct ColumnTypes {
    /// In the order in which they came up.
    columns: Vec<(String, Seen)>,
    places: HashMap<String, usize>,
}

/// What all values of a column are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Seen {
    #[default]
    Nothing,
    Bool,
    Integer,
    Number,
    Text,
    List(Box<Self>),
    /// Objects, or values of several types.
    Json,
}

impl ColumnTypes {
    /// Takes the values of a row in.
    pub fn see(&mut self, row: &Row) {
        for (name, value) in row.fields() {
            let place = self.places.get(name).copied().unwrap_or(self.columns.len());
            if place == self.columns.len() {
                self.places.insert(name.clone(), place);
                self.columns.push((name.clone(), Seen::Nothing));
            }
            let seen = &mut self.columns[place].1;
            *seen = std::mem::take(seen).and(Seen::of(value));
        }
    }

    /// The columns with their types.
    #[must_use]
    pub fn schema(self) -> SchemaRef {
        let fields = self.columns.into_iter().map(|(name, seen)| Field::new(name, seen.data_type(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

impl Seen {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Nothing,
            Value::Bool(_) => Self::Bool,
            Value::Number(number) if number.is_i64() => Self::Integer,
            Value::Number(number) if number.is_f64() => Self::Number,
            // No number type holds all of its digits beside negative ones.
            Value::Number(_) | Value::Object(_) => Self::Json,
            Value::String(_) => Self::Text,
            Value::Array(items) => Self::list(items.iter().map(Self::of).fold(Self::Nothing, Self::and)),
        }
    }

    /// A list is one only where its items have a type.
    fn list(item: Self) -> Self {
        if item == Self::Json { Self::Json } else { Self::List(Box::new(item)) }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, seen) | (seen, Self::Nothing) => seen,
            (Self::Integer, Self::Number) | (Self::Number, Self::Integer) => Self::Number,
            (Self::List(one), Self::List(other)) => Self::list(one.and(*other)),
            (one, other) if one == other => one,
            (_, _) => Self::Json,
        }
    }

    fn data_type(&self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Integer => DataType::Int64,
            Self::Number => DataType::Float64,
            Self::Nothing | Self::Text | Self::Json => DataType::Utf8,
            Self::List(item) => DataType::List(Arc::new(Field::new_list_field(item.data_type(), true))),
        }
    }
}
