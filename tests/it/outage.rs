//! Servers that are out, slow or refuse for a while: rows wait or go elsewhere, none fails by it, and little is sent.

use std::future::pending;
use std::time::Duration;

use overnight::event::{Event, ModelState, StopReason};
use overnight::store::{Control, StateDir};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::night::{Night, Provider, TOP, job, rows, two_providers};

const SECOND: Duration = Duration::from_secs(1);
const NARROW: &str = "[run]\nconcurrency = 32";

fn narrow(task: &str) -> String {
    two_providers(task, "", "concurrency = 32")
}

fn outage(from: u64, to: u64, fault: &str) -> Value {
    json!([{ "from": from, "to": to, "fault": fault }])
}

/// Calls that were sent in this stretch of time.
fn calls_within(provider: &Provider, from: Duration, to: Duration) -> usize {
    provider.calls().iter().filter(|call| (from..to).contains(&call.sent)).count()
}

fn makespan(provider: &Provider) -> Duration {
    provider.calls().iter().map(|call| call.ended).max().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_everything_is_waited_out_and_fails_no_row() {
    for fault in ["refuse", "503", "hang"] {
        let mut night = Night::new(&job(&["m"], NARROW), rows(2_500));
        let p = night.provider("p", json!({ "latency": "200ms", "outages": outage(10, 610, fault) }));
        let (summary, events) = night.try_run().await;
        let summary = summary.unwrap();
        assert_eq!((summary.exit_code, summary.rows.succeeded, summary.rows.failed), (0, 2_500, 0), "{fault}");
        let late = if fault == "hang" { 200 } else { 20 };
        for minute in 0..6 {
            let from = Duration::from_secs(late + 60 * minute);
            let calls = calls_within(&p, from, from + 60 * SECOND);
            assert!(calls < 50, "{fault}: {calls} calls in minute {minute} of the outage");
        }
        assert!(makespan(&p) < 720 * SECOND, "{fault}: {:?}", makespan(&p));
        let down = |event: &&Event| matches!(event, Event::ModelState { state: ModelState::Down { .. }, .. });
        assert_eq!(events.iter().filter(down).count(), 1, "{fault}: told once, not for each row or probe");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_was_never_needed_before_is_not_stormed_in_an_outage_of_everything() {
    let mut night = Night::new(&narrow(""), rows(3_000));
    let a = night.provider("a", json!({ "latency": "200ms", "outages": outage(10, 310, "503") }));
    let b = night.provider("b", json!({ "latency": "200ms", "outages": outage(0, 310, "500") }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded), (0, 3_000));
    let calls = |from| [&a, &b].map(|p| calls_within(p, from, from + 60 * SECOND)).iter().sum::<usize>();
    assert!(calls(10 * SECOND) < 400, "{} calls as it begins", calls(10 * SECOND));
    assert!(calls(15 * SECOND) < 50, "{} calls in a minute of it", calls(15 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_lasts_too_long_ends_the_run_and_the_next_one_goes_on() {
    let job = job(&["m"], "[run]\nconcurrency = 8\non_outage = \"10m\"");
    let mut night = Night::new(&job, rows(500));
    let p = night.provider("p", json!({ "latency": "1s", "outages": outage(10, 100_000, "refuse") }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.stop_reason), (6, Some(StopReason::NoModelLeft)));
    assert_eq!((summary.rows.failed, summary.rows.total), (0, 500));
    assert!((60..=80).contains(&summary.rows.succeeded), "{:?}", summary.rows);
    let until = makespan(&p);
    assert!((530 * SECOND..=680 * SECOND).contains(&until), "{until:?}");
    assert!(summary.removed[0].contains("p/m: down for"), "{:?}", summary.removed);

    let more = night.provider("p", json!({}));
    let again = night.run().await;
    assert_eq!((again.exit_code, again.rows.succeeded), (0, 500));
    assert_eq!(more.sim.ledger().requests, 500 - summary.rows.succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_never_answered_is_given_up_after_a_minute() {
    let mut night = Night::new(&job(&["m"], NARROW), rows(5_000));
    let p = night.provider("p", json!({ "outages": outage(0, 100_000, "refuse") }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.remaining, summary.rows.failed), (6, 5_000, 0));
    assert!(makespan(&p) <= 65 * SECOND, "{:?}", makespan(&p));
    assert!(p.calls().len() < 200, "{}", p.calls().len());
}

#[tokio::test(start_paused = true)]
async fn one_call_at_a_time_waits_out_an_outage_too() {
    let mut night = Night::new(&job(&["m"], "[run]\nconcurrency = 1"), rows(60));
    night.provider("p", json!({ "latency": "1s", "outages": outage(20, 200, "refuse") }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded, summary.rows.failed), (0, 60, 0));
}

#[tokio::test(start_paused = true)]
async fn rows_of_a_dead_provider_go_to_the_fallback_and_come_back() {
    let limits = json!({ "latency": "500ms" });
    let clean = {
        let mut night = Night::new(&narrow(""), rows(6_000));
        let a = night.provider("a", limits.clone());
        night.provider("b", limits.clone());
        assert_eq!(night.run().await.exit_code, 0);
        makespan(&a)
    };
    let third = clean.as_secs() / 3;
    for fault in ["refuse", "503"] {
        let mut night = Night::new(&narrow(""), rows(6_000));
        let a = night.provider("a", json!({ "latency": "500ms", "outages": outage(third, 2 * third, fault) }));
        let b = night.provider("b", limits.clone());
        let summary = night.run().await;
        assert_eq!((summary.exit_code, summary.rows.succeeded), (0, 6_000), "{fault}");
        let (took, most) = (makespan(&a).max(makespan(&b)), clean.mul_f64(1.1));
        assert!(took <= most, "{fault}: {took:?} where {clean:?} is clean");
        let on_b = b.sim.ledger().answered;
        assert!((1_200..=3_000).contains(&on_b), "{fault}: {on_b} rows on the fallback");
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_that_is_out_does_not_hold_up_another() {
    let two = format!(
        "{TOP}
        [tasks.dead]
        model = \"a/m\"
        prompt = \"{{{{ text }}}}\"
        [tasks.live]
        model = \"b/m\"
        prompt = \"{{{{ text }}}}\"
        [providers.a]
        base_url = \"https://a.example/v1\"
        [providers.b]
        base_url = \"https://b.example/v1\"
        [run]
        concurrency = 8
        on_outage = \"20m\""
    );
    let row = |n: usize| json!({"id": n, "text": n, "task_type": if n.is_multiple_of(2) { "live" } else { "dead" }});
    let mut night = Night::new(&two, (1..=400).map(row));
    night.provider("a", json!({ "latency": "100ms", "outages": outage(1, 100_000, "503") }));
    let b = night.provider("b", json!({ "latency": "1s" }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, b.sim.ledger().answered), (6, 200));
    assert!(makespan(&b) <= 40 * SECOND, "{:?}", makespan(&b));
    assert_eq!(summary.rows.failed, 0);
}

#[tokio::test(start_paused = true)]
async fn rows_that_break_a_healthy_server_fail_alone() {
    // Some of the rows get a 500 each time: no outage, and the run ends.
    let mut night = Night::new(&job(&["m"], "[run]\nconcurrency = 16\nmax_failures = \"50%\""), rows(2_000));
    let p = night.provider("p", json!({ "latency": "100ms", "poison": { "server_error": 0.02 } }));
    let (summary, events) = night.try_run().await;
    let summary = summary.unwrap();
    assert_eq!((summary.exit_code, summary.rows.remaining), (4, 0));
    assert!((20..=60).contains(&summary.rows.failed), "{:?}", summary.rows);
    assert_eq!(night.error_kinds()["server_error"] as u64, summary.rows.failed);
    let down = |event: &&Event| matches!(event, Event::ModelState { state: ModelState::Down { .. }, .. });
    assert_eq!(events.iter().filter(down).count(), 0);
    assert!(makespan(&p) < 60 * SECOND, "{:?}", makespan(&p));
}

#[tokio::test(start_paused = true)]
async fn a_told_wait_beyond_fallback_after_sends_rows_on() {
    let hint = |seconds: u64| json!([{ "from": 1, "to": 1, "fault": "rate_limit", "hint": seconds }]);
    for (fallback_after, hint_seconds, on_fallback) in
        [("60s", 90, true), ("60s", 30, false), ("2s", 30, true), ("never", 90, false)]
    {
        let more = format!("fallback_after = \"{fallback_after}\"");
        let mut night = Night::new(&narrow(&more), rows(40));
        let a = night.provider("a", json!({ "latency": "100ms", "script": hint(hint_seconds) }));
        let b = night.provider("b", json!({ "latency": "100ms" }));
        let summary = night.run().await;
        assert_eq!((summary.exit_code, summary.rows.succeeded), (0, 40), "{fallback_after}, {hint_seconds} s");
        let fell = b.sim.ledger().answered > 0;
        assert_eq!(fell, on_fallback, "{fallback_after}, {hint_seconds} s: {:?} {:?}", makespan(&a), makespan(&b));
    }
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_429s_wastes_little_and_ends_slowly() {
    let mut night = Night::new(&job(&["m"], "[run]\nconcurrency = 500"), rows(4_000));
    let p = night.provider("p", json!({ "latency": "1s", "outages": outage(8, 38, "429") }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded), (0, 4_000));
    assert!(summary.rate_limited < 1_000, "{} wasted", summary.rate_limited);
    let first_second = calls_within(&p, 38 * SECOND, 39 * SECOND);
    assert!(first_second <= 50, "{first_second} in the first second");
    assert!(makespan(&p) < 60 * SECOND, "{:?}", makespan(&p));
}

#[tokio::test(start_paused = true)]
async fn hanging_calls_cost_their_timeout_and_no_more() {
    let job = job(&["m"], NARROW);
    let clean = {
        let mut night = Night::new(&job, rows(3_000));
        let p = night.provider("p", json!({ "latency": "500ms" }));
        assert_eq!(night.run().await.exit_code, 0);
        makespan(&p)
    };
    let mut night = Night::new(&job, rows(3_000));
    let p = night.provider("p", json!({ "latency": "500ms", "faults": { "hang": 0.01 } }));
    p.times_out_after(3 * SECOND);
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded), (0, 3_000));
    assert!(makespan(&p) <= clean.mul_f64(1.3), "{:?} where {clean:?} is clean", makespan(&p));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_is_down_leaves_the_rows_that_need_it_and_no_others() {
    let mut night = Night::new(&narrow(""), rows(6_000));
    let a = night.provider("a", json!({ "latency": "1s", "poison": { "content_filter": 0.005 } }));
    night.provider("b", json!({ "outages": outage(0, 100_000, "refuse") }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.failed), (6, 0), "{:?}", summary.rows);
    assert!((12..=60).contains(&summary.rows.remaining), "{:?}", summary.rows);
    assert_eq!(a.calls().len(), 6_000);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_hanging_calls_is_not_the_time_of_the_rows_that_probe_it() {
    let job = job(&["m"], "timeout = { row = \"3m\" }\n[run]\nconcurrency = 4\non_outage = \"1h\"");
    let mut night = Night::new(&job, rows(200));
    night.provider("p", json!({ "latency": "1s", "outages": outage(10, 1_800, "hang") }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded, summary.rows.failed), (0, 200, 0));
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_never_worked_fails_no_row() {
    let route = job(&["m"], "[run]\nconcurrency = 8");
    let two = route.replace("\"https://sim.example/v1\"", "[\"https://one.example/v1\", \"https://two.example/v1\"]");
    for fault in ["server_error", "html", "overloaded", "null_choices"] {
        let mut night = Night::new(&two, rows(1_000));
        night.provider("p", json!({ "latency": "1s" }));
        let broken = night.provider("p/2", json!({ "latency": "10ms", "faults": { fault: 1.0 } }));
        let summary = night.run().await;
        let sent = broken.calls().len();
        assert_eq!((summary.exit_code, summary.rows.succeeded), (0, 1_000), "{fault}: {sent} calls");
        assert!(sent < 200, "{fault}: {sent} calls to what does not work");
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_only_refuses_for_hours_leaves_its_rows_to_the_fallback() {
    let mut night = Night::new(&narrow(""), rows(2_000));
    let silent = json!({ "latency": "100ms", "hints": false, "outages": outage(5, 36_000, "429") });
    let a = night.provider("a", silent);
    let b = night.provider("b", json!({ "latency": "1s" }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded), (0, 2_000));
    let took = makespan(&a).max(makespan(&b));
    assert!(took < 600 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_refuses_for_ever_ends_the_run() {
    let mut night = Night::new(&job(&["m"], "[run]\nconcurrency = 16\non_outage = \"10m\""), rows(2_000));
    let silent = json!({ "latency": "100ms", "hints": false, "outages": outage(5, 360_000, "429") });
    let p = night.provider("p", silent);
    let summary = tokio::time::timeout(36_000 * SECOND, night.run()).await.expect("it ends");
    assert_eq!((summary.exit_code, summary.rows.failed), (6, 0));
    assert!(makespan(&p) < 1_200 * SECOND, "{:?}", makespan(&p));
}

#[tokio::test(start_paused = true)]
async fn a_day_s_quota_that_ends_is_found_out_at_one_call_at_a_time_too() {
    let mut night = Night::new(&job(&["m"], "[run]\nconcurrency = 1"), rows(100));
    let p = night
        .provider("p", json!({ "latency": "1s", "script": [{ "from": 20, "to": 1_000, "fault": "daily_quota" }] }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.failed), (6, 0));
    assert!(makespan(&p) < 60 * SECOND, "{:?}", makespan(&p));
    assert!(summary.removed[0].contains("daily_quota"), "{:?}", summary.removed);
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_no_part_of_an_outage() {
    let mut night = Night::new(&job(&["m"], "[run]\nconcurrency = 64\non_outage = \"5m\""), rows(1_000));
    night.provider("p", json!({ "latency": "1s", "outages": outage(10, 200, "refuse") }));
    let state = StateDir::create(&night.world.path(".overnight/job"), &night.world.path("job.toml")).unwrap();
    let steer = async {
        sleep(60 * SECOND).await;
        state.put_control(Control::Pause).unwrap();
        sleep(400 * SECOND).await;
        state.put_control(Control::Resume).unwrap();
        pending::<()>().await;
    };
    let summary = tokio::select! { summary = night.run() => summary, () = steer => unreachable!() };
    assert_eq!((summary.exit_code, summary.rows.succeeded), (0, 1_000));
}

#[tokio::test(start_paused = true)]
async fn a_storm_that_outlasts_its_hints_does_not_make_a_server_look_small() {
    let mut night = Night::new(&job(&["m"], "[run]\nconcurrency = 100"), rows(6_000));
    let storm = json!([{ "from": 2, "to": 10, "fault": "429", "hint": 6 }]);
    let p = night.provider("p", json!({ "latency": "50ms", "outages": storm }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded), (0, 6_000));
    assert!(makespan(&p) < 30 * SECOND, "{:?}", makespan(&p));
}

#[tokio::test(start_paused = true)]
async fn a_rate_that_was_served_before_an_outage_and_a_storm_is_soon_served_again() {
    let mut night = Night::new(&job(&["m"], "[run]\nconcurrency = 40"), rows(12_000));
    let weather = json!([{ "from": 5, "to": 15, "fault": "503" }, { "from": 25, "to": 30, "fault": "429" }]);
    let limits = json!({ "rpm": 9_000 });
    let p = night.provider("p", json!({ "latency": "200ms", "limits": limits, "outages": weather }));
    assert_eq!(night.run().await.exit_code, 0);
    let clean = 80 * SECOND;
    assert!(makespan(&p) < clean + 15 * SECOND + 70 * SECOND, "{:?}", makespan(&p));
}
