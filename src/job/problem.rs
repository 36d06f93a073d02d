//! What is wrong with a job, where, and what to do about it.

use std::cell::RefCell;
use std::fmt;
use std::path::PathBuf;

use super::tree::{Origin, Spot};

/// One thing that is wrong. Prints as `jobs/tag.toml:12:1: tasks.tag.fallbak: unknown key`, its hint on a second line.
///
/// Neither the message nor the hint holds the value of an environment variable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// The file as the user would name it.
    pub file: Option<PathBuf>,
    /// From 1.
    pub line: Option<usize>,
    /// In characters, from 1.
    pub column: Option<usize>,
    /// The command-line flag that the value came from, instead of a file.
    pub flag: Option<&'static str>,
    /// The key's full name; empty where the whole file is meant.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Problem {
    pub(super) fn new(spot: &Spot, key: impl Into<String>, message: impl Into<String>) -> Self {
        let (file, flag) = match &spot.origin.from {
            Origin::File(shown) => (Some(shown.clone()), None),
            Origin::Flag(flag) => (None, Some(*flag)),
            Origin::Nobody => (None, None),
        };
        let key = spot.origin.called.map_or_else(|| key.into(), str::to_owned);
        let (line, column) = spot.position.unzip();
        Self { file, line, column, flag, key, message: message.into(), hint: None }
    }

    /// The same with this hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}", file.display())?;
            if let (Some(line), Some(column)) = (self.line, self.column) {
                write!(f, ":{line}:{column}")?;
            }
            f.write_str(": ")?;
        }
        if let Some(flag) = self.flag {
            write!(f, "{flag}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// A job that cannot run: all that is wrong with it. Prints a problem after the other.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct JobError {
    /// By file and line.
    pub problems: Vec<Problem>,
}

/// Where problems gather while the job is read: one does not keep the next from being found.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    pub(super) fn add(&self, problem: Problem) {
        let mut found = self.0.borrow_mut();
        // A model that two tasks name is read twice where it is wrong.
        if !found.contains(&problem) {
            found.push(problem);
        }
    }

    pub(super) fn add_all(&self, found: Vec<Problem>) {
        for problem in found {
            self.add(problem);
        }
    }

    /// All of them in reading order: what has no place in a file last.
    pub(super) fn into_sorted(self) -> Vec<Problem> {
        let mut found = self.0.into_inner();
        found.sort_by_key(|problem| {
            (problem.file.is_none(), problem.file.clone(), problem.line.is_none(), problem.line, problem.column)
        });
        found
    }
}

/// A hint that names the nearest of `known`, or all of them where nothing is near.
pub(super) fn nearest<'a>(what: &str, written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(name) = nearest_name(written, &known) {
        return Some(format!("did you mean `{name}`?"));
    }
    if known.is_empty() { None } else { Some(format!("{what}: {}", known.join(", "))) }
}

fn nearest_name<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let score = |name: &str| likeness(&written.to_lowercase(), &name.to_lowercase());
    let (best, name) = known.iter().map(|name| (score(name), *name)).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best > 0.84).then_some(name)
}

fn likeness(written: &str, name: &str) -> f64 {
    // Two letters the wrong way round make a short word too unlike itself for a score by length.
    let letters = |text: &str| {
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters
    };
    let swapped = strsim::osa_distance(written, name) == 1 && letters(written) == letters(name);
    if swapped { 1.0 } else { strsim::jaro_winkler(written, name) }
}
