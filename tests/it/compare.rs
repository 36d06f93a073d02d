//! The same rows through several models: what is told of it, that nothing is paid twice, and that the job's own runs stay
//! what they are.

use std::collections::BTreeMap;
use std::time::Duration;

use overnight::types::{Money, RunKind};
use serde_json::{Value, json};

use crate::night::TOP;
use crate::process::{Running, pause, wait_until};
use crate::truth::totals;
use crate::world::{Ran, SimServer, World};

const ROWS: u64 = 40;

fn write_rows(world: &World) {
    let rows = (1..=ROWS).map(|n| json!({ "id": n, "text": format!("row {n} of a night") }).to_string());
    world.write("in.jsonl", rows.collect::<Vec<_>>().join("\n"));
}

/// A job of forty rows whose first choice is `first`.
fn job(sim: &SimServer, first: &str, fallback: &str, more: &str) -> String {
    format!(
        r#"
        {TOP}
        [tasks.tag]
        model = "{first}"
        fallback = [{fallback}]
        prompt = "Tag {{{{ text }}}}"
        [models.quick]
        provider = "p"
        price = {{ input = 1, output = 2 }}
        [models.slow]
        provider = "p"
        model = "slow-60"
        price = {{ input = 10, output = 20 }}
        [models.half]
        provider = "p"
        model = "truncate"
        price = {{ input = 0.5, output = 1 }}
        [models.filtered]
        provider = "p"
        model = "filter"
        [providers.p]
        base_url = "{}"
        {more}
        "#,
        sim.url()
    )
}

fn world(sim: &SimServer, first: &str, fallback: &str) -> World {
    let world = World::new();
    write_rows(&world);
    world.write("job.toml", job(sim, first, fallback, ""));
    world
}

fn compare(world: &World, models: &str, more: &[&str]) -> Ran {
    compare_rows(world, models, "10", more)
}

fn compare_rows(world: &World, models: &str, rows: &str, more: &[&str]) -> Ran {
    let args = ["compare", "job.toml", "--models", models, "--sample", rows, "--json"];
    world.overnight(&args.iter().chain(more).copied().collect::<Vec<_>>())
}

/// The figures of a comparison that came to its end.
fn compared(world: &World, models: &str) -> Value {
    let ran = compare(world, models, &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.summary()
}

fn requests_by_model(sim: &SimServer) -> BTreeMap<String, u64> {
    sim.ledger().by_model.into_iter().map(|(model, of)| (model, of.requests)).collect()
}

fn usd(value: &Value) -> Money {
    Money::from_usd(value.as_f64().unwrap()).unwrap()
}

#[test]
fn models_are_compared_by_what_they_take_and_what_they_say() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim, "quick", "");
    let told = compared(&world, "quick,slow,half");
    assert_eq!(told["tasks"], json!([{ "task": "tag", "rows": ROWS, "compared": 10 }]));
    let by_model = sim.ledger().by_model;
    let prices = [
        ("quick", "quick", 1_000_000, 2_000_000),
        ("slow", "slow-60", 10_000_000, 20_000_000),
        ("half", "truncate", 500_000, 1_000_000),
    ];
    for (at, (alias, wire, input, output)) in prices.into_iter().enumerate() {
        let (model, billed) = (&told["models"][at], &by_model[wire]);
        assert_eq!((&model["alias"], &model["model"]), (&json!(alias), &json!(wire)));
        assert_eq!((&model["succeeded"], &model["failed"], &model["remaining"]), (&json!(10), &json!(0), &json!(0)));
        assert_eq!(billed.requests, 10);
        // In picodollars a token.
        let paid = Money::from_pico(billed.input_tokens * input + billed.output_tokens * output);
        assert_eq!(usd(&model["cost_usd"]), paid);
        assert_eq!(usd(&model["cost_per_1000_rows_usd"]), paid.times(100));
        assert_eq!((usd(&model["whole_job"]["cost_usd"]), &model["whole_job"]["rows"]), (paid.times(4), &json!(ROWS)));
        assert_eq!(model["input_tokens"], billed.input_tokens);
    }
    let p50 = |at: usize| told["models"][at]["latency_ms"]["p50"].as_u64().unwrap();
    assert!(p50(1) >= 59 && p50(1) > p50(0), "{told}");
    // The simulator says the same to the same words, whichever model is asked, but for the one that stops half-way.
    let agree = |at: usize| {
        let pair = &told["agreement"][at];
        (pair["one"].clone(), pair["other"].clone(), pair["same"].clone(), pair["share"].clone())
    };
    assert_eq!(agree(0), (json!("quick"), json!("slow"), json!(10), json!(1.0)));
    assert_eq!(agree(1), (json!("quick"), json!("half"), json!(0), json!(0.0)));
    assert_eq!(told["models"][2]["truncated"], 10);

    let again = compared(&world, "quick,slow,half");
    assert_eq!((&again["attempts"], &again["cost_usd"]), (&json!(0), &json!(0)));
    assert_eq!((&again["models"], &again["agreement"]), (&told["models"], &told["agreement"]));
    assert_eq!(sim.ledger().requests, 30);
}

