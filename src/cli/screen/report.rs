//! The cost report for people, at 80 columns.

use comfy_table::{Cell, Table};
use overnight::report::{Entry, Report, Runs};
use overnight::types::Usage;

use super::lines::Lines;
use super::phrases;
use super::table::{figure, unframed};
use super::words::{cost, count, latency, model_name, short, usd};

/// What was done, what it cost and how long it took, line break at the end included.
pub fn report_text(report: &Report) -> String {
    let mut text = Lines(format!("{}, {}\n", report.job, report.run));
    let rows = report.run.rows_label();
    totals(report, &mut text);
    let models: Vec<(String, &Entry)> = named(&report.by_model, |entry| {
        asked(entry.provider.as_deref()).map(|provider| model_name(provider, entry.model.as_deref().unwrap_or("")))
    });
    section(&mut text, &money("model", rows, &models));
    section(&mut text, &effort("model", &models));
    let providers = named(&report.by_provider, |entry| asked(entry.provider.as_deref()).map(str::to_owned));
    if providers.len() > 1 {
        section(&mut text, &money("provider", rows, &providers));
    }
    let tasks = named(&report.by_task, |entry| asked(entry.task.as_deref()).map(str::to_owned));
    if tasks.len() > 1 {
        section(&mut text, &money("task", rows, &tasks));
    }
    text.0
}

fn asked(name: Option<&str>) -> Option<&str> {
    name.filter(|name| !name.is_empty())
}

fn named(entries: &[Entry], name: impl Fn(&Entry) -> Option<String>) -> Vec<(String, &Entry)> {
    let nobody = |entry: &Entry| if entry.task.is_some() { "(none)" } else { "(not sent)" };
    let shown = |entry| name(entry).unwrap_or_else(|| nobody(entry).to_owned());
    entries.iter().map(|entry| (shown(entry), entry)).collect()
}

fn totals(report: &Report, text: &mut Lines) {
    let all = &report.totals;
    let ended = format!("{} succeeded, {} failed", count(all.succeeded), count(all.failed));
    match report.run {
        Runs::All => text.add("row ends", &format!("{} over all runs: {ended}", count(all.rows))),
        Runs::One(_) => text.add("rows", &format!("{} ended: {ended}", count(all.rows))),
    }
    if let Some(now) = &report.rows_now {
        text.add("rows now", &phrases::rows(&now.rows));
        if let Some(part) = &now.part {
            text.add("", &format!("only a part: {}", phrases::part(part, now.job_rows)));
        }
    }
    let usage = Usage {
        input_tokens: all.input_tokens,
        cached_input_tokens: all.cached_input_tokens,
        output_tokens: all.output_tokens,
        reasoning_tokens: all.reasoning_tokens,
        ..Usage::default()
    };
    text.add("requests", &phrases::requests(all.attempts, all.rate_limited));
    text.add("tokens", &phrases::tokens(&usage));
    let (known, wasted) = (all.cost_usd.unwrap_or_default(), all.wasted_usd.unwrap_or_default());
    text.add("cost", &phrases::total_cost(known, wasted, all.cost_unknown_rows));
    if let Some(possibly) = phrases::possibly_billed(&report.possibly_billed) {
        text.add("possibly billed", &possibly);
    }
}

fn section(text: &mut Lines, table: &str) {
    text.whole("");
    text.whole(table);
}

/// What it took and what it cost.
fn money(scope: &str, rows: &str, entries: &[(String, &Entry)]) -> String {
    let mut table = table(scope, &[rows, "failed", "in", "out", "cost", "wasted", "price"]);
    for (name, entry) in entries {
        let known = |money: Option<_>| money.map_or_else(|| "unknown".to_owned(), usd);
        let price = entry.price_source.as_ref().map_or("-", overnight::types::PriceSource::short);
        table.add_row([
            Cell::new(name),
            figure(&count(entry.rows)),
            figure(&count(entry.failed)),
            figure(&short(entry.input_tokens)),
            figure(&short(entry.output_tokens)),
            figure(&entry.cost_usd.map_or_else(|| "unknown".to_owned(), |known| cost(known, entry.cost_unknown_rows))),
            figure(&known(entry.wasted_usd)),
            Cell::new(price),
        ]);
    }
    table.trim_fmt()
}

/// How it went.
fn effort(scope: &str, entries: &[(String, &Entry)]) -> String {
    let mut table = table(scope, &["sent", "429s", "retries", "fell in/out", "p50", "p95", "p99"]);
    for (name, entry) in entries {
        let time = |millis: Option<u64>| figure(&millis.map_or_else(|| "-".to_owned(), latency));
        table.add_row([
            Cell::new(name),
            figure(&count(entry.attempts)),
            figure(&count(entry.rate_limited)),
            figure(&count(entry.retries)),
            figure(&format!("{}/{}", count(entry.fallbacks_in), count(entry.fallbacks_out))),
            time(entry.latency_ms.p50),
            time(entry.latency_ms.p95),
            time(entry.latency_ms.p99),
        ]);
    }
    table.trim_fmt()
}

