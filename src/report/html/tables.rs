//! The tables of the page.

use std::fmt::Display;
use std::time::Duration;

use serde::Serialize;

use crate::report::words::{cost, count, latency, minute, model_name, pace, share, short, span, usd};
use crate::report::{Entry, FailureSample, KindOfFailure, Night, Report, WhatIf};
use crate::types::{Moment, Money};

/// A table with its caption.
#[derive(Serialize)]
pub(super) struct Table {
    pub caption: String,
    pub head: Vec<Head>,
    pub rows: Vec<Vec<Cell>>,
    /// Whether the last row sums up those above.
    pub sums: bool,
}

/// A column's name; figures stand to the right.
#[derive(Clone, Serialize)]
pub(super) struct Head {
    text: &'static str,
    figure: bool,
}

/// A cell as people read it, and exact.
#[derive(Serialize)]
pub(super) struct Cell {
    text: String,
    value: Option<String>,
}

impl Cell {
    pub fn word(text: impl Into<String>) -> Self {
        Self { text: text.into(), value: None }
    }

    pub fn exact(text: String, value: impl Display) -> Self {
        Self { text, value: Some(value.to_string()) }
    }

    pub fn count(number: u64) -> Self {
        Self::exact(count(number), number)
    }

    fn short(number: u64) -> Self {
        Self::exact(short(number), number)
    }

    fn money(money: Option<Money>) -> Self {
        money.map_or_else(|| Self::word("unknown"), |money| Self::exact(usd(money), money))
    }

    fn cost(known: Option<Money>, unknown_rows: u64) -> Self {
        known.map_or_else(|| Self::word("unknown"), |known| Self::exact(cost(known, unknown_rows), known))
    }

    fn time(millis: Option<u64>) -> Self {
        millis.map_or_else(|| Self::word("-"), |millis| Self::exact(latency(millis), millis))
    }
}

