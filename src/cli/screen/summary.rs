//! The text at the end of a run: what was done, what it cost, and what to do next.

use std::io;
use std::path::Path;
use std::time::Duration;

use comfy_table::Cell;
use overnight::event::{StopReason, Summary};
use overnight::types::{FailureKind, Money, Tally, TallyId};

use super::lines::Lines;
use super::paint::Paint;
use super::phrases;
use super::table::{figure, unframed};
use super::words::{cost, count, counted, model_name, one_line, short, span, tenths, usd};
use crate::cli::args::ColorMode;

/// The summary as text for standard output, line break at the end included.
///
/// `job`: what the user calls it.
pub fn summary_text(summary: &Summary, job: &Path, color: ColorMode) -> String {
    text_of(summary, job, Paint::new(color, &io::stdout()))
}

fn text_of(summary: &Summary, job: &Path, paint: Paint) -> String {
    let mut text = Lines(String::new());
    text.whole(&heading(summary, paint));
    rows(summary, &mut text);
    money(summary, &mut text);
    if summary.tallies.iter().any(|(_, tally)| tally.attempts > 0) {
        text.whole(&format!("\n{}\n", by_model(&summary.tallies)));
    }
    warnings(summary, &mut text);
    files(summary, job, &mut text);
    next(summary, job, &mut text);
    text.0
}

fn heading(summary: &Summary, paint: Paint) -> String {
    let run = summary.run.map_or_else(String::new, |run| format!(", run {run}"));
    let ending = phrases::ending(summary.stop_reason, summary.retried.is_some());
    let ending = match (summary.stop_reason, summary.rows.failed) {
        (Some(_), _) => paint.red(ending),
        (None, 0) => paint.green(ending),
        (None, _) => paint.yellow(ending),
    };
    let elapsed = tenths(summary.elapsed_ms).unwrap_or_else(|| span(Duration::from_millis(summary.elapsed_ms)));
    let why = summary.stop_reason.map_or_else(String::new, |reason| format!(": {}", reason.words()));
    format!("{}{run}, {ending} after {elapsed}{why}", summary.job)
}

fn rows(summary: &Summary, text: &mut Lines) {
    let rows = &summary.rows;
    text.add("rows", &phrases::rows(rows));
    let left: u64 = summary.left_failed.iter().map(|(_, rows)| rows).sum();
    let done = rows.skipped.saturating_sub(left);
    if done > 0 {
        text.add("", &format!("{} done before and not sent again", count(done)));
    }
    if left > 0 {
        text.add("", &format!("{} failed before, left alone", count(left)));
    }
    if rows.truncated > 0 {
        text.add(
            "truncated",
            &format!("{} stopped at the output limit (max_tokens)", counted(rows.truncated, "answer")),
        );
    }
    if !summary.failures.is_empty() {
        text.add("failed", &kinds(&summary.failures));
    }
}

fn kinds(failures: &[(FailureKind, u64)]) -> String {
    failures.iter().map(|(kind, rows)| format!("{} {kind}", count(*rows))).collect::<Vec<_>>().join(", ")
}

/// A word for a retry that had nothing to do, line break at the end included.
pub fn retry_note(summary: &Summary) -> Option<String> {
    if summary.retried != Some(0) || summary.stop_reason.is_some() {
        return None;
    }
    let left = match summary.left_failed.as_slice() {
        [] => "no row has failed".to_owned(),
        left => format!("left alone: {}", kinds(left)),
    };
    Some(format!("no row fits this retry, so nothing was sent again; {left}\n"))
}

fn money(summary: &Summary, text: &mut Lines) {
    text.add("requests", &phrases::requests(summary.attempts, summary.rate_limited));
    if let Some(deduped) = phrases::deduped(summary.deduped) {
        text.add("", &deduped);
    }
    let sum = |of: fn(&Tally) -> u64| summary.tallies.iter().map(|(_, tally)| of(tally)).sum();
    if let Some(answers) = phrases::invalid_answers(sum(|tally| tally.invalid_answers), sum(|tally| tally.reasks)) {
        text.add("answers", &answers);
    }
    text.add("tokens", &phrases::tokens(&summary.usage));
    let wasted: Money = summary.tallies.iter().map(|(_, tally)| tally.wasted_usd).sum();
    text.add("cost", &phrases::total_cost(summary.cost_usd, wasted, summary.cost_unknown_rows));
    if let Some(possibly) = phrases::possibly_billed(&summary.possibly_billed) {
        text.add("possibly billed", &possibly);
    }
}

