//! The report as Markdown, to paste into an issue or a mail.

use std::fmt::Write;
use std::time::Duration;

use super::what_if::CAVEAT;
use super::words::{counted, held_back, model_name, one_line, span};
use super::{Entry, KindOfFailure, Night, Report, Runs, Waste, WhatIf};
use crate::types::{Money, PossiblyBilled, RowCounts, RowsNow};

/// A column behind the entry's name and its rows, and how its figure is written.
type Column = (&'static str, fn(&Entry) -> String);

const COLUMNS: [Column; 13] = [
    ("succeeded", |entry| entry.succeeded.to_string()),
    ("failed", |entry| entry.failed.to_string()),
    ("attempts", |entry| entry.attempts.to_string()),
    ("rate limited", |entry| entry.rate_limited.to_string()),
    ("retries", |entry| entry.retries.to_string()),
    ("fallbacks in/out", |entry| format!("{}/{}", entry.fallbacks_in, entry.fallbacks_out)),
    ("tokens in", |entry| entry.input_tokens.to_string()),
    ("cached", |entry| entry.cached_input_tokens.to_string()),
    ("tokens out", |entry| entry.output_tokens.to_string()),
    ("cost USD", cost),
    ("wasted USD", |entry| known(entry.wasted_usd)),
    ("p50/p95/p99 ms", latency),
    ("price", |entry| entry.price_source.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)),
];

/// A column of a table of runs.
type NightColumn = (&'static str, fn(&Night) -> String);

const NIGHT_COLUMNS: [NightColumn; 9] = [
    ("run", Night::name),
    ("began", |night| night.started_at.to_string()),
    ("took", |night| took(night.elapsed_ms)),
    ("rows", |night| night.rows.to_string()),
    ("succeeded", |night| night.succeeded.to_string()),
    ("failed", |night| night.failed.to_string()),
    ("cost USD", |night| with_unknown(night.cost_usd, night.cost_unknown_rows)),
    ("wasted USD", |night| known(night.wasted_usd)),
    ("USD per 1,000 rows", |night| night.cost_per_1000_rows_usd.map_or("-".to_owned(), |cost| cost.to_string())),
];

/// A heading, what stands out, and a table each for runs, models, providers, tasks and failures; no table of a single
/// provider or task, which would say the same again.
#[must_use]
pub fn to_markdown(report: &Report) -> String {
    let mut text = format!("# {}, {}\n\n", escaped(&report.job), report.run);
    for line in notes(report) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}\n");
    }
    nights(&mut text, &report.runs);
    let rows = report.run.rows_label();
    table(&mut text, "all", rows, std::slice::from_ref(&report.totals), |_| "total".to_owned());
    table(&mut text, "model", rows, &report.by_model, |entry| asked(&[&entry.provider, &entry.model]));
    if report.by_provider.len() > 1 {
        table(&mut text, "provider", rows, &report.by_provider, |entry| asked(&[&entry.provider]));
    }
    if report.by_task.len() > 1 {
        table(&mut text, "task", rows, &report.by_task, |entry| match entry.task.as_deref() {
            None | Some("") => "(none)".to_owned(),
            Some(task) => task.to_owned(),
        });
    }
    what_ifs(&mut text, &report.what_if);
    failures(&mut text, &report.failures);
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// What the tables do not say, a paragraph each.
fn notes(report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(elapsed) = report.elapsed_ms {
        let end = if report.ended_at.is_some() { "took" } else { "goes on, so far" };
        notes.push(format!("Began {}, {end} {}.", report.started_at, took(elapsed)));
    }
    notes.extend(report.rows_now.as_ref().map(rows_now));
    if report.run == Runs::All {
        notes.push("Row ends: a row that several runs sent counts once for each.".to_owned());
    }
    let all = &report.totals;
    if all.truncated > 0 {
        notes.push(format!("Truncated: {} answers stopped at the output limit.", all.truncated));
    }
    if !all.wasted_by.is_empty() {
        let part = |part: &Waste| format!("{} USD {}", part.cost_usd, phrase(part));
        let parts: Vec<String> = all.wasted_by.iter().map(part).collect();
        notes.push(format!("Wasted: {}.", parts.join(", ")));
    }
    notes.extend(possibly_billed(&report.possibly_billed));
    let waits: Vec<String> = report.held_back.iter().filter_map(held_back).collect();
    if !waits.is_empty() {
        notes.push(format!("Rows waited: {}.", escaped(&waits.join("; "))));
    }
    notes
}

fn possibly_billed(possibly: &PossiblyBilled) -> Option<String> {
    let unpriced = match possibly.cost_unknown {
        0 => String::new(),
        calls => format!(", and {calls} without a known price"),
    };
    let PossiblyBilled { attempts, max_cost_usd, .. } = possibly;
    (*attempts > 0).then(|| {
        format!(
            "Possibly billed, besides: {attempts} calls whose end is not known, at most {max_cost_usd} USD{unpriced}."
        )
    })
}

