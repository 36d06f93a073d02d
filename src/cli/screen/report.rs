//! The cost report for people, at 80 columns.

use std::path::Path;
use std::time::Duration;

use comfy_table::{Cell, Table};
use overnight::report::{Entry, KindOfFailure, Night, Report, Runs, Waste, WhatIf};
use overnight::types::{HeldBack, Usage};

use super::lines::Lines;
use super::phrases;
use super::table::{figure, unframed};
use super::words::{cost, count, counted, latency, minute, model_name, pace, share, short, span, tenths, usd};

/// What was done, what it cost, how long it took and what went wrong, line break at the end included.
pub fn report_text(report: &Report, job_file: &Path) -> String {
    let mut text = Lines(format!("{}, {}\n", report.job, report.run));
    let rows = report.run.rows_label();
    totals(report, &mut text);
    if !report.runs.is_empty() {
        section(&mut text, &nights(&report.runs));
    }
    let models: Vec<(String, &Entry)> = named(&report.by_model, |entry| {
        asked(entry.provider.as_deref()).map(|provider| model_name(provider, entry.model.as_deref().unwrap_or("")))
    });
    section(&mut text, &money("model", rows, &models));
    section(&mut text, &effort("model", &models));
    if !report.held_back.is_empty() {
        section(&mut text, &waits(&report.held_back));
    }
    let providers = named(&report.by_provider, |entry| asked(entry.provider.as_deref()).map(str::to_owned));
    if providers.len() > 1 {
        section(&mut text, &money("provider", rows, &providers));
    }
    let tasks = named(&report.by_task, |entry| asked(entry.task.as_deref()).map(str::to_owned));
    if tasks.len() > 1 {
        section(&mut text, &money("task", rows, &tasks));
    }
    sources(&mut text, &models);
    if !report.what_if.is_empty() {
        section(&mut text, &what_ifs(&report.what_if));
        text.whole("\n An estimate: this job's tokens at list prices. Tokenizers and answers differ.");
    }
    if !report.failures.is_empty() {
        section(&mut text, &failures(&report.failures));
    }
    if report.totals.failed > 0 {
        text.whole("");
        text.add("next", &format!("overnight errors {}", job_file.display()));
    }
    text.0
}

/// Where listed prices come from, and of which day they are: the table has no room for it.
fn sources(text: &mut Lines, models: &[(String, &Entry)]) {
    let priced = models.iter().filter_map(|(name, entry)| Some((name, entry.price_source.as_ref()?)));
    let told: Vec<String> = priced
        .filter(|(_, source)| source.to_string() != source.short())
        .map(|(name, source)| format!("{name}: {source}"))
        .collect();
    if !told.is_empty() {
        section(text, &format!("prices\n{}", told.join("\n")));
    }
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
    if let Some(elapsed) = report.elapsed_ms {
        text.add("began", &when(report, elapsed));
    }
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
    if all.truncated > 0 {
        let answers = counted(all.truncated, "answer");
        text.add("truncated", &format!("{answers} stopped at the output limit (max_tokens)"));
    }
    text.add("requests", &phrases::requests(all.attempts, all.rate_limited));
    if let Some(deduped) = phrases::deduped(all.deduped) {
        text.add("", &deduped);
    }
    if let Some(answers) = phrases::invalid_answers(all.invalid_answers, all.reasks) {
        text.add("answers", &answers);
    }
    text.add("tokens", &phrases::tokens(&usage));
    if all.cached_input_tokens > 0 {
        let percent = share(all.cached_input_tokens, all.input_tokens, 100);
        text.add("", &format!("{percent}% of the input from cache"));
    }
    let (known, wasted) = (all.cost_usd.unwrap_or_default(), all.wasted_usd.unwrap_or_default());
    text.add("cost", &phrases::total_cost(known, wasted, all.cost_unknown_rows));
    for (index, part) in all.wasted_by.iter().enumerate() {
        text.add(if index == 0 { "wasted" } else { "" }, &reason(part));
    }
    if let Some(possibly) = phrases::possibly_billed(&report.possibly_billed) {
        text.add("possibly billed", &possibly);
    }
}

/// `2026-01-31 00:12 UTC, took 7h 12m, 28.8 rows/min`.
fn when(report: &Report, elapsed_ms: u64) -> String {
    let took = tenths(elapsed_ms).unwrap_or_else(|| span(Duration::from_millis(elapsed_ms)));
    let verb = if report.ended_at.is_some() { "took" } else { "so far" };
    // Far below 2^52.
    #[expect(clippy::cast_precision_loss)]
    let per_second = report.totals.rows as f64 * 1_000.0 / elapsed_ms as f64;
    let pace = if elapsed_ms >= 1_000 { format!(", {}", pace(per_second)) } else { String::new() };
    format!("{} UTC, {verb} {took}{pace}", minute(report.started_at))
}