#[test]
fn objects_agree_by_their_fields() {
    let sim = SimServer::start(json!({}));
    let world = World::new();
    write_rows(&world);
    let schema = r#"response_format = { type = "json_schema", json_schema = { name = "t", schema = { type = "object", properties = { tag = { type = "string" }, good = { type = "boolean" } }, required = ["tag", "good"], additionalProperties = false } } }"#;
    let text =
        job(&sim, "quick", "", "").replace("[models.quick]", &format!("params = {{ {schema} }}\n[models.quick]"));
    world.write("job.toml", text.replace("model = \"truncate\"", "model = \"invalid-100\""));
    let told = compared(&world, "quick,slow,half");
    let share = |at: usize| (&told["agreement"][at]["rows"], &told["agreement"][at]["share"]);
    assert_eq!(share(0), (&json!(10), &json!(1.0)));
    assert_eq!(share(1), (&json!(10), &json!(0.0)), "plain text has none of the fields");
}

#[test]
fn a_comparison_that_is_killed_leaves_the_jobs_rows_as_they_were() {
    let sim = SimServer::start(json!({ "latency": "5ms" }));
    let world = world(&sim, "quick", "");
    world.write("job.toml", job(&sim, "quick", "", "").replace("slow-60", "slow-600"));
    assert_eq!(world.overnight(&["run", "job.toml", "--json"]).code, Some(0));
    let before = world.overnight(&["status", "job.toml", "--json"]).summary();
    let rows_now = || world.overnight(&["report", "job.toml", "--json"]).summary()["rows_now"].clone();
    let args = ["compare", "job.toml", "--models", "slow,half", "--sample", "20", "--json"];
    // Twelve seconds of calls, one after the other; its totals are written each second.
    let run = Running::start(&world, &[&args[..], &["--concurrency", "1"]].concat());
    wait_until("its totals are there", || {
        let totals: Value = serde_json::from_str(&world.read(".overnight/job/totals.json")).unwrap();
        totals["state"] == "running" && totals["job"].is_object()
    });
    let meanwhile = world.overnight(&["status", "job.toml", "--json"]).summary();
    assert_eq!((&meanwhile["state"], &meanwhile["run"]), (&json!("running"), &json!(2)), "{meanwhile}");
    assert_eq!(rows_now()["rows"], before["rows"], "the job's own, while the comparison is at work");
    assert_eq!(run.kill().code, None);
    let fields = |status: &Value| ["run", "state", "rows", "part", "job_rows"].map(|name| status[name].clone());
    let after = world.overnight(&["status", "job.toml", "--json"]).summary();
    assert_eq!(fields(&after), fields(&before));
    let ended = world.overnight(&args);
    assert_eq!((ended.code, &ended.summary()["models"][0]["succeeded"]), (Some(0), &json!(20)), "{ended:?}");
    let after = world.overnight(&["status", "job.toml", "--json"]).summary();
    assert_eq!(fields(&after), fields(&before));
    assert_eq!(rows_now()["rows"], before["rows"]);
}

