//! The report as CSV: all entries under one header, told apart by `scope`.

use super::{Entry, KindOfFailure, Night, Report, ReportError, WhatIf};
use crate::types::{Money, PossiblyBilled};

/// A figure's column, and how it is written.
type Column = (&'static str, fn(&Entry) -> String);

const FIGURES: [Column; 21] = [
    ("rows", |entry| entry.rows.to_string()),
    ("succeeded", |entry| entry.succeeded.to_string()),
    ("failed", |entry| entry.failed.to_string()),
    ("attempts", |entry| entry.attempts.to_string()),
    ("rate_limited", |entry| entry.rate_limited.to_string()),
    ("retries", |entry| entry.retries.to_string()),
    ("fallbacks_in", |entry| entry.fallbacks_in.to_string()),
    ("fallbacks_out", |entry| entry.fallbacks_out.to_string()),
    ("input_tokens", |entry| entry.input_tokens.to_string()),
    ("cached_input_tokens", |entry| entry.cached_input_tokens.to_string()),
    ("output_tokens", |entry| entry.output_tokens.to_string()),
    ("reasoning_tokens", |entry| entry.reasoning_tokens.to_string()),
    ("cost_usd", |entry| or_empty(entry.cost_usd)),
    ("wasted_usd", |entry| or_empty(entry.wasted_usd)),
    ("cost_unknown_rows", |entry| entry.cost_unknown_rows.to_string()),
    ("latency_p50_ms", |entry| or_empty(entry.latency_ms.p50)),
    ("latency_p95_ms", |entry| or_empty(entry.latency_ms.p95)),
    ("latency_p99_ms", |entry| or_empty(entry.latency_ms.p99)),
    ("price_source", |entry| or_empty(entry.price_source.as_ref())),
    ("truncated", |entry| entry.truncated.to_string()),
    ("cached_share", |entry| or_empty(entry.cached_share)),
];

/// What a line is about.
const NAMES: [&str; 4] = ["scope", "provider", "model", "task"];
/// Of some scopes alone.
const BESIDES: [&str; 9] = [
    "possibly_billed_max_cost_usd",
    "kind",
    "run",
    "started_at",
    "ended_at",
    "elapsed_ms",
    "rows_per_second",
    "cost_per_1000_rows_usd",
    "what_if",
];

/// What stands in a line, by column; all others are empty.
type Cells = Vec<(&'static str, String)>;

/// A line for the sum (scope `total`) and for each model, provider and task. What is not known, or does not apply, is
/// empty. Each kind of failure (scope `failure`: rows, and attempts that ended so), each of several runs (scope `run`), what another model
/// would have cost (scope `what_if`) and
/// calls that were possibly billed (scope `possibly_billed`) are lines of their own.
///
/// # Errors
/// [`ReportError::Encode`], which nothing in a report should bring about.
pub fn to_csv(report: &Report) -> Result<String, ReportError> {
    let mut lines: Vec<Cells> = report.entries().map(|(scope, entry)| entry_cells(scope, entry)).collect();
    lines.extend(report.failures.iter().map(failure_cells));
    lines.extend(report.runs.iter().map(night_cells));
    lines.extend(report.what_if.iter().flat_map(what_if_cells));
    if report.possibly_billed.attempts > 0 {
        lines.push(possibly_billed_cells(&report.possibly_billed));
    }
    write(&lines)
}

fn write(lines: &[Cells]) -> Result<String, ReportError> {
    let encode = |error: &dyn std::fmt::Display| ReportError::Encode(error.to_string());
    let columns: Vec<&str> = NAMES.into_iter().chain(FIGURES.map(|(name, _)| name)).chain(BESIDES).collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&columns).map_err(|error| encode(&error))?;
    for cells in lines {
        let cell = |column: &&str| cells.iter().find(|(name, _)| name == column).map_or("", |(_, cell)| cell.as_str());
        writer.write_record(columns.iter().map(cell)).map_err(|error| encode(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| encode(&error))?;
    String::from_utf8(bytes).map_err(|error| encode(&error))
}

fn entry_cells(scope: &str, entry: &Entry) -> Cells {
    let mut cells = named(scope, &FIGURES.map(|(name, written)| (name, written(entry))));
    let names = [("provider", &entry.provider), ("model", &entry.model), ("task", &entry.task)];
    cells.extend(names.map(|(column, name)| (column, name.clone().unwrap_or_default())));
    cells
}

fn failure_cells(kind: &KindOfFailure) -> Cells {
    named(
        "failure",
        &[
            ("kind", kind.kind.to_string()),
            ("rows", kind.rows.to_string()),
            ("failed", kind.rows.to_string()),
            ("attempts", kind.calls.to_string()),
            ("wasted_usd", kind.wasted_usd.to_string()),
        ],
    )
}

fn night_cells(night: &Night) -> Cells {
    named(
        "run",
        &[
            ("run", night.run.to_string()),
            ("started_at", night.started_at.to_string()),
            ("ended_at", or_empty(night.ended_at)),
            ("elapsed_ms", night.elapsed_ms.to_string()),
            ("rows", night.rows.to_string()),
            ("succeeded", night.succeeded.to_string()),
            ("failed", night.failed.to_string()),
            ("attempts", night.attempts.to_string()),
            ("rate_limited", night.rate_limited.to_string()),
            ("input_tokens", night.input_tokens.to_string()),
            ("output_tokens", night.output_tokens.to_string()),
            ("cost_usd", or_empty(night.cost_usd)),
            ("wasted_usd", or_empty(night.wasted_usd)),
            ("cost_unknown_rows", night.cost_unknown_rows.to_string()),
            ("possibly_billed_max_cost_usd", night.possibly_billed.max_cost_usd.to_string()),
            ("rows_per_second", or_empty(night.rows_per_second)),
            ("cost_per_1000_rows_usd", or_empty(night.cost_per_1000_rows_usd)),
        ],
    )
}

/// For the tokens of all, then for those of each model.
fn what_if_cells(other: &WhatIf) -> Vec<Cells> {
    let line = |provider: &str, model: &str, cost: Option<Money>| {
        let names = [("provider", provider.to_owned()), ("model", model.to_owned()), ("what_if", other.model.clone())];
        let cost = [("cost_usd", or_empty(cost)), ("price_source", other.price_source.to_string())];
        named("what_if", &[names.as_slice(), &cost].concat())
    };
    let parts = other.by_model.iter().map(|part| line(&part.provider, &part.model, part.cost_usd));
    std::iter::once(line("", "", other.cost_usd)).chain(parts).collect()
}

fn possibly_billed_cells(calls: &PossiblyBilled) -> Cells {
    let most = ("possibly_billed_max_cost_usd", calls.max_cost_usd.to_string());
    named("possibly_billed", &[("attempts", calls.attempts.to_string()), most])
}

fn named(scope: &str, cells: &[(&'static str, String)]) -> Cells {
    let mut all = vec![("scope", scope.to_owned())];
    all.extend_from_slice(cells);
    all
}

fn or_empty(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}
