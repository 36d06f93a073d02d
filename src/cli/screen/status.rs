//! How far a job is, in words.

use std::path::PathBuf;
use std::time::Duration;

use overnight::event::RowCounts;
use overnight::types::{Money, PossiblyBilled, RunNumber, Usage};
use serde::Serialize;

use super::lines::Lines;
use super::phrases;
use super::words::{cost, count, share, span};

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
    /// The exit code of its end, or of its last stop where that was told.
    pub exit_code: Option<u8>,
    /// Why rows remain, where that was told.
    pub stop_reason: Option<String>,
    /// Where the rows stand that the last run is about.
    pub rows: RowCounts,
    /// Which part of the job that is, as the command line had it; `None`: all of it.
    pub part: Option<String>,
    /// How many rows the whole job has, where that is known.
    pub job_rows: Option<u64>,
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
    /// How many runs the job has had.
    pub runs: u64,
    /// The known part of what all runs cost; `None` where nothing of it is known.
    pub all_runs_cost_usd: Option<Money>,
    /// Row ends of all runs whose cost is not, or not wholly, known.
    pub all_runs_cost_unknown_rows: u64,
    /// Calls whose end is not known.
    pub possibly_billed: PossiblyBilled,
    /// From the run's begin to its end, or to the last that is known of it, in milliseconds.
    pub elapsed_ms: u64,
    /// The last run was a comparison: the job itself has not run yet.
    #[serde(skip)]
    pub only_compared: bool,
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
    let mut text = Lines(format!("{}{run}, {}{pid}{why}, {elapsed}\n", status.job, status.state.word()));
    if let Some(part) = &status.part {
        text.add("only a part", &phrases::part(part, status.job_rows));
    }
    text.add("rows", &phrases::rows(&status.rows));
    text.add("requests", &phrases::requests(status.attempts, status.rate_limited));
    text.add("tokens", &phrases::tokens(&status.usage));
    let cost = phrases::cost(status.cost_usd.unwrap_or_default(), status.cost_unknown_rows);
    text.add("cost", &format!("{cost}{}", all_runs(status)));
    if let Some(possibly) = phrases::possibly_billed(&status.possibly_billed) {
        text.add("possibly billed", &possibly);
    }
    next(status, &mut text);
    text.0
}

/// What all runs cost, where there was more than one.
fn all_runs(status: &Status) -> String {
    if status.runs < 2 {
        return String::new();
    }
    let known = status.all_runs_cost_usd.unwrap_or_default();
    format!(", all {} runs {}", count(status.runs), cost(known, status.all_runs_cost_unknown_rows))
}

fn next(status: &Status, text: &mut Lines) {
    let job = status.job_file.display();
    let (run, errors) = (format!("overnight run {job}"), format!("overnight errors {job}"));
    let has_failed = status.rows.failed + status.rows.failed_before > 0;
    match (status.state, has_failed) {
        (State::Stopped, _) => text.add("next", &run),
        // What a model failed alone is none of the job's errors.
        (State::Finished, _) if status.only_compared => text.add("next", &run),
        (State::Finished, true) => text.add("next", &errors),
        (State::Finished, false) if status.part.is_some() => text.add("next", &run),
        (State::Running | State::Paused | State::Finished, _) => {}
    }
}

/// One line of a list of jobs.
pub fn status_line(status: &Status) -> String {
    let rows = &status.rows;
    let done = format!("{}/{} {}%", count(rows.ended()), count(rows.total), share(rows.ended(), rows.total, 100));
    let part = match (&status.part, status.job_rows) {
        (None, _) => String::new(),
        (Some(_), None) => " of a part".to_owned(),
        (Some(_), Some(rows)) => format!(" of a part of {}", count(rows)),
    };
    let failed = match rows.failed + rows.failed_before {
        0 => String::new(),
        failed => format!("  {} failed", count(failed)),
    };
    let cost = phrases::cost(status.cost_usd.unwrap_or_default(), status.cost_unknown_rows);
    let (file, state, all_runs) = (status.job_file.display().to_string(), status.state.word(), all_runs(status));
    format!("{file:<28} {state:<8}  {done}{part}{failed}  {cost}{all_runs}\n")
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
            part: None,
            job_rows: Some(2_000),
            attempts: 1_115,
            rate_limited: 100,
            usage: Usage { input_tokens: 1_234_567, output_tokens: 45_000, ..Usage::default() },
            cost_usd: "1.5".parse().ok(),
            cost_unknown_rows: 0,
            runs: 1,
            all_runs_cost_usd: "1.5".parse().ok(),
            all_runs_cost_unknown_rows: 0,
            possibly_billed: PossiblyBilled { attempts: 1, max_cost_usd: "0.01".parse().unwrap(), cost_unknown: 0 },
            elapsed_ms: 125_000,
            only_compared: false,
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
        possibly billed  1 call, end not known: at most $0.0100
        next             overnight run jobs/tag.toml
        ");
    }

    #[test]
    fn after_a_comparison_the_job_is_still_to_be_run() {
        let compared = Status { state: State::Finished, stop_reason: None, only_compared: true, ..status() };
        assert!(status_text(&compared).ends_with("next             overnight run jobs/tag.toml\n"));
        let ran = Status { only_compared: false, ..compared };
        assert!(status_text(&ran).ends_with("next             overnight errors jobs/tag.toml\n"));
    }

    #[test]
    fn a_running_job_is_a_line_in_a_list() {
        let running = Status { state: State::Running, pid: Some(77), stop_reason: None, ..status() };
        insta::assert_snapshot!(status_line(&running), @"jobs/tag.toml                running   500/2,000 25%  10 failed  $1.5000");
    }

    #[test]
    fn a_part_is_not_shown_as_the_job_and_all_runs_have_their_cost() {
        let rows = RowCounts { total: 20, succeeded: 20, ..RowCounts::default() };
        let part = Status {
            state: State::Finished,
            stop_reason: None,
            rows,
            part: Some("--sample 20 --task tag".to_owned()),
            runs: 3,
            all_runs_cost_usd: "4.25".parse().ok(),
            all_runs_cost_unknown_rows: 2,
            possibly_billed: PossiblyBilled::default(),
            ..status()
        };
        insta::assert_snapshot!(status_text(&part), @r"
        tag-reviews, run 3, finished, 2m 05s
        only a part      --sample 20 --task tag, of 2,000 rows
        rows             20 in all: 20 succeeded, 0 failed, 0 remaining
        requests         1,115 sent, 100 of them rate limited
        tokens           1,234,567 in, 45,000 out
        cost             $1.5000, all 3 runs $4.2500+?
        next             overnight run jobs/tag.toml
        ");
        insta::assert_snapshot!(status_line(&part), @"jobs/tag.toml                finished  20/20 100% of a part of 2,000  $1.5000, all 3 runs $4.2500+?");
        let unknown = Status { job_rows: None, runs: 1, ..part };
        assert!(status_line(&unknown).contains("20/20 100% of a part  $1.5000\n"), "{}", status_line(&unknown));
    }
}
