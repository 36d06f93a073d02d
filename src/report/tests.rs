//! A ledger becomes a report, and the report its texts.

use serde_json::{Value, json};

use super::*;
use crate::types::{
    Band, Failure, FailureKind, Key, Latency, Ledger, LogLine, Money, Origin, OutcomeLine, PossiblyBilled, Price,
    PriceSource, Rates, RowCounts, RowsNow, RunEndLine, RunKind, RunLine, RunTotals, Tally, TallyId, Totals, Usage,
};

/// 2026-01-31 00:40 UTC.
const EVENING: u64 = 1_769_820_000_000;
const MINUTE: u64 = 60_000;

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

/// A line of a row that asked a model; the caller fills in how it ended.
fn outcome(row: u64, at: u64, task: &str, provider: &str, model: &str) -> OutcomeLine {
    let latency_ms = 300 + row % 7 * 150;
    let line = json!({
        "call": row, "key": Key([0; 16]), "row": row, "run": 1, "at": at, "task": task, "provider": provider, "model": model,
        "attempts": 1, "cost": 0.00025, "row_cost": 0.00025, "latency_ms": latency_ms,
        "usage": { "input_tokens": 400, "cached_input_tokens": 100, "output_tokens": 20, "reasoning_tokens": 5 },
    });
    serde_json::from_str(&line.to_string()).unwrap()
}

/// An attempt of the row that ends so.
fn attempt(of: &OutcomeLine, kind: FailureKind, message: &str, cost: f64) -> LogLine {
    let line = json!({
        "call": of.call, "key": of.key, "row": of.row, "run": 1, "at": of.at - 1_000, "task": of.task, "latency_ms": 90,
        "provider": of.provider, "model": of.model, "cost": cost,
        "failure": { "kind": kind, "status": 429, "message": message },
    });
    LogLine::Attempt(serde_json::from_str(&line.to_string()).unwrap())
}

/// A night of four hours with all that can happen, counted from its lines; `text` stands wherever others have a say.
pub(super) fn busy_night(text: &str) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.count(&LogLine::Run(RunLine { run: 1, at: EVENING, offset: 0, kind: RunKind::Job, about: None }));
    for row in 1..=240 {
        let at = EVENING + row * MINUTE;
        let mut line = outcome(row, at, "tag", "gateway", "small");
        match row % 24 {
            0 => {
                line.failure = Some(Failure::new(FailureKind::Template, format!("no column {text}")));
                (line.call, line.usage, line.cost) = (0, None, Some(Money::ZERO));
                (line.provider, line.model, line.task) = (String::new(), String::new(), text.to_owned());
            }
            1..4 => ledger.count(&attempt(&line, FailureKind::RateLimited, "slow down", 0.0)),
            4 => ledger.count(&attempt(&line, FailureKind::InvalidAnswer, text, 0.0001)),
            5 => {
                line.came_from = Some(Origin { provider: "gateway".to_owned(), model: "small".to_owned() });
                (line.provider, line.model) = ("other".to_owned(), format!("large {text}"));
                (line.cost, line.row_cost) = (None, None);
            }
            6 => {
                line.failure =
                    Some(Failure { kind: FailureKind::Refusal, status: Some(200), message: text.to_owned() });
            }
            7 => line.truncated = true,
            _ => line.task = "sum".to_owned(),
        }
        ledger.count(&LogLine::Outcome(Box::new(line)));
    }
    let mut cut = outcome(241, EVENING + 240 * MINUTE, "tag", "gateway", "small");
    (cut.possibly_billed, cut.cost, cut.usage) = (true, None, None);
    cut.worst_cost = Some(Money::from_pico(9_000_000_000));
    cut.failure = Some(Failure::new(FailureKind::Timeout, "no answer within 10m"));
    ledger.count(&LogLine::Outcome(Box::new(cut)));
    ledger.count(&LogLine::RunEnd(RunEndLine { run: 1, at: EVENING + 241 * MINUTE }));
    ledger
}

/// Two nights, and a third in which nothing was to do.
pub(super) fn ledger_of_nights() -> Ledger {
    let mut ledger = busy_night("no such column");
    for (run, rows) in [(2, 50), (3, 0)] {
        let at = EVENING + u64::from(run - 1) * 24 * 60 * MINUTE;
        ledger.count(&LogLine::Run(RunLine { run, at, offset: 0, kind: RunKind::Job, about: None }));
        for row in 1..=rows {
            ledger.count(&LogLine::Outcome(Box::new(outcome(row, at + row * 1_000, "tag", "gateway", "small"))));
        }
        if run == 2 {
            ledger.count(&LogLine::RunEnd(RunEndLine { run, at: at + 51_000 }));
        }
    }
    ledger
}

/// As the command makes it, some minutes after the last thing that is known.
pub(super) fn report_on(ledger: &Ledger, choice: RunChoice) -> Report {
    let source = |_: &str, model: &str| if model == "small" { PriceSource::JobFile } else { PriceSource::Unknown };
    let name = ledger.runs[0].course.samples.of(FailureKind::InvalidAnswer).first();
    let name = name.map_or("night".to_owned(), |sample| sample.message.clone());
    Report::new(&name, ledger, Some(EVENING + 60 * 60 * MINUTE), choice, &source).unwrap()
}

