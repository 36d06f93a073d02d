//! Report, status and errors: what they tell is what the files hold and what the simulator was asked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use overnight::sim::SimLedger;
use overnight::types::Money;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::night::TOP;
use crate::world::{SimServer, World};

const ROWS: usize = 240;

/// Three tasks: one that falls back, one on a server of its own, one that a filter stops in part; a key that only a run needs.
fn write_job(world: &World, url: &str) {
    world.write(
        "jobs/night.toml",
        format!(
            r#"
            {TOP}
            [tasks.tag]
            model = "small"
            fallback = ["large"]
            prompt = "Tag {{{{ text }}}}"
            [tasks.sum]
            model = "own"
            prompt = "Sum up {{{{ text }}}}"
            [tasks.filter]
            model = "filter"
            prompt = "Filter {{{{ text }}}}"
            [models]
            small = {{ provider = "p", model = "flaky-40", price = {{ input = 0.05, output = 0.4 }} }}
            large = {{ provider = "p", model = "sim-large", price = {{ input = 2.5, output = 10 }} }}
            own = {{ provider = "q", model = "own" }}
            filter = {{ provider = "q", model = "filter", price = {{ input = 1, output = 2 }} }}
            [providers.p]
            base_url = "{url}"
            api_key_env = "P_KEY"
            [providers.q]
            base_url = "{url}"
            api_key_env = "P_KEY"
            [retry]
            max_attempts = 2
            backoff = {{ base = "1ms", max = "5ms" }}
            [run]
            concurrency = 8
            "#
        ),
    );
}

fn write_rows(world: &World, rows: usize) {
    let row = |n: usize| match n % 12 {
        0 => "{ no json".to_owned(),
        1 => json!({"id": n, "task_type": "filter", "text": format!("text {n}")}).to_string(),
        2..6 => json!({"id": n, "task_type": "sum", "text": format!("text {n}")}).to_string(),
        _ => json!({"id": n, "task_type": "tag", "text": format!("text {n}")}).to_string(),
    };
    world.write("jobs/in.jsonl", (1..=rows).map(row).collect::<Vec<_>>().join("\n"));
}

/// What a command prints with `--json`; the key is not set.
fn told(world: &World, args: &[&str]) -> Value {
    let ran = world.overnight(&[args, &["--json"]].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    assert_eq!(ran.stdout.lines().count(), 1, "{ran:?}");
    ran.summary()
}

fn kill_after(world: &World, sim: &SimServer, requests: u64) {
    let mut child = world.command(&["run", "jobs/night.toml"]);
    let mut child: Child = child.env("P_KEY", "k").stderr(std::process::Stdio::null()).spawn().unwrap();
    while sim.ledger().requests < requests {
        assert_eq!(child.try_wait().unwrap(), None, "it ended before it was killed");
        std::thread::park_timeout(Duration::from_millis(1));
    }
    let running = told(world, &["status", "jobs/night.toml"]);
    assert_eq!((&running["state"], &running["pid"]), (&json!("running"), &json!(child.id())), "{running}");
    child.kill().unwrap();
    child.wait().unwrap();
}

fn run_to_end(world: &World) -> Value {
    let ran = world.command(&["run", "jobs/night.toml", "--json"]).env("P_KEY", "k").output().unwrap();
    assert_eq!(ran.status.code(), Some(4), "{ran:?}");
    serde_json::from_slice(&ran.stdout).unwrap()
}

/// A line of the results or the errors file.
#[derive(Deserialize)]
struct Line {
    row: u64,
    task: String,
    cost_usd: Option<Money>,
    attempts: u64,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    at: Option<String>,
    #[serde(default)]
    failed_at: Option<String>,
}

fn lines(world: &World) -> Vec<Line> {
    let text = world.read("jobs/out.jsonl") + &world.read("jobs/out.errors.jsonl");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("{field} in {value}"))
}

fn money(value: &Value) -> Money {
    value.as_f64().and_then(Money::from_usd).unwrap_or_else(|| panic!("{value} is no money"))
}