/// `$0.2500 invalid_answer (120 calls)`.
fn reason(part: &Waste) -> String {
    let calls = if part.calls > 0 { format!(" ({})", counted(part.calls, "call")) } else { String::new() };
    format!("{} {}{calls}", usd(part.cost_usd), part.reason)
}

/// The runs side by side.
fn nights(nights: &[Night]) -> String {
    let mut table = unframed();
    let figures = ["took", "rows", "failed", "cost", "wasted", "/1,000", "rows/s"];
    let names = [Cell::new("run"), Cell::new("began (UTC)")];
    table.set_header(names.into_iter().chain(figures.map(figure)));
    for night in nights {
        let known = |money: Option<_>| figure(&money.map_or_else(|| "unknown".to_owned(), usd));
        let began = minute(night.started_at);
        table.add_row([
            Cell::new(night.name()),
            // The year goes without saying.
            Cell::new(began.get(5..).unwrap_or(&began)),
            figure(&span(Duration::from_millis(night.elapsed_ms))),
            figure(&short(night.rows)),
            figure(&short(night.failed)),
            figure(&night.cost_usd.map_or_else(|| "unknown".to_owned(), |known| cost(known, night.cost_unknown_rows))),
            known(night.wasted_usd),
            known(night.cost_per_1000_rows_usd),
            figure(&night.rows_per_second.map_or_else(|| "-".to_owned(), |pace| format!("{pace:.1}"))),
        ]);
    }
    table.trim_fmt()
}

/// What rows waited for, and how long.
fn waits(held: &[HeldBack]) -> String {
    let mut table = table("rows waited for", &["its limits", "a pause it asked for", "it to answer again"]);
    for held in held {
        let time = |millis: u64| figure(&if millis > 0 { span(Duration::from_millis(millis)) } else { "-".to_owned() });
        let model = Cell::new(model_name(&held.provider, &held.model));
        table.add_row([model, time(held.pacing_ms), time(held.cooling_down_ms), time(held.down_ms)]);
    }
    table.trim_fmt()
}

/// What the same tokens would have cost elsewhere: all of them, then those of each model, where there were several.
fn what_ifs(others: &[WhatIf]) -> String {
    let mut table = table("what if", &["cost", "price"]);
    for other in others {
        let known = |cost: Option<_>| figure(&cost.map_or_else(|| "unknown".to_owned(), usd));
        table.add_row([Cell::new(&other.model), known(other.cost_usd), Cell::new(other.price_source.short())]);
        for part in other.by_model.iter().filter(|_| other.by_model.len() > 1) {
            let of = format!("  for {}", model_name(&part.provider, &part.model));
            table.add_row([Cell::new(of), known(part.cost_usd), Cell::new("")]);
        }
    }
    table.trim_fmt()
}

