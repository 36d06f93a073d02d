//! A ledger becomes a report, and the report its texts.

use serde_json::{Value, json};

use super::*;
use crate::types::{
    Latency, Ledger, PossiblyBilled, PriceSource, RowCounts, RowsNow, RunTotals, Tally, TallyId, Totals, Usage,
};

fn tally(succeeded: u64, fallbacks_out: u64, cost: &str) -> Tally {
    let mut latency = Latency::default();
    for millis in [200, 300, 400, 4_000] {
        latency.add(millis);
    }
    Tally {
        succeeded,
        fallbacks_out,
        attempts: succeeded + fallbacks_out,
        usage: Usage { input_tokens: succeeded * 10, output_tokens: succeeded, ..Usage::default() },
        cost_usd: cost.parse().unwrap(),
        latency,
        ..Tally::default()
    }
}

fn run(number: u32, tallies: Vec<(&str, &str, &str, Tally)>) -> RunTotals {
    let id = |(task, provider, model, tally): (&str, &str, &str, Tally)| {
        (TallyId { task: task.to_owned(), provider: provider.to_owned(), model: model.to_owned() }, tally)
    };
    let possibly_billed = PossiblyBilled { attempts: 1, max_cost_usd: "0.01".parse().unwrap(), cost_unknown: 0 };
    let totals = Totals { tallies: tallies.into_iter().map(id).collect(), possibly_billed };
    RunTotals { run: number, totals, ..RunTotals::default() }
}

/// Two tasks; rows of the first fall from a small model to one without a price; one row is asked of nobody.
fn ledger() -> Ledger {
    let small = tally(6, 4, "0.0001");
    let unpriced = Tally { fallbacks_in: 4, cost_unknown_rows: 4, ..tally(4, 0, "0") };
    let not_sent = Tally { failed: 1, ..Tally::default() };
    let second = vec![
        ("", "", "", not_sent),
        ("sum", "gateway", "small", tally(2, 0, "0.5")),
        ("tag", "gateway", "small", small),
        ("tag", "other", "new|model", unpriced),
    ];
    Ledger {
        runs: vec![run(1, vec![("tag", "gateway", "small", tally(3, 0, "0.25"))]), run(2, second)],
        ..Ledger::default()
    }
}

fn report(choice: RunChoice) -> Report {
    let source = |_: &str, model: &str| if model == "small" { PriceSource::JobFile } else { PriceSource::Unknown };
    Report::new("night", &ledger(), choice, &source).unwrap()
}

fn parsed(choice: RunChoice) -> Value {
    serde_json::from_str(&to_json(&report(choice)).unwrap()).unwrap()
}

#[test]
fn rows_of_a_model_are_those_that_ended_there_or_left_it() {
    let report = parsed(RunChoice::Last);
    let rows: Vec<_> = report["by_model"].as_array().unwrap().iter().map(|model| &model["rows"]).collect();
    assert_eq!(rows, [&json!(1), &json!(12), &json!(4)]);
    assert_eq!((&report["totals"]["rows"], &report["run"]), (&json!(13), &json!(2)));
}

#[test]
fn what_is_not_known_is_null_and_a_sum_is_its_known_part() {
    let report = parsed(RunChoice::Last);
    let unpriced = &report["by_model"][2];
    assert_eq!((&unpriced["cost_usd"], &unpriced["cost_unknown_rows"]), (&json!(null), &json!(4)));
    let totals = &report["totals"];
    assert_eq!((totals["cost_usd"].to_string(), &totals["cost_unknown_rows"]), ("0.5001".to_owned(), &json!(4)));
    assert_eq!((&totals["price_source"], &report["by_model"][0]["price_source"]), (&json!("mixed"), &json!(null)));
    assert_eq!(report["by_model"][0]["latency_ms"], json!({ "p50": null, "p95": null, "p99": null }));
    assert_eq!(totals["latency_ms"], json!({ "p50": 300, "p95": 4000, "p99": 4000 }));
}

#[test]
fn a_report_is_on_the_last_run_on_all_or_on_the_one_asked_for() {
    assert_eq!(parsed(RunChoice::Number(1))["totals"]["succeeded"], 3);
    let all = parsed(RunChoice::All);
    assert_eq!((&all["run"], &all["totals"]["succeeded"]), (&json!("all"), &json!(15)));
    assert_eq!(all["possibly_billed"]["attempts"], 2);
    let missing = Report::new("night", &ledger(), RunChoice::Number(3), &|_, _| PriceSource::Unknown);
    assert!(matches!(missing, Err(ReportError::NoSuchRun { asked: 3, last: 2 })));
    let none = Report::new("night", &Ledger::default(), RunChoice::All, &|_, _| PriceSource::Unknown);
    assert!(matches!(none, Err(ReportError::NoRun)));
}

