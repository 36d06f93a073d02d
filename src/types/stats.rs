//! What was done and what it cost, as sums over log lines. Nothing else is ever counted, so that a replayed log gives the
//! same figures as the run that wrote it.

use serde::{Deserialize, Serialize};

use super::{
    AttemptLine, Charges, Course, DailyRequests, Failure, FailureKind, Latency, LogLine, Money, Origin, OutcomeLine,
    Purpose, RecentCharges, RunKind, RunLine, RunNumber, Setback, Setbacks, Usage, is_zero,
};

/// Of so many runs it is kept how they went; of older ones their sums.
const KEPT_COURSES: usize = 32;

/// What the sums are kept by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TallyId {
    /// The task's table.
    pub task: String,
    /// The provider; empty for rows that no provider was asked for.
    pub provider: String,
    /// The model's name on the wire; empty for rows that no provider was asked for.
    pub model: String,
}

/// Sums for one task on one model, or for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// Rows that ended well here.
    pub succeeded: u64,
    /// Rows that ended badly here.
    pub failed: u64,
    /// Rows among these two that ended as another one with the same request did, without a call.
    #[serde(skip_serializing_if = "is_zero")]
    pub deduped: u64,
    /// Requests sent, 429s included.
    pub attempts: u64,
    /// Requests answered by a rate limit.
    pub rate_limited: u64,
    /// Attempts after the first of a row on the same model, 429s not counted.
    pub retries: u64,
    /// Answers that broke the task's rules.
    #[serde(skip_serializing_if = "is_zero")]
    pub invalid_answers: u64,
    /// Attempts that told the model what was wrong with its answer before.
    #[serde(skip_serializing_if = "is_zero")]
    pub reasks: u64,
    /// Rows that came here from another model of their route.
    pub fallbacks_in: u64,
    /// Rows that left here for another model of their route.
    pub fallbacks_out: u64,
    /// Those of them that stayed with the provider.
    #[serde(skip_serializing_if = "is_zero")]
    pub fallbacks_within: u64,
    /// Answers that stopped at the output limit.
    pub truncated: u64,
    /// Tokens of all calls.
    pub usage: Usage,
    /// The known part of the cost.
    pub cost_usd: Money,
    /// The part of the cost that bought no answer: failed and rejected attempts.
    pub wasted_usd: Money,
    /// Rows whose cost is not, or not wholly, known.
    pub cost_unknown_rows: u64,
    /// Calls and rows that ended badly, by kind, with their part of what was wasted.
    #[serde(skip_serializing_if = "Setbacks::is_empty")]
    pub failures: Setbacks,
    /// Good answers of calls whose row had been answered by another call, and what they cost.
    #[serde(skip_serializing_if = "Setback::is_empty")]
    pub overtaken: Setback,
    /// How long the calls took that brought an answer.
    #[serde(skip_serializing_if = "Latency::is_empty")]
    pub latency: Latency,
}

impl Tally {
    /// Adds another's sums.
    pub fn merge(&mut self, other: &Self) {
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.deduped += other.deduped;
        self.attempts += other.attempts;
        self.rate_limited += other.rate_limited;
        self.retries += other.retries;
        self.invalid_answers += other.invalid_answers;
        self.reasks += other.reasks;
        self.fallbacks_in += other.fallbacks_in;
        self.fallbacks_out += other.fallbacks_out;
        self.fallbacks_within += other.fallbacks_within;
        self.truncated += other.truncated;
        self.usage += other.usage;
        self.cost_usd += other.cost_usd;
        self.wasted_usd += other.wasted_usd;
        self.cost_unknown_rows += other.cost_unknown_rows;
        self.failures.merge(&other.failures);
        self.overtaken.merge(&other.overtaken);
        self.latency.merge(&other.latency);
    }
}

/// Calls whose end is not known: they may be on the bill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PossiblyBilled {
    /// How many.
    pub attempts: u64,
    /// What they cost at most, as far as prices are known.
    pub max_cost_usd: Money,
    /// How many of them have no known price.
    pub cost_unknown: u64,
}

impl PossiblyBilled {
    /// Counts a call that costs at most this; `None` where no price is known.
    pub fn add(&mut self, worst_cost: Option<Money>) {
        self.attempts += 1;
        self.max_cost_usd += worst_cost.unwrap_or_default();
        self.cost_unknown += u64::from(worst_cost.is_none());
    }

    /// Adds another's sums.
    pub fn merge(&mut self, other: &Self) {
        self.attempts += other.attempts;
        self.max_cost_usd += other.max_cost_usd;
        self.cost_unknown += other.cost_unknown;
    }
}

/// All sums of a run, or of a part of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// By task and model, sorted.
    pub tallies: Vec<(TallyId, Tally)>,
    /// Calls whose end is not known.
    pub possibly_billed: PossiblyBilled,
}

