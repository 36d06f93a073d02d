//! Reads tables key by key. A key that nobody asked for is unknown, so no list of keys can go stale.

use std::cell::{Cell, RefCell};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::environment::Environment;
use super::problem::{Problem, Problems, nearest};
use super::tree::{Node, Spot, Table, Value, dotted};
use super::units;

/// What all readers share.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) problems: &'a Problems,
    pub(super) environment: &'a Environment<'a>,
}

/// A table under reading; one that is absent reads as empty.
pub(super) struct Reader<'a> {
    key: String,
    table: Option<&'a Table>,
    spot: &'a Spot,
    scope: Scope<'a>,
    asked: RefCell<Vec<&'static str>>,
    any_key: Cell<bool>,
}

/// A key with its value.
#[derive(Clone)]
pub(super) struct Field<'a> {
    pub(super) key: String,
    pub(super) node: &'a Node,
    scope: Scope<'a>,
}

impl<'a> Reader<'a> {
    fn new(key: String, table: Option<&'a Table>, spot: &'a Spot, scope: Scope<'a>) -> Self {
        Self { key, table, spot, scope, asked: RefCell::default(), any_key: Cell::new(false) }
    }

    /// A reader that tells of no unknown keys.
    pub(super) fn of(table: &'a Table, spot: &'a Spot, scope: Scope<'a>) -> Self {
        Self::new(String::new(), Some(table), spot, scope)
    }

    /// Reads the whole tree, then tells of the keys that were not asked for.
    pub(super) fn root<T>(table: &'a Table, spot: &'a Spot, scope: Scope<'a>, read: impl FnOnce(&Self) -> T) -> T {
        Self::new(String::new(), Some(table), spot, scope).finish(read)
    }

    fn finish<T>(self, read: impl FnOnce(&Self) -> T) -> T {
        let result = read(&self);
        let asked = self.asked.borrow();
        for entry in self.table.iter().flat_map(|table| &table.entries) {
            if !self.any_key.get() && !asked.contains(&entry.name.as_str()) {
                let mut problem = Problem::new(&entry.spot, dotted(&self.key, &entry.name), "unknown key");
                problem.hint = nearest("known here", &entry.name, asked.iter().copied());
                self.scope.problems.add(problem);
            }
        }
        result
    }

    pub(super) fn take(&self, name: &'static str) -> Option<Field<'a>> {
        self.asked.borrow_mut().push(name);
        let entry = self.table?.get(name)?;
        Some(Field { key: dotted(&self.key, name), node: &entry.node, scope: self.scope })
    }

    /// The same, but it must be there; `example` shows how it is written.
    pub(super) fn require(&self, name: &'static str, example: &str) -> Option<Field<'a>> {
        let field = self.take(name);
        if field.is_none() {
            let problem = Problem::new(self.spot, dotted(&self.key, name), "is missing");
            self.scope.problems.add(problem.with_hint(format!("write for example {example}")));
        }
        field
    }

    /// A table below this one. `None` where it is none; an absent one reads as empty.
    pub(super) fn section<T>(&self, name: &'static str, read: impl FnOnce(&Self) -> T) -> Option<T> {
        match self.take(name) {
            Some(field) => field.table(read),
            None => Some(Self::new(dotted(&self.key, name), None, self.spot, self.scope).finish(read)),
        }
    }

    /// All entries of a table whose keys are the user's own names.
    pub(super) fn entries(&self) -> Vec<(&'a str, Field<'a>)> {
        self.any_key.set(true);
        let entries = self.table.iter().flat_map(|table| &table.entries);
        let field = |name: &str, node| Field { key: dotted(&self.key, name), node, scope: self.scope };
        entries.map(|entry| (entry.name.as_str(), field(&entry.name, &entry.node))).collect()
    }

    pub(super) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(self.spot, self.key.clone(), message)
    }

    pub(super) fn scope(&self) -> Scope<'a> {
        self.scope
    }
}