#[test]
fn comparisons_of_different_models_are_different_runs() {
    // Five seconds of calls, and a signal after half a one.
    let sim = SimServer::start(json!({ "latency": "100ms" }));
    let world = world(&sim, "quick", "");
    let stop = |models: &str| {
        let args = ["compare", "job.toml", "--models", models, "--sample", "40", "--json", "--concurrency", "2"];
        let (run, from) = (Running::start(&world, &args), sim.ledger().answered);
        wait_until("some are answered", || sim.ledger().answered >= from + 6);
        run.signal("INT");
        let ended = run.wait();
        assert_eq!(ended.code, Some(130), "{ended:?}");
        ended.summary()["run"].clone()
    };
    assert_eq!([stop("quick,slow"), stop("quick,half"), stop("quick,slow")], [json!(1), json!(2), json!(1)]);
    let end = |models: &str| compare_rows(&world, models, "40", &[]).summary()["run"].clone();
    assert_eq!([end("quick,half"), end("quick,slow")], [json!(2), json!(1)]);
    let told: Vec<_> = totals(&world).runs.iter().map(|run| (run.run, run.ended_at.is_some())).collect();
    assert_eq!(told, [(2, true), (1, true)]);
    assert_eq!(sim.ledger().requests, 120);
}

#[test]
fn rows_that_models_cannot_be_asked_are_told_once() {
    let sim = SimServer::start(json!({}));
    let world = World::new();
    let more = ["one", "other"].map(|name| format!("[models.{name}]\nprovider = \"p\"\nendpoint = \"completions\"\n"));
    world.write("job.toml", job(&sim, "quick", "", &more.concat()).replace("prompt = \"Tag {{ text }}\"\n", ""));
    // Chats, which are no texts to complete.
    let chat = |n: u64| json!({ "id": n, "messages": [{ "role": "user", "content": format!("row {n}") }] }).to_string();
    world.write("in.jsonl", (1..=12).map(chat).collect::<Vec<_>>().join("\n"));
    let told = compare(&world, "one,other", &[]).summary();
    assert_eq!((&told["models"][1]["succeeded"], &told["models"][1]["failed"]), (&json!(0), &json!(10)), "{told}");
    let outcomes = || world.read(".overnight/job/results.log").matches("{\"outcome\"").count();
    assert_eq!(outcomes(), 20);
    let again = compare(&world, "one,other", &[]).summary();
    assert_eq!((&again["models"], outcomes()), (&told["models"], 20), "nothing is told anew");
}

const SCHEMA: &str = r#"schema = { type = "object", required = ["tag", "good"], properties = { tag = { type = "string" }, good = { type = "boolean" } } }"#;

#[test]
fn validity_is_told_by_the_tasks_own_rules() {
    let sim = SimServer::start(json!({}));
    for (on_invalid, at_once, valid) in [("fail", 5..=27, 5..=27), ("reask", 5..=27, 22..=30)] {
        let world = World::new();
        write_rows(&world);
        let answer = format!("[tasks.tag.answer]\n{SCHEMA}\non_invalid = \"{on_invalid}\"\nmax_reasks = 9\n");
        let text = job(&sim, "quick", "", &answer);
        world.write("job.toml", text.replace("model = \"truncate\"", "model = \"invalid-50\""));
        let told = compare_rows(&world, "quick,half", "30", &[]).summary();
        assert_eq!(told["models"][0]["valid"], json!({ "answered": 30, "valid": 30, "at_once": 30 }));
        let half = &told["models"][1];
        let of = |name: &str| half["valid"][name].as_u64().unwrap();
        assert_eq!(of("answered"), 30);
        assert!(at_once.contains(&of("at_once")) && valid.contains(&of("valid")), "{on_invalid}: {half}");
        assert_eq!(
            (of("valid"), 30 - of("valid")),
            (half["succeeded"].as_u64().unwrap(), half["failed"].as_u64().unwrap())
        );
        let failed_calls = half["attempts"].as_u64().unwrap() - of("at_once");
        assert!(failed_calls >= 30 - of("at_once"), "{half}");
        if on_invalid == "fail" {
            assert_eq!((of("at_once"), half["attempts"].as_u64()), (of("valid"), Some(30)));
        }
    }
}

