//! The rules of a task, and what an answer is held against.

use std::fmt;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::schema::cut;
use super::{RuleError, Schema};

/// A list of the answers that are allowed is told up to so many characters.
const LISTED: usize = 1_000;

/// What a valid answer is. Where there are several rules, all of them must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// It holds JSON that fits.
    pub schema: Option<Schema>,
    /// It is one of these, blanks around it aside.
    pub one_of: Option<Vec<String>>,
    /// It matches.
    pub regex: Option<Pattern>,
    /// It has no more characters, blanks around it aside.
    pub max_chars: Option<u64>,
}

/// A regular expression.
#[derive(Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles a regular expression.
    ///
    /// # Errors
    /// Where it is none.
    pub fn compile(written: &str) -> Result<Self, RuleError> {
        let error = |error: regex::Error| {
            let whole = error.to_string();
            let last = whole.lines().last().unwrap_or_default();
            RuleError::Regex(last.strip_prefix("error: ").unwrap_or(last).to_owned())
        };
        Regex::new(written).map(Self).map_err(error)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_str().fmt(f)
    }
}

/// Why an answer is not valid, in words that follow "the answer" and "your answer".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(String);

impl Rules {
    /// Whether there is none, so that any answer is valid.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Holds an answer's text against the rules. `truncated`: the model stopped at its output limit, so that JSON is not
    /// whole whatever it looks like.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self, text: Option<&str>, truncated: bool) -> Result<(), Invalid> {
        let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
            return Err(Invalid("it has no text".to_owned()));
        };
        self.broken(text, truncated).map_or(Ok(()), |why| Err(Invalid(why)))
    }

    fn broken(&self, text: &str, truncated: bool) -> Option<String> {
        if let Some(schema) = &self.schema {
            if truncated {
                return Some("it was cut off at the output limit (max_tokens)".to_owned());
            }
            if let Err(why) = schema.check(text) {
                return Some(why);
            }
        }
        if let Some(allowed) = self.one_of.as_ref().filter(|allowed| !allowed.iter().any(|one| one == text)) {
            return Some(format!("it must be exactly one of: {}", cut(&allowed.join(", "), LISTED)));
        }
        if let Some(Pattern(regex)) = self.regex.as_ref().filter(|Pattern(regex)| !regex.is_match(text)) {
            return Some(format!("it does not match the regular expression {}", cut(regex.as_str(), LISTED)));
        }
        let most = self.max_chars?;
        let length = text.chars().count() as u64;
        (length > most).then(|| format!("it has {length} characters, and {most} are allowed"))
    }

    /// The JSON of a valid answer; `None` without a schema.
    #[must_use]
    pub fn data(&self, text: &str) -> Option<Value> {
        self.schema.as_ref()?.find(text)
    }

    /// The text of a valid answer, where it is less than all that was said.
    #[must_use]
    pub fn content<'a>(&self, text: &'a str) -> Option<&'a str> {
        self.one_of.is_some().then(|| text.trim())
    }

    /// What distinguishes these rules from others, as JSON: part of the row's key.
    #[must_use]
    pub fn written(&self) -> Value {
        let mut written = Map::new();
        if let Some(schema) = &self.schema {
            written.insert("schema".to_owned(), Value::clone(schema.written()));
        }
        if let Some(allowed) = &self.one_of {
            let mut sorted = allowed.clone();
            sorted.sort_unstable();
            written.insert("one_of".to_owned(), json!(sorted));
        }
        if let Some(Pattern(regex)) = &self.regex {
            written.insert("regex".to_owned(), json!(regex.as_str()));
        }
        if let Some(most) = self.max_chars {
            written.insert("max_chars".to_owned(), json!(most));
        }
        Value::Object(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(written: Value) -> Rules {
        Rules { schema: Some(Schema::compile(written).unwrap()), ..Rules::default() }
    }

    fn tags() -> Rules {
        schema(json!({
            "type": "object", "required": ["tags", "score"],
            "properties": {
                "tags": { "type": "array", "items": { "enum": ["a", "b"] }, "minItems": 1 },
                "score": { "type": "integer", "maximum": 5 },
                "on": { "type": "string", "format": "date" } } }))
    }

    fn why(rules: &Rules, text: &str) -> String {
        rules.check(Some(text), false).unwrap_err().to_string()
    }

    #[test]
    fn an_answer_that_fits_the_schema_is_valid_and_its_data_found() {
        let text = "Here:\n```json\n{\"tags\": [\"a\"], \"score\": 5}\n```";
        assert_eq!(tags().check(Some(text), false), Ok(()));
        assert_eq!(tags().data(text), Some(json!({"tags": ["a"], "score": 5})));
        assert_eq!(Rules::default().data(text), None);
    }

    #[test]
    fn what_breaks_the_schema_is_told_with_its_place_and_in_few_words() {
        assert_eq!(why(&tags(), "sorry"), "it holds no whole JSON object");
        let said = why(&tags(), r#"{"tags": ["c"], "score": 9, "on": "today"}"#);
        let expected = r#"it does not fit the schema: at /tags/0: "c" is not one of "a" or "b"; at /score: 9 is greater than the maximum of 5; at /on: "today" is not a "date""#;
        assert_eq!(said, expected);
        assert!(why(&tags(), r#"{"tags": ["a"]}"#).contains(r#""score" is a required property"#));
        let long = json!({ "tags": ["x".repeat(10_000)], "score": "y".repeat(10_000) }).to_string();
        let said = why(&tags(), &long);
        assert!(said.len() < 800 && said.contains("at /score: the value is not of type"), "{said}");
        let many = schema(json!({ "type": "array", "items": { "type": "integer" } }));
        assert!(why(&many, r#"["a", "b", "c", "d", "e"]"#).ends_with("; and 2 more"));
    }

    #[test]
    fn json_that_was_cut_off_is_invalid_even_where_it_looks_whole() {
        let whole = r#"{"tags": ["a"], "score": 5}"#;
        assert!(tags().check(Some(whole), true).unwrap_err().to_string().contains("output limit"));
        let text = Rules { max_chars: Some(9), ..Rules::default() };
        assert_eq!(text.check(Some("cut of"), true), Ok(()), "a text that was cut is one");
    }

    #[test]
    fn rules_for_texts_look_past_the_blanks_around_them() {
        let one_of = Rules { one_of: Some(vec!["good".to_owned(), "bad".to_owned()]), ..Rules::default() };
        assert_eq!(one_of.check(Some(" good\n"), false), Ok(()));
        assert_eq!(one_of.content(" good\n"), Some("good"));
        assert_eq!(why(&one_of, "Good."), "it must be exactly one of: good, bad");
        assert_eq!(one_of.check(None, false).unwrap_err().to_string(), "it has no text");
        let regex = Rules { regex: Some(Pattern::compile("^[0-9]+$").unwrap()), ..Rules::default() };
        assert_eq!(regex.check(Some("12\n"), false), Ok(()));
        assert_eq!(why(&regex, "12 or so"), "it does not match the regular expression ^[0-9]+$");
        let short = Rules { max_chars: Some(3), ..Rules::default() };
        assert_eq!(short.check(Some(" äöü "), false), Ok(()));
        assert_eq!(why(&short, "four"), "it has 4 characters, and 3 are allowed");
    }

    #[test]
    fn what_cannot_be_a_rule_is_told() {
        let broken = |schema| Schema::compile(schema).unwrap_err();
        let invalid = [
            json!({ "type": "strin" }),
            json!({ "properties": { "a": { "minLength": "x" } } }),
            json!({ "pattern": "[" }),
            json!(7),
        ];
        for schema in invalid {
            assert!(matches!(broken(schema.clone()), RuleError::Schema(_)), "{schema}");
        }
        for elsewhere in ["https://example.com/other.json", "file:///etc/hostname", "#/$defs/missing"] {
            let error = broken(json!({ "$ref": elsewhere }));
            assert!(matches!(error, RuleError::Elsewhere(_)), "{elsewhere}: {error}");
        }
        let told = broken(json!({ "properties": { "a": { "minLength": "x" } } })).to_string();
        assert!(told.starts_with("is not a valid JSON Schema: at /properties/a/minLength: "), "{told}");
        assert_eq!(Pattern::compile("(a").unwrap_err().to_string(), "is not a regular expression: unclosed group");
    }

    #[test]
    fn the_order_of_the_allowed_answers_makes_no_other_rules() {
        let of = |allowed: &[&str]| Rules {
            one_of: Some(allowed.iter().map(|one| (*one).to_owned()).collect()),
            ..Rules::default()
        };
        assert_eq!(of(&["a", "b"]).written(), of(&["b", "a"]).written());
        assert!(Rules::default().is_empty() && !of(&["a"]).is_empty());
    }
}