impl Totals {
    /// Counts one line of the log.
    pub fn count(&mut self, line: &LogLine) {
        match line {
            LogLine::Attempt(attempt) => self.count_attempt(attempt),
            LogLine::Outcome(outcome) => self.count_outcome(outcome),
            LogLine::Carried(carried) => self.merge(&carried.totals),
            LogLine::Run(_) | LogLine::RunEnd(_) => {}
        }
    }

    /// Adds another's sums.
    pub fn merge(&mut self, other: &Self) {
        for (id, tally) in &other.tallies {
            self.tally(&id.task, &id.provider, &id.model).merge(tally);
        }
        self.possibly_billed.merge(&other.possibly_billed);
    }

    /// The same less what earlier versions did not keep: what is broken down by kind of failure, and how many rows stayed
    /// with their provider.
    #[must_use]
    pub fn as_ever_kept(&self) -> Self {
        let mut bare = self.clone();
        for (_, tally) in &mut bare.tallies {
            (tally.failures, tally.overtaken) = (Setbacks::default(), Setback::default());
            tally.fallbacks_within = 0;
        }
        bare
    }

    /// The sums over all tasks and models.
    #[must_use]
    pub fn sum(&self) -> Tally {
        let mut sum = Tally::default();
        for (_, tally) in &self.tallies {
            sum.merge(tally);
        }
        sum
    }

    /// The sums of one task on one model, made where they are not there yet.
    fn tally(&mut self, task: &str, provider: &str, model: &str) -> &mut Tally {
        let found = self.tallies.binary_search_by(|(id, _)| {
            (id.task.as_str(), id.provider.as_str(), id.model.as_str()).cmp(&(task, provider, model))
        });
        let at = found.unwrap_or_else(|at| {
            let id = TallyId { task: task.to_owned(), provider: provider.to_owned(), model: model.to_owned() };
            self.tallies.insert(at, (id, Tally::default()));
            at
        });
        &mut self.tallies[at].1
    }

    /// A row came from one model to another.
    fn count_fallback(&mut self, task: &str, from: &Origin, provider: &str, model: &str) {
        let left = self.tally(task, &from.provider, &from.model);
        left.fallbacks_out += 1;
        left.fallbacks_within += u64::from(from.provider == provider);
        self.tally(task, provider, model).fallbacks_in += 1;
    }

    fn count_attempt(&mut self, line: &AttemptLine) {
        if let Some(from) = &line.came_from {
            self.count_fallback(&line.task, from, &line.provider, &line.model);
        }
        if line.possibly_billed {
            self.possibly_billed.add(line.worst_cost);
        }
        let tally = self.tally(&line.task, &line.provider, &line.model);
        let failure = line.failure.as_ref().map(|failure| failure.kind);
        let setback = Setback { calls: 1, rows: 0, wasted_usd: line.cost.unwrap_or_default() };
        match failure {
            Some(kind) => tally.failures.add(kind, &setback),
            // Where it was cut, it stands among those that were possibly billed.
            None if line.possibly_billed => {}
            None => tally.overtaken.merge(&setback),
        }
        tally.attempts += 1;
        tally.rate_limited += u64::from(is_rate_limit(failure));
        tally.retries += u64::from(line.retry);
        tally.reasks += u64::from(line.reask);
        tally.invalid_answers += u64::from(is_invalid(line.failure.as_ref()));
        tally.usage += line.usage.unwrap_or_default();
        tally.cost_usd += line.cost.unwrap_or_default();
        tally.wasted_usd += line.cost.unwrap_or_default();
        if line.usage.is_some() {
            tally.latency.add(line.latency_ms);
        }
    }

    fn count_outcome(&mut self, line: &OutcomeLine) {
        if let Some(from) = &line.came_from {
            self.count_fallback(&line.task, from, &line.provider, &line.model);
        }
        if line.possibly_billed {
            self.possibly_billed.add(line.worst_cost);
        }
        let failure = line.failure.as_ref().map(|failure| failure.kind);
        let tally = self.tally(&line.task, &line.provider, &line.model);
        let called = line.call != 0;
        tally.succeeded += u64::from(failure.is_none());
        tally.failed += u64::from(failure.is_some());
        tally.deduped += u64::from(line.deduped);
        tally.attempts += u64::from(called);
        tally.rate_limited += u64::from(called && is_rate_limit(failure));
        tally.retries += u64::from(line.retry);
        tally.reasks += u64::from(line.reask);
        tally.invalid_answers += u64::from(called && is_invalid(line.failure.as_ref()));
        tally.truncated += u64::from(line.truncated);
        tally.usage += line.usage.unwrap_or_default();
        tally.cost_usd += line.cost.unwrap_or_default();
        tally.cost_unknown_rows += u64::from(line.row_cost.is_none());
        if let Some(kind) = failure {
            let wasted_usd = line.cost.unwrap_or_default();
            tally.wasted_usd += wasted_usd;
            tally.failures.add(kind, &Setback { calls: u64::from(called), rows: 1, wasted_usd });
        }
        if called && (failure.is_none() || line.usage.is_some()) {
            tally.latency.add(line.latency_ms);
        }
    }
}

