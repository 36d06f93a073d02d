//! JSON that fits a simple schema.

use serde_json::{Map, Number, Value};

use super::answer::Writer;

/// Deeper values are null: a schema may refer to itself.
const DEEPEST: usize = 8;

/// A value of this schema: objects with all their properties, arrays as short as they may be but not empty, the rest by
/// the writer's dice. Understands what simple schemas use; a `pattern` or a `format` is not looked at.
pub(super) fn fit(schema: &Value, writer: &mut Writer<'_>) -> Value {
    Fitter { root: schema, writer }.value(schema, 0)
}

/// A value that does not fit, unless the schema takes nearly anything: the right properties with values of the wrong type.
pub(super) fn misfit(schema: &Value, writer: &mut Writer<'_>) -> Value {
    let wrong = serde_json::json!({ "sim": writer.free_text() });
    match fit(schema, writer) {
        Value::Object(fitting) if !fitting.is_empty() => {
            Value::Object(fitting.into_iter().map(|(name, _)| (name, wrong.clone())).collect())
        }
        _ => wrong,
    }
}

struct Fitter<'a, 'w, 'p> {
    root: &'a Value,
    writer: &'w mut Writer<'p>,
}

impl<'a> Fitter<'a, '_, '_> {
    fn value(&mut self, schema: &'a Value, depth: usize) -> Value {
        if depth > DEEPEST {
            return Value::Null;
        }
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            return self.writer.rng.choice(values).cloned().unwrap_or_default();
        }
        if let Some(other) = self.elsewhere(schema) {
            return self.value(other, depth + 1);
        }
        match type_of(schema) {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, depth),
            "integer" => self.integer(schema),
            "number" => self.number(schema),
            "boolean" => Value::Bool(self.writer.rng.bool()),
            "null" => Value::Null,
            _ => self.string(schema),
        }
    }

    /// The schema that stands in for this one.
    fn elsewhere(&self, schema: &'a Value) -> Option<&'a Value> {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            return self.root.pointer(reference.strip_prefix('#')?);
        }
        ["anyOf", "oneOf", "allOf"].into_iter().find_map(|word| schema.get(word)?.get(0))
    }

    fn object(&mut self, schema: &'a Value, depth: usize) -> Value {
        let mut object = Map::new();
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            object.insert(name.clone(), self.value(property, depth + 1));
        }
        Value::Object(object)
    }

    fn array(&mut self, schema: &'a Value, depth: usize) -> Value {
        let most = count(schema, "maxItems").unwrap_or(u64::MAX);
        let length = count(schema, "minItems").unwrap_or(0).max(1).min(most);
        let items = schema.get("items").unwrap_or(&Value::Null);
        (0..length).map(|_| self.value(items, depth + 1)).collect()
    }

    fn string(&mut self, schema: &Value) -> Value {
        let mut text = self.writer.free_text();
        let length = text.chars().count();
        let least = count(schema, "minLength").and_then(|least| usize::try_from(least).ok()).unwrap_or(0);
        text.extend(std::iter::repeat_n('.', least.saturating_sub(length)));
        if let Some(most) = count(schema, "maxLength").and_then(|most| usize::try_from(most).ok()) {
            text = text.chars().take(most).collect();
        }
        Value::String(text)
    }

    fn integer(&mut self, schema: &Value) -> Value {
        let bound = |inclusive, exclusive, step| {
            let whole = |name| schema.get(name).and_then(Value::as_i64);
            whole(inclusive).or_else(|| whole(exclusive).map(|bound: i64| bound.saturating_add(step)))
        };
        let least = bound("minimum", "exclusiveMinimum", 1);
        let most = bound("maximum", "exclusiveMaximum", -1);
        let (least, most) = match (least, most) {
            (Some(least), Some(most)) => (least, most.max(least)),
            (Some(least), None) => (least, least.saturating_add(100)),
            (None, Some(most)) => (most.saturating_sub(100), most),
            (None, None) => (0, 100),
        };
        self.writer.rng.i64(least..=most).into()
    }

    fn number(&mut self, schema: &Value) -> Value {
        let bound = |names: [&str; 2]| names.into_iter().find_map(|name| schema.get(name).and_then(Value::as_f64));
        let least = bound(["minimum", "exclusiveMinimum"]);
        let most = bound(["maximum", "exclusiveMaximum"]);
        let least_or = least.unwrap_or(most.map_or(0.0, |most| most - 1.0));
        let width = most.unwrap_or(least_or + 1.0) - least_or;
        // Eighths, as they print short; never the ends, as these may be excluded.
        let eighths = f64::from(self.writer.rng.u8(1..8));
        Number::from_f64(least_or + width * eighths / 8.0).map_or(Value::Null, Value::Number)
    }
}