/// Kinds of failure, those that a later call made good included.
fn failures(kinds: &[KindOfFailure]) -> String {
    let mut table = table("failure", &["rows", "calls", "wasted"]);
    for kind in kinds {
        table.add_row([
            Cell::new(kind.kind),
            figure(&count(kind.rows)),
            figure(&count(kind.calls)),
            figure(&usd(kind.wasted_usd)),
        ]);
    }
    table.trim_fmt()
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
        FailureKind, Held, Latency, Ledger, PossiblyBilled, PriceSource, RowCounts, RowsNow, RunKind, RunTotals,
        Setback, Tally, TallyId, Totals, Usage,
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
        let (wasted_usd, usage) = ("0.25".parse().unwrap(), tally(12_345, 0).usage);
        let mut priced = Tally { cost_usd: "1.5".parse().unwrap(), wasted_usd, truncated: 3, ..tally(12_345, 80) };
        priced.usage = Usage { cached_input_tokens: 4_224_500, ..usage };
        priced.failures.add(FailureKind::InvalidAnswer, &Setback { calls: 120, rows: 0, wasted_usd });
        let mut not_sent = Tally { failed: 2, ..Tally::default() };
        not_sent.failures.add(FailureKind::Template, &Setback { rows: 2, ..Setback::default() });
        let unpriced = Tally { fallbacks_in: 80, cost_unknown_rows: 80, ..tally(80, 0) };
        let tallies = vec![
            (id("", "", ""), not_sent),
            (id("tag", "gateway", small), priced),
            (id("tag", "other", "large"), unpriced),
        ];
        let possibly_billed = PossiblyBilled { attempts: 3, max_cost_usd: "0.01".parse().unwrap(), cost_unknown: 1 };
        let (started_at, ended_at) = (1_769_820_000_000, Some(1_769_846_040_000));
        let totals = Totals { tallies, possibly_billed };
        let run = RunTotals { run: 2, started_at, ended_at, totals, ..RunTotals::default() };
        let source = |provider: &str, _: &str| {
            if provider == "gateway" { PriceSource::JobFile } else { PriceSource::Unknown }
        };
        let ledger = Ledger { runs: vec![run], ..Ledger::default() };
        let (provider, model) = ("gateway".to_owned(), small.to_owned());
        let waits = HeldBack { provider, model, pacing_ms: 3_720_000, ..HeldBack::default() };
        let report = Report::new("night", &ledger, None, RunChoice::Last, &source).unwrap();
        report.with_held(Held { run: 2, models: vec![waits] })
    }

    #[test]
    fn it_tells_money_and_effort_by_model_and_possibly_billed_apart() {
        insta::assert_snapshot!(report_text(&report("small"), Path::new("night.toml")), @r"
        night, run 2
        began            2026-01-31 00:40 UTC, took 7h 14m, 0.5 rows/s
        rows             12,427 ended: 12,425 succeeded, 2 failed
        truncated        3 answers stopped at the output limit (max_tokens)
        requests         12,505 sent
        tokens           12,425,000 in (4,224,500 cached), 12,425 out
                         34% of the input from cache
        cost             $1.5000 ($0.2500 wasted) and an unknown part for 80 rows
        wasted           $0.2500 invalid_answer (120 calls)
        possibly billed  3 calls, end not known: at most $0.0100 (1 unpriced)

         model            rows  failed     in    out     cost   wasted  price
         (not sent)          2       2      0      0       $0       $0  -
         gateway/small  12,425       0  12.3M  12.3k  $1.5000  $0.2500  job file
         other/large        80       0    80k     80  unknown  unknown  unknown

         model            sent  429s  retries  fell in/out    p50  p95  p99
         (not sent)          0     0        0          0/0      -    -    -
         gateway/small  12,425     0        0         0/80  300ms  75s  75s
         other/large        80     0        0         80/0  300ms  75s  75s

         rows waited for  its limits  a pause it asked for  it to answer again
         gateway/small        1h 02m                     -                   -

         provider      rows  failed     in    out     cost   wasted  price
         (not sent)       2       2      0      0       $0       $0  -
         gateway     12,425       0  12.3M  12.3k  $1.5000  $0.2500  job file
         other           80       0    80k     80  unknown  unknown  unknown

         task      rows  failed     in    out       cost   wasted  price
         (none)       2       2      0      0         $0       $0  -
         tag     12,425       0  12.4M  12.4k  $1.5000+?  $0.2500  mixed

         failure         rows  calls   wasted
         template           2      0       $0
         invalid_answer     0    120  $0.2500

        next             overnight errors night.toml
        ");
    }

    #[test]
    fn over_all_runs_row_ends_stand_apart_from_the_rows_as_they_are_now() {
        let rows = RowCounts { total: 9_000, succeeded: 8_990, failed_before: 2, remaining: 8, ..RowCounts::default() };
        let part = Some("--limit 9000".to_owned());
        let all = Report { run: Runs::All, elapsed_ms: None, ..report("small") };
        let text =
            report_text(&all.with_rows(Some(RowsNow { rows, part, job_rows: Some(20_000) })), Path::new("night.toml"));
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
    fn nights_stand_side_by_side_within_eighty_columns() {
        let one = report("small");
        let night = Night {
            run: 365,
            kind: RunKind::Job,
            started_at: one.started_at,
            ended_at: one.ended_at,
            elapsed_ms: 26_040_000,
            rows: 1_234_567,
            succeeded: 1_234_000,
            failed: 567,
            attempts: 1_300_000,
            rate_limited: 0,
            input_tokens: 0,
            output_tokens: 0,
            cost_usd: "99.98".parse().ok(),
            wasted_usd: "12.34".parse().ok(),
            cost_unknown_rows: 3,
            possibly_billed: PossiblyBilled::default(),
            cost_per_1000_rows_usd: "0.081".parse().ok(),
            rows_per_second: Some(47.41),
        };
        insta::assert_snapshot!(nights(&[Night { run: 1, cost_usd: None, wasted_usd: None, cost_per_1000_rows_usd: None, ..night.clone() }, night]), @r"
         run  began (UTC)    took  rows  failed        cost    wasted   /1,000  rows/s
         1    01-31 00:40  7h 14m  1.2M     567     unknown   unknown  unknown    47.4
         365  01-31 00:40  7h 14m  1.2M     567  $99.9800+?  $12.3400  $0.0810    47.4
        ");
    }

    #[test]
    fn long_names_stay_within_eighty_columns() {
        let text = report_text(
            &report("a-model-with-a-very-long-name-that-goes-on-and-on-2026-01-01"),
            Path::new("night.toml"),
        );
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