#[test]
fn all_figures_agree_after_kills_retries_fallbacks_and_failures() {
    let (world, sim) = (World::new(), SimServer::start(json!({ "latency": ["10ms", "30ms"] })));
    write_job(&world, sim.url());
    write_rows(&world, ROWS);
    kill_after(&world, &sim, 60);
    agree_after_a_kill(&world, &sim.ledger());
    kill_after(&world, &sim, 140);
    agree_after_a_kill(&world, &sim.ledger());
    let summary = run_to_end(&world);

    let report = told(&world, &["report", "jobs/night.toml"]);
    agree_with_files(&world, &report);
    agree_with_simulator(&report, &sim.ledger());
    let status = told(&world, &["status", "jobs/night.toml"]);
    assert_eq!((&status["state"], &status["pid"], &status["exit_code"]), (&json!("finished"), &json!(null), &json!(4)));
    assert_eq!(status["rows"], {
        // What an invocation found done is of no matter afterwards.
        let mut rows = summary["rows"].clone();
        rows["skipped"] = status["rows"]["skipped"].clone();
        rows
    });
    assert_eq!(status["attempts"], report["totals"]["attempts"]);
    assert_eq!(
        (&status["cost_usd"], &status["possibly_billed"]),
        (&report["totals"]["cost_usd"], &report["possibly_billed"])
    );
    errors_agree(&world, true);
    one_night_after_the_other(&world, &sim);
}

/// What the log and the flight file say is told at once, not when the next run has read them.
fn agree_after_a_kill(world: &World, ledger: &SimLedger) {
    let status = told(world, &["status", "jobs/night.toml"]);
    assert_eq!((&status["state"], &status["pid"]), (&json!("stopped"), &json!(null)));
    let report = told(world, &["report", "jobs/night.toml"]);
    assert_eq!(status["attempts"], report["totals"]["attempts"]);
    agree_with_simulator(&report, ledger);
    let possibly = number(&report["possibly_billed"], "attempts");
    assert!((1..=16).contains(&possibly), "{report}");
    assert_eq!(report["rows_now"]["rows"], status["rows"]);
    // Up to the last line, not to the last totals, which are up to a second older.
    let log = world.read("jobs/.overnight/night/results.log");
    let log: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let at = |kind: &str| log.iter().filter_map(|line| line[kind]["at"].as_u64()).max().unwrap();
    assert!(number(&status, "elapsed_ms") >= at("outcome") - at("run"), "{status}");
}

/// All but calls whose end is not known stand in both books.
fn agree_with_simulator(report: &Value, ledger: &SimLedger) {
    let possibly = number(&report["possibly_billed"], "attempts");
    let attempts = number(&report["totals"], "attempts");
    assert!(attempts >= ledger.requests && attempts - ledger.requests <= possibly, "{attempts} of {ledger:?}");
    let unread = ledger.input_tokens - number(&report["totals"], "input_tokens");
    assert!(unread <= possibly * 40, "{unread} tokens after {possibly} calls");
    for model in report["by_model"].as_array().unwrap() {
        let name = model["model"].as_str().unwrap();
        let asked = ledger.by_model.get(name).map_or(0, |model| model.requests);
        let attempts = number(model, "attempts");
        assert!(attempts >= asked && attempts - asked <= possibly, "{name}: {attempts} of {asked}");
    }
}

fn agree_with_files(world: &World, report: &Value) {
    let lines = lines(world);
    let totals = &report["totals"];
    assert_eq!(lines.len(), ROWS);
    assert_eq!(number(totals, "succeeded"), world.lines("jobs/out.jsonl").len() as u64);
    assert_eq!(number(totals, "failed"), world.lines("jobs/out.errors.jsonl").len() as u64);
    assert_eq!(number(totals, "attempts"), lines.iter().map(|line| line.attempts).sum::<u64>());
    assert_eq!(money(&totals["cost_usd"]), lines.iter().filter_map(|line| line.cost_usd).sum());
    assert_eq!(number(totals, "cost_unknown_rows"), lines.iter().filter(|line| line.cost_usd.is_none()).count() as u64);
    for task in report["by_task"].as_array().unwrap() {
        let of_task = lines.iter().filter(|line| task["task"] == line.task).count();
        assert_eq!(number(task, "rows"), of_task as u64, "{task}");
    }
    let models = report["by_model"].as_array().unwrap();
    let own = models.iter().find(|model| model["model"] == "own").unwrap();
    assert_eq!((&own["cost_usd"], &own["price_source"]), (&json!(0), &json!("self-hosted")));
    for model in models {
        let rows = number(model, "succeeded") + number(model, "failed") + number(model, "fallbacks_out");
        assert_eq!(number(model, "rows"), rows);
    }
    broken_down(report);
    for scope in ["by_model", "by_provider", "by_task"] {
        for field in ["succeeded", "failed", "attempts", "retries", "input_tokens", "output_tokens"] {
            let sum: u64 = report[scope].as_array().unwrap().iter().map(|entry| number(entry, field)).sum();
            assert_eq!(sum, number(totals, field), "{scope} {field}");
        }
    }
}

