//! TOML with the place of each key and value: what merging and reading work on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problem;

/// Where a text came from.
#[derive(Debug)]
pub(super) enum Origin {
    /// A file, as the user would name it.
    File(PathBuf),
    /// A command-line flag.
    Flag(&'static str),
    /// Nothing that the user wrote.
    Nobody,
}

/// A source of keys, and the folder that its relative paths start from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) from: Origin,
    pub(super) dir: PathBuf,
    /// What its keys are called, where they are no keys to the user.
    pub(super) called: Option<&'static str>,
}

/// The place of a key or value: line and column in a file.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub(super) origin: Arc<Source>,
    pub(super) position: Option<(usize, usize)>,
}

impl Spot {
    pub(super) fn flag(flag: &'static str, dir: &Path) -> Self {
        let source = Source { from: Origin::Flag(flag), dir: dir.to_owned(), called: None };
        Self { origin: Arc::new(source), position: None }
    }
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) spot: Spot,
}

/// A TOML value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Date(String),
    List(Vec<Node>),
    Table(Table),
}

impl Value {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Bool(_) => "true or false",
            Self::Date(_) => "a date or time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// Entries in the order of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
}

/// A key, its own place, and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) spot: Spot,
    pub(super) node: Node,
}

impl Table {
    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.name == name)
    }

    /// Puts the entry in the place of the one of its name, or last.
    pub(super) fn put(&mut self, entry: Entry) {
        match self.get_mut(&entry.name) {
            Some(old) => *old = entry,
            None => self.entries.push(entry),
        }
    }
}

/// A key's full name, quoted where TOML would have it quoted.
pub(crate) fn dotted(parent: &str, name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let name = if bare { name.to_owned() } else { format!("{name:?}") };
    if parent.is_empty() { name } else { format!("{parent}.{name}") }
}

/// Reads a whole file.
///
/// # Errors
/// The first syntax error, or all numbers that are too large.
pub(super) fn parse(text: &str, origin: &Arc<Source>) -> Result<Table, Vec<Problem>> {
    let mut grower = Grower { lines: Lines::of(text), origin: origin.clone(), problems: Vec::new() };
    let table = DeTable::parse(text).map_err(|error| {
        let spot = grower.spot(error.span().map_or(0, |span| span.start));
        vec![Problem::new(&spot, "", error.message().replace('\n', ", "))]
    })?;
    let table = grower.table("", table.into_inner());
    if grower.problems.is_empty() { Ok(table) } else { Err(grower.problems) }
}

/// Reads the value of a flag: TOML where it is some, else a text.
pub(super) fn parse_value(text: &str, spot: &Spot) -> Node {
    let mut grower = Grower { lines: Lines::of(""), origin: spot.origin.clone(), problems: Vec::new() };
    let value = DeValue::parse(text.trim()).ok().map(|value| grower.node("", value).value);
    let value = value.filter(|_| grower.problems.is_empty()).unwrap_or_else(|| Value::Text(text.to_owned()));
    let mut node = Node { value, spot: spot.clone() };
    relocate(&mut node, spot);
    node
}

/// Gives a value that was not read from a file the place that it comes from, all the way down.
pub(super) fn relocate(node: &mut Node, spot: &Spot) {
    node.spot = spot.clone();
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| relocate(item, spot)),
        Value::Table(table) => {
            for entry in &mut table.entries {
                entry.spot = spot.clone();
                relocate(&mut entry.node, spot);
            }
        }
        Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::Date(_) => {}
    }
}

/// Turns the parser's borrowed tree into ours.
struct Grower<'a> {
    lines: Lines<'a>,
    origin: Arc<Source>,
    problems: Vec<Problem>,
}

impl Grower<'_> {
    fn spot(&self, offset: usize) -> Spot {
        Spot { origin: self.origin.clone(), position: Some(self.lines.position(offset)) }
    }

    fn table(&mut self, key: &str, table: DeTable<'_>) -> Table {
        let mut entries = Vec::with_capacity(table.len());
        for (name, value) in table {
            let spot = self.spot(name.span().start);
            let name = name.into_inner().into_owned();
            let node = self.node(&dotted(key, &name), value);
            entries.push(Entry { name, spot, node });
        }
        Table { entries }
    }

    fn node(&mut self, key: &str, value: Spanned<DeValue<'_>>) -> Node {
        let spot = self.spot(value.span().start);
        let value = match value.into_inner() {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Integer(number) => {
                let whole = i64::from_str_radix(number.as_str(), number.radix());
                Value::Integer(whole.unwrap_or_else(|_| self.too_large(&spot, key)))
            }
            DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(flag) => Value::Bool(flag),
            DeValue::Datetime(date) => Value::Date(date.to_string()),
            DeValue::Array(items) => {
                let item = |(number, item)| self.node(&format!("{key}[{number}]"), item);
                Value::List(items.into_iter().enumerate().map(item).collect())
            }
            DeValue::Table(table) => Value::Table(self.table(key, table)),
        };
        Node { value, spot }
    }

    fn too_large(&mut self, spot: &Spot, key: &str) -> i64 {
        self.problems.push(Problem::new(spot, key, "the number is too large"));
        0
    }
}

/// Finds line and column of a byte.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let after_breaks = memchr::memchr_iter(b'\n', text.as_bytes()).map(|offset| offset + 1);
        Self { text, starts: std::iter::once(0).chain(after_breaks).collect() }
    }

    fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..offset).unwrap_or("");
        (line, before.chars().count() + 1)
    }
}
