//! The lines of `results.log`: the truth from which all else can be made again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    CallNumber, Charges, Course, DailyRequests, Endpoint, Failure, FailureKind, Key, Money, RecentCharges, RowHash,
    RunNumber, Totals, Usage,
};

/// One line of the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLine {
    /// A run begins.
    Run(RunLine),
    /// A call that is not its row's last, or whose end is not known.
    Attempt(Box<AttemptLine>),
    /// A row has ended.
    Outcome(Box<OutcomeLine>),
    /// Nothing remains of a run.
    RunEnd(RunEndLine),
    /// What lines told that were forgotten since.
    Carried(Box<CarriedLine>),
}

/// A run begins, or goes on behind another one: the lines that follow are its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLine {
    /// Its number.
    pub run: RunNumber,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// Where this line stands in the log: outcomes behind it belong to this run or a later one.
    pub offset: u64,
    /// What the run is for.
    #[serde(default, skip_serializing_if = "RunKind::is_job")]
    pub kind: RunKind,
    /// What a comparison compares, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
}

/// What a run is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// The job's rows.
    #[default]
    Job,
    /// Some of them through several models.
    Compare,
}

impl RunKind {
    /// Whether it is for the job's rows.
    #[must_use]
    pub fn is_job(&self) -> bool {
        *self == Self::Job
    }
}

/// What a run is for, as far as it tells apart which one goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purpose {
    /// The job's rows, or a comparison.
    pub kind: RunKind,
    /// What a comparison compares, in words: another one is another run.
    pub about: Option<String>,
}

impl Purpose {
    /// The job's rows.
    pub const JOB: Self = Self { kind: RunKind::Job, about: None };
}

/// Nothing remains of a run: the next line begins a new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEndLine {
    /// Its number.
    pub run: RunNumber,
    /// When, in milliseconds since 1970.
    pub at: u64,
}

/// What lines of a run told that were forgotten since: it counts as they did. It stands in the run's part of the log, and
/// only in a log of format 2.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedLine {
    /// The run that they belonged to.
    pub run: RunNumber,
    /// When they were forgotten, in milliseconds since 1970.
    pub at: u64,
    /// The number behind that of the last call among them: numbers are not given twice.
    pub next_call: CallNumber,
    /// Their sums.
    pub totals: Totals,
    /// When they came, and what went wrong.
    #[serde(default, skip_serializing_if = "Course::is_empty")]
    pub course: Course,
    /// What they count against budgets of a run.
    #[serde(default)]
    pub charged: Charges,
    /// What they count against budgets of a day or month.
    #[serde(default)]
    pub recent: RecentCharges,
    /// What they count against limits of a day.
    #[serde(default)]
    pub requests: DailyRequests,
}

impl CarriedLine {
    /// Takes in a line that is forgotten.
    pub fn count(&mut self, line: &LogLine) {
        self.totals.count(line);
        self.course.count(line);
        self.requests.count(line);
        if let Some((task, at, amount)) = line.charge() {
            self.charged.add(task, amount);
            self.recent.add(at, task, amount);
        }
        let next_call = match line {
            LogLine::Outcome(line) => line.call + 1,
            LogLine::Attempt(line) => line.call + 1,
            LogLine::Carried(earlier) => {
                self.charged.merge(&earlier.charged);
                self.recent.merge(&earlier.recent);
                earlier.next_call
            }
            LogLine::Run(_) | LogLine::RunEnd(_) => 0,
        };
        self.next_call = self.next_call.max(next_call);
    }
}

/// A call that is on record apart from its row's outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptLine {
    /// The call's number.
    pub call: CallNumber,
    /// The row's key.
    pub key: Key,
    /// The row's record number.
    pub row: u64,
    /// The run it belongs to.
    pub run: RunNumber,
    /// When it ended, in milliseconds since 1970.
    pub at: u64,
    /// The table of the job file that the row uses.
    pub task: String,
    /// The provider asked.
    pub provider: String,
    /// The model's name on the wire.
    pub model: String,
    /// What went wrong; `None` where the call was cut and its end is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// From sending to the end of the reply, in milliseconds.
    pub latency_ms: u64,
    /// The tokens, where the provider told them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What it cost; `None` where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Money>,
    /// The provider may have billed it, though no answer arrived: the worst that it may have cost is `worst_cost`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub possibly_billed: bool,
    /// The cost at most, where a price is known but not what it cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_cost: Option<Money>,
    /// A retry of the same model, after an earlier attempt of this row.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retry: bool,
    /// The model was told what was wrong with its answer before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reask: bool,
    /// The model that the row was at before, where that is another one: there it fell back, and here it came in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub came_from: Option<Origin>,
}