/// What is told by kind, by reason and over time adds up to the whole.
fn broken_down(report: &Value) {
    let sum = |list: &Value, field: &str| list.as_array().unwrap().iter().map(|part| number(part, field)).sum::<u64>();
    let totals = &report["totals"];
    assert_eq!(sum(&report["failures"], "rows"), number(totals, "failed"));
    let steps = &report["throughput"]["steps"];
    for field in ["succeeded", "failed", "attempts", "rate_limited"] {
        assert_eq!(sum(steps, field), number(totals, field), "{field} over time");
    }
    let wasted = totals["wasted_by"].as_array().unwrap().iter().map(|part| money(&part["cost_usd"]));
    assert_eq!(wasted.sum::<Money>(), money(&totals["wasted_usd"]));
    let calls = sum(&report["latency_histogram"], "calls");
    assert!(calls >= number(totals, "succeeded") && calls <= number(totals, "attempts"), "{calls}");
    for kind in report["failures"].as_array().unwrap() {
        assert!(!kind["samples"].as_array().unwrap().is_empty(), "{kind}");
    }
}

/// Of a row that failed before the input changed the place is not told.
fn errors_agree(world: &World, input_is_as_it_was: bool) {
    let errors = told(world, &["errors", "jobs/night.toml"]);
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    let mut places = BTreeMap::new();
    for line in lines(world) {
        if let Some(error) = line.error {
            *kinds.entry(error["kind"].as_str().unwrap().to_owned()).or_default() += 1;
            places.insert(line.row, (line.at.unwrap(), line.failed_at.unwrap()));
        }
    }
    assert_eq!(number(&errors, "failed"), kinds.values().sum::<u64>());
    for group in errors["groups"].as_array().unwrap() {
        *kinds.get_mut(group["kind"].as_str().unwrap()).unwrap() -= number(group, "count");
        let example = &group["example"];
        let is_told = input_is_as_it_was || !example["at"].is_null();
        assert!(!is_told || example["at"] == places[&number(example, "row")].0, "{group}");
        let at = |field: &str| group[field].as_str().unwrap_or_else(|| panic!("{field} in {group}"));
        assert!(at("first_at") <= at("last_at") && example["failed_at"] == at("last_at"), "{group}");
        if input_is_as_it_was {
            let row = number(example, "row");
            assert_eq!(at("last_at"), places[&row].1);
            let explained = told(world, &["explain", "jobs/night.toml", &row.to_string()]);
            assert_eq!(explained["outcome"]["failed_at"], places[&row].1);
        }
        assert_ne!(group["advice"], "");
    }
    assert!(kinds.contains_key("bad_row") && kinds.values().all(|left| *left == 0), "{kinds:?}");
}

fn figures(report: &Value) -> Value {
    let mut figures = report.clone();
    figures.as_object_mut().unwrap().retain(|name, _| name != "rows_now" && name != "held_back");
    figures
}