/// A line for each model and task; the task's column only where there is more than one.
fn by_model(tallies: &[(TallyId, Tally)]) -> String {
    // A batch has a task for each model, and of that name.
    let says_more = |id: &TallyId| !id.model.is_empty() && id.task != id.model;
    let many_tasks =
        tallies.iter().any(|(id, _)| id.task != tallies[0].0.task) && tallies.iter().any(|(id, _)| says_more(id));
    let mut table = unframed();
    let names: &[&str] = if many_tasks { &["model", "task"] } else { &["model"] };
    let figures = ["rows", "failed", "requests", "in", "out", "cost"];
    table.set_header(names.iter().map(Cell::new).chain(figures.map(figure)));
    for (id, tally) in tallies {
        let mut row = vec![Cell::new(name(id))];
        if many_tasks {
            row.push(Cell::new(&id.task));
        }
        row.extend([
            figure(&count(tally.succeeded + tally.failed)),
            figure(&count(tally.failed)),
            figure(&count(tally.attempts)),
            figure(&short(tally.usage.input_tokens)),
            figure(&short(tally.usage.output_tokens)),
            figure(&cost(tally.cost_usd, tally.cost_unknown_rows)),
        ]);
        table.add_row(row);
    }
    table.trim_fmt()
}

fn name(id: &TallyId) -> String {
    if id.provider.is_empty() { "(not sent)".to_owned() } else { model_name(&id.provider, &id.model) }
}

/// What somebody should look at.
pub(super) fn warnings(summary: &Summary, text: &mut Lines) {
    for used_up in &summary.used_up {
        let per = used_up.per.map_or_else(String::new, |per| format!(" a {per}"));
        let (max, spent, next) = (usd(used_up.max), usd(used_up.spent), usd(used_up.next));
        text.add("budget", &format!("{}, {max}{per}: {spent} spent, the next call may cost {next}", used_up.key));
    }
    for removed in &summary.removed {
        text.add("model removed", &one_line(removed));
    }
    for left_out in &summary.left_out {
        text.add("left out", &one_line(left_out));
    }
    if !summary.simulated.is_empty() {
        text.add("simulated", &format!("the answers of {} are invented", summary.simulated.join(", ")));
    }
}

fn files(summary: &Summary, job: &Path, text: &mut Lines) {
    if let Some(results) = &summary.results {
        text.add("results", &shown(results));
    }
    let failed = summary.rows.failed + summary.rows.failed_before > 0;
    match &summary.errors {
        Some(errors) if failed => text.add("errors", &shown(errors)),
        None if failed && summary.results.is_some() => {
            text.add("errors", &format!("`overnight errors {}` tells them by kind", job.display()));
        }
        Some(_) | None => {}
    }
}

fn next(summary: &Summary, job: &Path, text: &mut Lines) {
    let Some(reason) = summary.stop_reason else { return };
    let first = match reason {
        StopReason::Interrupted | StopReason::Terminated | StopReason::Deadline | StopReason::OutputClosed => {
            "run the same command to go on"
        }
        StopReason::MaxFailures | StopReason::FirstRowsFailed => {
            "see `overnight errors`, then run the same command to go on"
        }
        StopReason::Budget if summary.used_up.iter().any(|used_up| used_up.per.is_some()) => {
            "raise max_cost, or wait for its next day or month; then run the same command to go on"
        }
        StopReason::Budget => "raise max_cost, then run the same command to go on",
        StopReason::NoModelLeft | StopReason::Failed => "mend the cause, then run the same command to go on",
    };
    text.add("next", first);
    text.add("", "all answers so far are kept; their rows are not sent again");
    if summary.rows.succeeded > 0 {
        text.add("", &format!("`overnight export {} -o FILE` writes what is there", job.display()));
    }
}

