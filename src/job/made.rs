//! A job that stands in no file, and where each of its values comes from: problems are told by what the user wrote.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::problem::Problems;
use super::tree::{Node, Origin, Source, Spot, Table, Value, parse, relocate};
use crate::types::Place;

/// A job that was made: a run writes it, so that other commands find it.
#[derive(Clone, Debug, Default)]
pub struct MadeJob {
    /// Its job file.
    pub text: String,
    /// What it reads and is not there yet.
    pub input: Option<KeptInput>,
    /// Of each key that somebody asked for: who. What stands later is about a part of what stands before.
    pub(super) asked: Vec<(Vec<String>, By)>,
}

/// An input that a run puts where the job reads it, once nobody else works on the job.
#[derive(Clone, Debug)]
pub struct KeptInput {
    /// Where it is now.
    pub from: PathBuf,
    /// Where it is to stay.
    pub to: PathBuf,
}

/// Who asked for a value.
#[derive(Clone, Debug)]
pub(super) enum By {
    /// A flag, or a variable in its place.
    Flag(&'static str),
    /// The model that a line of the input names.
    Line(Place),
    /// Nobody: so it is where nothing is said.
    Nobody,
}

impl MadeJob {
    /// Where the job as a whole stands: nowhere.
    pub(super) fn spot(dir: &Path) -> Spot {
        By::Nobody.spot(dir)
    }

    /// Its keys, each with the place that it was asked from; `None` where it is no job file.
    pub(super) fn tree(&self, dir: &Path, problems: &Problems) -> Option<Table> {
        let parsed = parse(&self.text, &Self::spot(dir).origin);
        let table = parsed.map_err(|found| problems.add_all(found)).ok()?;
        let mut root = Node { value: Value::Table(table), spot: Self::spot(dir) };
        relocate(&mut root, &Self::spot(dir));
        for (key, by) in &self.asked {
            if let Some(node) = below(&mut root, key) {
                relocate(node, &by.spot(dir));
            }
        }
        match root.value {
            Value::Table(table) => Some(table),
            Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::Date(_) | Value::List(_) => {
                None
            }
        }
    }
}

fn below<'a>(node: &'a mut Node, key: &[String]) -> Option<&'a mut Node> {
    let Some((first, rest)) = key.split_first() else { return Some(node) };
    let Value::Table(table) = &mut node.value else { return None };
    below(&mut table.get_mut(first)?.node, rest)
}

impl By {
    pub(super) fn spot(&self, dir: &Path) -> Spot {
        let (from, called, position) = match self {
            Self::Flag(flag) => (Origin::Flag(flag), "", None),
            Self::Line(place) => {
                let line = usize::try_from(place.line).unwrap_or(usize::MAX);
                (Origin::File((&*place.file).into()), "body.model", Some((line, 1)))
            }
            Self::Nobody => (Origin::Nobody, "", None),
        };
        Spot { origin: Arc::new(Source { from, dir: dir.to_owned(), called: Some(called) }), position }
    }
}
