//! Properties of answers as Arrow columns.

use std::sync::Arc;

use arrow_schema::{DataType, Field};
use serde_json::Value;

use crate::types::{AnswerColumn, AnswerType};

/// The type of a column with these values.
pub(super) fn data_type(kind: &AnswerType) -> DataType {
    match kind {
        AnswerType::Text | AnswerType::Json => DataType::Utf8,
        AnswerType::Integer => DataType::Int64,
        AnswerType::Number => DataType::Float64,
        AnswerType::Bool => DataType::Boolean,
        AnswerType::List(item) => DataType::List(Arc::new(Field::new_list_field(data_type(item), true))),
        AnswerType::Object(columns) => {
            let field = |column: &AnswerColumn| Field::new(&column.name, data_type(&column.kind), true);
            DataType::Struct(columns.iter().map(field).collect())
        }
    }
}

/// A value as its column takes it: to JSON Schema 2.0 is a whole number too. What fits in no way is null, as one value must
/// not keep all others from being written.
pub(super) fn fitted(value: Value, kind: &AnswerType) -> Value {
    match (kind, value) {
        (_, Value::Null) => Value::Null,
        (AnswerType::Integer, value) => whole(&value).map_or(Value::Null, Value::from),
        (AnswerType::List(item), Value::Array(items)) => items.into_iter().map(|one| fitted(one, item)).collect(),
        (AnswerType::Object(columns), Value::Object(mut fields)) => {
            let field = |column: &AnswerColumn| {
                let value = fields.remove(&column.name).unwrap_or_default();
                (column.name.clone(), fitted(value, &column.kind))
            };
            Value::Object(columns.iter().map(field).collect())
        }
        (AnswerType::Json, value)
        | (AnswerType::Text, value @ Value::String(_))
        | (AnswerType::Number, value @ Value::Number(_))
        | (AnswerType::Bool, value @ Value::Bool(_)) => value,
        (AnswerType::Text | AnswerType::Number | AnswerType::Bool | AnswerType::List(_) | AnswerType::Object(_), _) => {
            Value::Null
        }
    }
}

fn whole(value: &Value) -> Option<i64> {
    let in_range = |number: &f64| number.fract() == 0.0 && number.abs() < 9.0e18;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole, and in range")]
    value.as_i64().or_else(|| value.as_f64().filter(in_range).map(|number| number as i64))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whole_numbers_are_whole_however_they_are_written_and_no_value_is_in_the_way_of_others() {
        let column = |name: &str, kind| AnswerColumn { name: name.to_owned(), kind };
        let kind = AnswerType::Object(vec![
            column("n", AnswerType::List(Box::new(AnswerType::Integer))),
            column("t", AnswerType::Text),
            column("j", AnswerType::Json),
        ]);
        let value = json!({ "j": { "a": 1 }, "n": [1, 2.0, 2.5, null, 1e30], "more": true, "t": 7 });
        assert_eq!(fitted(value, &kind), json!({ "n": [1, 2, null, null, null], "t": null, "j": { "a": 1 } }));
        assert_eq!(data_type(&AnswerType::Json), DataType::Utf8);
    }
}
