//! What follows from a failure, through the whole engine on paused time: again, elsewhere, or the row fails.

use std::time::Duration;

use serde_json::{Value, json};

use crate::night::{Night, job, rows};

/// Kinds along a row's trail; `null` is the attempt that succeeded.
fn trail(line: &Value) -> Vec<(String, Option<String>)> {
    let entries = line["trail"].as_array().unwrap();
    let kind = |entry: &Value| entry["kind"].as_str().map(str::to_owned);
    entries.iter().map(|entry| (entry["model"].as_str().unwrap().to_owned(), kind(entry))).collect()
}

#[tokio::test(start_paused = true)]
async fn a_server_error_is_tried_again_after_a_pause() {
    let mut night = Night::new(&job(&["m"], "[retry]\nbackoff = { base = \"2s\", max = \"10s\" }"), rows(1));
    let p = night.provider("p", json!({ "script": [{ "from": 1, "to": 3, "fault": "server_error" }] }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.attempts, summary.rows.succeeded), (0, 4, 1));
    let line = &night.results()[0];
    assert_eq!(line["attempts"], 4);
    let kinds: Vec<_> = trail(line).into_iter().map(|(_, kind)| kind).collect();
    let failed = || Some("server_error".to_owned());
    assert_eq!(kinds, [failed(), failed(), failed(), None]);
    let calls = p.calls();
    let pauses: Vec<Duration> = calls.windows(2).map(|pair| pair[1].sent.saturating_sub(pair[0].ended)).collect();
    for (pause, longest) in pauses.iter().zip([2, 4, 8]) {
        assert!(*pause <= Duration::from_secs(longest) + Duration::from_millis(2), "{pauses:?}");
    }
    assert!(pauses.iter().sum::<Duration>() > Duration::ZERO, "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lack_of_capacity_is_waited_for_as_long_as_is_told_else_for_some_seconds() {
    let pause = async |hint: Value| {
        let mut night = Night::new(&job(&["m"], ""), rows(1));
        let p = night.provider("p", json!({ "script": [hint] }));
        assert_eq!(night.run().await.rows.succeeded, 1);
        let calls = p.calls();
        calls[1].sent.saturating_sub(calls[0].ended)
    };
    let told = pause(json!({ "from": 1, "to": 1, "fault": "overloaded", "hint": 2 })).await;
    assert!((Duration::from_secs(2)..Duration::from_secs(3)).contains(&told), "{told:?}");
    let untold = pause(json!({ "from": 1, "to": 1, "fault": "overloaded" })).await;
    assert!((Duration::from_secs(5)..=Duration::from_secs(11)).contains(&untold), "{untold:?}");
}

#[tokio::test(start_paused = true)]
async fn a_row_falls_back_when_its_model_fails_too_often_and_fails_when_all_do() {
    let mut night = Night::new(&job(&["fail-500", "fail-503", "m"], "[retry]\nmax_attempts = 3"), rows(4));
    let p = night.provider("p", json!({}));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded, summary.attempts), (0, 4, 28));
    let ledger = p.sim.ledger();
    let requests = |model: &str| ledger.by_model[model].requests;
    assert_eq!((requests("fail-500"), requests("fail-503"), requests("m")), (12, 12, 4));
    for line in night.results() {
        assert_eq!((&line["model"], &line["attempts"]), (&json!("m"), &json!(7)));
        assert_eq!(trail(&line)[5], ("fail-503".to_owned(), Some("overloaded".to_owned())));
    }

    let night_of_failures = job(&["fail-500", "fail-503"], "[retry]\nmax_attempts = 2");
    let mut night = Night::new(&night_of_failures, rows(5));
    night.provider("p", json!({}));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.failed, summary.attempts), (4, 5, 20));
    for line in night.errors() {
        assert_eq!((&line["error"]["kind"], &line["error"]["status"]), (&json!("overloaded"), &json!(503)));
        assert_eq!(trail(&line).len(), 4);
        assert_eq!(line["at"], format!("in.jsonl:{}", line["row"]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_tried_three_times_and_then_falls_back() {
    let mut night = Night::new(&job(&["hang", "m"], "[retry]\nmax_attempts = 9"), rows(1));
    let p = night.provider("p", json!({}));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.attempts), (0, 4));
    assert_eq!(p.sim.ledger().by_model["hang"].requests, 3);
    assert_eq!(summary.possibly_billed.attempts, 3, "a call that was sent and not answered may be on the bill");
    assert_eq!(night.results()[0]["model"], "m");
}

#[tokio::test(start_paused = true)]
async fn a_context_that_is_too_short_leads_to_a_fallback_at_once() {
    let rows = [json!({"id": 1, "text": "short"}), json!({"id": 2, "text": "long ".repeat(100)})];
    let mut night = Night::new(&job(&["short-context-60", "m"], ""), rows.clone());
    let p = night.provider("p", json!({}));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.attempts), (0, 3));
    let models: Vec<Value> = night.results().iter().map(|line| line["model"].clone()).collect();
    assert_eq!(models, ["short-context-60", "m"]);
    assert_eq!(p.sim.ledger().by_model["short-context-60"].requests, 2);

    let mut alone = Night::new(&job(&["short-context-60"], ""), rows.clone());
    alone.provider("p", json!({}));
    assert_eq!(alone.run().await.exit_code, 4);
    assert_eq!(alone.errors()[0]["error"]["kind"], "context_length");

    // A context that the job tells saves the call.
    let told = job(&["m"], "[models.\"p/m\"]\nprovider = \"p\"\nmodel = \"m\"\ncontext = 60");
    let mut told = Night::new(&told, rows);
    let p = told.provider("p", json!({}));
    let summary = told.run().await;
    assert_eq!((summary.exit_code, summary.attempts, p.sim.ledger().requests), (4, 1, 1));
    assert_eq!(told.errors()[0]["error"]["kind"], "context_length");
}

