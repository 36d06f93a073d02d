//! JSON values inside templates, and back.
//!
//! minijinja's own maps sort their keys and print like Python; these keep the order of the input and print as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};
use serde_json::{Map, Value as Json};

/// A name that was looked up and not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Miss {
    /// The column (or `vars`) within which it was looked for; `None`: among the columns.
    pub(super) within: Option<Arc<str>>,
    /// The name.
    pub(super) name: String,
}

/// The last miss of one rendering: when it fails on something undefined, this is what was undefined. minijinja itself
/// knows only with its `debug` feature, which copies the template into each error.
#[derive(Clone, Debug, Default)]
pub(super) struct Misses(Arc<Mutex<Option<Miss>>>);

impl Misses {
    pub(super) fn note(&self, within: Option<&Arc<str>>, name: &str) {
        let miss = Miss { within: within.cloned(), name: name.to_owned() };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(miss);
    }

    pub(super) fn last(&self) -> Option<Miss> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A JSON object. Looking up a null is a miss, as null counts as missing; it still prints.
#[derive(Debug)]
pub(super) struct JsonObject {
    within: Option<Arc<str>>,
    misses: Misses,
    keys: Vec<Arc<str>>,
    fields: BTreeMap<Arc<str>, Value>,
}

impl JsonObject {
    /// The columns of a row that `wanted` names.
    pub(super) fn of_columns(fields: &Map<String, Json>, misses: &Misses, wanted: impl Fn(&str) -> bool) -> Self {
        let mut object = Self { within: None, misses: misses.clone(), keys: Vec::new(), fields: BTreeMap::new() };
        for (name, value) in fields.iter().filter(|(name, _)| wanted(name)) {
            let name: Arc<str> = name.as_str().into();
            object.insert(&name, to_template(value, &name, misses));
        }
        object
    }

    /// An object within a column.
    pub(super) fn within(column: &Arc<str>, fields: &Map<String, Json>, misses: &Misses) -> Self {
        let within = Some(Arc::clone(column));
        let mut object = Self { within, misses: misses.clone(), keys: Vec::new(), fields: BTreeMap::new() };
        for (name, value) in fields {
            object.insert(&name.as_str().into(), to_template(value, column, misses));
        }
        object
    }

    fn insert(&mut self, name: &Arc<str>, value: Value) {
        self.keys.push(Arc::clone(name));
        self.fields.insert(Arc::clone(name), value);
    }

    /// The value, if it is there and not null.
    pub(super) fn peek(&self, name: &str) -> Option<Value> {
        self.fields.get(name).filter(|value| !value.is_none()).cloned()
    }
}

impl Object for JsonObject {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let value = self.peek(key);
        if value.is_none() {
            self.misses.note(self.within.as_ref(), key);
        }
        value
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.keys.iter().map(Value::from).collect())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", to_json(&Value::from_dyn_object(Arc::clone(self))))
    }
}

/// A JSON array.
#[derive(Debug)]
struct JsonList(Vec<Value>);

impl Object for JsonList {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", to_json(&Value::from_dyn_object(Arc::clone(self))))
    }
}

/// A JSON value of a column as templates see it.
pub(super) fn to_template(json: &Json, column: &Arc<str>, misses: &Misses) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(value), _, _) => Value::from(value),
            (None, Some(value), _) => Value::from(value),
            (None, None, value) => Value::from(value.unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => {
            Value::from_object(JsonList(items.iter().map(|item| to_template(item, column, misses)).collect()))
        }
        Json::Object(fields) => Value::from_object(JsonObject::within(column, fields, misses)),
    }
}

/// A template's value as JSON. What JSON does not know (functions, NaN) becomes text or null.
pub(super) fn to_json(value: &Value) -> Json {
    match value.kind() {
        ValueKind::Bool => Json::Bool(value.is_true()),
        ValueKind::Number => number(value),
        ValueKind::String | ValueKind::Bytes => Json::String(value.to_str().unwrap_or_default().to_string()),
        ValueKind::Seq | ValueKind::Iterable => Json::Array(items(value).iter().map(to_json).collect()),
        ValueKind::Map => Json::Object(items(value).iter().map(|key| field(value, key)).collect()),
        ValueKind::Plain => Json::String(value.to_string()),
        // Undefined, none, invalid, and what minijinja may add.
        _ => Json::Null,
    }
}

fn items(value: &Value) -> Vec<Value> {
    value.try_iter().map(Iterator::collect).unwrap_or_default()
}

fn field(map: &Value, key: &Value) -> (String, Json) {
    let name = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
    let value = map.get_item(key).map_or(Json::Null, |value| to_json(&value));
    (name, value)
}

fn number(value: &Value) -> Json {
    if value.is_integer() {
        if let Some(integer) = value.as_i64() {
            return Json::from(integer);
        }
        if let Ok(integer) = u64::try_from(value.clone()) {
            return Json::from(integer);
        }
    }
    f64::try_from(value.clone()).map_or(Json::Null, Json::from)
}

/// How a value prints: strings as they are, everything else as compact JSON, what is undefined not at all.
pub(super) fn to_text(value: &Value) -> String {
    if value.is_undefined() {
        return String::new();
    }
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => to_json(value).to_string(),
    }
}
