//! How a provider is asked for JSON of a schema.

use serde_json::{Value, json};

use super::Profile;
use crate::types::SCHEMA_FOLLOWS;

/// `answer.mode`: how models are asked for what a schema says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnswerMode {
    /// By what the provider takes.
    #[default]
    Auto,
    /// `response_format` with the schema.
    JsonSchema,
    /// `response_format` for any JSON object, and the schema in the prompt.
    JsonObject,
    /// The schema in the prompt.
    Prompt,
}

/// A way to ask for JSON of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerFormat {
    /// `response_format` with the schema.
    JsonSchema,
    /// `response_format` for any JSON object, and the schema in the prompt.
    JsonObject,
    /// The schema in the prompt.
    Prompt,
}

/// What strict schemas may not hold, as only a part of JSON Schema can be enforced word by word.
const NEVER_STRICT: [&str; 11] = [
    "allOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
    "patternProperties",
    "propertyNames",
    "unevaluatedProperties",
];

impl Profile {
    /// How this provider is asked for JSON of a schema, at least in one way: each is tried where it does not take the one
    /// before.
    #[must_use]
    pub fn answer_formats(self, mode: AnswerMode, schema: &Value) -> Vec<AnswerFormat> {
        match mode {
            AnswerMode::Auto => self.best_formats(is_object(schema)),
            AnswerMode::JsonSchema => vec![AnswerFormat::JsonSchema],
            AnswerMode::JsonObject => vec![AnswerFormat::JsonObject],
            AnswerMode::Prompt => vec![AnswerFormat::Prompt],
        }
    }

    fn best_formats(self, object: bool) -> Vec<AnswerFormat> {
        let (best, any_value) = match self {
            // They turn a schema into a grammar, whatever it is of.
            Self::Ollama | Self::Vllm | Self::LmStudio => (AnswerFormat::JsonSchema, true),
            Self::OpenAi
            | Self::Azure
            | Self::Gemini
            | Self::Mistral
            | Self::Groq
            | Self::Together
            | Self::Fireworks
            | Self::Xai
            | Self::Cerebras
            | Self::Generic => (AnswerFormat::JsonSchema, false),
            Self::DeepSeek | Self::Qwen | Self::OpenRouter => (AnswerFormat::JsonObject, false),
            // It may be ignored, which would leave the model without a word of the schema.
            Self::Anthropic => (AnswerFormat::Prompt, true),
        };
        let all = [
            (AnswerFormat::JsonSchema, best == AnswerFormat::JsonSchema && (object || any_value)),
            (AnswerFormat::JsonObject, best != AnswerFormat::Prompt && object),
            (AnswerFormat::Prompt, true),
        ];
        all.into_iter().filter(|(_, taken)| *taken).map(|(format, _)| format).collect()
    }
}

impl AnswerFormat {
    /// The parameter `response_format`, where it asks by that.
    #[must_use]
    pub fn response_format(self, schema: &Value) -> Option<Value> {
        match self {
            Self::JsonSchema => {
                let schema = json!({ "name": "answer", "strict": is_strict(schema), "schema": schema });
                Some(json!({ "type": "json_schema", "json_schema": schema }))
            }
            Self::JsonObject => Some(json!({ "type": "json_object" })),
            Self::Prompt => None,
        }
    }

    /// What stands at the end of the prompt, where the schema is told there.
    #[must_use]
    pub fn prompt(self, schema: &Value) -> Option<String> {
        match self {
            Self::JsonSchema => None,
            Self::JsonObject | Self::Prompt => Some(format!(
                "Answer with JSON alone, without any words around it. It must fit this {SCHEMA_FOLLOWS}{schema}"
            )),
        }
    }
}

fn is_object(schema: &Value) -> bool {
    match schema.get("type") {
        Some(name) => name == "object",
        None => schema.get("properties").is_some() || schema.get("$ref").is_some(),
    }
}