/// The type, where it is said or can be seen; of several the first that is not null.
fn type_of(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(name)) => name,
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or("null")
        }
        _ if schema.get("properties").is_some() => "object",
        _ if schema.get("items").is_some() => "array",
        _ => "string",
    }
}

fn count(schema: &Value, name: &str) -> Option<u64> {
    schema.get(name).and_then(Value::as_u64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::answer::answer_mark;
    use super::*;

    fn fitted(schema: &Value, prompt: &str) -> Value {
        fit(schema, &mut Writer::new(prompt))
    }

    #[test]
    fn every_constraint_of_a_simple_schema_holds_for_any_prompt() {
        let schema = json!({ "type": "object", "properties": {
            "kind": { "const": "review" },
            "mood": { "enum": ["good", "bad"] },
            "summary": { "type": "string" },
            "short": { "type": "string", "maxLength": 3 },
            "long": { "type": "string", "minLength": 200 },
            "stars": { "type": "integer", "minimum": 1, "maximum": 5 },
            "above": { "type": "integer", "exclusiveMinimum": 7, "exclusiveMaximum": 9 },
            "score": { "type": "number", "minimum": -1, "maximum": 1 },
            "sure": { "type": "boolean" },
            "none": { "type": ["null", "boolean"] },
            "tags": { "type": "array", "items": { "type": "string", "enum": ["a", "b"] }, "minItems": 2 },
            "one": { "type": "array", "items": { "$ref": "#/$defs/point" }, "maxItems": 1 },
            "either": { "anyOf": [{ "type": "integer" }, { "type": "null" }] } },
            "$defs": { "point": { "properties": { "x": { "type": "number" } } } },
            "required": ["kind"], "additionalProperties": false });
        for n in 0..200 {
            let prompt = format!("row {n} of many");
            let value = fitted(&schema, &prompt);
            assert_eq!(value, fitted(&schema, &prompt), "the same prompt, the same answer");
            assert_eq!(value.as_object().unwrap().len(), 13);
            assert_eq!(value["kind"], "review");
            assert!(["good", "bad"].contains(&value["mood"].as_str().unwrap()));
            assert!(value["summary"].as_str().unwrap().starts_with(&answer_mark(&prompt)));
            assert!(value["short"].as_str().unwrap().len() <= 3);
            assert!(value["long"].as_str().unwrap().len() >= 200);
            assert!((1..=5).contains(&value["stars"].as_i64().unwrap()));
            assert_eq!(value["above"], 8);
            assert!((-1.0..=1.0).contains(&value["score"].as_f64().unwrap()));
            assert!(value["sure"].is_boolean() && value["none"].is_boolean());
            let tags = value["tags"].as_array().unwrap();
            assert!(tags.len() == 2 && tags.iter().all(|tag| tag == "a" || tag == "b"));
            assert!(value["one"].as_array().unwrap().len() == 1 && value["one"][0]["x"].is_number());
            assert!(value["either"].is_i64());
        }
    }

    #[test]
    fn a_misfit_has_the_right_names_and_the_wrong_types() {
        let schema = json!({ "type": "object", "properties": { "mood": { "type": "string" }, "score": {} } });
        let value = misfit(&schema, &mut Writer::new("p"));
        assert_eq!(value.as_object().unwrap().keys().collect::<Vec<_>>(), ["mood", "score"]);
        assert!(value["mood"].is_object());
        assert!(misfit(&json!({ "type": "string" }), &mut Writer::new("p")).is_object());
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema =
            json!({ "type": "object", "properties": { "next": { "$ref": "#" }, "name": { "type": "string" } } });
        assert!(fitted(&schema, "p")["name"].is_string());
        assert!(fitted(&json!({ "$ref": "#" }), "p").is_null());
        assert!(fitted(&json!(true), "p").is_string());
    }
}