/// A second run over a larger input whose broken records were mended in part.
fn one_night_after_the_other(world: &World, sim: &SimServer) {
    let first = told(world, &["report", "jobs/night.toml"]);
    write_rows(world, ROWS + 24);
    let text = world.read("jobs/in.jsonl").replacen("{ no json", r#"{"id": "x", "task_type": "sum", "text": "x"}"#, 5);
    world.write("jobs/in.jsonl", text);
    let ran = world.command(&["run", "jobs/night.toml", "--json"]).env("P_KEY", "k").output().unwrap();
    assert_eq!(ran.status.code(), Some(4), "{ran:?}");
    let second = told(world, &["report", "jobs/night.toml"]);
    assert_eq!((&first["run"], &second["run"]), (&json!(1), &json!(2)));
    // All but how the rows stand now, and what the last run alone has.
    let again = told(world, &["report", "jobs/night.toml", "--run", "1"]);
    assert_eq!(again["rows_now"], second["rows_now"]);
    assert_eq!(figures(&again), figures(&first));
    let all = told(world, &["report", "jobs/night.toml", "--run", "all"]);
    assert_eq!(all["run"], "all");
    for field in ["succeeded", "failed", "attempts", "input_tokens"] {
        let sum = number(&first["totals"], field) + number(&second["totals"], field);
        assert_eq!(number(&all["totals"], field), sum, "{field}");
    }
    agree_with_simulator(&all, &sim.ledger());
    let nights = all["runs"].as_array().unwrap();
    for (night, report) in nights.iter().zip([&first, &second]) {
        assert_eq!((&night["run"], &night["elapsed_ms"]), (&report["run"], &report["elapsed_ms"]));
        for field in ["rows", "failed", "attempts", "cost_usd", "wasted_usd"] {
            assert_eq!(night[field], report["totals"][field], "{field}");
        }
    }
    assert_eq!((nights.len(), &first["runs"]), (2, &json!(null)));
    let missing = world.overnight(&["report", "jobs/night.toml", "--run", "7"]);
    assert_eq!(missing.code, Some(2));
    assert!(missing.stderr.contains("runs 1 to 2"), "{missing:?}");
    errors_agree(world, false);
}

#[test]
fn a_part_is_not_told_as_the_job_and_the_cost_of_all_runs_is() {
    let (world, sim) = (World::new(), SimServer::start(json!({})));
    write_job(&world, sim.url());
    write_rows(&world, 60);
    let run_part = |args: &[&str]| {
        let ran = world.command(&[&["run", "jobs/night.toml"], args].concat()).env("P_KEY", "k").output().unwrap();
        assert!(matches!(ran.status.code(), Some(0 | 4)), "{ran:?}");
        told(&world, &["status", "jobs/night.toml"])
    };
    let sample = run_part(&["--sample", "12"]);
    assert_eq!((&sample["part"], &sample["job_rows"]), (&json!("--sample 12"), &json!(60)), "{sample}");
    assert_eq!((&sample["rows"]["total"], &sample["runs"]), (&json!(12), &json!(1)));
    let text = world.overnight(&["status", "jobs/night.toml"]).stdout;
    assert!(text.contains("\nonly a part      --sample 12, of 60 rows\n"), "{text}");

    let whole = run_part(&[]);
    assert_eq!((&whole["part"], &whole["job_rows"], &whole["runs"]), (&json!(null), &json!(60), &json!(2)), "{whole}");
    let all = told(&world, &["report", "jobs/night.toml", "--run", "all"]);
    assert_eq!(whole["all_runs_cost_usd"], all["totals"]["cost_usd"]);
    assert_ne!(whole["all_runs_cost_usd"], whole["cost_usd"]);
    assert_eq!((&all["rows_now"]["rows"], &all["rows_now"]["part"]), (&whole["rows"], &json!(null)));
    for args in [&["status"][..], &["status", "jobs/night.toml"]] {
        let text = world.overnight(args).stdout;
        assert!(text.contains(", all 2 runs $"), "{text}");
    }

    let limited = run_part(&["--limit", "5", "--where", "id < 3"]);
    assert_eq!((&limited["part"], &limited["job_rows"]), (&json!("--limit 5 --where \"id < 3\""), &json!(60)));
    let line = world.overnight(&["status"]).stdout;
    assert!(line.contains("% of a part of 60"), "{line}");
    let text = world.overnight(&["report", "jobs/night.toml", "--run", "all"]).stdout;
    assert!(text.contains("\nrow ends ") && text.contains("only a part: --limit 5"), "{text}");
}

#[test]
fn every_format_has_the_same_figures_and_texts_fit_eighty_columns() {
    let (world, sim) = (World::new(), SimServer::start(json!({})));
    write_job(&world, sim.url());
    write_rows(&world, 60);
    run_to_end(&world);
    let report = told(&world, &["report", "jobs/night.toml"]);
    assert_eq!(told(&world, &["report", "jobs/night.toml", "--format", "json"]), report);

    let csv = world.overnight(&["report", "jobs/night.toml", "--format", "csv"]).stdout;
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let mut entries = vec![&report["totals"]];
    entries.extend(["by_model", "by_provider", "by_task"].iter().flat_map(|scope| report[*scope].as_array().unwrap()));
    let lines: Vec<BTreeMap<String, String>> = reader.deserialize().map(Result::unwrap).collect();
    let (kinds, lines): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line["scope"] == "failure");
    let of_kind = |line: &BTreeMap<String, String>| json!([line["kind"], line["rows"], line["attempts"]]);
    let told = report["failures"].as_array().unwrap().iter();
    let told: Vec<Value> =
        told.map(|kind| json!([kind["kind"], kind["rows"].to_string(), kind["calls"].to_string()])).collect();
    assert_eq!(kinds.iter().map(of_kind).collect::<Vec<_>>(), told);
    assert!(csv.starts_with("scope,provider,model,task,rows,"), "{csv}");
    assert_eq!(lines.len(), entries.len());
    for (line, entry) in lines.iter().zip(entries) {
        for field in ["rows", "attempts", "fallbacks_in", "output_tokens", "cost_unknown_rows"] {
            assert_eq!(line[field], entry[field].to_string());
        }
        let cost = if entry["cost_usd"].is_null() { String::new() } else { entry["cost_usd"].to_string() };
        assert_eq!(line["cost_usd"], cost);
    }

    let written = world.overnight(&["report", "jobs/night.toml", "--format", "html", "-o", "report.html"]);
    assert_eq!((written.code, written.stdout.as_str()), (Some(0), ""));
    let page = world.read("report.html");
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("<h1>night</h1>"), "{page}");
    for field in ["rows", "attempts", "cost_usd", "input_tokens"] {
        assert!(page.contains(&format!("<data value=\"{}\">", report["totals"][field])), "{field}: {page}");
    }
    let written = world.overnight(&["report", "jobs/night.toml", "--format", "markdown", "-o", "report.md"]);
    assert_eq!((written.code, written.stdout.as_str()), (Some(0), ""));
    assert!(world.read("report.md").contains("| p/flaky-40 | "), "{}", world.read("report.md"));
    for args in [
        &["report", "jobs/night.toml"][..],
        &["status", "jobs/night.toml"],
        &["errors", "jobs/night.toml"],
        &["status"],
    ] {
        let text = world.overnight(args).stdout;
        assert!(!text.is_empty() && !text.contains('\u{1b}'), "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

#[test]
fn what_if_finds_models_by_their_makers_and_says_where_it_finds_none() {
    let (world, sim) = (World::new(), SimServer::start(json!({})));
    write_job(&world, sim.url());
    write_rows(&world, 24);
    run_to_end(&world);
    let report =
        told(&world, &["report", "jobs/night.toml", "--what-if", "gpt-4o,qwen-plus,anthropic/claude-haiku-4-5"]);
    let models: Vec<&str> =
        report["what_if"].as_array().unwrap().iter().map(|m| m["model"].as_str().unwrap()).collect();
    assert_eq!(models, ["openai/gpt-4o", "dashscope/qwen-plus", "anthropic/claude-haiku-4-5"]);
    for other in report["what_if"].as_array().unwrap() {
        let parts = other["by_model"].as_array().unwrap().iter().map(|part| money(&part["cost_usd"]));
        assert_eq!(parts.sum::<Money>(), money(&other["cost_usd"]), "{other}");
        assert!(other["price_source"].as_str().unwrap().starts_with("built-in table"), "{other}");
    }
    assert_eq!(told(&world, &["report", "jobs/night.toml"])["what_if"], json!(null));
    let text = world.overnight(&["report", "jobs/night.toml", "--what-if", "gpt-4o"]).stdout;
    assert!(text.contains("An estimate") && text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let job = world.read("jobs/night.toml");
    world.write(
        "jobs/night.toml",
        format!(
            "{job}\n[models.dear]\nprovider = \"openai\"\nmodel = \"made-up\"\nprice = {{ input = 7, output = 9 }}\n"
        ),
    );
    let own = told(&world, &["report", "jobs/night.toml", "--what-if", "dear"]);
    let dear = &own["what_if"][0];
    assert_eq!((&dear["model"], &dear["price_source"]), (&json!("openai/made-up"), &json!("job file")), "{own}");
    let missing = world.overnight(&["report", "jobs/night.toml", "--what-if", "gpt-4oo"]);
    assert_eq!((missing.code, missing.stdout.as_str()), (Some(2), ""));
    assert!(missing.stderr.contains("hint: nearest: ") && missing.stderr.contains("gpt-4o"), "{missing:?}");
}

#[test]
fn without_a_run_they_say_so_and_a_broken_job_hides_no_other() {
    let world = World::new();
    write_job(&world, "http://127.0.0.1:9/v1");
    for command in ["report", "status", "errors"] {
        let ran = world.overnight(&[command, "jobs/night.toml"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(ran.stdout, "night: nothing has run yet\nnext             overnight run jobs/night.toml\n");
    }
    let none: PathBuf = world.path("jobs/.overnight");
    assert!(!none.exists(), "a command that only reads made the state directory");
    world.write("broken.toml", "[tasks.x]\nmodel = ");
    assert_eq!(world.overnight(&["status"]).stdout, "no job below this folder has run yet\n");
    assert_eq!(told(&world, &["status"]), json!({ "jobs": [] }));
}
