//! Which runs a report is about.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::types::RunNumber;

/// Which runs a report is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunChoice {
    /// The last one.
    #[default]
    Last,
    /// All of them.
    All,
    /// This one.
    Number(RunNumber),
}

/// A text that names no run.
#[derive(Debug, thiserror::Error)]
#[error("a run is `last`, `all` or its number")]
pub struct ParseRunError;

impl FromStr for RunChoice {
    type Err = ParseRunError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "last" => Ok(Self::Last),
            "all" => Ok(Self::All),
            number => number.parse().map(Self::Number).map_err(|_| ParseRunError),
        }
    }
}

/// The runs that a report is about: a number, or `"all"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// All of them.
    All,
    /// A single one.
    One(RunNumber),
}

impl Runs {
    /// What the rows of an entry are: over several runs a row that was sent again has ended more than once.
    #[must_use]
    pub fn rows_label(self) -> &'static str {
        match self {
            Self::All => "row ends",
            Self::One(_) => "rows",
        }
    }
}

impl fmt::Display for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all runs"),
            Self::One(run) => write!(f, "run {run}"),
        }
    }
}

impl Serialize for Runs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::One(run) => serializer.serialize_u32(*run),
        }
    }
}
