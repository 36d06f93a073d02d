//! `run.dedupe`: requests that are the same are sent once, each of their rows has its result, and the bill stays exact.

use std::time::Duration;

use overnight::engine::Stop;
use overnight::event::StopReason;
use overnight::sim::answer_mark;
use serde_json::{Value, json};

use crate::night::{Night, TOP};
use crate::process::{Running, pause, wait_until};
use crate::truth::totals;
use crate::world::{SimServer, World};

fn job(model: &str, more: &str) -> String {
    format!(
        r#"{TOP}
        [tasks.t]
        model = "p/{model}"
        prompt = "Tag {{{{ text }}}}"
        [models."p/{model}"]
        provider = "p"
        model = "{model}"
        price = {{ input = 1, output = 2 }}
        [providers.p]
        base_url = "http://127.0.0.1:9/v1"
        [run]
        dedupe = true
        {more}
        "#
    )
}

/// As many rows with these texts in turn.
fn rows(count: usize, texts: usize) -> Vec<Value> {
    (0..count).map(|n| json!({"id": n, "text": format!("text {}", n % texts)})).collect()
}

/// Every row has the answer to its own text, and the sums of results and report are the simulator's.
fn assert_whole(night: &Night, rows: &[Value]) {
    let results = night.results();
    assert_eq!(results.len(), rows.len());
    for (row, result) in rows.iter().zip(&results) {
        let mark = answer_mark(&format!("Tag {}", row["text"].as_str().unwrap()));
        assert_eq!(result["input"], *row);
        assert!(result["content"].as_str().unwrap().starts_with(&mark), "{result}");
        let free = json!([0, 0.0, 0, 0]);
        let of = json!([result["attempts"], result["cost_usd"], result["latency_ms"], result["usage"]["input_tokens"]]);
        assert_eq!(result["deduped"] == true, of == free || of == json!([0, 0, 0, 0]), "{result}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_request_is_sent_once_and_answered_everywhere() {
    let rows = rows(6_000, 7);
    // Far more rows than the window has places, all of them waiting for seven.
    let mut night = Night::new(&job("m", "concurrency = 3"), rows.clone());
    let p = night.provider("p", json!({ "latency": "2s" }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.attempts, summary.deduped), (0, 7, 5_993));
    let ledger = p.sim.ledger();
    assert_eq!((ledger.requests, summary.usage.input_tokens), (7, ledger.input_tokens));
    assert_whole(&night, &rows);
    let cost: f64 = night.results().iter().map(|line| line["cost_usd"].as_f64().unwrap()).sum();
    let total = summary.cost_usd.to_string().parse::<f64>().unwrap();
    assert!((cost - total).abs() < 1e-9, "{cost} {total}");
    let (_, tally) = &summary.tallies[0];
    assert_eq!((tally.succeeded, tally.deduped, tally.latency.count()), (6_000, 5_993, 7));
    assert_eq!(night.run().await.attempts, 0);
}

#[tokio::test(start_paused = true)]
async fn on_a_later_night_rows_take_what_is_on_record() {
    let mut night = Night::new(&job("m", ""), rows(20, 5));
    let p = night.provider("p", json!({}));
    assert_eq!(night.run().await.attempts, 5);
    let mut grown = rows(30, 6);
    grown.reverse();
    let text: Vec<String> = grown.iter().map(Value::to_string).collect();
    night.world.write("in.jsonl", text.join("\n"));
    let summary = night.run().await;
    assert_eq!((summary.attempts, p.sim.ledger().requests), (1, 6));
    assert_eq!(summary.deduped, summary.rows.total - summary.rows.skipped - 1);
    assert_whole_content(&night, &grown);
}

fn assert_whole_content(night: &Night, rows: &[Value]) {
    for (row, result) in rows.iter().zip(night.results()) {
        let mark = answer_mark(&format!("Tag {}", row["text"].as_str().unwrap()));
        assert!(result["content"].as_str().unwrap().starts_with(&mark), "{result}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_lasts_is_everybodys_and_one_that_may_pass_is_tried_once_more() {
    let mut night = Night::new(&job("fail-400", ""), rows(40, 2));
    night.provider("p", json!({ "latency": "1s" }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.attempts, summary.rows.failed), (4, 2, 40));
    assert_eq!(night.errors()[39]["deduped"], true);

    let mut night = Night::new(&job("fail-500", "[retry]\nmax_attempts = 3"), rows(40, 2));
    night.provider("p", json!({ "latency": "1s" }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.attempts, summary.rows.failed), (4, 12, 40));
    // In the next run all are tried again, together.
    let again = night.run().await;
    assert_eq!((again.exit_code, again.attempts, again.rows.failed), (4, 12, 40));

    // The one that tries once more has the answer for all.
    let mut night = Night::new(&job("m", "[retry]\nmax_attempts = 1"), rows(40, 1));
    night.provider("p", json!({ "latency": "1s", "script": [{ "from": 1, "to": 1, "fault": "server_error" }] }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.attempts), (4, 2));
    assert_eq!((summary.rows.succeeded, summary.rows.failed, summary.deduped), (39, 1, 38));
    let mended = night.run().await;
    assert_eq!((mended.exit_code, mended.attempts, mended.rows.succeeded), (0, 0, 40));
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_others_too_is_told_what_is_wrong_and_all_have_the_valid_answer() {
    let schema = "[tasks.t.answer]\nschema = { type = \"object\", required = [\"mood\"], \
                  properties = { mood = { enum = [\"good\", \"bad\"] } } }";
    let mut night = Night::new(&job("m", &format!("concurrency = 2\n{schema}")), rows(40, 2));
    let p =
        night.provider("p", json!({ "latency": "1s", "script": [{ "from": 1, "to": 2, "fault": "invalid_answer" }] }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.attempts, summary.deduped, p.sent()), (0, 4, 38, 4));
    let results = night.results();
    assert!(
        results.iter().all(|row| row["data"]["mood"].is_string() && row["data"] == results[row_of(row) % 2]["data"])
    );
    let (_, tally) = &summary.tallies[0];
    assert_eq!((tally.reasks, tally.invalid_answers, tally.succeeded), (2, 2, 40));
    let wasted: f64 = results
        .iter()
        .flat_map(|row| row["trail"].as_array().cloned().unwrap_or_default())
        .filter(|call| call["kind"] == "invalid_answer")
        .map(|call| call["cost_usd"].as_f64().unwrap())
        .sum();
    assert!(wasted > 0.0 && (tally.wasted_usd.to_string().parse::<f64>().unwrap() - wasted).abs() < 1e-9, "{wasted}");

    // What no rule lets pass is everybody's failure, and other rules ask anew.
    let strict = format!("concurrency = 2\n{schema}\non_invalid = \"fail\"");
    let mut night = Night::new(&job("m", &strict), rows(40, 2));
    let p = night.provider("p", json!({ "latency": "1s", "poison": { "invalid_answer": 1 } }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.attempts, summary.rows.failed), (4, 2, 40));
    assert_eq!(night.error_kinds()["invalid_answer"], 40);
    assert_eq!((night.run().await.attempts, p.sent()), (0, 2));
    night.world.write("job.toml", job("m", "[tasks.t.answer]\nmax_chars = 100000"));
    let lenient = night.run().await;
    assert_eq!((lenient.exit_code, lenient.attempts, lenient.rows.succeeded), (0, 2, 40));
}

fn row_of(result: &Value) -> usize {
    usize::try_from(result["id"].as_u64().unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_stop_leaves_rows_that_wait_and_the_next_run_goes_on() {
    let mut night = Night::new(&job("m", "drain = \"0s\""), rows(50, 2));
    let p = night.provider("p", json!({ "latency": "60s" }));
    let stop = Stop::default();
    let stopper = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        stop.request(StopReason::Interrupted);
    };
    let ((ended, _), ()) = tokio::join!(night.try_run_with(stop.clone()), stopper);
    let ended = ended.unwrap();
    assert_eq!((ended.exit_code, ended.rows.remaining, ended.possibly_billed.attempts), (130, 50, 2));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded, summary.attempts), (0, 50, 2));
    assert_eq!(p.sim.ledger().requests, 4);
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_rows_that_wait_have_the_answer_that_still_comes() {
    let mut night = Night::new(&job("m", ""), rows(50, 2));
    night.provider("p", json!({ "latency": "20s" }));
    let stop = Stop::default();
    let stopper = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        stop.request(StopReason::Interrupted);
    };
    let ((ended, _), ()) = tokio::join!(night.try_run_with(stop.clone()), stopper);
    assert_eq!((ended.unwrap().rows.succeeded, night.run().await.attempts), (50, 0));
}

#[test]
fn killed_at_any_instant_no_request_is_paid_twice_but_those_that_were_in_flight() {
    let (world, texts, concurrency) = (World::new(), 300, 8);
    let sim = SimServer::start(json!({ "latency": ["2ms", "10ms"], "count_marks": true }));
    world.write("job.toml", job("m", "concurrency = 8").replace("http://127.0.0.1:9/v1", sim.url()));
    let rows = rows(1_500, texts);
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    world.write("in.jsonl", lines.join("\n"));
    let (mut rng, mut kills) = (fastrand::Rng::with_seed(3), 0);
    for _ in 0..6 {
        let goal = sim.ledger().requests + rng.u64(1..50);
        let mut run = Running::start(&world, &["run", "job.toml", "--json"]);
        wait_until("the run has come far enough", || sim.ledger().requests >= goal || run.has_ended());
        pause(Duration::from_micros(rng.u64(0..8_000)));
        kills += u64::from(run.kill().code.is_none());
    }
    let ended = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!((ended.code, &ended.summary()["rows"]["succeeded"]), (Some(0), &json!(1_500)), "{ended:?}");
    assert!(kills > 2, "only {kills} kills hit");
    let results = world.lines("out.jsonl");
    assert_eq!(results.len(), 1_500);
    for (row, result) in rows.iter().zip(&results) {
        let mark = answer_mark(&format!("Tag {}", row["text"].as_str().unwrap()));
        assert!(result["content"].as_str().unwrap().starts_with(&mark), "{result}");
    }
    let totals = totals(&world).runs.remove(0).totals;
    let (sum, ledger) = (totals.sum(), sim.ledger());
    assert_eq!((sum.succeeded, sum.deduped), (1_500, 1_500 - texts as u64));
    assert!(sum.usage.input_tokens <= ledger.input_tokens);
    assert!(totals.possibly_billed.attempts <= kills * concurrency);
    assert!(ledger.billed <= texts as u64 + totals.possibly_billed.attempts, "{ledger:?}");
}