#[test]
fn csv_has_all_scopes_under_one_header() {
    insta::assert_snapshot!(to_csv(&report(RunChoice::Last)).unwrap(), @r"
    scope,provider,model,task,rows,succeeded,failed,attempts,rate_limited,retries,fallbacks_in,fallbacks_out,input_tokens,cached_input_tokens,output_tokens,reasoning_tokens,cost_usd,wasted_usd,cost_unknown_rows,latency_p50_ms,latency_p95_ms,latency_p99_ms,price_source,possibly_billed_max_cost_usd
    total,,,,13,12,1,16,0,0,4,4,120,0,12,0,0.5001,0,4,300,4000,4000,mixed,
    model,,,,1,0,1,0,0,0,0,0,0,0,0,0,0,0,0,,,,,
    model,gateway,small,,12,8,0,12,0,0,0,4,80,0,8,0,0.5001,0,0,300,4000,4000,job file,
    model,other,new|model,,4,4,0,4,0,0,4,0,40,0,4,0,,,4,300,4000,4000,unknown,
    provider,,,,1,0,1,0,0,0,0,0,0,0,0,0,0,0,0,,,,,
    provider,gateway,,,12,8,0,12,0,0,0,4,80,0,8,0,0.5001,0,0,300,4000,4000,job file,
    provider,other,,,4,4,0,4,0,0,4,0,40,0,4,0,,,4,300,4000,4000,unknown,
    task,,,,1,0,1,0,0,0,0,0,0,0,0,0,0,0,0,,,,,
    task,,,sum,2,2,0,2,0,0,0,0,20,0,2,0,0.5,0,0,300,4000,4000,job file,
    task,,,tag,10,10,0,14,0,0,4,4,100,0,10,0,0.0001,0,4,300,4000,4000,mixed,
    possibly_billed,,,,,,,1,,,,,,,,,,,,,,,,0.01
    ");
}

#[test]
fn over_all_runs_markdown_counts_row_ends_and_tells_the_rows_as_they_are_now() {
    let rows = RowCounts { total: 9, succeeded: 6, failed: 1, failed_before: 1, remaining: 1, ..RowCounts::default() };
    let now = RowsNow { rows, part: Some("--where \"a || b\"".to_owned()), job_rows: Some(20) };
    let text = to_markdown(&report(RunChoice::All).with_rows(Some(now)));
    let line = "Rows now (a part of 20 rows: --where \"a \\|\\| b\"): 9 in all, 6 succeeded, 2 failed, 1 remaining.\n";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("| model | row ends | succeeded |") && text.contains("Row ends: a row that"), "{text}");
    let last = to_markdown(&report(RunChoice::Last));
    assert!(!last.contains("Rows now") && !last.contains("ow ends"), "{last}");
}

#[test]
fn markdown_has_a_table_for_each_scope() {
    insta::assert_snapshot!(to_markdown(&report(RunChoice::Last)), @r"
    # night, run 2

    Possibly billed, besides: 1 calls whose end is not known, at most 0.01 USD.

    | all | rows | succeeded | failed | attempts | rate limited | retries | fallbacks in/out | tokens in | cached | tokens out | cost USD | wasted USD | p50/p95/p99 ms | price |
    |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|
    | total | 13 | 12 | 1 | 16 | 0 | 0 | 4/4 | 120 | 0 | 12 | 0.5001 + 4 rows unknown | 0 | 300/4000/4000 | mixed |

    | model | rows | succeeded | failed | attempts | rate limited | retries | fallbacks in/out | tokens in | cached | tokens out | cost USD | wasted USD | p50/p95/p99 ms | price |
    |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|
    | (not sent) | 1 | 0 | 1 | 0 | 0 | 0 | 0/0 | 0 | 0 | 0 | 0 | 0 | -/-/- | - |
    | gateway/small | 12 | 8 | 0 | 12 | 0 | 0 | 0/4 | 80 | 0 | 8 | 0.5001 | 0 | 300/4000/4000 | job file |
    | other/new\|model | 4 | 4 | 0 | 4 | 0 | 0 | 4/0 | 40 | 0 | 4 | unknown | unknown | 300/4000/4000 | unknown |

    | provider | rows | succeeded | failed | attempts | rate limited | retries | fallbacks in/out | tokens in | cached | tokens out | cost USD | wasted USD | p50/p95/p99 ms | price |
    |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|
    | (not sent) | 1 | 0 | 1 | 0 | 0 | 0 | 0/0 | 0 | 0 | 0 | 0 | 0 | -/-/- | - |
    | gateway | 12 | 8 | 0 | 12 | 0 | 0 | 0/4 | 80 | 0 | 8 | 0.5001 | 0 | 300/4000/4000 | job file |
    | other | 4 | 4 | 0 | 4 | 0 | 0 | 4/0 | 40 | 0 | 4 | unknown | unknown | 300/4000/4000 | unknown |

    | task | rows | succeeded | failed | attempts | rate limited | retries | fallbacks in/out | tokens in | cached | tokens out | cost USD | wasted USD | p50/p95/p99 ms | price |
    |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|
    | (none) | 1 | 0 | 1 | 0 | 0 | 0 | 0/0 | 0 | 0 | 0 | 0 | 0 | -/-/- | - |
    | sum | 2 | 2 | 0 | 2 | 0 | 0 | 0/0 | 20 | 0 | 2 | 0.5 | 0 | 300/4000/4000 | job file |
    | tag | 10 | 10 | 0 | 14 | 0 | 0 | 4/4 | 100 | 0 | 10 | 0.0001 + 4 rows unknown | 0 | 300/4000/4000 | mixed |
    ");
}