/// Names to the left, all else to the right.
pub(super) fn head(names: &[&'static str], words: &[&str]) -> Vec<Head> {
    names.iter().map(|text| Head { text, figure: !words.contains(text) }).collect()
}

/// By model, provider and task; a single provider or task would say the same again.
pub(super) fn entries(report: &Report) -> Vec<Table> {
    let mut by_model = of_entries("By model", "Model", &report.by_model);
    by_model.rows.push(of_entry("All", &report.totals));
    let mut tables = vec![Table { sums: true, ..by_model }];
    if report.by_provider.len() > 1 {
        tables.push(of_entries("By provider", "Provider", &report.by_provider));
    }
    if report.by_task.len() > 1 {
        tables.push(of_entries("By task", "Task", &report.by_task));
    }
    tables
}

/// What the same tokens would have cost elsewhere.
pub(super) fn what_ifs(others: &[WhatIf]) -> Table {
    let source = |other: &WhatIf| Cell::word(other.price_source.to_string());
    let rows = others.iter().flat_map(|other| {
        let line = |of: String, cost| vec![Cell::word(&other.model), Cell::word(of), Cell::money(cost), source(other)];
        let parts = other.by_model.iter().map(move |part| line(model_name(&part.provider, &part.model), part.cost_usd));
        let all = vec![Cell::word(&other.model), Cell::word("all"), Cell::money(other.cost_usd), source(other)];
        std::iter::once(all).chain(parts).collect::<Vec<_>>()
    });
    let names = ["What if", "Tokens of", "Cost", "Price from"];
    let head = head(&names, &["What if", "Tokens of", "Price from"]);
    Table { caption: "What the same tokens would have cost".to_owned(), head, rows: rows.collect(), sums: false }
}

/// Where the price of each model comes from, with its date.
pub(super) fn prices(models: &[Entry]) -> Vec<String> {
    let told = |entry: &Entry| Some(format!("{}: {}", name(entry), entry.price_source.as_ref()?));
    models.iter().filter_map(told).collect()
}

fn of_entries(caption: &str, scope: &'static str, entries: &[Entry]) -> Table {
    let names = [
        scope,
        "Rows",
        "Failed",
        "Cost",
        "Wasted",
        "Input",
        "Cached",
        "Output",
        "Sent",
        "429s",
        "Retries",
        "Fell in/out",
        "p50",
        "p95",
        "p99",
    ];
    let rows = entries.iter().map(|entry| of_entry(&name(entry), entry)).collect();
    Table { caption: caption.to_owned(), head: head(&names, &[scope]), rows, sums: false }
}

fn of_entry(name: &str, entry: &Entry) -> Vec<Cell> {
    let cached = match entry.input_tokens {
        0 => "-".to_owned(),
        tokens => format!("{} %", share(entry.cached_input_tokens, tokens, 100)),
    };
    let moved = format!("{}/{}", count(entry.fallbacks_in), count(entry.fallbacks_out));
    vec![
        Cell::word(name),
        Cell::count(entry.rows),
        Cell::count(entry.failed),
        Cell::cost(entry.cost_usd, entry.cost_unknown_rows),
        Cell::money(entry.wasted_usd),
        Cell::short(entry.input_tokens),
        Cell::exact(cached, entry.cached_input_tokens),
        Cell::short(entry.output_tokens),
        Cell::count(entry.attempts),
        Cell::count(entry.rate_limited),
        Cell::count(entry.retries),
        Cell::word(moved),
        Cell::time(entry.latency_ms.p50),
        Cell::time(entry.latency_ms.p95),
        Cell::time(entry.latency_ms.p99),
    ]
}

/// What an entry is called: `provider/model`, a provider or a task.
pub(super) fn name(entry: &Entry) -> String {
    let told = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    match (told(&entry.provider), told(&entry.model), told(&entry.task)) {
        (Some(provider), Some(model), _) => model_name(&provider, &model),
        (Some(provider), None, _) => provider,
        (None, _, Some(task)) => task,
        (None, _, None) if entry.task.is_some() => "(none)".to_owned(),
        (None, _, None) => "(not sent)".to_owned(),
    }
}

/// The runs side by side.
pub(super) fn nights(nights: &[Night]) -> Table {
    let names = [
        "Run",
        "Began (UTC)",
        "Took",
        "Rows",
        "Succeeded",
        "Failed",
        "Cost",
        "Wasted",
        "For 1,000 rows",
        "Sent",
        "429s",
        "Pace",
    ];
    let rows = nights.iter().map(night).collect();
    Table { caption: "Runs side by side".to_owned(), head: head(&names, &["Run", "Began (UTC)"]), rows, sums: false }
}

fn night(night: &Night) -> Vec<Cell> {
    let took = span(Duration::from_millis(night.elapsed_ms));
    let per_second = night.rows_per_second;
    vec![
        Cell::word(night.name()),
        Cell::word(minute(night.started_at)),
        Cell::exact(took, night.elapsed_ms),
        Cell::count(night.rows),
        Cell::count(night.succeeded),
        Cell::count(night.failed),
        Cell::cost(night.cost_usd, night.cost_unknown_rows),
        Cell::money(night.wasted_usd),
        Cell::money(night.cost_per_1000_rows_usd),
        Cell::count(night.attempts),
        Cell::count(night.rate_limited),
        per_second.map_or_else(|| Cell::word("-"), |per_second| Cell::exact(pace(per_second), per_second)),
    ]
}

/// All kinds of failure.
pub(super) fn failures(kinds: &[KindOfFailure]) -> Table {
    let row = |kind: &KindOfFailure| {
        vec![
            Cell::word(kind.kind.name()),
            Cell::count(kind.rows),
            Cell::count(kind.calls),
            Cell::money(Some(kind.wasted_usd)),
            Cell::word(kind.advice),
        ]
    };
    let names = ["Kind", "Rows failed", "Calls failed", "Wasted", "What to do"];
    let caption = "Failures by kind, those that a later call made good included".to_owned();
    Table { caption, head: head(&names, &["Kind", "What to do"]), rows: kinds.iter().map(row).collect(), sums: false }
}

/// Failures of a kind in their own words.
#[derive(Serialize)]
pub(super) struct InWords {
    kind: &'static str,
    samples: Vec<Said>,
}

#[derive(Serialize)]
struct Said {
    place: String,
    message: String,
}

/// Of each kind that has samples.
pub(super) fn in_words(kinds: &[KindOfFailure]) -> Vec<InWords> {
    let said = |sample: &FailureSample| Said { place: place(sample), message: sample.message.clone() };
    let with_samples = kinds.iter().filter(|kind| !kind.samples.is_empty());
    let of_kind =
        |kind: &KindOfFailure| InWords { kind: kind.kind.name(), samples: kind.samples.iter().map(said).collect() };
    with_samples.map(of_kind).collect()
}

/// `row 17, task tag, gateway/qwen-plus, HTTP 400, 2026-01-31 03:12 UTC`.
fn place(sample: &FailureSample) -> String {
    let mut parts = vec![format!("row {}", count(sample.row))];
    if !sample.task.is_empty() {
        parts.push(format!("task {}", sample.task));
    }
    if !sample.provider.is_empty() {
        parts.push(model_name(&sample.provider, &sample.model));
    }
    parts.extend(sample.status.map(|status| format!("HTTP {status}")));
    parts.push(utc(sample.at));
    parts.join(", ")
}

/// `2026-01-31 03:12 UTC`.
pub(super) fn utc(at: Moment) -> String {
    format!("{} UTC", minute(at))
}