#[test]
fn a_comparison_that_is_killed_goes_on_and_pays_nothing_twice() {
    let sim = SimServer::start(json!({ "latency": ["5ms", "20ms"] }));
    let world = world(&sim, "quick", "");
    let args = ["compare", "job.toml", "--models", "quick,slow,half", "--sample", "40", "--json", "--concurrency", "4"];
    let mut kills = 0;
    for goal in [10, 35, 70] {
        let mut run = Running::start(&world, &args);
        wait_until("it has come far enough", || sim.ledger().requests >= goal || run.has_ended());
        pause(Duration::from_millis(7));
        kills += u64::from(run.kill().code.is_none());
    }
    let ended = Running::start(&world, &args).wait();
    assert_eq!((ended.code, kills), (Some(0), 3), "{ended:?}");
    let told = ended.summary();
    for model in told["models"].as_array().unwrap() {
        assert_eq!((&model["succeeded"], &model["remaining"]), (&json!(40), &json!(0)));
    }
    let runs = totals(&world).runs;
    assert_eq!(runs.iter().map(|run| (run.run, run.kind)).collect::<Vec<_>>(), [(1, RunKind::Compare)]);
    let lost = runs[0].totals.possibly_billed.attempts;
    assert!(lost <= kills * 4, "{lost} calls possibly billed after {kills} kills");
    assert!((120..=120 + lost).contains(&sim.ledger().billed), "{lost} lost, {:?}", sim.ledger());
}

#[test]
fn calls_that_a_killed_comparison_lost_are_its_own_and_not_the_next_runs() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim, "quick", "");
    world.write("job.toml", job(&sim, "quick", "", "").replace("slow-60", "slow-60000"));
    let run = Running::start(&world, &["compare", "job.toml", "--models", "slow,half", "--sample", "3"]);
    let log = world.path(".overnight/job/results.log");
    wait_until("its run is on record, and the slow calls are out", || {
        let begun = std::fs::read_to_string(&log).is_ok_and(|log| log.contains("\"compare\""));
        begun && requests_by_model(&sim).get("slow-60000") == Some(&3)
    });
    assert_eq!(run.kill().code, None);
    let ran = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!((ran.code, &ran.summary()["possibly_billed"]["attempts"]), (Some(0), &json!(0)), "{ran:?}");
    let report = |run: &str| world.overnight(&["report", "job.toml", "--run", run, "--json"]).summary();
    let [lost, none] = ["1", "2"].map(|run| report(run)["possibly_billed"]["attempts"].as_u64().unwrap());
    assert!((3..=6).contains(&lost) && none == 0, "{lost} {none}");
    let told = format!("run 1 was killed with {lost} calls out, which may have been billed: `report --run 1` counts");
    assert!(ran.stderr.contains(&told), "{ran:?}");
}