/// From the working directory, where that is shorter.
pub fn shown(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let here = std::env::current_dir().and_then(|here| here.canonicalize()).ok();
    let below = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    below.unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use overnight::event::RowCounts;
    use overnight::types::{PossiblyBilled, Usage};

    use super::*;

    fn tally(task: &str, model: &str, tally: Tally) -> (TallyId, Tally) {
        let provider = if model.is_empty() { String::new() } else { "gateway".to_owned() };
        (TallyId { task: task.to_owned(), provider, model: model.to_owned() }, tally)
    }

    fn summary() -> Summary {
        let usage =
            Usage { input_tokens: 1_234_567, cached_input_tokens: 1_000, output_tokens: 45_000, ..Usage::default() };
        let plus = Tally {
            succeeded: 900,
            failed: 8,
            attempts: 1_020,
            rate_limited: 100,
            usage,
            cost_usd: "1.5".parse().unwrap(),
            wasted_usd: "0.25".parse().unwrap(),
            ..Tally::default()
        };
        let max = Tally { succeeded: 90, attempts: 95, cost_unknown_rows: 90, ..Tally::default() };
        Summary {
            job: "tag-reviews".to_owned(),
            run: Some(3),
            exit_code: 4,
            stop_reason: None,
            rows: RowCounts { total: 2_000, succeeded: 1_990, failed: 10, skipped: 1_000, ..RowCounts::default() },
            deduped: 0,
            attempts: 1_115,
            rate_limited: 100,
            usage,
            cost_usd: "1.5".parse().unwrap(),
            cost_unknown_rows: 90,
            possibly_billed: PossiblyBilled { attempts: 1, max_cost_usd: "0.01".parse().unwrap(), cost_unknown: 0 },
            elapsed_ms: 125_000,
            failures: vec![(FailureKind::ContextLength, 8), (FailureKind::BadRow, 2)],
            left_failed: Vec::new(),
            retried: None,
            tallies: vec![
                tally("tag", "qwen-plus", plus),
                tally("tag", "", Tally { failed: 2, ..Tally::default() }),
                tally("tag", "qwen-max", max),
            ],
            simulated: Vec::new(),
            used_up: Vec::new(),
            removed: Vec::new(),
            left_out: Vec::new(),
            results: Some("out/reviews.jsonl".into()),
            errors: Some("out/reviews.errors.jsonl".into()),
        }
    }

    #[test]
    fn a_finished_run_tells_rows_failures_cost_and_files() {
        let expected = "\
tag-reviews, run 3, finished after 2m 05s
rows             2,000 in all: 1,990 succeeded, 10 failed, 0 remaining
                 1,000 done before and not sent again
failed           8 context_length, 2 bad_row
requests         1,115 sent, 100 of them rate limited
tokens           1,234,567 in (1,000 cached), 45,000 out
cost             $1.5000 ($0.2500 wasted) and an unknown part for 90 rows
possibly billed  1 call, end not known: at most $0.0100

 model              rows  failed  requests    in  out     cost
 gateway/qwen-plus   908       8     1,020  1.2M  45k  $1.5000
 (not sent)            2       2         0     0    0       $0
 gateway/qwen-max     90       0        95     0    0  unknown

results          out/reviews.jsonl
errors           out/reviews.errors.jsonl
";
        assert_eq!(text_of(&summary(), Path::new("tag.toml"), Paint::default()), expected);
    }

    #[test]
    fn a_stopped_run_tells_why_and_how_to_go_on() {
        let mut summary = summary();
        summary.stop_reason = Some(StopReason::NoModelLeft);
        summary.rows =
            RowCounts { total: 2_000, succeeded: 500, remaining: 1_500, truncated: 1, ..RowCounts::default() };
        (summary.results, summary.errors) = (None, None);
        summary.failures.clear();
        summary.tallies.clear();
        (summary.cost_usd, summary.possibly_billed) = (Money::ZERO, PossiblyBilled::default());
        summary.removed = vec!["gateway/qwen-plus: auth (no such key)".to_owned()];
        summary.simulated = vec!["sim".to_owned()];
        let expected = "\
tag-reviews, run 3, stopped after 2m 05s: a route has no model left that can be used
rows             2,000 in all: 500 succeeded, 0 failed, 1,500 remaining
truncated        1 answer stopped at the output limit (max_tokens)
requests         1,115 sent, 100 of them rate limited
tokens           1,234,567 in (1,000 cached), 45,000 out
cost             unknown for 90 rows
model removed    gateway/qwen-plus: auth (no such key)
simulated        the answers of sim are invented
next             mend the cause, then run the same command to go on
                 all answers so far are kept; their rows are not sent again
                 `overnight export tag.toml -o FILE` writes what is there
";
        assert_eq!(text_of(&summary, Path::new("tag.toml"), Paint::default()), expected);
    }

    #[test]
    fn failed_rows_that_are_left_alone_are_not_among_those_that_are_done() {
        let mut summary = summary();
        summary.rows.failed_before = 7;
        summary.left_failed = vec![(FailureKind::Timeout, 7), (FailureKind::BadRow, 2)];
        let text = text_of(&summary, Path::new("tag.toml"), Paint::default());
        let rows = "1,990 succeeded, 10 failed, 7 failed before, 0 remaining
                 991 done before and not sent again
                 9 failed before, left alone\n";
        assert!(text.contains(rows), "{text}");
    }

    #[test]
    fn a_retry_without_a_row_says_so_and_what_it_left_alone() {
        let mut summary = Summary { retried: Some(0), ..summary() };
        assert_eq!(
            retry_note(&summary).unwrap(),
            "no row fits this retry, so nothing was sent again; no row has failed\n"
        );
        summary.left_failed = vec![(FailureKind::Timeout, 1_200), (FailureKind::BadRow, 2)];
        let note = retry_note(&summary).unwrap();
        assert!(note.ends_with("again; left alone: 1,200 timeout, 2 bad_row\n"), "{note}");
        for retried in [None, Some(1)] {
            assert_eq!(retry_note(&Summary { retried, ..summary.clone() }), None);
        }
    }

    #[test]
    fn a_retry_has_finished_where_it_has_sent_its_own_rows_whatever_remains() {
        let rows = RowCounts { remaining: 590, ..summary().rows };
        let retried = Summary { retried: Some(3), rows, ..summary() };
        let first = text_of(&retried, Path::new("job.toml"), Paint::default());
        assert!(first.starts_with("tag-reviews, run 3, retry finished after 2m 05s\n"), "{first}");
    }

    #[test]
    fn eighty_columns_hold_the_table_with_tasks_and_long_names() {
        let mut summary = summary();
        let long = "a-model-with-a-very-long-name-that-goes-on-2026-01-01";
        summary.tallies.push(tally("another-long-task-name", long, summary.tallies[0].1.clone()));
        for line in by_model(&summary.tallies).lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
