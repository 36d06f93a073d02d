//! Rows of a task that waits hold up no rows of another, however many there are, and its own limit stays fully used.

use std::time::Duration;

use overnight::engine::Stop;
use overnight::event::StopReason;
use serde_json::{Value, json};

use crate::night::{Night, Provider, TOP};
use crate::process::{Running, wait_until};
use crate::world::{SimServer, World};

const SECOND: Duration = Duration::from_secs(1);

/// A task for each of these models of `p`, by its name, with its requests a minute; more tables follow.
fn tasks(models: &[(&str, u64)], url: &str, more: &str) -> String {
    let task = |(name, rpm): &(&str, u64)| {
        format!(
            "[tasks.{name}]\nmodel = \"p/{name}\"\nprompt = \"{{{{ text }}}}\"\nparams = {{ max_tokens = 32 }}\n\
             [models.\"p/{name}\"]\nprovider = \"p\"\nmodel = \"{name}\"\nlimits = {{ rpm = {rpm} }}\n"
        )
    };
    let tasks: String = models.iter().map(task).collect();
    format!("{TOP}\n{tasks}\n[providers.p]\nbase_url = \"{url}\"\nadaptive = false\n{more}")
}

const URL: &str = "https://sim.example/v1";
const NARROW: &str = "[run]\nconcurrency = 8\n";

fn row(number: usize, task: &str) -> Value {
    json!({"id": number, "text": format!("row {number}"), "task_type": task})
}

/// When the calls of a model were sent, in order.
fn sent(provider: &Provider, model: &str) -> Vec<Duration> {
    let mut sent: Vec<Duration> =
        provider.calls().iter().filter(|call| call.model == model).map(|call| call.sent).collect();
    sent.sort_unstable();
    sent
}

