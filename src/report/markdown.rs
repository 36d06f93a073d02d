//! The report as Markdown, to paste into an issue or a mail.

use std::fmt::Write;

use super::{Entry, Report, Runs};
use crate::types::{Money, RowCounts, RowsNow};

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

/// A heading, what was possibly billed, and a table each for models, providers and tasks.
#[must_use]
pub fn to_markdown(report: &Report) -> String {
    let mut text = format!("# {}, {}\n\n", escaped(&report.job), report.run);
    if let Some(now) = &report.rows_now {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}\n", rows_now(now));
    }
    if report.run == Runs::All {
        text.push_str("Row ends: a row that several runs sent counts once for each.\n\n");
    }
    let possibly = &report.possibly_billed;
    if possibly.attempts > 0 {
        let unpriced = match possibly.cost_unknown {
            0 => String::new(),
            calls => format!(", and {calls} without a known price"),
        };
        // As above.
        let _ = writeln!(
            text,
            "Possibly billed, besides: {} calls whose end is not known, at most {} USD{unpriced}.\n",
            possibly.attempts, possibly.max_cost_usd
        );
    }
    let rows = report.run.rows_label();
    table(&mut text, "all", rows, std::slice::from_ref(&report.totals), |_| "total".to_owned());
    table(&mut text, "model", rows, &report.by_model, |entry| asked(&[&entry.provider, &entry.model]));
    table(&mut text, "provider", rows, &report.by_provider, |entry| asked(&[&entry.provider]));
    table(&mut text, "task", rows, &report.by_task, |entry| match entry.task.as_deref() {
        None | Some("") => "(none)".to_owned(),
        Some(task) => task.to_owned(),
    });
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
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
    let known = known(entry.cost_usd);
    if entry.cost_unknown_rows > 0 && entry.cost_usd.is_some() {
        return format!("{known} + {} rows unknown", entry.cost_unknown_rows);
    }
    known
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
