//! The report as CSV: all entries under one header, told apart by `scope`.

use std::iter;

use super::{Entry, Report, ReportError};
use crate::types::PossiblyBilled;

/// A figure's column, and how it is written.
type Column = (&'static str, fn(&Entry) -> String);

/// What a line is about.
const NAMES: [&str; 4] = ["scope", "provider", "model", "task"];

const FIGURES: [Column; 19] = [
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
];

/// Of the line of calls that were possibly billed alone.
const AT_MOST: &str = "possibly_billed_max_cost_usd";

/// A line for the sum (scope `total`) and for each model, provider and task. What is not known, or does not apply, is
/// empty. Calls that were possibly billed are a line of their own (scope `possibly_billed`).
///
/// # Errors
/// [`ReportError::Encode`], which nothing in a report should bring about.
pub fn to_csv(report: &Report) -> Result<String, ReportError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut write = |fields: &[String]| writer.write_record(fields).map_err(|error| encode(&error));
    let header = NAMES.into_iter().chain(FIGURES.map(|(name, _)| name)).chain([AT_MOST]);
    write(&header.map(str::to_owned).collect::<Vec<_>>())?;
    for (scope, entry) in report.entries() {
        write(&fields(scope, entry))?;
    }
    if report.possibly_billed.attempts > 0 {
        write(&possibly_billed(&report.possibly_billed))?;
    }
    let bytes = writer.into_inner().map_err(|error| encode(&error))?;
    String::from_utf8(bytes).map_err(|error| encode(&error))
}

fn encode(error: &dyn std::fmt::Display) -> ReportError {
    ReportError::Encode(error.to_string())
}

fn fields(scope: &str, entry: &Entry) -> Vec<String> {
    let names = [&entry.provider, &entry.model, &entry.task].map(|name| name.clone().unwrap_or_default());
    let figures = FIGURES.iter().map(|(_, written)| written(entry));
    iter::once(scope.to_owned()).chain(names).chain(figures).chain([String::new()]).collect()
}

fn possibly_billed(calls: &PossiblyBilled) -> Vec<String> {
    let scope = NAMES.map(|name| if name == "scope" { "possibly_billed".to_owned() } else { String::new() });
    let attempts = |name: &str| if name == "attempts" { calls.attempts.to_string() } else { String::new() };
    let figures = FIGURES.iter().map(|(name, _)| attempts(name));
    scope.into_iter().chain(figures).chain([calls.max_cost_usd.to_string()]).collect()
}

fn or_empty(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}