pub(super) fn is_rate_limit(kind: Option<FailureKind>) -> bool {
    matches!(kind, Some(FailureKind::RateLimited | FailureKind::DailyQuota))
}

fn is_invalid(failure: Option<&Failure>) -> bool {
    failure.is_some_and(|failure| failure.kind == FailureKind::InvalidAnswer)
}

/// One run's sums.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunTotals {
    /// The run's number.
    pub run: RunNumber,
    /// When it began, in milliseconds since 1970.
    pub started_at: u64,
    /// Where its first line stands in the log.
    pub offset: u64,
    /// What it is for.
    #[serde(default, skip_serializing_if = "RunKind::is_job")]
    pub kind: RunKind,
    /// What a comparison compares, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// When nothing remained of it; `None` while it goes on.
    #[serde(default)]
    pub ended_at: Option<u64>,
    /// Its sums, over all resumes.
    pub totals: Totals,
    /// How it went; empty where newer runs have taken its place.
    #[serde(default, skip_serializing_if = "Course::is_empty")]
    pub course: Course,
    /// What counts against its budgets.
    #[serde(default)]
    pub charged: Charges,
}

impl RunTotals {
    /// Whether it is a run for this.
    #[must_use]
    pub fn is_for(&self, purpose: &Purpose) -> bool {
        self.kind == purpose.kind && self.about == purpose.about
    }

    /// From its begin to its end, or to the last that is known of the job, in milliseconds.
    #[must_use]
    pub fn elapsed_ms(&self, told_at: Option<u64>) -> u64 {
        self.ended_at.or(told_at).unwrap_or(self.started_at).saturating_sub(self.started_at)
    }
}

/// The sums of all runs of a job and of its comparisons, the one that wrote last at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// One entry a run.
    pub runs: Vec<RunTotals>,
    /// What counts against budgets of a day or month.
    #[serde(default)]
    pub recent: RecentCharges,
    /// What counts against limits of a day.
    #[serde(default)]
    pub requests: DailyRequests,
}

impl Ledger {
    /// Counts one line of the log.
    pub fn count(&mut self, line: &LogLine) {
        self.charge(line);
        self.requests.count(line);
        match line {
            LogLine::Run(begin) => self.begin(begin),
            LogLine::RunEnd(end) => {
                if let Some(run) = self.runs.iter_mut().rfind(|run| run.run == end.run) {
                    run.ended_at = Some(end.at);
                }
            }
            LogLine::Attempt(_) | LogLine::Outcome(_) | LogLine::Carried(_) => {
                if let Some(run) = self.runs.last_mut() {
                    run.totals.count(line);
                    run.course.count(line);
                }
            }
        }
    }

    fn charge(&mut self, line: &LogLine) {
        if let LogLine::Carried(carried) = line {
            self.recent.merge(&carried.recent);
            if let Some(run) = self.runs.last_mut() {
                run.charged.merge(&carried.charged);
            }
        }
        let Some((task, at, amount)) = line.charge() else { return };
        self.recent.add(at, task, amount);
        if let Some(run) = self.runs.last_mut() {
            run.charged.add(task, amount);
        }
    }

    /// A run that goes on behind another one is the last again.
    fn begin(&mut self, line: &RunLine) {
        let RunLine { run, at, offset, kind, .. } = *line;
        let known = self.runs.iter().position(|known| known.run == run);
        let about = || line.about.clone();
        let new = || RunTotals { run, started_at: at, offset, kind, about: about(), ..RunTotals::default() };
        let begun = known.map_or_else(new, |known| self.runs.remove(known));
        self.runs.push(begun);
        let too_old = self.runs.len().checked_sub(KEPT_COURSES + 1);
        if let Some(old) = too_old.and_then(|at| self.runs.get_mut(at)) {
            old.course = Course::default();
        }
    }

    /// The job's run that goes on, if there is one.
    #[must_use]
    pub fn open_run(&self) -> Option<&RunTotals> {
        self.open(&Purpose::JOB)
    }

    /// The run for this that goes on, if there is one.
    #[must_use]
    pub fn open(&self, purpose: &Purpose) -> Option<&RunTotals> {
        self.last_for(purpose).filter(|run| run.ended_at.is_none())
    }

    /// The last run for this.
    #[must_use]
    pub fn last_for(&self, purpose: &Purpose) -> Option<&RunTotals> {
        self.runs.iter().filter(|run| run.is_for(purpose)).max_by_key(|run| run.run)
    }

    fn last(&self, kind: RunKind) -> Option<&RunTotals> {
        self.runs.iter().filter(|run| run.kind == kind).max_by_key(|run| run.run)
    }

    /// The last run of the job; where there is none, the last comparison.
    #[must_use]
    pub fn latest(&self) -> Option<&RunTotals> {
        self.last(RunKind::Job).or(self.last(RunKind::Compare))
    }

    /// The number that the next run gets.
    #[must_use]
    pub fn next_run(&self) -> RunNumber {
        self.runs.iter().map(|run| run.run).max().unwrap_or(0) + 1
    }
}