impl<'a> Field<'a> {
    pub(super) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(&self.node.spot, self.key.clone(), message)
    }

    /// Tells of it.
    pub(super) fn refuse(&self, message: impl Into<String>, hint: Option<String>) {
        let problem = self.problem(message);
        self.scope.problems.add(Problem { hint, ..problem });
    }

    fn wrong_type<T>(&self, wanted: &str) -> Option<T> {
        self.refuse(format!("must be {wanted}, is {}", self.node.value.kind()), None);
        None
    }

    pub(super) fn scope(&self) -> Scope<'a> {
        self.scope
    }

    pub(super) fn any_text(&self) -> Option<&'a str> {
        let Value::Text(text) = &self.node.value else { return self.wrong_type("a text") };
        Some(text)
    }

    /// A text with something in it.
    pub(super) fn text(&self) -> Option<&'a str> {
        let text = self.any_text()?;
        if text.trim().is_empty() {
            self.refuse("must not be empty", None);
            return None;
        }
        Some(text)
    }

    /// A text with its `${NAME}`s replaced.
    pub(super) fn expanded(&self) -> Option<String> {
        match self.scope.environment.expand(self.text()?) {
            Ok(text) => Some(text),
            Err(messages) => {
                for message in messages {
                    self.refuse(message, Some("set it in the environment or in `env_file`".to_owned()));
                }
                None
            }
        }
    }

    /// A path, from the folder of the file that names it.
    pub(super) fn path(&self) -> Option<PathBuf> {
        Some(self.node.spot.origin.dir.join(self.expanded()?))
    }

    pub(super) fn flag(&self) -> Option<bool> {
        let Value::Bool(flag) = self.node.value else { return self.wrong_type("true or false") };
        Some(flag)
    }

    pub(super) fn whole(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let Value::Integer(number) = self.node.value else { return self.wrong_type("a whole number") };
        let number = u64::try_from(number).ok().filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = range.into_inner();
            let most = if most == u64::MAX { String::new() } else { format!(" and at most {most}") };
            self.refuse(format!("must be at least {least}{most}"), None);
        }
        number
    }

    /// A number of at least 1, such as a limit.
    pub(super) fn positive(&self) -> Option<u64> {
        self.whole(1..=u64::MAX)
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self.node.value {
            // Exact for all that could be a price.
            Value::Integer(number) => {
                Some(f64::from(i32::try_from(number).ok().or_else(|| self.wrong_type("a smaller number"))?))
            }
            Value::Float(number) => Some(number),
            Value::Text(_) | Value::Bool(_) | Value::Date(_) | Value::List(_) | Value::Table(_) => {
                self.wrong_type("a number")
            }
        }
    }

    /// A duration that may be nothing.
    pub(super) fn duration(&self) -> Option<Duration> {
        let hint = || Some("write for example \"500ms\", \"60s\" or \"1h\"".to_owned());
        let Value::Text(text) = &self.node.value else {
            self.refuse(format!("must be a duration, is {}", self.node.value.kind()), hint());
            return None;
        };
        let duration = units::duration(text);
        if duration.is_none() {
            self.refuse(format!("is not a duration: {text:?}"), hint());
        }
        duration
    }

    pub(super) fn positive_duration(&self) -> Option<Duration> {
        let duration = self.duration()?;
        if duration.is_zero() {
            self.refuse("must be longer than nothing", None);
        }
        Some(duration)
    }

    /// Bytes, at least one.
    pub(super) fn size(&self) -> Option<usize> {
        let bytes = match &self.node.value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::Text(text) => units::bytes(text),
            Value::Float(_) | Value::Bool(_) | Value::Date(_) | Value::List(_) | Value::Table(_) => None,
        };
        let size = bytes.and_then(|bytes| usize::try_from(bytes).ok()).filter(|size| *size > 0);
        if size.is_none() {
            self.refuse("is not a size", Some("write for example \"16MB\" or \"512KiB\"".to_owned()));
        }
        size
    }

    /// One of these words.
    pub(super) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let chosen = words.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice);
        if chosen.is_none() {
            let hint = nearest("known here", text, words.iter().map(|(word, _)| *word));
            self.refuse(format!("{text:?} is not known"), hint);
        }
        chosen
    }

    pub(super) fn items(&self) -> Option<Vec<Self>> {
        let Value::List(items) = &self.node.value else { return self.wrong_type("a list") };
        let item = |(number, node)| Self { key: format!("{}[{number}]", self.key), node, scope: self.scope };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// A list, or what would be its only item.
    pub(super) fn one_or_more(&self) -> Option<Vec<Self>> {
        let fields = match &self.node.value {
            Value::List(_) => self.items()?,
            Value::Text(_) => vec![self.clone()],
            Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::Date(_) | Value::Table(_) => {
                return self.wrong_type("a text or a list of texts");
            }
        };
        if fields.is_empty() {
            self.refuse("must not be empty", None);
        }
        Some(fields)
    }

    pub(super) fn table<T>(&self, read: impl FnOnce(&Reader<'a>) -> T) -> Option<T> {
        let Value::Table(table) = &self.node.value else { return self.wrong_type("a table") };
        Some(Reader::new(self.key.clone(), Some(table), &self.node.spot, self.scope).finish(read))
    }

    /// A table of whatever, as JSON.
    pub(super) fn json_table(&self) -> Option<serde_json::Map<String, serde_json::Value>> {
        match self.json()? {
            serde_json::Value::Object(map) => Some(map),
            _ => self.wrong_type("a table"),
        }
    }

    fn json(&self) -> Option<serde_json::Value> {
        Some(match &self.node.value {
            Value::Text(text) | Value::Date(text) => text.clone().into(),
            Value::Integer(number) => (*number).into(),
            Value::Float(number) => match serde_json::Number::from_f64(*number) {
                Some(number) => number.into(),
                None => return self.wrong_type("a finite number"),
            },
            Value::Bool(flag) => (*flag).into(),
            Value::List(_) => self.items()?.iter().map(Self::json).collect::<Option<Vec<_>>>()?.into(),
            Value::Table(_) => {
                let entries = self.table(Reader::entries)?;
                let pair = |(name, field): (&str, Self)| Some((name.to_owned(), field.json()?));
                serde_json::Value::Object(entries.into_iter().map(pair).collect::<Option<_>>()?)
            }
        })
    }
}
