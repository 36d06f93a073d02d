//! Limits are used fully and never overrun, through the whole engine on paused time.

use std::time::Duration;

use serde_json::{Value, json};

use crate::night::{Night, TOP, job, rows};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn requests_a_minute_are_used_to_98_percent_and_never_overrun() {
    let rpm = 1_200;
    let mut night = Night::new(&job(&["m"], &format!("limits = {{ rpm = {rpm} }}")), rows(2_400));
    let latency = json!(["100ms", "900ms"]);
    let p = night.provider("p", json!({ "limits": { "rpm": rpm }, "latency": latency }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rate_limited, summary.attempts), (0, 0, 2_400));
    let ledger = p.sim.ledger();
    assert!(ledger.max_requests_per_minute <= rpm, "{ledger:?}");
    let took = p.calls().iter().map(|call| call.sent).max().unwrap();
    assert!(took <= 2 * 60 * SECOND * 100 / 98, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_limit_in_a_short_window_is_kept_as_well() {
    let mut night = Night::new(&job(&["m"], "limits = { rpm = 1200 }"), rows(1_000));
    let latency = json!(["10ms", "400ms"]);
    let p = night.provider("p", json!({ "limits": { "rpm": 1_200 }, "limit_window": "1s", "latency": latency }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rate_limited), (0, 0));
    assert!(p.sim.ledger().max_requests_per_second <= 20);
}

#[tokio::test(start_paused = true)]
async fn tokens_a_minute_are_never_overrun_and_well_used() {
    let rows = (1..=1_200).map(|n| json!({"id": n, "text": format!("row {n} {}", "word ".repeat(n % 97))}));
    let mut night = Night::new(&job(&["m"], "limits = { tpm = 60_000 }"), rows.collect::<Vec<Value>>());
    let p = night.provider("p", json!({ "limits": { "tpm": 60_000 }, "latency": ["100ms", "900ms"] }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rate_limited), (0, 0));
    let ledger = p.sim.ledger();
    assert!(ledger.max_tokens_per_minute <= 60_000, "{ledger:?}");
    let took = p.calls().iter().map(|call| call.sent).max().unwrap();
    let tokens = ledger.input_tokens + ledger.output_tokens;
    let least = Duration::from_mins(1).mul_f64(f64::from(u32::try_from(tokens).unwrap()) / 60_000.0);
    assert!(took <= least.mul_f64(1.08), "{took:?} where {least:?} would do");
}

#[tokio::test(start_paused = true)]
async fn calls_at_once_stay_within_the_providers_and_the_runs_number() {
    let mut night = Night::new(&job(&["m"], "limits = { concurrency = 7 }"), rows(200));
    let p = night.provider("p", json!({ "limits": { "concurrency": 7 }, "latency": "300ms" }));
    assert_eq!((night.run().await.rate_limited, p.sim.ledger().peak_in_flight), (0, 7));

    let mut night = Night::new(&job(&["m"], "[run]\nconcurrency = 5"), rows(200));
    let p = night.provider("p", json!({ "latency": "300ms" }));
    assert_eq!((night.run().await.exit_code, p.sim.ledger().peak_in_flight), (0, 5));
}

#[tokio::test(start_paused = true)]
async fn rows_of_a_model_that_waits_do_not_hold_up_rows_of_another() {
    let two_tasks = format!(
        "{TOP}
        [tasks.slow]
        model = \"p/slow\"
        prompt = \"{{{{ text }}}}\"
        [tasks.fast]
        model = \"p/fast\"
        prompt = \"{{{{ text }}}}\"
        [models.\"p/slow\"]
        provider = \"p\"
        model = \"slow\"
        limits = {{ rpm = 1 }}
        [providers.p]
        base_url = \"https://sim.example/v1\"
        [run]
        concurrency = 8"
    );
    let row = |n: usize| json!({"id": n, "text": n, "task_type": if n <= 6 { "slow" } else { "fast" }});
    let mut night = Night::new(&two_tasks, (1..=500).map(row));
    let p = night.provider("p", json!({ "latency": "100ms" }));
    assert_eq!(night.run().await.exit_code, 0);
    let last = |model: &str| p.calls().iter().filter(|call| call.model == model).map(|call| call.ended).max().unwrap();
    assert!(last("fast") <= 10 * SECOND, "{:?}", last("fast"));
    assert!(last("slow") >= 300 * SECOND, "{:?}", last("slow"));
}

#[tokio::test(start_paused = true)]
async fn a_429_makes_all_rows_of_the_model_wait_as_told() {
    // The window is full after ten calls: the server tells how long.
    let mut night = Night::new(&job(&["m"], "[run]\nconcurrency = 4"), rows(25));
    let p = night.provider("p", json!({ "limits": { "rpm": 10 }, "latency": "50ms", "headers": "none" }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded), (0, 25));
    assert_eq!(summary.attempts, 25 + summary.rate_limited);
    let mut calls = p.calls();
    calls.sort_by_key(|call| call.sent);
    let first = calls.iter().filter(|call| call.status == Some(429)).map(|call| call.ended).min().unwrap();
    // What was in flight when the answer came is all that is still refused.
    let too_early = calls.iter().filter(|call| call.sent > first && call.sent < 60 * SECOND);
    assert_eq!(too_early.count(), 0, "{calls:?}");
    assert!(summary.rate_limited <= 8, "{}", summary.rate_limited);
    for line in night.results() {
        assert!(line["attempts"].as_u64().unwrap() <= 3, "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_429_without_a_hint_is_waited_out_longer_each_time_and_after_two_minutes_of_them_the_fallback_answers() {
    let mut night = Night::new(&job(&["fail-429", "m"], ""), rows(3));
    let p = night.provider("p", json!({}));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded), (0, 3));
    let calls = p.calls();
    let of = |model: &str| {
        let mut times: Vec<u64> =
            calls.iter().filter(|call| call.model == model).map(|call| call.sent.as_secs()).collect();
        times.dedup();
        times
    };
    assert_eq!((of("fail-429"), of("m")), (vec![0, 1, 3, 7, 15, 31, 63, 123], vec![123]), "1 s, doubling to 60 s");
}

#[tokio::test(start_paused = true)]
async fn two_names_of_one_model_share_the_lower_limit() {
    let job = format!(
        "{TOP}
        [tasks.one]
        model = \"fast\"
        prompt = \"{{{{ text }}}}\"
        [tasks.two]
        model = \"slow\"
        prompt = \"{{{{ text }}}}\"
        [models.fast]
        provider = \"p\"
        model = \"m\"
        limits = {{ rpm = 600, concurrency = 4 }}
        [models.slow]
        provider = \"p\"
        model = \"m\"
        limits = {{ rpm = 60 }}
        [providers.p]
        base_url = \"https://sim.example/v1\""
    );
    let row = |n: usize| json!({"id": n, "text": n, "task_type": if n.is_multiple_of(2) { "one" } else { "two" }});
    let mut night = Night::new(&job, (1..=200).map(row));
    let p = night.provider("p", json!({ "limits": { "rpm": 60, "concurrency": 4 }, "latency": "1s" }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rate_limited, p.calls().len()), (0, 0, 200));
}