#[test]
fn an_interrupted_comparison_says_so_and_its_books_are_kept() {
    let sim = SimServer::start(json!({ "latency": "20ms" }));
    let world = world(&sim, "quick", "");
    let args = ["compare", "job.toml", "--models", "quick,slow", "--sample", "40", "--json", "--concurrency", "2"];
    let run = Running::start(&world, &args);
    wait_until("some are answered", || sim.ledger().answered >= 6);
    run.signal("INT");
    let ended = run.wait();
    assert_eq!((ended.code, &ended.summary()["stop_reason"]), (Some(130), &json!("interrupted")), "{ended:?}");
    let told = ended.summary();
    let of =
        |name: &str| told["models"].as_array().unwrap().iter().map(|model| model[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!((of("succeeded"), of("remaining")), (sim.ledger().answered, 80 - sim.ledger().answered));
    let rest = Running::start(&world, &args).wait();
    assert_eq!((rest.code, sim.ledger().requests), (Some(0), 80), "{rest:?}");
    assert_eq!(rest.summary()["run"], ended.summary()["run"]);
}

#[test]
fn a_run_uses_the_answers_of_a_comparison_and_a_comparison_those_of_a_run() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim, "quick", "");
    compared(&world, "slow,quick");
    let ran = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!((ran.code, &ran.summary()["attempts"]), (Some(0), &json!(30)), "{ran:?}");
    assert_eq!(ran.summary()["rows"]["succeeded"], ROWS);
    assert_eq!(world.lines("out.jsonl").len() as u64, ROWS);
    assert_eq!(requests_by_model(&sim), BTreeMap::from([("quick".to_owned(), ROWS), ("slow-60".to_owned(), 10)]));

    let told = compared(&world, "half,quick");
    let reused = |at: usize| told["models"][at]["reused"].clone();
    // The first ten were paid by the first comparison, which is none of the job's runs.
    assert_eq!((reused(0), reused(1), &told["attempts"]), (json!(0), json!(0), &json!(10)));
    let fresh = compare_rows(&world, "half,quick", "20", &[]);
    // The next ten were paid by the run.
    assert_eq!((&fresh.summary()["attempts"], &fresh.summary()["models"][1]["reused"]), (&json!(10), &json!(10)));
    let again = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!((again.code, &again.summary()["attempts"]), (Some(0), &json!(0)), "{again:?}");
}

#[test]
fn what_a_model_alone_fails_the_jobs_route_may_still_answer() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim, "filtered", "\"quick\"");
    let told = compare(&world, "filtered,quick", &[]);
    assert_eq!(told.code, Some(4), "{told:?}");
    let filtered = &told.summary()["models"][0];
    assert_eq!((&filtered["succeeded"], &filtered["failures"]), (&json!(0), &json!([["content_filter", 10]])));
    assert_eq!(told.summary()["agreement"][0]["rows"], 0);
    // Failures of this comparison are not tried again by it, and none of the job's.
    let again = compare(&world, "filtered,quick", &[]);
    assert_eq!(again.summary()["attempts"], 0, "{again:?}");
    let errors = world.overnight(&["errors", "job.toml", "--json"]);
    assert_eq!(errors.summary()["failed"], 0, "{errors:?}");
    assert_eq!(world.overnight(&["plan", "job.toml", "--json"]).summary()["remaining"], ROWS);
    let ran = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!((ran.code, &ran.summary()["rows"]["succeeded"]), (Some(0), &json!(ROWS)), "{ran:?}");
}

#[test]
fn a_run_that_was_stopped_goes_on_behind_a_comparison_as_the_same_run() {
    let sim = SimServer::start(json!({ "latency": "20ms" }));
    let world = world(&sim, "quick", "");
    let run = Running::start(&world, &["run", "job.toml", "--json", "--concurrency", "2"]);
    wait_until("some are answered", || sim.ledger().answered >= 4);
    run.signal("INT");
    let stopped = run.wait();
    assert_eq!(stopped.code, Some(130), "{stopped:?}");
    let told = compared(&world, "half,slow");
    assert_eq!(told["run"], 2);
    // What it cost stands by itself, and the job is where it was.
    let status = world.overnight(&["status", "job.toml", "--json"]).summary();
    assert_eq!(
        (&status["run"], &status["state"], &status["rows"]),
        (&json!(1), &json!("stopped"), &stopped.summary()["rows"])
    );
    let report = world.overnight(&["report", "job.toml", "--json"]).summary();
    assert_eq!((&report["run"], &report["totals"]["cost_usd"]), (&json!(1), &stopped.summary()["cost_usd"]));
    let ran = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!((ran.code, &ran.summary()["run"]), (Some(0), &json!(1)), "{ran:?}");
    let runs: Vec<_> = totals(&world).runs.iter().map(|run| (run.run, run.kind, run.ended_at.is_some())).collect();
    assert_eq!(runs, [(2, RunKind::Compare, true), (1, RunKind::Job, true)]);
    let succeeded = |run: usize| totals(&world).runs[run].totals.sum().succeeded;
    assert_eq!((succeeded(0), succeeded(1)), (20, ROWS));
    // The log tells the same without the checkpoint.
    std::fs::remove_dir_all(world.path(".overnight/job/sled")).unwrap();
    let again = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!((again.code, &again.summary()["attempts"]), (Some(0), &json!(0)), "{again:?}");
    let rebuilt: Vec<_> = totals(&world).runs.iter().map(|run| (run.run, run.kind, run.ended_at.is_some())).collect();
    assert_eq!(rebuilt, runs);
}