/// A model that a row has left for another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The provider.
    pub provider: String,
    /// The model's name on the wire.
    pub model: String,
}

/// One attempt in a row's trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrailEntry {
    /// The provider asked.
    pub provider: String,
    /// The model's name on the wire.
    pub model: String,
    /// What went wrong; `None` for the attempt that succeeded.
    pub kind: Option<FailureKind>,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// From sending to the end of the reply, in milliseconds.
    pub latency_ms: u64,
    /// What it cost; `None` where that is not known.
    pub cost_usd: Option<Money>,
}

/// The values of a row that its request was made of: what `run.on_change = "keep"` goes by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedValues {
    /// The columns that stood in the job, sorted: another prompt may use others. `None`: all of the row's bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// Files went with it. Not told in logs of before there was this mark.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub files: bool,
    /// Of the values, and of the files.
    pub hash: RowHash,
}

/// A row has ended, with an answer or a failure.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "marks that a line has or has not, each of its own")]
pub struct OutcomeLine {
    /// The number of the last call; 0 where none was made.
    pub call: CallNumber,
    /// The row's key.
    pub key: Key,
    /// The key that its calls were made under, where that is another one: the files that were part of it are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_as: Option<Key>,
    /// The row's record number when it ran.
    pub row: u64,
    /// Of the row's own id, where it has one: the same id under another key is a row that was edited, or another job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_hash: Option<RowHash>,
    /// Of the row's bytes: the same bytes under another key are another job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_hash: Option<RowHash>,
    /// Of rows with an id; `None` too where all of the row's bytes were used, and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<UsedValues>,
    /// What it asked, whoever it was: rows with the same request may take its answer. Only with `run.dedupe`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Key>,
    /// It ended as another row with the same request did, without a call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deduped: bool,
    /// The run it belongs to.
    pub run: RunNumber,
    /// When it ended, in milliseconds since 1970.
    pub at: u64,
    /// The table of the job file that the row used.
    pub task: String,
    /// Why it failed; `None` where it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The provider asked last; empty where none was.
    pub provider: String,
    /// The wire name of the model asked last; empty where none was.
    pub model: String,
    /// Requests sent for this row, 429s included.
    pub attempts: u32,
    /// The tokens of the last call; `None` where the provider did not tell them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The cost of the last call alone; `None` where that is not known.
    pub cost: Option<Money>,
    /// The cost of all attempts of the row; `None` where one of them is not known.
    pub row_cost: Option<Money>,
    /// From sending to the end of the last reply, in milliseconds.
    pub latency_ms: u64,
    /// The provider's id of the last call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Where the outcome of the same row that this one replaces stands in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<u64>,
    /// The last call was a retry of the same model.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retry: bool,
    /// The last call told the model what was wrong with its answer before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reask: bool,
    /// The model that the row was at before its last call, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub came_from: Option<Origin>,
    /// The model stopped at its output limit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// It is of a comparison, which asks one model alone: a failure says nothing about the job's route.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compared: bool,
    /// The last call's end is not known (a timeout after sending): it may have been billed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub possibly_billed: bool,
    /// The last call's cost at most, where a price is known but not what it cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_cost: Option<Money>,
    /// All attempts in order, where there was more than one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trail: Vec<TrailEntry>,
    /// Where it was asked, in whose words the reply is.
    #[serde(default, skip_serializing_if = "Endpoint::is_chat")]
    pub endpoint: Endpoint,
    /// The provider's reply as received; only its line breaks are blanks here. Lines that were copied share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Arc<RawValue>>,
}
