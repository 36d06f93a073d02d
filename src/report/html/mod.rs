//! The report as a page of HTML: one file that loads nothing from anywhere, for eyes, phones and printers.
//!
//! Owns what stands on the page and the shapes of its charts; `page.html` and `style.css` own how it looks. All text is
//! escaped by the template engine, as rows and providers can hold anything. Shapes are SVG without text, and text is HTML,
//! so that a phone shows a small chart, not a small print. Every chart's figures stand in words or in a table beside it.

mod charts;
mod figures;
mod tables;
#[cfg(test)]
mod tests;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

use self::charts::{Bars, Columns};
use self::figures::Figure;
use self::tables::{InWords, Table, utc};
use super::what_if::CAVEAT;
use super::words::{latency, span};
use super::{Report, ReportError, Runs};

const NAME: &str = "page.html";
const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");

/// What the template is given.
#[derive(Serialize)]
struct Page<'a> {
    style: &'static str,
    version: &'static str,
    job: &'a str,
    run: String,
    /// When it was, and whether it goes on.
    when: String,
    as_of: Option<String>,
    figures: Vec<Figure>,
    notes: Vec<String>,
    nights: Option<Table>,
    over_time: Option<Columns>,
    charts: Vec<Columns>,
    bars: Vec<Bars>,
    tables: Vec<Table>,
    /// Where prices come from.
    prices: Vec<String>,
    what_if: Option<Table>,
    /// What is to be said of it.
    caveat: &'static str,
    failures: Option<Table>,
    in_words: Vec<InWords>,
}

/// The whole page. It says nothing that `to_json` does not, but for words.
///
/// # Errors
/// [`ReportError::Encode`], which nothing in a report should bring about.
pub fn to_html(report: &Report) -> Result<String, ReportError> {
    render(&page(report)).map_err(|error| ReportError::Encode(error.to_string()))
}

fn render(page: &Page<'_>) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.add_template(NAME, PAGE)?;
    environment.get_template(NAME)?.render(Serde(page))
}

fn page(report: &Report) -> Page<'_> {
    let latencies = &report.totals.latency_ms;
    let percentiles = [("p50", latencies.p50), ("p95", latencies.p95), ("p99", latencies.p99)];
    let over_time = report.throughput.as_ref();
    let charts = [
        over_time.filter(|_| report.totals.rate_limited > 0).and_then(charts::requests_over_time),
        charts::latency_histogram(&report.latency_histogram, &percentiles),
    ];
    let bars = [charts::cost_by_model(&report.by_model), charts::failures_by_kind(&report.failures)];
    Page {
        style: STYLE,
        version: env!("CARGO_PKG_VERSION"),
        job: &report.job,
        run: report.run.to_string(),
        when: when(report),
        as_of: report.as_of.map(utc),
        figures: figures::figures(report),
        notes: figures::notes(report),
        nights: (!report.runs.is_empty()).then(|| tables::nights(&report.runs)),
        over_time: over_time.and_then(charts::rows_over_time),
        charts: charts.into_iter().flatten().collect(),
        bars: bars.into_iter().flatten().collect(),
        tables: tables::entries(report),
        prices: tables::prices(&report.by_model),
        what_if: (!report.what_if.is_empty()).then(|| tables::what_ifs(&report.what_if)),
        caveat: CAVEAT,
        failures: (!report.failures.is_empty()).then(|| tables::failures(&report.failures)),
        in_words: tables::in_words(&report.failures),
    }
}

fn when(report: &Report) -> String {
    let began = utc(report.started_at);
    let ended = report.ended_at.map(utc);
    match (report.run, ended, report.elapsed_ms) {
        (Runs::All, Some(ended), _) => format!("{} runs, {began} to {ended}", report.runs.len()),
        (Runs::All, None, _) => format!("{} runs since {began}, the last one goes on", report.runs.len()),
        (Runs::One(_), Some(_), elapsed) => format!("began {began}, took {}", took(elapsed)),
        (Runs::One(_), None, elapsed) => format!("began {began}, not finished after {}", took(elapsed)),
    }
}

fn took(elapsed_ms: Option<u64>) -> String {
    match elapsed_ms.unwrap_or(0) {
        short @ 0..10_000 => latency(short),
        long => span(std::time::Duration::from_millis(long)),
    }
}
