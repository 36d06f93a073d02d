//! Models that leave the run: a bad key, no quota, an unknown model; no row fails by it, and little is sent.

use overnight::event::{Event, ModelState, StopReason};
use overnight::types::FailureKind;
use serde_json::json;

use crate::night::{Night, TOP, job, rows};

const NARROW: &str = "[run]\nconcurrency = 16";

#[tokio::test(start_paused = true)]
async fn a_bad_key_ends_a_large_job_after_as_many_calls_as_fly_at_once() {
    let mut night = Night::new(&job(&["m"], NARROW), rows(5_000));
    let p = night.provider_with_key("p", json!({ "key": "right" }), "wrong");
    let (summary, events) = night.try_run().await;
    let summary = summary.unwrap();
    assert_eq!((summary.exit_code, summary.stop_reason), (6, Some(StopReason::NoModelLeft)));
    assert_eq!((summary.rows.total, summary.rows.remaining, summary.rows.failed), (5_000, 5_000, 0));
    assert!(p.sim.ledger().requests <= 16, "{}", p.sim.ledger().requests);
    assert_eq!(summary.attempts, p.sim.ledger().requests);
    assert_eq!(summary.removed.len(), 1, "{:?}", summary.removed);
    let is_removal = |event: &&Event| matches!(event, Event::ModelState { state: ModelState::Removed { .. }, .. });
    assert_eq!(events.iter().filter(is_removal).count(), 1, "told once, not for each row");
    assert!(!night.world.path("out.jsonl").exists(), "a stopped run leaves the outputs as they are");

    // With the right key the same command does them all, and nothing is lost.
    let p = night.provider_with_key("p", json!({ "key": "right" }), "right");
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded, p.sim.ledger().requests), (0, 5_000, 5_000));
}

#[tokio::test(start_paused = true)]
async fn a_slow_refusal_of_a_bad_key_costs_no_more() {
    let mut night = Night::new(&job(&["fail-403"], NARROW), rows(300));
    let p = night.provider("p", json!({ "latency": "300ms" }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.remaining), (6, 300));
    assert!(p.sim.ledger().requests <= 16);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_model_leaves_and_its_fallback_takes_over() {
    let mut night = Night::new(&job(&["fail-404", "m"], NARROW), rows(2_000));
    let p = night.provider("p", json!({}));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded, summary.rows.failed), (0, 2_000, 0));
    let ledger = p.sim.ledger();
    assert!(ledger.by_model["fail-404"].requests <= 16);
    assert_eq!(ledger.by_model["m"].requests, 2_000);
    assert!(summary.removed[0].contains("fail-404") && summary.removed[0].contains("model_not_found"));
}

#[tokio::test(start_paused = true)]
async fn a_bad_key_takes_all_models_of_its_provider_and_no_other() {
    let two = format!(
        "{TOP}
        [tasks.tag]
        model = \"p/a\"
        fallback = [\"p/b\", \"q/c\"]
        prompt = \"Tag {{{{ text }}}}\"
        [providers.p]
        base_url = \"https://p.example/v1\"
        [providers.q]
        base_url = \"https://q.example/v1\"
        {NARROW}"
    );
    let mut night = Night::new(&two, rows(200));
    let p = night.provider_with_key("p", json!({ "key": "right" }), "wrong");
    let q = night.provider("q", json!({}));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded), (0, 200));
    let ledger = p.sim.ledger();
    assert!(ledger.requests <= 16 && p.calls().iter().all(|call| call.model == "a"), "{ledger:?}");
    assert_eq!(q.sim.ledger().requests, 200);
}

#[tokio::test(start_paused = true)]
async fn other_routes_are_finished_before_the_run_stops() {
    let two = format!(
        "{TOP}
        [tasks.bad]
        model = \"p/fail-404\"
        prompt = \"{{{{ text }}}}\"
        [tasks.good]
        model = \"p/m\"
        prompt = \"{{{{ text }}}}\"
        [providers.p]
        base_url = \"https://p.example/v1\"
        {NARROW}"
    );
    let row = |n: usize| json!({"id": n, "text": n, "task_type": if n.is_multiple_of(2) { "good" } else { "bad" }});
    let mut night = Night::new(&two, (1..=3_000).map(row));
    let p = night.provider("p", json!({}));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded, summary.rows.remaining), (6, 1_500, 1_500));
    assert!(p.sim.ledger().by_model["fail-404"].requests <= 16);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_revoked_meanwhile_stops_the_run_and_fails_no_row() {
    let mut night = Night::new(&job(&["m"], NARROW), rows(1_000));
    let p = night.provider_with_key("p", json!({ "key": "right", "latency": "100ms" }), "right");
    p.revoke_key_after(400);
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.failed), (6, 0));
    assert!((400..=416).contains(&summary.rows.succeeded), "{:?}", summary.rows);
    assert_eq!(summary.rows.remaining, 1_000 - summary.rows.succeeded);
    let refused = p.sim.ledger().by_status[&401];
    assert!(refused <= 48, "{refused}");

    let p = night.provider_with_key("p", json!({ "key": "right" }), "right");
    let before = summary.rows.succeeded;
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded), (0, 1_000));
    assert_eq!(p.sim.ledger().requests, 1_000 - before, "what was answered is not asked again");
}

#[tokio::test(start_paused = true)]
async fn one_refused_row_among_answered_ones_takes_no_model_away() {
    let script = json!([{ "from": 50, "to": 50, "fault": "rate_limit" }]);
    let mut night = Night::new(&job(&["m"], NARROW), rows(300));
    let p = night.provider_with_key("p", json!({ "key": "right", "latency": "10ms", "script": script }), "right");
    p.refuse_call(100);
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded, summary.attempts), (0, 300, 302));
    assert!(summary.removed.is_empty(), "{:?}", summary.removed);
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_is_used_up_stops_the_run_and_keeps_its_answers() {
    let mut night = Night::new(&job(&["m"], NARROW), rows(500));
    let p = night.provider("p", json!({ "quota": 120, "latency": "50ms" }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded, summary.rows.failed), (6, 120, 0));
    assert_eq!(p.sim.ledger().billed, 120);
    assert!(summary.removed[0].contains(FailureKind::QuotaExhausted.name()), "{:?}", summary.removed);

    let more = night.provider("p", json!({}));
    assert_eq!(night.run().await.exit_code, 0);
    assert_eq!(more.sim.ledger().requests, 380);
}
