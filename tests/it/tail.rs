//! The last rows of a job: those that no server can take fail and end it, and an outage is waited for as ever.

use std::time::Duration;

use serde_json::{Value, json};

use crate::night::{Night, TOP, job, rows};

const POISON: f64 = 0.03;

fn outage(from: u64, to: u64, fault: &str) -> Value {
    json!([{ "from": from, "to": to, "fault": fault }])
}

#[tokio::test(start_paused = true)]
async fn rows_that_one_model_of_a_provider_has_failed_show_no_outage_of_the_next() {
    let job = format!(
        "{TOP}
        [tasks.through]
        model = \"p/n\"
        fallback = [\"p/m\"]
        prompt = \"Tag {{{{ text }}}}\"
        [tasks.direct]
        model = \"p/m\"
        prompt = \"Tag {{{{ text }}}}\"
        [providers.p]
        base_url = \"https://sim.example/v1\"
        [run]
        concurrency = 1"
    );
    let task = |n: usize| if n.is_multiple_of(4) { "direct" } else { "through" };
    let rows = (1..=400).map(|n| json!({ "id": n, "task_type": task(n), "text": format!("row {n}") }));
    let mut night = Night::new(&job, rows);
    let p = night.provider("p", json!({ "latency": "3s", "poison": { "server_error": POISON } }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.remaining), (4, 0), "{:?}", summary.rows);
    assert!((8..=20).contains(&summary.rows.failed), "{:?}", summary.rows);
    assert_eq!(p.sim.ledger().answered, 400 - summary.rows.failed);
}

#[tokio::test(start_paused = true)]
async fn rows_that_are_left_behind_a_short_outage_and_no_server_can_take_end_the_job() {
    for fault in ["503", "refuse"] {
        let mut night = Night::new(&job(&["m"], "[run]\nconcurrency = 4"), rows(400));
        // From when all others are answered.
        let weather = outage(100, 130, fault);
        let p =
            night.provider("p", json!({ "latency": "1s", "poison": { "server_error": POISON }, "outages": weather }));
        let summary = night.run().await;
        assert_eq!((summary.exit_code, summary.rows.remaining), (4, 0), "{fault}: {:?}", summary.rows);
        assert_eq!(night.error_kinds()["server_error"] as u64, summary.rows.failed, "{fault}");
        assert_eq!(p.sim.ledger().answered, 400 - summary.rows.failed, "{fault}");
        assert!(summary.elapsed_ms < 600_000, "{fault}: {} ms", summary.elapsed_ms);
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_among_the_last_rows_fails_none_of_them() {
    for fault in ["500", "503", "hang"] {
        let more = "[run]\nconcurrency = 32\non_outage = \"5m\"";
        let mut night = Night::new(&job(&["m"], more), rows(400));
        // Some have failed before by chance.
        let faults = json!({ "server_error": 0.1 });
        night.provider("p", json!({ "latency": "1s", "faults": faults, "outages": outage(11, 100_000, fault) }));
        let summary = night.run().await;
        assert_eq!((summary.exit_code, summary.rows.failed), (6, 0), "{fault}: {:?}", summary.rows);
        assert!((30..=150).contains(&summary.rows.remaining), "{fault}: {:?}", summary.rows);
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_model_that_takes_what_another_one_fails_is_waited_for() {
    let more = "[run]\nconcurrency = 16\n[retry]\nmax_attempts = 2";
    let mut night = Night::new(&job(&["flaky-80", "m"], more), rows(2_000));
    let p = night.provider("p", json!({ "latency": "1s" }));
    // By when it has answered some.
    p.model_is_out("m", Duration::from_mins(4)..Duration::from_mins(7));
    let summary = night.run().await;
    // Some that arrive before the breaker opens: it must first be seen that this is no chance.
    assert!(summary.rows.failed <= 40, "{:?}", summary.rows);
    assert_eq!(summary.rows.remaining, 0, "{:?}", summary.rows);
}
