//! How far two models answer alike.

use serde_json::{Map, Value};

use super::Agreement;
use crate::job::Task;
use crate::validate::{Rules, Schema};

/// By what two answers of a task are held beside each other.
pub(super) enum Measure {
    /// By what a schema has of them: its top-level properties, none where it is of no object.
    Schema { rules: Rules, fields: Vec<String> },
    /// By all of it.
    Whole,
}

impl Measure {
    /// The task's schema, else the one that its params ask for.
    pub fn of(task: &Task) -> Self {
        let own = task.answer.as_ref().and_then(|answer| answer.rules.schema.clone());
        let asked = || {
            let schema = task.params.get("response_format")?.pointer("/json_schema/schema")?;
            Schema::compile(schema.clone()).ok()
        };
        own.or_else(asked).map_or(Self::Whole, Self::by)
    }

    fn by(schema: Schema) -> Self {
        let fields = schema.columns().into_iter().flatten().map(|column| column.name).collect();
        Self::Schema { rules: Rules { schema: Some(schema), ..Rules::default() }, fields }
    }

    /// How far two answers are alike, from 0 to 1.
    fn part(&self, one: &str, other: &str) -> f64 {
        let all_or_nothing = |same: bool| if same { 1.0 } else { 0.0 };
        if let Self::Schema { rules, fields } = self
            && let (Some(one), Some(other)) = (rules.data(one), rules.data(other))
        {
            return match (&one, &other) {
                (Value::Object(one), Value::Object(other)) if !fields.is_empty() => alike(fields, one, other),
                _ => all_or_nothing(is_same(&one, &other)),
            };
        }
        all_or_nothing(one.trim() == other.trim())
    }
}

/// The part of the fields that both have with the same value; one that neither has is none.
fn alike(fields: &[String], one: &Map<String, Value>, other: &Map<String, Value>) -> f64 {
    let pairs = fields.iter().map(|field| (one.get(field), other.get(field)));
    let told: Vec<_> = pairs.filter(|pair| *pair != (None, None)).collect();
    let same =
        told.iter().filter(|(one, other)| one.zip(*other).is_some_and(|(one, other)| is_same(one, other))).count();
    // Both are small.
    #[expect(clippy::cast_precision_loss)]
    let part = if told.is_empty() { 1.0 } else { same as f64 / told.len() as f64 };
    part
}

/// Whether two values are the same: one model's 4 is another one's 4.0.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || ((one.is_f64() || other.is_f64()) && one.as_f64() == other.as_f64())
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let has_same = |(name, value)| other.get::<String>(name).is_some_and(|other| is_same(value, other));
            one.len() == other.len() && one.iter().all(has_same)
        }
        _ => one == other,
    }
}

/// Sums over the rows that two models answered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Alike {
    rows: u64,
    same: u64,
    /// Of each row the part that is alike, added up.
    parts: f64,
}

impl Alike {
    pub fn add(&mut self, measure: &Measure, one: &str, other: &str) {
        let part = measure.part(one, other);
        self.rows += 1;
        self.same += u64::from(part >= 1.0);
        self.parts += part;
    }

    pub fn told(self, one: &str, other: &str) -> Agreement {
        // Rows are far below 2^52.
        #[expect(clippy::cast_precision_loss)]
        let share = (self.rows > 0).then(|| self.parts / self.rows as f64);
        Agreement { one: one.to_owned(), other: other.to_owned(), rows: self.rows, same: self.same, share }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn measure(schema: Value) -> Measure {
        Measure::by(Schema::compile(schema).unwrap())
    }

    fn tags() -> Measure {
        measure(json!({ "type": "object", "properties": { "tag": {}, "mood": {}, "n": {} } }))
    }

    #[test]
    fn texts_agree_or_not() {
        let agree = |one, other| format!("{:.2}", Measure::Whole.part(one, other));
        assert_eq!([agree(" yes\n", "yes"), agree("yes", "Yes")], ["1.00", "0.00"]);
        assert_eq!(agree(r#"{"tag":"a","n":1}"#, r#"{"tag":"a","n":2}"#), "0.00", "there is no schema");
    }

    #[test]
    fn answers_of_a_schema_agree_by_its_fields_and_no_others() {
        let tags = tags();
        let agree = |one, other| format!("{:.2}", tags.part(one, other));
        let (one, other) = (r#"{"tag":"a","mood":"good","n":1}"#, r#"{ "n": 1, "mood": "bad", "tag": "a" }"#);
        assert_eq!([agree(one, one), agree(one, other)], ["1.00", "0.67"]);
        assert_eq!(agree(one, "Here it is:\n```json\n{\"tag\":\"a\",\"mood\":\"good\",\"n\":1}\n```"), "1.00");
        // What the schema does not name does not count, and what one of them lacks is another answer.
        assert_eq!(agree(one, r#"{"tag":"a","n":1,"why":"because"}"#), "0.67");
        assert_eq!(agree(r#"{"tag":"a","why":"x"}"#, r#"{"tag":"a","why":"y"}"#), "1.00");
        assert_eq!([agree("{}", "{}"), agree("{}", "{"), agree(one, "text")], ["1.00", "0.00", "0.00"]);
        assert_eq!(agree(r#"{"n":4,"tag":{"p":[1,2.0]}}"#, r#"{"n":4.0,"tag":{"p":[1.0,2]}}"#), "1.00");
        assert_eq!(agree(r#"{"n":4,"tag":{"p":[1]}}"#, r#"{"n":4.5,"tag":{"p":[1,1]}}"#), "0.00");
        assert_eq!(agree(r#"{"n":9007199254740993}"#, r#"{"n":9007199254740992}"#), "0.00");
        let list = measure(json!({ "type": "array" }));
        assert_eq!((list.part("[1, 2]", "[1,2]"), list.part("[1]", "[1,2]")), (1.0, 0.0));
    }

    #[test]
    fn what_two_models_share_is_told_for_the_rows_that_both_answered() {
        let mut sums = Alike::default();
        assert_eq!(sums.told("a", "b").share, None);
        for (one, other) in [("x", "x"), ("x", "y"), (r#"{"tag":1,"n":2}"#, r#"{"tag":1,"n":3}"#)] {
            sums.add(&tags(), one, other);
        }
        let told = sums.told("a", "b");
        assert_eq!((told.rows, told.same, told.share), (3, 1, Some(0.5)));
    }
}
