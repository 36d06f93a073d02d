//! How a run ended.

use std::path::PathBuf;

use serde::Serialize;

use super::RowCounts;
use crate::types::{FailureKind, Money, PossiblyBilled, RunNumber, Tally, TallyId, Usage, is_zero};

/// Why a run stopped with rows remaining.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// SIGINT.
    Interrupted,
    /// SIGTERM or SIGHUP.
    Terminated,
    /// `run.deadline` is near: the rest of the time is for the drain.
    Deadline,
    /// As many rows failed as `run.max_failures` says.
    MaxFailures,
    /// No `run.max_failures` is given, and of the first rows every one failed.
    #[serde(rename = "max_failures")]
    FirstRowsFailed,
    /// A budget (`max_cost`) is used up.
    Budget,
    /// A route has no model left that can be used.
    NoModelLeft,
    /// Whoever read the results as they came is gone.
    OutputClosed,
    /// The run cannot go on: a file or the checkpoint failed.
    Failed,
}

impl StopReason {
    /// The exit code that tells it.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Interrupted => 130,
            Self::Terminated => 143,
            Self::Deadline | Self::MaxFailures | Self::FirstRowsFailed | Self::Budget => 5,
            Self::NoModelLeft => 6,
            // As a shell tells SIGPIPE.
            Self::OutputClosed => 141,
            Self::Failed => 1,
        }
    }

    /// The reason in words, to follow "stopped: ".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Interrupted => "interrupted",
            Self::Terminated => "asked to terminate",
            Self::Deadline => "the deadline (run.deadline)",
            Self::MaxFailures => "too many rows failed (run.max_failures)",
            Self::FirstRowsFailed => "the first rows all failed (run.max_failures says how many may)",
            Self::Budget => "the budget (max_cost)",
            Self::NoModelLeft => "a route has no model left that can be used",
            Self::OutputClosed => "the reader of the results is gone",
            Self::Failed => "an unexpected failure",
        }
    }
}

/// A budget that is used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedUp {
    /// Its key in the job file.
    pub key: String,
    /// What may be spent.
    pub max: Money,
    /// In which time; `None`: in one run.
    pub per: Option<&'static str>,
    /// What is spent of it, calls with an unknown end at their worst case.
    pub spent: Money,
    /// What the call may cost that did not fit any more.
    pub next: Money,
}

/// The end of a run or of a part of one: what stands on the last line of `--json`.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The job's name.
    pub job: String,
    /// The run's number; `None` where nothing was ever to do.
    pub run: Option<RunNumber>,
    /// The process's exit code.
    pub exit_code: u8,
    /// Why rows remain, where they do.
    pub stop_reason: Option<StopReason>,
    /// Where the job's rows stand.
    pub rows: RowCounts,
    /// Rows that ended in this invocation as another one with the same request did, without a call.
    #[serde(skip_serializing_if = "is_zero")]
    pub deduped: u64,
    /// Requests sent in this invocation, 429s included.
    pub attempts: u64,
    /// Requests answered by a rate limit.
    pub rate_limited: u64,
    /// Tokens of all calls.
    pub usage: Usage,
    /// The known part of the cost.
    pub cost_usd: Money,
    /// Rows whose cost is not, or not wholly, known.
    pub cost_unknown_rows: u64,
    /// Calls whose end is not known.
    pub possibly_billed: PossiblyBilled,
    /// How long this invocation took, in milliseconds.
    pub elapsed_ms: u64,
    /// Rows that failed in this run, by kind, the most first.
    #[serde(skip)]
    pub failures: Vec<(FailureKind, u64)>,
    /// Failed rows that this invocation found and did not send again, by kind, the most first.
    #[serde(skip)]
    pub left_failed: Vec<(FailureKind, u64)>,
    /// Rows that a retry sent again; `None`: it was no retry.
    #[serde(skip)]
    pub retried: Option<u64>,
    /// The sums of this invocation by task and model.
    #[serde(skip)]
    pub tallies: Vec<(TallyId, Tally)>,
    /// Providers that invent their answers.
    #[serde(skip)]
    pub simulated: Vec<String>,
    /// Budgets that are used up.
    #[serde(skip)]
    pub used_up: Vec<UsedUp>,
    /// Models that left the run, with what they said last.
    #[serde(skip)]
    pub removed: Vec<String>,
    /// Addresses and keys that the run went on without, with what they said.
    #[serde(skip)]
    pub left_out: Vec<String>,
    /// The results file, where it stands whole.
    #[serde(skip)]
    pub results: Option<PathBuf>,
    /// The errors file, likewise.
    #[serde(skip)]
    pub errors: Option<PathBuf>,
}