#[test]
fn two_providers_of_one_model_are_asked_each() {
    let (one, other) = (SimServer::start(json!({})), SimServer::start(json!({})));
    let world = World::new();
    write_rows(&world);
    let more =
        format!("[models.there]\nprovider = \"q\"\nmodel = \"quick\"\n[providers.q]\nbase_url = \"{}\"", other.url());
    world.write("job.toml", job(&one, "quick", "", &more));
    compared(&world, "quick,there");
    compared(&world, "there,quick");
    assert_eq!((one.ledger().requests, other.ledger().requests), (10, 10));
}

#[test]
fn a_budget_holds_for_a_comparison_too() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim, "quick", "");
    let told = compare(&world, "quick,slow", &["--max-cost", "0.004", "--set", "tasks.tag.params.max_tokens=50"]);
    assert_eq!((told.code, &told.summary()["stop_reason"]), (Some(5), &json!("budget")), "{told:?}");
    let cost = usd(&told.summary()["cost_usd"]);
    assert!(cost > Money::ZERO && cost <= "0.004".parse().unwrap(), "{cost}");
}

#[test]
fn models_that_are_not_known_are_told_with_the_nearest_name() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim, "quick", "");
    let told = world.overnight(&["compare", "job.toml", "--models", "quik,slow"]);
    assert_eq!((told.code, sim.ledger().requests), (Some(3), 0), "{told:?}");
    assert!(told.stderr.contains("--models") && told.stderr.contains("did you mean `quick`"), "{}", told.stderr);
    let later = world.overnight(&["compare", "job.toml", "--models", "quick,slwo"]).stderr;
    assert!(later.contains("did you mean `slow`") && !later.contains("fallback"), "no key that nobody wrote: {later}");
    assert_eq!(world.overnight(&["compare", "job.toml"]).code, Some(2));
}

/// Up to the second figure that is about right, the first being the cost.
fn without_its_time(line: &str) -> String {
    line.split("  about ").take(2).collect::<Vec<_>>().join("  about ")
}

#[test]
fn it_is_told_for_people_and_as_markdown_with_the_answers() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim, "quick", "");
    let args = ["compare", "job.toml", "--models", "quick,half", "--sample", "3", "--progress", "none"];
    let told = world.overnight(&args);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.stdout.lines().all(|line| line.chars().count() <= 80), "{}", told.stdout);
    let steady = told.stdout.lines().filter(|line| !line.contains("ms ") && !line.contains("p95"));
    // How long the whole job would take is measured, and so is what by.
    let steady: Vec<_> = steady.map(|line| without_its_time(line.split("      time").next().unwrap())).collect();
    insta::assert_snapshot!(steady.join("\n"), @"
    job: 2 models compared, run 1, finished
    sample           3 of 40 rows
    paid now         $0.0001 for 6 requests


     whole job, 40 rows           cost
     quick (p/quick)     about $0.0012
     half (p/truncate)   about $0.0004

     agreement       rows  same answer  agree
     quick and half     3            0   0.0%

    Costs and times of the whole job are those of these rows, scaled; no fallbacks.
    ");
    let written = world.overnight(&[&args[..], &["--format", "markdown", "-o", "compare.md"]].concat());
    assert_eq!((written.code, written.stdout.as_str()), (Some(0), ""), "{written:?}");
    let page = world.read("compare.md");
    assert!(page.contains("## Answers"), "{page}");
    assert_eq!(page.lines().filter(|line| line.contains("sim:")).count(), 3, "{page}");
}
