//! Which columns answers of a schema have.

use serde_json::Value;

use crate::types::{AnswerColumn, AnswerType};

/// Deeper values are told as JSON: a schema may refer to itself.
const DEEPEST: usize = 8;

/// A column for each top-level property; `None` where the schema is of no object with properties.
pub(super) fn columns(schema: &Value) -> Option<Vec<AnswerColumn>> {
    let columns = properties(schema, resolved(schema, schema), 0);
    Some(columns).filter(|columns| !columns.is_empty())
}

/// The schema itself, or the one in the same document that it stands for.
pub(super) fn resolved<'a>(root: &'a Value, mut schema: &'a Value) -> &'a Value {
    for _ in 0..DEEPEST {
        let reference = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#'));
        match reference.and_then(|pointer| root.pointer(pointer)) {
            Some(other) => schema = other,
            None => break,
        }
    }
    schema
}

/// The schema's types by name, null left out.
pub(super) fn type_names(schema: &Value) -> Vec<&str> {
    let names = match schema.get("type") {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        Some(name) => name.as_str().into_iter().collect(),
        None => Vec::new(),
    };
    names.into_iter().filter(|name| *name != "null").collect()
}

fn properties(root: &Value, schema: &Value, depth: usize) -> Vec<AnswerColumn> {
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let column = |(name, property)| AnswerColumn { name: String::clone(name), kind: kind(root, property, depth + 1) };
    properties.map(column).collect()
}

fn kind(root: &Value, schema: &Value, depth: usize) -> AnswerType {
    let schema = resolved(root, schema);
    if depth > DEEPEST {
        return AnswerType::Json;
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().filter_map(kind_of_value).reduce(AnswerType::or).unwrap_or(AnswerType::Json);
    }
    if let Some(value) = schema.get("const") {
        return kind_of_value(value).unwrap_or(AnswerType::Json);
    }
    let is_null = |one: &&Value| one.get("type").and_then(Value::as_str) == Some("null");
    let choices = ["anyOf", "oneOf"].into_iter().find_map(|word| schema.get(word)?.as_array());
    if let Some(choices) = choices {
        let kinds = choices.iter().filter(|one| !is_null(one)).map(|one| kind(root, one, depth + 1));
        return kinds.reduce(AnswerType::or).unwrap_or(AnswerType::Json);
    }
    match type_names(schema)[..] {
        ["string"] => AnswerType::Text,
        ["integer"] => AnswerType::Integer,
        ["number"] | ["integer", "number"] | ["number", "integer"] => AnswerType::Number,
        ["boolean"] => AnswerType::Bool,
        ["array"] => match schema.get("items").filter(|items| items.is_object()) {
            Some(items) => AnswerType::List(Box::new(kind(root, items, depth + 1))),
            None => AnswerType::Json,
        },
        ["object"] => match properties(root, schema, depth) {
            columns if columns.is_empty() => AnswerType::Json,
            columns => AnswerType::Object(columns),
        },
        _ => AnswerType::Json,
    }
}

/// `None`: null, which every column takes.
fn kind_of_value(value: &Value) -> Option<AnswerType> {
    match value {
        Value::Null => None,
        Value::String(_) => Some(AnswerType::Text),
        Value::Bool(_) => Some(AnswerType::Bool),
        Value::Number(number) if number.is_f64() => Some(AnswerType::Number),
        Value::Number(_) => Some(AnswerType::Integer),
        Value::Array(_) | Value::Object(_) => Some(AnswerType::Json),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_property_is_a_column_of_its_type_in_the_schemas_order() {
        let schema = json!({ "$ref": "#/$defs/review", "$defs": {
            "review": { "type": "object", "properties": {
                "z": { "type": "string" }, "a": { "type": ["integer", "null"] }, "n": { "type": "number" },
                "sure": { "type": "boolean" }, "mood": { "enum": ["good", "bad", null] }, "one": { "const": 1 },
                "tags": { "type": "array", "items": { "$ref": "#/$defs/tag" } },
                "at": { "type": "object", "properties": { "x": { "type": "number" } } },
                "either": { "anyOf": [{ "type": "integer" }, { "type": "null" }, { "type": "number" }] },
                "any": {}, "bag": { "type": "object" }, "mix": { "type": ["string", "integer"] } } },
            "tag": { "type": "string" } } });
        let columns = columns(&schema).unwrap();
        let kinds: Vec<_> = columns.iter().map(|column| (column.name.as_str(), &column.kind)).collect();
        let at = AnswerType::Object(vec![AnswerColumn { name: "x".to_owned(), kind: AnswerType::Number }]);
        let expected = [
            ("z", AnswerType::Text),
            ("a", AnswerType::Integer),
            ("n", AnswerType::Number),
            ("sure", AnswerType::Bool),
            ("mood", AnswerType::Text),
            ("one", AnswerType::Integer),
            ("tags", AnswerType::List(Box::new(AnswerType::Text))),
            ("at", at),
            ("either", AnswerType::Number),
            ("any", AnswerType::Json),
            ("bag", AnswerType::Json),
            ("mix", AnswerType::Json),
        ];
        assert_eq!(kinds, expected.iter().map(|(name, kind)| (*name, kind)).collect::<Vec<_>>());
    }

    #[test]
    fn a_schema_without_properties_has_no_columns_and_one_that_refers_to_itself_ends() {
        assert_eq!(columns(&json!({ "type": "array", "items": {} })), None);
        assert_eq!(columns(&json!(true)), None);
        let schema = json!({ "properties": { "next": { "type": "array", "items": { "$ref": "#" } }, "self": { "$ref": "#/properties/self" } } });
        assert_eq!(columns(&schema).unwrap().len(), 2);
    }
}
