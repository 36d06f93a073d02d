//! How far two models answer alike.

use serde_json::{Map, Value};

use super::Agreement;

/// Sums over the rows that two models answered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Alike {
    rows: u64,
    same: u64,
    /// Of each row the part that is alike, added up.
    parts: f64,
}

impl Alike {
    pub fn add(&mut self, one: &str, other: &str) {
        let part = part(one, other);
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

/// All or nothing for texts; for objects the part of the fields of either that both have with the same value.
fn part(one: &str, other: &str) -> f64 {
    match (object(one), object(other)) {
        (Some(one), Some(other)) => fields(&one, &other),
        _ if one.trim() == other.trim() => 1.0,
        _ => 0.0,
    }
}

fn fields(one: &Map<String, Value>, other: &Map<String, Value>) -> f64 {
    let same = one.iter().filter(|(name, value)| other.get(*name) == Some(value)).count();
    let all = one.len() + other.keys().filter(|name| !one.contains_key(*name)).count();
    // Both are small.
    #[expect(clippy::cast_precision_loss)]
    let part = if all == 0 { 1.0 } else { same as f64 / all as f64 };
    part
}

fn object(text: &str) -> Option<Map<String, Value>> {
    if text.trim_start().starts_with('{') { serde_json::from_str(text).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_agree_or_not_and_objects_by_their_fields() {
        let agree = |one, other| format!("{:.2}", part(one, other));
        assert_eq!([agree(" yes\n", "yes"), agree("yes", "Yes")], ["1.00", "0.00"]);
        let (one, other) = (r#"{"tag":"a","mood":"good","n":1}"#, r#"{ "n": 1, "mood": "bad", "tag": "a" }"#);
        assert_eq!([agree(one, one), agree(one, other)], ["1.00", "0.67"]);
        // Of the fields tag, mood, n and more they share two.
        assert_eq!(agree(one, r#"{"tag":"a","n":1,"more":true}"#), "0.50");
        assert_eq!([agree("{}", "{}"), agree("{}", "{"), agree(one, "text")], ["1.00", "0.00", "0.00"]);
    }

    #[test]
    fn what_two_models_share_is_told_for_the_rows_that_both_answered() {
        let mut alike = Alike::default();
        assert_eq!(alike.told("a", "b").share, None);
        for (one, other) in [("x", "x"), ("x", "y"), (r#"{"p":1,"q":2}"#, r#"{"p":1,"q":3}"#)] {
            alike.add(one, other);
        }
        let told = alike.told("a", "b");
        assert_eq!((told.rows, told.same, told.share), (3, 1, Some(0.5)));
    }
}