fn table(scope: &str, figures: &[&str]) -> Table {
    let mut table = unframed();
    let heading = |name: &&str| if *name == "price" { Cell::new(name) } else { figure(name) };
    table.set_header(std::iter::once(Cell::new(scope)).chain(figures.iter().map(heading)));
    table
}

#[cfg(test)]
mod tests {
    use overnight::report::RunChoice;
    use overnight::types::{
        Latency, Ledger, PossiblyBilled, PriceSource, RowCounts, RowsNow, RunTotals, Tally, TallyId, Totals, Usage,
    };

    use super::*;

    fn tally(succeeded: u64, fallbacks_out: u64) -> Tally {
        let mut latency = Latency::default();
        for millis in [200, 300, 4_000, 75_000] {
            latency.add(millis);
        }
        Tally {
            succeeded,
            fallbacks_out,
            attempts: succeeded + fallbacks_out,
            usage: Usage { input_tokens: succeeded * 1_000, output_tokens: succeeded, ..Usage::default() },
            latency,
            ..Tally::default()
        }
    }

    fn report(small: &str) -> Report {
        let id = |task: &str, provider: &str, model: &str| TallyId {
            task: task.to_owned(),
            provider: provider.to_owned(),
            model: model.to_owned(),
        };
        let priced =
            Tally { cost_usd: "1.5".parse().unwrap(), wasted_usd: "0.25".parse().unwrap(), ..tally(12_345, 80) };
        let unpriced = Tally { fallbacks_in: 80, cost_unknown_rows: 80, ..tally(80, 0) };
        let tallies = vec![
            (id("", "", ""), Tally { failed: 2, ..Tally::default() }),
            (id("tag", "gateway", small), priced),
            (id("tag", "other", "large"), unpriced),
        ];
        let possibly_billed = PossiblyBilled { attempts: 3, max_cost_usd: "0.01".parse().unwrap(), cost_unknown: 1 };
        let run = RunTotals { run: 2, totals: Totals { tallies, possibly_billed }, ..RunTotals::default() };
        let source = |provider: &str, _: &str| {
            if provider == "gateway" { PriceSource::JobFile } else { PriceSource::Unknown }
        };
        Report::new("night", &Ledger { runs: vec![run], ..Ledger::default() }, RunChoice::Last, &source).unwrap()
    }

    #[test]
    fn it_tells_money_and_effort_by_model_and_possibly_billed_apart() {
        insta::assert_snapshot!(report_text(&report("small")), @r"
        night, run 2
        rows             12,427 ended: 12,425 succeeded, 2 failed
        requests         12,505 sent
        tokens           12,425,000 in, 12,425 out
        cost             $1.5000 ($0.2500 wasted) and an unknown part for 80 rows
        possibly billed  3 calls, end not known: at most $0.0100 (1 unpriced)

         model            rows  failed     in    out     cost   wasted  price
         (not sent)          2       2      0      0       $0       $0  -
         gateway/small  12,425       0  12.3M  12.3k  $1.5000  $0.2500  job file
         other/large        80       0    80k     80  unknown  unknown  unknown

         model            sent  429s  retries  fell in/out    p50  p95  p99
         (not sent)          0     0        0          0/0      -    -    -
         gateway/small  12,425     0        0         0/80  300ms  75s  75s
         other/large        80     0        0         80/0  300ms  75s  75s

         provider      rows  failed     in    out     cost   wasted  price
         (not sent)       2       2      0      0       $0       $0  -
         gateway     12,425       0  12.3M  12.3k  $1.5000  $0.2500  job file
         other           80       0    80k     80  unknown  unknown  unknown

         task      rows  failed     in    out       cost   wasted  price
         (none)       2       2      0      0         $0       $0  -
         tag     12,425       0  12.4M  12.4k  $1.5000+?  $0.2500  mixed
        ");
    }

    #[test]
    fn over_all_runs_row_ends_stand_apart_from_the_rows_as_they_are_now() {
        let rows = RowCounts { total: 9_000, succeeded: 8_990, failed_before: 2, remaining: 8, ..RowCounts::default() };
        let part = Some("--limit 9000".to_owned());
        let all = Report { run: Runs::All, ..report("small") };
        let text = report_text(&all.with_rows(Some(RowsNow { rows, part, job_rows: Some(20_000) })));
        let lines: Vec<&str> = text.lines().collect();
        let expected = [
            "night, all runs",
            "row ends         12,427 over all runs: 12,425 succeeded, 2 failed",
            "rows now         9,000 in all: 8,990 succeeded, 0 failed, 2 failed before, 8 remaining",
            "                 only a part: --limit 9000, of 20,000 rows",
        ];
        assert_eq!(lines[..4], expected);
        assert!(text.contains("\n model          row ends  failed "), "{text}");
    }

    #[test]
    fn long_names_stay_within_eighty_columns() {
        let text = report_text(&report("a-model-with-a-very-long-name-that-goes-on-and-on-2026-01-01"));
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
