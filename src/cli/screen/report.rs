//! The cost report for people, at 80 columns.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};
use overnight::report::{Entry, Report, Runs};

use super::words::{cost, count, counted, model_name, short, usd};

const WIDTH: u16 = 80;

/// What was done, what it cost and how long it took, line break at the end included.
pub fn report_text(report: &Report) -> String {
    let run = match report.run {
        Runs::All => "all runs".to_owned(),
        Runs::One(run) => format!("run {run}"),
    };
    let mut text = format!("{}, {run}\n", report.job);
    totals(report, &mut text);
    let models: Vec<(String, &Entry)> = named(&report.by_model, |entry| {
        asked(entry.provider.as_deref()).map(|provider| model_name(provider, entry.model.as_deref().unwrap_or("")))
    });
    section(&mut text, &money("model", &models));
    section(&mut text, &effort("model", &models));
    let providers = named(&report.by_provider, |entry| asked(entry.provider.as_deref()).map(str::to_owned));
    if providers.len() > 1 {
        section(&mut text, &money("provider", &providers));
    }
    let tasks = named(&report.by_task, |entry| asked(entry.task.as_deref()).map(str::to_owned));
    if tasks.len() > 1 {
        section(&mut text, &money("task", &tasks));
    }
    text
}

fn asked(name: Option<&str>) -> Option<&str> {
    name.filter(|name| !name.is_empty())
}

fn named(entries: &[Entry], name: impl Fn(&Entry) -> Option<String>) -> Vec<(String, &Entry)> {
    let nobody = |entry: &Entry| if entry.task.is_some() { "(none)" } else { "(not sent)" };
    let shown = |entry| name(entry).unwrap_or_else(|| nobody(entry).to_owned());
    entries.iter().map(|entry| (shown(entry), entry)).collect()
}

fn totals(report: &Report, text: &mut String) {
    let all = &report.totals;
    let mut add = |label: &str, line: &str| text.extend([format!("{label:<16} {line}\n")]);
    let ended = format!("{} succeeded, {} failed", count(all.succeeded), count(all.failed));
    add("rows", &format!("{} ended: {ended}", count(all.rows)));
    let limited = match all.rate_limited {
        0 => String::new(),
        limited => format!(", {} of them rate limited", count(limited)),
    };
    add("requests", &format!("{} sent{limited}", count(all.attempts)));
    let part =
        |tokens: u64, what: &str| if tokens > 0 { format!(" ({} {what})", count(tokens)) } else { String::new() };
    let (cached, reasoning) = (part(all.cached_input_tokens, "cached"), part(all.reasoning_tokens, "reasoning"));
    add("tokens", &format!("{} in{cached}, {} out{reasoning}", count(all.input_tokens), count(all.output_tokens)));
    add("cost", &total_cost(all));
    let possibly = &report.possibly_billed;
    if possibly.attempts > 0 {
        let unpriced = match possibly.cost_unknown {
            0 => String::new(),
            calls => format!(", {} unpriced", count(calls)),
        };
        let (calls, most) = (counted(possibly.attempts, "call"), usd(possibly.max_cost_usd));
        add("possibly billed", &format!("{calls} whose end is not known: at most {most}{unpriced}"));
    }
}

fn total_cost(all: &Entry) -> String {
    let Some(known) = all.cost_usd else { return format!("unknown for {}", counted(all.cost_unknown_rows, "row")) };
    let wasted = all.wasted_usd.unwrap_or_default();
    let wasted =
        if wasted > overnight::types::Money::ZERO { format!(" ({} wasted)", usd(wasted)) } else { String::new() };
    let unknown = match all.cost_unknown_rows {
        0 => String::new(),
        rows => format!(" and an unknown part for {}", counted(rows, "row")),
    };
    format!("{}{wasted}{unknown}", usd(known))
}

fn section(text: &mut String, table: &str) {
    text.push('\n');
    text.push_str(table);
    text.push('\n');
}

/// What it took and what it cost.
fn money(scope: &str, entries: &[(String, &Entry)]) -> String {
    let mut table = table(scope, &["rows", "failed", "in", "out", "cost", "wasted", "price"]);
    for (name, entry) in entries {
        let known = |money: Option<_>| money.map_or_else(|| "unknown".to_owned(), usd);
        let price = entry.price_source.map_or("-", overnight::report::PriceSource::name);
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
        let time = |millis: Option<u64>| figure(&millis.map_or_else(|| "-".to_owned(), time));
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
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    let heading = |name: &&str| if *name == "price" { Cell::new(name) } else { figure(name) };
    table.set_header(std::iter::once(Cell::new(scope)).chain(figures.iter().map(heading)));
    table
}

fn figure(text: &str) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// `312ms`, `4.5s`, `75s`.
fn time(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis}ms"),
        1_000..10_000 => format!("{}.{}s", millis / 1_000, millis % 1_000 / 100),
        10_000.. => format!("{}s", count(millis / 1_000)),
    }
}

#[cfg(test)]
mod tests {
    use overnight::report::{PriceSource, RunChoice};
    use overnight::types::{Latency, Ledger, PossiblyBilled, RunTotals, Tally, TallyId, Totals, Usage};

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
        possibly billed  3 calls whose end is not known: at most $0.0100, 1 unpriced

         model            rows  failed     in    out     cost   wasted  price
         (not sent)          2       2      0      0       $0       $0  -
         gateway/small  12,425       0  12.3M  12.3k  $1.5000  $0.2500  job file
         other/large        80       0    80k     80  unknown  unknown  unknown

         model            sent  429s  retries  fell in/out    p50  p95  p99
         (not sent)          0     0        0          0/0      -    -    -
         gateway/small  12,425     0        0         0/80  300ms  74s  74s
         other/large        80     0        0         80/0  300ms  74s  74s

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
    fn long_names_stay_within_eighty_columns() {
        let text = report_text(&report("a-model-with-a-very-long-name-that-goes-on-and-on-2026-01-01"));
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