/// From its first call to its last one a model was never asked less than it may be, but for a hundredth.
fn assert_limit_is_used(provider: &Provider, model: &str, rpm: u64) {
    let sent = sent(provider, model);
    for (minute, calls) in sent.chunks(usize::try_from(rpm).unwrap()).enumerate().skip(1) {
        let least = Duration::from_mins(minute as u64);
        assert!(calls[0] <= least.mul_f64(1.02) + SECOND, "{model}: call {} at {:?}", minute as u64 * rpm, calls[0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fast_task_behind_more_rows_of_a_slow_one_than_the_window_holds_is_done_in_its_own_time() {
    let job = tasks(&[("slow", 300), ("fast", 60_000)], URL, NARROW);
    let mut night = Night::new(&job, (1..=3_200).map(|n| row(n, if n <= 2_000 { "slow" } else { "fast" })));
    let p = night.provider("p", json!({ "latency": "100ms" }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded, summary.attempts), (0, 3_200, 3_200));
    // 1,200 rows, eight at a time, 100 ms each.
    let last = *sent(&p, "fast").last().unwrap();
    assert!(last <= 30 * SECOND, "{last:?}");
    assert_limit_is_used(&p, "slow", 300);
    let rows: Vec<u64> = night.results().iter().map(|line| line["row"].as_u64().unwrap()).collect();
    assert!(rows.into_iter().eq(1..=3_200), "in the order of the input");
}

#[tokio::test(start_paused = true)]
async fn tasks_that_alternate_each_go_at_their_own_pace() {
    let models = [("slow", 300), ("middle", 900), ("fast", 60_000)];
    let mut night =
        Night::new(&tasks(&models, URL, "[run]\nconcurrency = 32"), (0..3_600).map(|n| row(n + 1, models[n % 3].0)));
    let p = night.provider("p", json!({ "latency": "100ms" }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded, summary.attempts), (0, 3_600, 3_600));
    let last = |model: &str| *sent(&p, model).last().unwrap();
    assert!(last("fast") <= 10 * SECOND, "{:?}", last("fast"));
    assert!(last("middle") <= 84 * SECOND, "{:?}", last("middle"));
    assert_limit_is_used(&p, "slow", 300);
    assert_limit_is_used(&p, "middle", 900);
}

#[tokio::test(start_paused = true)]
async fn rows_that_were_passed_over_replace_what_they_had() {
    let models = [("slow", 1_200), ("fast", 60_000)];
    let more = format!("{NARROW}max_failures = 10_000\nretry_failed = \"all\"");
    let rows = |count: usize| (1..=count).map(|n| row(n, if n <= 1_500 { "slow" } else { "fast" }).to_string());
    let mut night = Night::new(&tasks(&models, URL, &more), []);
    let write = |night: &Night, count| night.world.write("in.jsonl", rows(count).collect::<Vec<_>>().join("\n"));
    write(&night, 1_600);
    night.provider("p", json!({ "faults": { "content_filter": 1.0 } }));
    assert_eq!(night.run().await.rows.failed, 1_600);

    // One row more each time: what is on record is found by key.
    for (count, attempts) in [(1_601, 1_601), (1_602, 1)] {
        write(&night, count);
        night.provider("p", json!({}));
        let summary = night.run().await;
        assert_eq!((summary.exit_code, summary.attempts, summary.rows.succeeded), (0, attempts, count as u64));
    }
    // Unchanged, by number.
    assert_eq!(night.run().await.attempts, 0);
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_model_leaves_is_left_and_the_others_are_finished() {
    let job = tasks(&[("fail-404", 600), ("slow", 1_200), ("fast", 60_000)], URL, NARROW);
    let task = |n| match n {
        1..=2_000 => "fail-404",
        2_001..=4_000 => "slow",
        _ => "fast",
    };
    let mut night = Night::new(&job, (1..=5_000).map(|n| row(n, task(n))));
    let p = night.provider("p", json!({ "latency": "100ms" }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.stop_reason), (6, Some(StopReason::NoModelLeft)));
    assert_eq!((summary.rows.succeeded, summary.rows.remaining), (3_000, 2_000));
    assert!(*sent(&p, "fast").last().unwrap() <= 20 * SECOND);
    assert_limit_is_used(&p, "slow", 1_200);
}

#[tokio::test(start_paused = true)]
async fn a_stop_leaves_what_was_passed_over_for_the_next_run() {
    let job = tasks(&[("slow", 600), ("fast", 60_000)], URL, NARROW);
    let mut night = Night::new(&job, (1..=3_000).map(|n| row(n, if n <= 2_000 { "slow" } else { "fast" })));
    let p = night.provider("p", json!({ "latency": "100ms" }));
    let stop = Stop::default();
    let later = async {
        tokio::time::sleep(60 * SECOND).await;
        stop.request(StopReason::Interrupted);
    };
    let ((result, _), ()) = tokio::join!(night.try_run_with(stop.clone()), later);
    let summary = result.unwrap();
    assert_eq!((summary.exit_code, summary.rows.total), (130, 3_000));
    let done = summary.rows.succeeded;
    assert_eq!((done, summary.rows.remaining), (p.sim.ledger().answered, 3_000 - done));
    assert!((1_570..=1_605).contains(&done), "{done}");
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.attempts, summary.rows.succeeded), (0, 3_000 - done, 3_000));
}

#[test]
fn killed_while_rows_are_passed_over_every_row_ends_once() {
    let (world, sim) = (World::new(), SimServer::start(json!({ "latency": ["1ms", "5ms"], "count_marks": true })));
    let models = |rpm| [("slow", rpm), ("fast", 600_000)];
    let more = "[run]\nconcurrency = 4\n";
    let rows = (1..=2_300).map(|n| row(n, if n <= 2_000 { "slow" } else { "fast" }).to_string());
    world.write("in.jsonl", rows.collect::<Vec<_>>().join("\n"));
    world.write("job.toml", tasks(&models(6_000), sim.url(), more));
    for fast in [100, 250, 300] {
        let answered = |model: &str| sim.ledger().by_model.get(model).map_or(0, |of| of.requests);
        let (before, run) = (answered("slow"), Running::start(&world, &["run", "job.toml"]));
        wait_until("both are on their way", || answered("fast") >= fast && answered("slow") > before + 10);
        assert_eq!(run.kill().code, None);
    }
    world.write("job.toml", tasks(&models(600_000), sim.url(), more));
    let ended = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!((ended.code, &ended.summary()["rows"]["succeeded"]), (Some(0), &json!(2_300)), "{ended:?}");
    let results = world.lines("out.jsonl");
    assert!(results.iter().map(|line| line["id"].as_u64().unwrap()).eq(1..=2_300));
    let (asked, lost) = (sim.ledger().requests, 3 * 4);
    assert!((2_300..=2_300 + lost).contains(&asked), "{asked} requests");
}
