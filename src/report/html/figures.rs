//! The figures at the head of the page, and what is to be said of them.

use serde::Serialize;

use crate::report::words::{count, counted, held_back, latency, model_name, pace, share, short, usd};
use crate::report::{Entry, Report, Runs, Waste};
use crate::types::{Money, PossiblyBilled, RowCounts, RowsNow};

/// One large figure.
#[derive(Serialize)]
pub(super) struct Figure {
    label: &'static str,
    text: String,
    /// Exact, as JSON has it.
    value: Option<String>,
    note: String,
    /// Whether it calls for a look.
    bad: bool,
}

impl Figure {
    fn new(label: &'static str, text: String, value: Option<String>, note: String) -> Self {
        Self { label, text, value, note, bad: false }
    }

    fn counted(label: &'static str, number: u64, note: String) -> Self {
        Self::new(label, count(number), Some(number.to_string()), note)
    }
}

pub(super) fn figures(report: &Report) -> Vec<Figure> {
    let all = &report.totals;
    let rows = match report.run {
        Runs::All => "Row ends",
        Runs::One(_) => "Rows",
    };
    let mut figures = vec![
        Figure::counted(rows, all.rows, format!("{} succeeded", count(all.succeeded))),
        Figure {
            bad: all.failed > 0,
            ..Figure::counted("Failed", all.failed, percent(all.failed, all.rows, "of the rows"))
        },
        cost(all),
        wasted(all),
    ];
    figures.push(time(report));
    let limited = format!("{} answered 429", count(all.rate_limited));
    figures.extend([Figure::counted("Requests", all.attempts, limited), tokens(all), typical(all)]);
    figures
}

fn tokens(all: &Entry) -> Figure {
    let cached = percent(all.cached_input_tokens, all.input_tokens, "from cache");
    let cached = if all.cached_input_tokens > 0 { format!(", {cached}") } else { String::new() };
    let note = format!("{} out{cached}", short(all.output_tokens));
    Figure::new("Tokens in", short(all.input_tokens), Some(all.input_tokens.to_string()), note)
}

fn cost(all: &Entry) -> Figure {
    let known = all.cost_usd;
    let note = match (known, all.cost_unknown_rows) {
        (_, 1..) => format!("and an unknown part for {}", counted(all.cost_unknown_rows, "row")),
        (Some(cost), 0) if all.rows > 0 => format!("{} for 1,000 rows", usd(for_thousand(cost, all.rows))),
        (Some(_) | None, 0) => String::new(),
    };
    Figure::new("Cost", known.map_or("unknown".to_owned(), usd), known.map(|cost| cost.to_string()), note)
}

fn for_thousand(cost: Money, rows: u64) -> Money {
    let pico = u128::from(cost.pico()) * 1_000 / u128::from(rows.max(1));
    Money::from_pico(u64::try_from(pico).unwrap_or(u64::MAX))
}

fn wasted(all: &Entry) -> Figure {
    let whole = all.cost_usd.unwrap_or_default().pico();
    let note = all.wasted_usd.map_or(String::new(), |wasted| percent(wasted.pico(), whole, "of the cost"));
    let wasted = all.wasted_usd;
    let text = wasted.map_or("unknown".to_owned(), usd);
    Figure { bad: wasted > Some(Money::ZERO), ..Figure::new("Wasted", text, wasted.map(|usd| usd.to_string()), note) }
}

/// How long, and at what pace; a pace over less than a second tells nothing.
fn time(report: &Report) -> Figure {
    let Some(elapsed) = report.elapsed_ms else {
        return Figure::counted("Runs", report.runs.len() as u64, String::new());
    };
    // Far below 2^52.
    #[expect(clippy::cast_precision_loss)]
    let per_second = |rows: u64| rows as f64 * 1_000.0 / elapsed as f64;
    let note = if elapsed >= 1_000 { pace(per_second(report.totals.rows)) } else { String::new() };
    let label = if report.ended_at.is_some() { "Took" } else { "So far" };
    Figure::new(label, super::took(Some(elapsed)), Some(elapsed.to_string()), note)
}

fn typical(all: &Entry) -> Figure {
    let told = |millis: Option<u64>| millis.map_or("-".to_owned(), latency);
    let times = &all.latency_ms;
    let note = format!("p95 {}, p99 {}", told(times.p95), told(times.p99));
    Figure::new("Latency p50", told(times.p50), times.p50.map(|millis| millis.to_string()), note)
}

fn percent(part: u64, whole: u64, of: &str) -> String {
    match share(part, whole, 100) {
        _ if whole == 0 => String::new(),
        0 if part > 0 => format!("under 1 % {of}"),
        percent => format!("{percent} % {of}"),
    }
}

/// What no figure says, a sentence each.
pub(super) fn notes(report: &Report) -> Vec<String> {
    let all = &report.totals;
    let mut notes = Vec::new();
    notes.extend(report.rows_now.as_ref().map(rows_now));
    if report.run == Runs::All {
        notes.push("A row that several runs sent counts once for each as a row end.".to_owned());
    }
    notes.extend(possibly_billed(&report.possibly_billed));
    if all.truncated > 0 {
        let answers = counted(all.truncated, "answer");
        notes.push(format!("{answers} stopped at the output limit (max_tokens): they count as succeeded."));
    }
    if !all.wasted_by.is_empty() {
        let parts: Vec<String> = all.wasted_by.iter().map(reason).collect();
        notes.push(format!("Wasted (paid for, but no answer came of it): {}.", parts.join(", ")));
    }
    let waits: Vec<String> = report.held_back.iter().filter_map(held_back).collect();
    if !waits.is_empty() {
        notes.push(format!("Rows waited: {}.", waits.join("; ")));
    }
    let unpriced = report.by_model.iter().filter(|entry| entry.cost_unknown_rows > 0);
    let name = |entry: &Entry| {
        model_name(entry.provider.as_deref().unwrap_or_default(), entry.model.as_deref().unwrap_or_default())
    };
    let unpriced: Vec<String> = unpriced.map(name).collect();
    if !unpriced.is_empty() {
        notes.push(format!("No price, or no usage, is known for some calls of {}.", unpriced.join(", ")));
    }
    notes
}

fn reason(waste: &Waste) -> String {
    let calls = match waste.calls {
        0 => String::new(),
        calls => format!(" in {}", counted(calls, "call")),
    };
    format!("{} by {}{calls}", usd(waste.cost_usd), waste.reason.replace('_', " "))
}

fn possibly_billed(possibly: &PossiblyBilled) -> Option<String> {
    let unpriced = match possibly.cost_unknown {
        0 => String::new(),
        calls => format!(", {} without a known price", count(calls)),
    };
    let (calls, most) = (counted(possibly.attempts, "call"), usd(possibly.max_cost_usd));
    (possibly.attempts > 0).then(|| {
        format!("Possibly billed, besides the cost: {calls} whose end is not known, at most {most}{unpriced}.")
    })
}

fn rows_now(now: &RowsNow) -> String {
    let RowCounts { total, succeeded, failed, failed_before, remaining, .. } = now.rows;
    let part = now.part.as_ref().map_or_else(String::new, |part| {
        let of = now.job_rows.map_or_else(String::new, |rows| format!(" of {}", counted(rows, "row")));
        format!(" (only a part{of}: {part})")
    });
    let failed = count(failed + failed_before);
    format!(
        "The rows as they are now{part}: {} in all, {} succeeded, {failed} failed, {} remaining.",
        count(total),
        count(succeeded),
        count(remaining)
    )
}