#[tokio::test(start_paused = true)]
async fn a_row_that_skips_a_short_context_is_counted_once() {
    let models = "[models.\"p/small\"]\nprovider = \"p\"\nmodel = \"small\"\ncontext = 60";
    let rows = [json!({"id": 1, "text": "long ".repeat(100)})];
    let mut night = Night::new(&job(&["fail-413", "small"], models), rows);
    night.provider("p", json!({}));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.failed, summary.attempts), (4, 1, 1));
    for (id, tally) in &summary.tallies {
        assert!(tally.succeeded + tally.failed + tally.fallbacks_out <= 1, "{id:?}: {tally:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_filtered_answer_is_asked_of_the_fallback_and_paid_for_all_the_same() {
    let price = "[models.\"p/filter\"]\nprovider = \"p\"\nmodel = \"filter\"\nprice = { input = 1, output = 1 }";
    let mut night = Night::new(&job(&["filter", "m"], price), rows(3));
    let p = night.provider("p", json!({}));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.attempts), (0, 6));
    let filtered = &p.sim.ledger().by_model["filter"];
    assert_eq!(filtered.billed, 3);
    let (_, tally) = summary.tallies.iter().find(|(id, _)| id.model == "filter").unwrap();
    assert_eq!(tally.usage.input_tokens, filtered.input_tokens);
    assert!(tally.wasted_usd > "0".parse().unwrap(), "{tally:?}");

    let mut alone = Night::new(&job(&["filter"], ""), rows(3));
    alone.provider("p", json!({}));
    let summary = alone.run().await;
    assert_eq!((summary.exit_code, summary.attempts), (4, 3), "the filter says the same each time");
    assert_eq!(alone.error_kinds()["content_filter"], 3);
}

#[tokio::test(start_paused = true)]
async fn an_invalid_request_fails_its_row_without_a_further_call() {
    let mut night = Night::new(&job(&["fail-400", "m"], ""), rows(4));
    let p = night.provider("p", json!({}));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.failed, p.sim.ledger().requests), (4, 4, 4));
    assert_eq!(night.error_kinds()["invalid_request"], 4);
}

#[tokio::test(start_paused = true)]
async fn a_rows_own_clock_ends_its_retries_and_its_calls() {
    let retries =
        "timeout = { row = \"20s\" }\n[retry]\nmax_attempts = 1000\nbackoff = { base = \"4s\", max = \"4s\" }";
    let mut night = Night::new(&job(&["fail-500"], retries), rows(1));
    let p = night.provider("p", json!({}));
    assert_eq!(night.run().await.exit_code, 4);
    assert_eq!(night.error_kinds()["row_timeout"], 1);
    let last = p.calls().last().unwrap().ended;
    assert!(last <= Duration::from_secs(20) && last >= Duration::from_secs(12), "{last:?}");

    let mut night = Night::new(&job(&["hang"], "timeout = { row = \"20s\" }"), rows(1));
    let p = night.provider("p", json!({}));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.attempts, summary.possibly_billed.attempts), (4, 1, 1));
    assert_eq!(night.error_kinds()["row_timeout"], 1);
    assert_eq!(p.sim.ledger().in_flight, 0, "the call is cut");
    assert!(summary.elapsed_ms < 21_000, "{}", summary.elapsed_ms);
}

#[tokio::test(start_paused = true)]
async fn waits_for_limits_do_not_count_against_a_rows_clock() {
    let limited = "timeout = { row = \"5s\" }\nlimits = { rpm = 1 }";
    let mut night = Night::new(&job(&["m"], limited), rows(5));
    let p = night.provider("p", json!({ "limits": { "rpm": 1 } }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rate_limited), (0, 0));
    assert!(p.calls().last().unwrap().sent >= Duration::from_mins(4));
}
