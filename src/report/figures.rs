//! From the sums of runs to a report.

use std::collections::BTreeMap;

use serde::Serialize;

use super::entry::Scope;
use super::pace::latencies;
use super::setback::kinds;
use super::{Entry, KindOfFailure, LatencyRange, Night, ReportError, RunChoice, Runs, Throughput, WhatIf};
use crate::types::{
    Held, HeldBack, Ledger, Moment, PossiblyBilled, PriceSource, RowsNow, RunNumber, RunTotals, Tally, TallyId, Totals,
};

/// What was done and what it cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The job's name.
    pub job: String,
    /// The run.
    pub run: Runs,
    /// When the run began, or the first of them.
    pub started_at: Moment,
    /// When nothing remained of the run, or of the last of them; `None` while it goes on.
    pub ended_at: Option<Moment>,
    /// From the begin of a single run to its end, or to the last that is known of it; `None` over several.
    pub elapsed_ms: Option<u64>,
    /// The last moment that counts in it: the end, or while it goes on the last that is known of it.
    pub as_of: Option<Moment>,
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
    /// What went wrong, by kind; failures of calls that were overcome too.
    pub failures: Vec<KindOfFailure>,
    /// How long calls with an answer took, from the shortest to the longest.
    pub latency_histogram: Vec<LatencyRange>,
    /// A single run over time; `None` over several, and of runs so old that it is no longer kept.
    pub throughput: Option<Throughput>,
    /// How long rows waited for a model, and for what; kept of the last run alone.
    pub held_back: Vec<HeldBack>,
    /// All runs side by side, where the report is on all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Night>,
    /// What the same tokens would have cost at other models, where that was asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub what_if: Vec<WhatIf>,
    /// Where the job's rows stand now, whichever runs this is about; `None` where that is not known.
    pub rows_now: Option<RowsNow>,
}

impl Report {
    /// The report on these runs. `told_at`: the last moment that is known of the job, in milliseconds since 1970; `source`
    /// tells where the price of a model (provider, name on the wire) comes from.
    ///
    /// # Errors
    /// [`ReportError::NoRun`] and [`ReportError::NoSuchRun`].
    pub fn new(
        job: &str,
        ledger: &Ledger,
        told_at: Option<u64>,
        choice: RunChoice,
        source: &dyn Fn(&str, &str) -> PriceSource,
    ) -> Result<Self, ReportError> {
        let (run, chosen) = choose(ledger, choice)?;
        let (Some(first), Some(last)) = (chosen.first(), chosen.last()) else { return Err(ReportError::NoRun) };
        let totals = sum_of(chosen);
        let source = |id: &TallyId| (!id.provider.is_empty()).then(|| source(&id.provider, &id.model));
        let parts = |key: &dyn Fn(&TallyId) -> (String, String)| group(&totals, key, &source);
        let by_model = parts(&|id| (id.provider.clone(), id.model.clone()));
        let by_provider = parts(&|id| (id.provider.clone(), String::new()));
        let by_task = parts(&|id| (id.task.clone(), String::new()));
        let all = parts(&|_| (String::new(), String::new())).into_values().next();
        let (sum, sources) = all.unwrap_or_default();
        let entry = |scope: Scope<'_>, (tally, source): &Part| Entry::new(&scope, tally, source.clone());
        let courses: Vec<_> = chosen.iter().map(|run| &run.course).collect();
        let single = (chosen.len() == 1 && run != Runs::All).then_some(last);
        Ok(Self {
            job: job.to_owned(),
            run,
            started_at: Moment(first.started_at),
            ended_at: last.ended_at.map(Moment),
            elapsed_ms: single.map(|run| run.elapsed_ms(told_at)),
            as_of: last.ended_at.or(told_at).map(Moment),
            failures: kinds(&sum, &courses),
            latency_histogram: latencies(&sum.latency),
            throughput: single.and_then(|run| Throughput::new(&run.course)),
            runs: if run == Runs::All {
                chosen.iter().map(|run| Night::new(run, told_at)).collect()
            } else {
                Vec::new()
            },
            totals: entry(Scope::All, &(sum, sources)),
            by_model: by_model.iter().map(|((name, model), part)| entry(Scope::Model(name, model), part)).collect(),
            by_provider: by_provider.iter().map(|((name, _), part)| entry(Scope::Provider(name), part)).collect(),
            by_task: by_task.iter().map(|((name, _), part)| entry(Scope::Task(name), part)).collect(),
            possibly_billed: totals.possibly_billed,
            held_back: Vec::new(),
            what_if: Vec::new(),
            rows_now: None,
        })
    }

    /// The same with where the job's rows stand now.
    #[must_use]
    pub fn with_rows(self, rows: Option<RowsNow>) -> Self {
        Self { rows_now: rows, ..self }
    }

    /// The same with how long rows waited, if it is on the run in which they did.
    #[must_use]
    pub fn with_held(self, held: Held) -> Self {
        let held_back = if self.run == Runs::One(held.run) { held.models } else { Vec::new() };
        Self { held_back, ..self }
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

fn choose(ledger: &Ledger, choice: RunChoice) -> Result<(Runs, &[RunTotals]), ReportError> {
    let runs = &ledger.runs;
    let latest = ledger.latest().ok_or(ReportError::NoRun)?.run;
    let one = |asked: RunNumber| {
        let at = runs.iter().position(|run| run.run == asked);
        let at = at.ok_or(ReportError::NoSuchRun { asked, last: ledger.next_run() - 1 })?;
        Ok((Runs::One(asked), &runs[at..=at]))
    };
    match choice {
        RunChoice::Last => one(latest),
        RunChoice::Number(asked) => one(asked),
        RunChoice::All => Ok((Runs::All, runs)),
    }
}

fn sum_of(runs: &[RunTotals]) -> Totals {
    let mut sum = Totals::default();
    for run in runs {
        sum.merge(&run.totals);
    }
    sum
}
