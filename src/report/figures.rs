//! From the sums of runs to a report.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::entry::Scope;
use super::{Entry, ReportError};
use crate::types::{Ledger, PossiblyBilled, PriceSource, RowsNow, RunNumber, Tally, TallyId, Totals};

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

/// What was done and what it cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The job's name.
    pub job: String,
    /// The run.
    pub run: Runs,
    /// All of it.
    pub totals: Entry,
    /// An entry for each model, by provider and name.
    pub by_model: Vec<Entry>,
    /// An entry for each provider.
    pub by_provider: Vec<Entry>,
    /// An entry for each task.
    pub by_task: Vec<Entry>,
    /// Calls whose end is not known: they are not in any cost above.
    pub possibly_billed: PossiblyBilled,
    /// Where the job's rows stand now, whichever runs this is about; `None` where that is not known.
    pub rows_now: Option<RowsNow>,
}

impl Report {
    /// The report on these runs; `source` tells where the price of a model (provider, name on the wire) comes from.
    ///
    /// # Errors
    /// [`ReportError::NoRun`] and [`ReportError::NoSuchRun`].
    pub fn new(
        job: &str,
        ledger: &Ledger,
        choice: RunChoice,
        source: &dyn Fn(&str, &str) -> PriceSource,
    ) -> Result<Self, ReportError> {
        let (run, totals) = choose(ledger, choice)?;
        let source = |id: &TallyId| (!id.provider.is_empty()).then(|| source(&id.provider, &id.model));
        let parts = |key: &dyn Fn(&TallyId) -> (String, String)| group(&totals, key, &source);
        let by_model = parts(&|id| (id.provider.clone(), id.model.clone()));
        let by_provider = parts(&|id| (id.provider.clone(), String::new()));
        let by_task = parts(&|id| (id.task.clone(), String::new()));
        let all = parts(&|_| (String::new(), String::new())).into_values().next();
        let (sum, sources) = all.unwrap_or_default();
        let entry = |scope: Scope<'_>, (tally, source): &Part| Entry::new(&scope, tally, source.clone());
        Ok(Self {
            job: job.to_owned(),
            run,
            totals: entry(Scope::All, &(sum, sources)),
            by_model: by_model.iter().map(|((name, model), part)| entry(Scope::Model(name, model), part)).collect(),
            by_provider: by_provider.iter().map(|((name, _), part)| entry(Scope::Provider(name), part)).collect(),
            by_task: by_task.iter().map(|((name, _), part)| entry(Scope::Task(name), part)).collect(),
            possibly_billed: totals.possibly_billed,
            rows_now: None,
        })
    }

    /// The same with where the job's rows stand now.
    #[must_use]
    pub fn with_rows(self, rows: Option<RowsNow>) -> Self {
        Self { rows_now: rows, ..self }
    }

    /// All entries with the name of their scope, the sum first.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'static str, &Entry)> {
        let scoped = |name, entries| std::iter::repeat(name).zip(entries);
        let models = scoped("model", self.by_model.iter());
        let providers = scoped("provider", self.by_provider.iter());
        let tasks = scoped("task", self.by_task.iter());
        std::iter::once(("total", &self.totals)).chain(models).chain(providers).chain(tasks)
    }
}

/// Sums, and where the prices in them come from.
type Part = (Tally, Option<PriceSource>);

fn group(
    totals: &Totals,
    key: &dyn Fn(&TallyId) -> (String, String),
    source: &dyn Fn(&TallyId) -> Option<PriceSource>,
) -> BTreeMap<(String, String), Part> {
    let mut parts: BTreeMap<(String, String), Part> = BTreeMap::new();
    for (id, tally) in &totals.tallies {
        let (sum, sources) = parts.entry(key(id)).or_default();
        sum.merge(tally);
        *sources = match (sources.take(), source(id)) {
            (Some(one), Some(other)) => Some(one.and(&other)),
            (one, other) => one.or(other),
        };
    }
    parts
}

fn choose(ledger: &Ledger, choice: RunChoice) -> Result<(Runs, Totals), ReportError> {
    let last = ledger.runs.last().ok_or(ReportError::NoRun)?;
    match choice {
        RunChoice::Last => Ok((Runs::One(last.run), last.totals.clone())),
        RunChoice::Number(asked) => {
            let found = ledger.runs.iter().find(|run| run.run == asked);
            let found = found.ok_or(ReportError::NoSuchRun { asked, last: last.run })?;
            Ok((Runs::One(asked), found.totals.clone()))
        }
        RunChoice::All => Ok((Runs::All, sum_of_runs(ledger))),
    }
}

fn sum_of_runs(ledger: &Ledger) -> Totals {
    let mut sum = Totals::default();
    for run in &ledger.runs {
        sum.merge(&run.totals);
    }
    sum
}