/// `invalid_answer (12 calls)`.
fn phrase(waste: &Waste) -> String {
    match waste.calls {
        0 => waste.reason.to_owned(),
        calls => format!("{} ({})", waste.reason, counted(calls, "call")),
    }
}

fn took(elapsed_ms: u64) -> String {
    span(Duration::from_millis(elapsed_ms))
}

fn nights(text: &mut String, nights: &[Night]) {
    if nights.is_empty() {
        return;
    }
    // As above, also below.
    let _ = writeln!(text, "| {} |", NIGHT_COLUMNS.map(|(name, _)| name).join(" | "));
    let _ = writeln!(text, "|---:|---|{}", "---:|".repeat(NIGHT_COLUMNS.len() - 2));
    for night in nights {
        let _ = writeln!(text, "| {} |", NIGHT_COLUMNS.map(|(_, written)| written(night)).join(" | "));
    }
    text.push('\n');
}

fn what_ifs(text: &mut String, others: &[WhatIf]) {
    if others.is_empty() {
        return;
    }
    let _ = writeln!(text, "| what if | tokens of | cost USD | price |\n|---|---|---:|---|");
    for other in others {
        let (name, source) = (escaped(&other.model), escaped(&other.price_source.to_string()));
        let _ = writeln!(text, "| {name} | all | {} | {source} |", known(other.cost_usd));
        for part in &other.by_model {
            let of = escaped(&model_name(&part.provider, &part.model));
            let _ = writeln!(text, "| {name} | {of} | {} | {source} |", known(part.cost_usd));
        }
    }
    let _ = writeln!(text, "\n{CAVEAT}\n");
}

fn failures(text: &mut String, kinds: &[KindOfFailure]) {
    if kinds.is_empty() {
        return;
    }
    text.push_str("| failure | rows | calls | wasted USD | for example | what to do |\n|---|---:|---:|---:|---|---|\n");
    for kind in kinds {
        let KindOfFailure { rows, calls, wasted_usd, advice, .. } = kind;
        let example = kind.samples.first().map_or("-".to_owned(), |sample| verbatim(&sample.message));
        let _ = writeln!(text, "| {} | {rows} | {calls} | {wasted_usd} | {example} | {advice} |", kind.kind);
    }
}

fn rows_now(now: &RowsNow) -> String {
    let RowCounts { total, succeeded, failed, failed_before, remaining, .. } = now.rows;
    let part = now.part.as_ref().map_or_else(String::new, |part| {
        let of = now.job_rows.map_or_else(String::new, |rows| format!(" of {rows} rows"));
        format!(" (a part{of}: {})", escaped(part))
    });
    format!(
        "Rows now{part}: {total} in all, {succeeded} succeeded, {} failed, {remaining} remaining.",
        failed + failed_before
    )
}

fn asked(names: &[&Option<String>]) -> String {
    let names: Vec<&str> = names.iter().filter_map(|name| name.as_deref()).filter(|name| !name.is_empty()).collect();
    if names.is_empty() { "(not sent)".to_owned() } else { names.join("/") }
}

fn table(text: &mut String, scope: &str, rows: &str, entries: &[Entry], name: impl Fn(&Entry) -> String) {
    let header = COLUMNS.map(|(name, _)| name).join(" | ");
    // All figures to the right, but for the last column, which is a word.
    let _ = writeln!(text, "| {scope} | {rows} | {header} |\n|---|{}---|", "---:|".repeat(COLUMNS.len()));
    for entry in entries {
        let cells = COLUMNS.map(|(_, written)| written(entry)).join(" | ");
        let _ = writeln!(text, "| {} | {} | {cells} |", escaped(&name(entry)), entry.rows);
    }
    text.push('\n');
}

fn known(money: Option<Money>) -> String {
    money.map_or_else(|| "unknown".to_owned(), |money| money.to_string())
}

fn cost(entry: &Entry) -> String {
    with_unknown(entry.cost_usd, entry.cost_unknown_rows)
}

fn with_unknown(cost: Option<Money>, unknown_rows: u64) -> String {
    match cost {
        Some(cost) if unknown_rows > 0 => format!("{cost} + {unknown_rows} rows unknown"),
        Some(_) | None => known(cost),
    }
}

fn latency(entry: &Entry) -> String {
    let time = |millis: Option<u64>| millis.map_or_else(|| "-".to_owned(), |millis| millis.to_string());
    let latency = &entry.latency_ms;
    [latency.p50, latency.p95, latency.p99].map(time).join("/")
}

/// A name cannot break its table.
fn escaped(name: &str) -> String {
    name.replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// Words of others in a table's cell: nothing in them is markup, names nobody and breaks out.
fn verbatim(text: &str) -> String {
    format!("`{}`", one_line(text).replace('`', "'").replace('|', "\\|"))
}
