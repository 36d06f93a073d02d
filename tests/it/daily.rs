//! Requests a day: counted over all invocations of the day, waited for without a fallback, and there again on the next.

use std::fmt::Write;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use overnight::engine::Stop;
use overnight::event::{Event, ModelState, StopReason};
use serde_json::json;

use crate::night::{Night, Provider, TOP, job, rows};

const DAY: u64 = 24 * 60 * 60;

/// Two minutes for calls, one for the drain.
const SHORT: &str = "[run]\ndeadline = \"3m\"";

/// The day in which the clock on the wall is, which paused time does not change. In its last minutes a test of what
/// happens within a day shows nothing.
fn today() -> Option<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    (DAY - now % DAY > 10 * 60).then_some(now / DAY)
}

fn sent(provider: &Provider) -> usize {
    provider.calls().len()
}

/// Makes all that is on record a day older, as if the night before had written it.
fn let_a_day_pass(night: &Night) {
    let state = night.world.path(".overnight/job");
    let log = fs::read_to_string(state.join("results.log")).unwrap();
    let mut lines = log.split_inclusive('\n');
    let mut older = lines.next().unwrap().to_owned();
    for line in lines {
        let (before, after) = line.split_once("\"at\":").unwrap();
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap();
        let at: u64 = after[..digits].parse().unwrap();
        write!(older, "{before}\"at\":{}{}", at - DAY * 1_000, &after[digits..]).unwrap();
    }
    fs::write(state.join("results.log"), older).unwrap();
    fs::remove_dir_all(state.join("sled")).unwrap();
    fs::remove_file(state.join("totals.json")).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_day_s_requests_hold_over_all_invocations_of_the_day_and_are_there_again_on_the_next() {
    let Some(_) = today() else { return };
    let mut night = Night::new(&job(&["m"], &format!("limits = {{ rpd = 50 }}\n{SHORT}")), rows(120));
    let p = night.provider("p", json!({ "latency": "200ms", "limits": { "rpd": 50 } }));
    let (first, events) = night.try_run().await;
    let first = first.unwrap();
    assert_eq!((first.exit_code, first.stop_reason), (5, Some(StopReason::Deadline)));
    assert_eq!((sent(&p), first.rate_limited, first.rows.succeeded, first.rows.remaining), (50, 0, 50, 70));
    let waits: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::ModelState { state: ModelState::Pacing { for_ms }, message, .. } => Some((*for_ms, message.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(waits.len(), 1, "told once: {waits:?}");
    assert!((5 * 60 * 1_000..=DAY * 1_000).contains(&waits[0].0), "{waits:?}");
    assert!(waits[0].1.as_ref().unwrap().contains("limits.rpd (50)"), "{waits:?}");

    let again = night.run().await;
    assert_eq!((again.exit_code, sent(&p), again.attempts), (5, 50, 0), "nothing is left of the day");

    let_a_day_pass(&night);
    let next = night.provider("p", json!({ "latency": "200ms", "limits": { "rpd": 50 } }));
    let third = night.run().await;
    assert_eq!((third.exit_code, sent(&next), third.rows.remaining), (5, 50, 20));
}

#[tokio::test(start_paused = true)]
async fn a_model_s_own_day_and_requests_that_failed_count_too() {
    let Some(_) = today() else { return };
    let own = format!("[models.m]\nprovider = \"p\"\nlimits = {{ rpd = 40 }}\n{SHORT}");
    let mut night = Night::new(&job(&["m"], &own).replace("\"p/m\"", "\"m\""), rows(60));
    let faults = json!({ "server_error": 0.1, "reset": 0.1 });
    let p = night.provider("p", json!({ "latency": "200ms", "faults": faults, "seed": 3 }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, sent(&p), summary.attempts), (5, 40, 40));
    assert!(summary.rows.succeeded < 40, "{:?}", summary.rows);
    assert_eq!((night.run().await.exit_code, sent(&p)), (5, 40));
}

#[tokio::test(start_paused = true)]
async fn several_keys_have_a_day_each_also_after_a_resume() {
    let Some(_) = today() else { return };
    let job = job(&["m"], &format!("limits = {{ rpd = 20 }}\n{SHORT}"));
    let job = job.replace("\"https://sim.example/v1\"", "[\"https://sim.example/v1\", \"https://sim2.example/v1\"]");
    let mut night = Night::new(&job, rows(60));
    let one = night.provider("p", json!({ "latency": "200ms" }));
    let other = night.provider("p/2", json!({ "latency": "200ms" }));
    assert_eq!(night.run().await.exit_code, 5);
    assert_eq!((sent(&one), sent(&other)), (20, 20));
    assert_eq!(night.run().await.exit_code, 5);
    assert_eq!((sent(&one), sent(&other)), (20, 20));
}

#[tokio::test(start_paused = true)]
async fn rows_wait_for_their_day_and_do_not_fall_back_and_a_stop_ends_the_wait() {
    let Some(_) = today() else { return };
    let job = format!(
        "{TOP}
        [tasks.tag]
        model = \"a/m\"
        fallback = [\"b/m\"]
        prompt = \"Tag {{{{ text }}}}\"
        [providers.a]
        base_url = \"https://a.example/v1\"
        limits = {{ rpd = 10 }}
        [providers.b]
        base_url = \"https://b.example/v1\""
    );
    let mut night = Night::new(&job, rows(30));
    let a = night.provider("a", json!({ "latency": "200ms" }));
    let b = night.provider("b", json!({ "latency": "200ms" }));
    let stop = Stop::default();
    let stopping = stop.clone();
    let (summary, ()) = tokio::join!(night.try_run_with(stop), async move {
        tokio::time::sleep(Duration::from_mins(2)).await;
        stopping.request(StopReason::Interrupted);
    });
    let summary = summary.0.unwrap();
    assert_eq!((summary.exit_code, summary.rows.remaining), (130, 20));
    assert_eq!((sent(&a), sent(&b)), (10, 0));
}