fn report(choice: RunChoice) -> Report {
    report_on(&ledger(), choice)
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
    let missing = Report::new("night", &ledger(), None, RunChoice::Number(3), &|_, _| PriceSource::Unknown);
    assert!(matches!(missing, Err(ReportError::NoSuchRun { asked: 3, last: 2 })));
    let none = Report::new("night", &Ledger::default(), None, RunChoice::All, &|_, _| PriceSource::Unknown);
    assert!(matches!(none, Err(ReportError::NoRun)));
}

#[test]
fn csv_has_all_scopes_under_one_header() {
    insta::assert_snapshot!(to_csv(&report(RunChoice::Last)).unwrap());
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
    insta::assert_snapshot!(to_markdown(&report(RunChoice::Last)));
}

#[test]
fn the_parts_add_up_to_the_whole() {
    for (ledger, choice) in [(busy_night("x"), RunChoice::Last), (ledger_of_nights(), RunChoice::All)] {
        let report = report_on(&ledger, choice);
        let all = &report.totals;
        for parts in [&report.by_model, &report.by_provider, &report.by_task] {
            let sum = |figure: fn(&Entry) -> u64| parts.iter().map(figure).sum::<u64>();
            assert_eq!((sum(|e| e.succeeded), sum(|e| e.failed)), (all.succeeded, all.failed));
            assert_eq!((sum(|e| e.attempts), sum(|e| e.rate_limited)), (all.attempts, all.rate_limited));
            assert_eq!((sum(|e| e.input_tokens), sum(|e| e.truncated)), (all.input_tokens, all.truncated));
            let known = |figure: fn(&Entry) -> Option<Money>| parts.iter().filter_map(figure).sum::<Money>();
            assert_eq!((Some(known(|e| e.cost_usd)), Some(known(|e| e.wasted_usd))), (all.cost_usd, all.wasted_usd));
        }
        assert_eq!(report.failures.iter().map(|kind| kind.rows).sum::<u64>(), all.failed);
        let wasted: Money = all.wasted_by.iter().map(|part| part.cost_usd).sum();
        assert_eq!(Some(wasted), all.wasted_usd);
        assert_eq!(wasted, report.failures.iter().map(|kind| kind.wasted_usd).sum());
        let steps = report.throughput.iter().flat_map(|throughput| &throughput.steps);
        let over_time =
            steps.fold((0, 0), |(rows, calls), step| (rows + step.succeeded + step.failed, calls + step.attempts));
        assert!(choice == RunChoice::All || over_time == (all.rows, all.attempts), "{over_time:?}");
        let nights: (u64, Money) = report
            .runs
            .iter()
            .fold((0, Money::ZERO), |sum, run| (sum.0 + run.rows, sum.1 + run.cost_usd.unwrap_or_default()));
        assert!(choice == RunChoice::Last || nights == (all.rows, all.cost_usd.unwrap_or_default()), "{nights:?}");
    }
}

#[test]
fn a_busy_night_in_markdown() {
    insta::assert_snapshot!(to_markdown(&report_on(&busy_night("no `such` | <b>column</b>\n@all"), RunChoice::Last)));
}

#[test]
fn nights_in_every_format() {
    let report = report_on(&ledger_of_nights(), RunChoice::All);
    insta::assert_snapshot!("nights_csv", to_csv(&report).unwrap());
    insta::assert_snapshot!("nights_markdown", to_markdown(&report));
    let json = to_json(&report).unwrap();
    insta::assert_snapshot!("nights_json", json.replace(",\"", ",\n\""));
}

/// As listed: requests of more than a thousand tokens cost ten times as much.
fn elsewhere() -> Alternative {
    let rates = |usd: &str| Rates::flat(usd.parse().unwrap(), usd.parse().unwrap(), usd.parse().unwrap());
    let band = |above, usd| Band { above, standard: rates(usd), ..Band::default() };
    let price = Price::listed(band(0, "1"), vec![band(1_000, "10")]);
    Alternative { name: "maker/other".to_owned(), price, source: PriceSource::BuiltIn("a list".into()) }
}

#[test]
fn what_if_counts_all_tokens_as_usual_calls_and_changes_no_other_figure() {
    let before = report_on(&busy_night("x"), RunChoice::Last);
    let after = before.clone().with_what_if(&[elsewhere()]);
    assert_eq!(Report { what_if: Vec::new(), ..after.clone() }, before);
    let [other] = after.what_if.as_slice() else { panic!("{:?}", after.what_if) };
    // A millionth of a dollar a token.
    let tokens = after.totals.input_tokens + after.totals.output_tokens;
    assert_eq!(other.cost_usd, Some(Money::from_pico(tokens * 1_000_000)));
    assert_eq!(other.by_model.iter().map(|part| part.cost_usd).sum::<Option<Money>>(), other.cost_usd);
    let asked: Vec<&str> = other.by_model.iter().map(|part| part.model.as_str()).collect();
    assert_eq!(asked, ["small", "large x"]);
}

#[test]
fn what_if_is_told_as_an_estimate_in_every_format() {
    let report = report_on(&busy_night("x"), RunChoice::Last).with_what_if(&[elsewhere()]);
    let (json, csv) = (to_json(&report).unwrap(), to_csv(&report).unwrap());
    assert!(json.contains(r#""what_if":[{"model":"maker/other","cost_usd":"#), "{json}");
    assert!(csv.contains("\nwhat_if,gateway,small,") && csv.contains(",maker/other\n"), "{csv}");
    for text in [to_markdown(&report), to_html(&report).unwrap()] {
        assert!(text.contains("An estimate: the tokens that this job") && text.contains("maker"), "{text}");
    }
}
