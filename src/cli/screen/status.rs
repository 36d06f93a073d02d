//! How far a job is, in words.

use std::path::PathBuf;
use std::time::Duration;

use overnight::event::RowCounts;
use overnight::types::{Money, PossiblyBilled, RunNumber, Usage};
use serde::Serialize;

use super::phrases;
use super::words::{count, counted, share, span, usd};

/// How a job stands: the fields of a run's summary, and who runs it.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The job's name.
    pub job: String,
    /// The last run's number.
    pub run: Option<RunNumber>,
    /// What it is doing.
    pub state: State,
    /// The process that has it.
    pub pid: Option<u32>,
    /// The exit code of the run that finished.
    pub exit_code: Option<u8>,
    /// Why rows remain, where that was told.
    pub stop_reason: Option<String>,
    /// Where the job's rows stand.
    pub rows: RowCounts,
    /// Requests sent in the run, over all its resumes; 429s included.
    pub attempts: u64,
    /// Requests answered by a rate limit.
    pub rate_limited: u64,
    /// Tokens of all calls.
    pub usage: Usage,
    /// The known part of the cost; `None` where nothing of it is known.
    pub cost_usd: Option<Money>,
    /// Rows whose cost is not, or not wholly, known.
    pub cost_unknown_rows: u64,
    /// Calls whose end is not known.
    pub possibly_billed: PossiblyBilled,
    /// From the run's begin to its end, or to the last that is known of it, in milliseconds.
    pub elapsed_ms: u64,
    /// The job file as the user would name it.
    #[serde(skip)]
    pub job_file: PathBuf,
}

/// What a job is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A process is at work on it.
    Running,
    /// A process has it, and sends nothing for now.
    Paused,
    /// Rows remain, and nobody is at work on them.
    Stopped,
    /// Nothing remains.
    Finished,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Finished => "finished",
        }
    }
}

/// Some lines for people, line break at the end included.
pub fn status_text(status: &Status) -> String {
    let run = status.run.map_or_else(String::new, |run| format!(", run {run}"));
    let pid = status.pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
    let why = status.stop_reason.as_ref().map_or_else(String::new, |why| format!(": {}", why.replace('_', " ")));
    let elapsed = span(Duration::from_millis(status.elapsed_ms));
    let mut text = format!("{}{run}, {}{pid}{why}, {elapsed}\n", status.job, status.state.word());
    let mut add = |label: &str, line: &str| text.extend([format!("{label:<16} {line}\n")]);
    add("rows", &rows(&status.rows));
    let limited = match status.rate_limited {
        0 => String::new(),
        limited => format!(", {} of them rate limited", count(limited)),
    };
    add("requests", &format!("{} sent{limited}", count(status.attempts)));
    add("tokens", &format!("{} in, {} out", count(status.usage.input_tokens), count(status.usage.output_tokens)));
    add("cost", &phrases::cost(status.cost_usd.unwrap_or_default(), status.cost_unknown_rows));
    let possibly = &status.possibly_billed;
    if possibly.attempts > 0 {
        let (calls, most) = (counted(possibly.attempts, "call"), usd(possibly.max_cost_usd));
        let unpriced = if possibly.cost_unknown > 0 { " and an unknown part" } else { "" };
        add("possibly billed", &format!("{calls} whose end is not known: at most {most}{unpriced}"));
    }
    match status.state {
        State::Stopped => add("next", &format!("overnight run {}", status.job_file.display())),
        State::Finished if status.rows.failed + status.rows.failed_before > 0 => {
            add("next", &format!("overnight errors {}", status.job_file.display()));
        }
        State::Running | State::Paused | State::Finished => {}
    }
    text
}

fn rows(rows: &RowCounts) -> String {
    let mut parts = vec![format!("{} succeeded", count(rows.succeeded)), format!("{} failed", count(rows.failed))];
    if rows.failed_before > 0 {
        parts.push(format!("{} failed before", count(rows.failed_before)));
    }
    parts.push(format!("{} remaining", count(rows.remaining)));
    format!("{} in all: {}", count(rows.total), parts.join(", "))
}

/// One line of a list of jobs.
pub fn status_line(status: &Status) -> String {
    let rows = &status.rows;
    let done = format!("{}/{} {}%", count(rows.ended()), count(rows.total), share(rows.ended(), rows.total, 100));
    let failed = match rows.failed + rows.failed_before {
        0 => String::new(),
        failed => format!("  {} failed", count(failed)),
    };
    let cost = phrases::cost(status.cost_usd.unwrap_or_default(), status.cost_unknown_rows);
    format!("{:<32} {:<8}  {done}{failed}  {cost}\n", status.job_file.display(), status.state.word())
}

/// What a command that only reads says of a job that has not run.
pub fn nothing_yet(job: &str, job_file: &std::path::Path, json: bool) -> String {
    if json {
        return format!("{}\n", serde_json::json!({ "job": job, "run": null }));
    }
    format!("{job}: nothing has run yet\nnext             overnight run {}\n", job_file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        Status {
            job: "tag-reviews".to_owned(),
            run: Some(3),
            state: State::Stopped,
            pid: None,
            exit_code: None,
            stop_reason: Some("no_model_left".to_owned()),
            rows: RowCounts { total: 2_000, succeeded: 490, failed: 10, remaining: 1_500, ..RowCounts::default() },
            attempts: 1_115,
            rate_limited: 100,
            usage: Usage { input_tokens: 1_234_567, output_tokens: 45_000, ..Usage::default() },
            cost_usd: "1.5".parse().ok(),
            cost_unknown_rows: 0,
            possibly_billed: PossiblyBilled { attempts: 1, max_cost_usd: "0.01".parse().unwrap(), cost_unknown: 0 },
            elapsed_ms: 125_000,
            job_file: "jobs/tag.toml".into(),
        }
    }

    #[test]
    fn a_stopped_job_tells_how_far_it_is_and_how_to_go_on() {
        insta::assert_snapshot!(status_text(&status()), @r"
        tag-reviews, run 3, stopped: no model left, 2m 05s
        rows             2,000 in all: 490 succeeded, 10 failed, 1,500 remaining
        requests         1,115 sent, 100 of them rate limited
        tokens           1,234,567 in, 45,000 out
        cost             $1.5000
        possibly billed  1 call whose end is not known: at most $0.0100
        next             overnight run jobs/tag.toml
        ");
    }

    #[test]
    fn a_running_job_is_a_line_in_a_list() {
        let running = Status { state: State::Running, pid: Some(77), stop_reason: None, ..status() };
        insta::assert_snapshot!(status_line(&running), @"jobs/tag.toml                    running   500/2,000 25%  10 failed  $1.5000");
    }
}