/// Whether a schema can be enforced word by word: every object closed, and every property required.
fn is_strict(schema: &Value) -> bool {
    match schema {
        Value::Object(map) => {
            let closed = match map.get("properties").and_then(Value::as_object) {
                Some(properties) => {
                    let required = map.get("required").and_then(Value::as_array);
                    let is_required = |name: &String| required.is_some_and(|all| all.iter().any(|one| one == name));
                    map.get("additionalProperties") == Some(&Value::Bool(false)) && properties.keys().all(is_required)
                }
                None => map.get("type").is_none_or(|name| name != "object"),
            };
            let names = map.get("properties").and_then(Value::as_object).into_iter().flat_map(|map| map.values());
            let others = map.iter().filter(|(name, _)| *name != "properties").map(|(_, value)| value);
            closed && !NEVER_STRICT.iter().any(|word| map.contains_key(*word)) && names.chain(others).all(is_strict)
        }
        Value::Array(items) => items.iter().all(is_strict),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auto(profile: Profile, schema: &Value) -> AnswerFormat {
        profile.answer_formats(AnswerMode::Auto, schema)[0]
    }

    #[test]
    fn each_provider_is_asked_by_what_it_takes() {
        let (object, list) = (json!({ "type": "object" }), json!({ "type": "array" }));
        for profile in [Profile::OpenAi, Profile::Groq, Profile::Gemini, Profile::Generic] {
            assert_eq!(auto(profile, &object), AnswerFormat::JsonSchema, "{profile:?}");
            assert_eq!(auto(profile, &list), AnswerFormat::Prompt, "{profile:?}");
        }
        for profile in [Profile::DeepSeek, Profile::Qwen] {
            assert_eq!(auto(profile, &object), AnswerFormat::JsonObject, "{profile:?}");
        }
        assert_eq!(auto(Profile::Anthropic, &object), AnswerFormat::Prompt);
        assert_eq!(auto(Profile::Vllm, &list), AnswerFormat::JsonSchema);
        assert_eq!(Profile::DeepSeek.answer_formats(AnswerMode::JsonSchema, &object), [AnswerFormat::JsonSchema]);
        let all = [AnswerFormat::JsonSchema, AnswerFormat::JsonObject, AnswerFormat::Prompt];
        assert_eq!(
            Profile::Groq.answer_formats(AnswerMode::Auto, &object),
            all,
            "not all of its models take all of them"
        );
    }

    #[test]
    fn a_schema_is_strict_where_it_can_be_enforced_word_by_word() {
        let item = |closed: bool| {
            json!({ "type": "object", "properties": { "x": { "type": "string" } },
            "required": ["x"], "additionalProperties": !closed })
        };
        let of = |items: Value| {
            json!({ "type": "object", "properties": { "allOf": { "type": "array", "items": items } },
            "required": ["allOf"], "additionalProperties": false })
        };
        let strict =
            |schema: &Value| AnswerFormat::JsonSchema.response_format(schema).unwrap()["json_schema"]["strict"].clone();
        assert_eq!(strict(&of(item(true))), true, "a property may have any name");
        assert_eq!(strict(&of(item(false))), false);
        assert_eq!(strict(&of(json!({ "type": "object" }))), false);
        assert_eq!(strict(&of(json!({ "allOf": [{}] }))), false);
        assert_eq!(
            strict(&json!({ "type": "object", "properties": { "x": {} }, "additionalProperties": false })),
            false
        );
    }

    #[test]
    fn the_schema_stands_in_the_prompt_where_the_parameter_does_not_hold_it() {
        let schema = json!({ "type": "object" });
        assert_eq!(AnswerFormat::JsonObject.response_format(&schema).unwrap(), json!({ "type": "json_object" }));
        assert_eq!(AnswerFormat::Prompt.response_format(&schema), None);
        assert!(AnswerFormat::JsonObject.prompt(&schema).unwrap().ends_with("JSON schema:\n{\"type\":\"object\"}"));
        assert_eq!(AnswerFormat::JsonSchema.prompt(&schema), None);
    }
}
