//! Which columns a template uses, and which of them it cannot do without.
//!
//! The engine tells the variables of a template, but neither `row["Review Text"]` nor whether a missing column is provided
//! for (`default`, `is defined`). So each template is rendered a few times with stand-ins for all columns: what it looks up
//! is noted, and a column is required if leaving it out makes a rendering fail that works with it. Where no stand-in gets
//! through (two columns must be numbers and two others lists), nothing is said to be required.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::{Enumerator, Object};
use minijinja::{Error, ErrorKind, State, Value};
use serde_json::{Map, Value as Json};

use super::context::vars_value;
use super::engine::GLOBALS;
use super::values::Misses;

/// The columns of one or more templates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Columns {
    /// All that are looked up by name.
    pub(super) used: BTreeSet<String>,
    /// Those that every row must have.
    pub(super) required: BTreeSet<String>,
    /// Others may be used too: the row as a whole stands in a template.
    pub(super) any: bool,
}

impl Columns {
    pub(super) fn extend(&mut self, other: Self) {
        self.used.extend(other.used);
        self.required.extend(other.required);
        self.any |= other.any;
    }
}

/// Finds a template's columns by rendering it.
///
/// # Errors
/// Where it calls a filter, test, function or method that does not exist: the engine itself finds that out only when
/// a row gets there.
pub(super) fn probe(
    variables: &HashSet<String>,
    vars: &Map<String, Json>,
    render: impl Fn(Value) -> Result<(), Error>,
) -> Result<Columns, Error> {
    let known = |name: &str| matches!(name, "row" | "vars") || GLOBALS.contains(&name);
    let mut columns = Columns::default();
    columns.used.extend(variables.iter().filter(|name| !known(name)).cloned());
    let mut working = Vec::new();
    for stub in Stub::ALL {
        let trial = Trial { stub, but: None, absent: None };
        let (seen, result) = trial.run(vars, &render);
        columns.used.extend(seen);
        match result {
            Ok(()) => working.push(trial),
            Err(error) if names_the_unknown(error.kind()) => return Err(error),
            Err(_) => {}
        }
    }
    if working.is_empty() {
        let works = |trial: &Trial<'_>| trial.run(vars, &render).1.is_ok();
        working.extend(Trial::with_one_of_another_kind(&columns.used).filter(works));
    }
    let fails_without = |name: &&String| {
        let without = |trial: &Trial<'_>| Trial { absent: Some(name), ..*trial }.run(vars, &render).1;
        working.iter().any(|trial| without(trial).is_err())
    };
    columns.required = columns.used.iter().filter(fails_without).cloned().collect();
    Ok(columns)
}

/// One rendering with stand-ins.
struct Trial<'a> {
    stub: Stub,
    /// A column with another stand-in.
    but: Option<(&'a str, Stub)>,
    /// The column that is left out.
    absent: Option<&'a str>,
}

impl<'a> Trial<'a> {
    fn with_one_of_another_kind(columns: &'a BTreeSet<String>) -> impl Iterator<Item = Self> {
        columns.iter().flat_map(|name| {
            let pairs = Stub::ALL.into_iter().flat_map(|stub| Stub::ALL.map(|other| (stub, other)));
            pairs.map(move |(stub, other)| Self { stub, but: Some((name.as_str(), other)), absent: None })
        })
    }

    /// What the template looks up, and whether it renders.
    fn run(
        &self,
        vars: &Map<String, Json>,
        render: &impl Fn(Value) -> Result<(), Error>,
    ) -> (BTreeSet<String>, Result<(), Error>) {
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let columns = StubColumns {
            stub: self.stub,
            but: self.but.map(|(name, stub)| (name.to_owned(), stub)),
            absent: self.absent.map(str::to_owned),
            seen: Arc::clone(&seen),
        };
        let names = StubNames { columns: Arc::new(columns), vars: vars_value(vars, &Misses::default()) };
        let result = render(Value::from_object(names));
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (seen, result)
    }
}

fn names_the_unknown(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction | ErrorKind::UnknownMethod
    )
}

/// What stands in for every column of a trial row.
#[derive(Clone, Copy, Debug)]
enum Stub {
    /// Has every key, no items, prints as nothing, and is true.
    Yes,
    /// The same, but false.
    No,
    Text,
    Number,
    List,
}

impl Stub {
    const ALL: [Self; 5] = [Self::Yes, Self::No, Self::Text, Self::Number, Self::List];

    fn value(self) -> Value {
        match self {
            Self::Yes => Value::from_object(Anything { truth: true }),
            Self::No => Value::from_object(Anything { truth: false }),
            Self::Text => Value::from("1"),
            Self::Number => Value::from(1),
            Self::List => Value::from(vec![Value::from_object(Anything { truth: true })]),
        }
    }
}

/// Methods come here too: they are looked up as keys first.
const CALLED: &str = "a column has nothing to call; use a filter, such as `x | upper`";

#[derive(Debug)]
struct Anything {
    truth: bool,
}

impl Object for Anything {
    fn get_value(self: &Arc<Self>, _key: &Value) -> Option<Value> {
        Some(Value::from_dyn_object(Arc::clone(self)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Empty
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.truth
    }

    fn call(self: &Arc<Self>, _state: &mut State<'_, '_>, _args: &[Value]) -> Result<Value, Error> {
        Err(Error::new(ErrorKind::UnknownFunction, CALLED))
    }
}

/// The columns of a trial row: all there are, but one.
#[derive(Debug)]
struct StubColumns {
    stub: Stub,
    but: Option<(String, Stub)>,
    absent: Option<String>,
    seen: Arc<Mutex<BTreeSet<String>>>,
}

impl Object for StubColumns {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, name: &str) -> Option<Value> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        let other = self.but.as_ref().filter(|(but, _)| but == name).map(|(_, stub)| *stub);
        (self.absent.as_deref() != Some(name)).then(|| other.unwrap_or(self.stub).value())
    }
}

#[derive(Debug)]
struct StubNames {
    columns: Arc<StubColumns>,
    vars: Value,
}

impl Object for StubNames {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, name: &str) -> Option<Value> {
        match name {
            "row" => Some(Value::from_dyn_object(Arc::clone(&self.columns))),
            "vars" => Some(self.vars.clone()),
            global if GLOBALS.contains(&global) => None,
            column => self.columns.get_value_by_str(column),
        }
    }
}
