//! The report as CSV: all entries under one header, told apart by `scope`.

use super::{Entry, Report, ReportError};

const COLUMNS: [&str; 24] = [
    "scope",
    "provider",
    "model",
    "task",
    "rows",
    "succeeded",
    "failed",
    "attempts",
    "rate_limited",
    "retries",
    "fallbacks_in",
    "fallbacks_out",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_usd",
    "wasted_usd",
    "cost_unknown_rows",
    "latency_p50_ms",
    "latency_p95_ms",
    "latency_p99_ms",
    "price_source",
    "possibly_billed_max_cost_usd",
];

/// A line for the sum (scope `total`) and for each model, provider and task. What is not known, or does not apply, is
/// empty. Calls that were possibly billed are a line of their own (scope `possibly_billed`).
///
/// # Errors
/// [`ReportError::Encode`], which nothing in a report should bring about.
pub fn to_csv(report: &Report) -> Result<String, ReportError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut write = |fields: &[String]| writer.write_record(fields).map_err(|error| encode(&error));
    write(&COLUMNS.map(str::to_owned))?;
    for (scope, entry) in report.entries() {
        write(&fields(scope, entry))?;
    }
    if report.possibly_billed.attempts > 0 {
        let mut line = [const { String::new() }; COLUMNS.len()];
        line[0].push_str("possibly_billed");
        line[7] = report.possibly_billed.attempts.to_string();
        line[COLUMNS.len() - 1] = report.possibly_billed.max_cost_usd.to_string();
        write(&line)?;
    }
    let bytes = writer.into_inner().map_err(|error| encode(&error))?;
    String::from_utf8(bytes).map_err(|error| encode(&error))
}

fn encode(error: &dyn std::fmt::Display) -> ReportError {
    ReportError::Encode(error.to_string())
}

fn fields(scope: &str, entry: &Entry) -> [String; COLUMNS.len()] {
    let name = |name: &Option<String>| name.clone().unwrap_or_default();
    [
        scope.to_owned(),
        name(&entry.provider),
        name(&entry.model),
        name(&entry.task),
        entry.rows.to_string(),
        entry.succeeded.to_string(),
        entry.failed.to_string(),
        entry.attempts.to_string(),
        entry.rate_limited.to_string(),
        entry.retries.to_string(),
        entry.fallbacks_in.to_string(),
        entry.fallbacks_out.to_string(),
        entry.input_tokens.to_string(),
        entry.cached_input_tokens.to_string(),
        entry.output_tokens.to_string(),
        entry.reasoning_tokens.to_string(),
        or_empty(entry.cost_usd),
        or_empty(entry.wasted_usd),
        entry.cost_unknown_rows.to_string(),
        or_empty(entry.latency_ms.p50),
        or_empty(entry.latency_ms.p95),
        or_empty(entry.latency_ms.p99),
        or_empty(entry.price_source),
        String::new(),
    ]
}

fn or_empty(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}
