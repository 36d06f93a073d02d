//! A second call beside one that takes far too long: the first good answer wins, both are counted, and it is in nobody's way.

use std::sync::Arc;
use std::time::Duration;

use overnight::engine::Stop;
use overnight::event::{StopReason, Summary};
use overnight::types::Tally;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::night::{Night, Provider, job, rows, two_providers};

const MINUTE: Duration = Duration::from_mins(1);

/// Two providers, of which the first takes 32 calls at once.
fn limited_first(run: &str) -> String {
    two_providers("", "limits = { concurrency = 32 }", run)
}

struct Evening {
    night: Night,
    a: Arc<Provider>,
    b: Arc<Provider>,
}

impl Evening {
    fn new(rows_: usize, run: &str, a: &Value, b: &Value) -> Self {
        let mut night = Night::new(&limited_first(run), rows(rows_));
        let a = night.provider("a", a.clone());
        let b = night.provider("b", b.clone());
        for provider in [&a, &b] {
            provider.times_out_after(10 * MINUTE);
        }
        Self { night, a, b }
    }

    async fn run(&self) -> (Summary, Duration) {
        let began = Instant::now();
        (self.night.run().await, began.elapsed())
    }

    fn requests(&self) -> [u64; 2] {
        [&self.a, &self.b].map(|provider| provider.sim.ledger().requests)
    }
}

fn of(summary: &Summary, provider: &str) -> Tally {
    let tallies = summary.tallies.iter().filter(|(id, _)| id.provider == provider);
    tallies.fold(Tally::default(), |mut sum, (_, tally)| {
        sum.merge(tally);
        sum
    })
}

/// Every call is told, and every row was at the models that it was at.
fn assert_counted(summary: &Summary, evening: &Evening) {
    let (a, b) = (of(summary, "a"), of(summary, "b"));
    assert_eq!([a.attempts, b.attempts], evening.requests());
    assert_eq!(a.succeeded + a.failed + a.fallbacks_out, summary.rows.total + a.fallbacks_in, "{a:?}");
    assert_eq!(b.succeeded + b.failed + b.fallbacks_out, b.fallbacks_in, "{b:?}");
}

fn stragglers(share: f64) -> Value {
    json!({ "latency": "200ms", "faults": { "slow_body": share }, "slow_body": "60s", "seed": 4 })
}

#[tokio::test(start_paused = true)]
async fn one_straggler_in_a_hundred_does_not_hold_up_the_run() {
    let fast = json!({ "latency": "200ms" });
    let (_, clean) = Evening::new(2_000, "", &fast, &fast).run().await;
    let evening = Evening::new(2_000, "hedge = true", &stragglers(0.01), &fast);
    let (summary, took) = evening.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded), (0, 2_000));
    assert!(took <= clean.mul_f64(1.3), "{took:?}, {clean:?} without stragglers");
    assert_counted(&summary, &evening);
    let (a, b) = (of(&summary, "a"), of(&summary, "b"));
    assert!((10..60).contains(&b.succeeded), "{b:?}");
    assert_eq!((a.fallbacks_out, b.fallbacks_in, b.attempts), (b.succeeded, b.succeeded, b.succeeded));
    assert_eq!(summary.possibly_billed.attempts, a.fallbacks_out, "each call that lost may be billed");
    let hedged = evening.night.results().into_iter().find(|line| line["provider"] == "b").unwrap();
    assert_eq!((&hedged["attempts"], &hedged["trail"][0]["provider"]), (&json!(2), &json!("a")));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_hedged_unasked_or_without_a_next_model() {
    let evening = Evening::new(1_000, "", &stragglers(0.01), &json!({}));
    let (summary, took) = evening.run().await;
    assert_eq!((summary.exit_code, evening.requests()), (0, [1_000, 0]));
    assert!(took > MINUTE, "{took:?}");

    let evening = Evening::new(90, "hedge = true", &stragglers(0.05), &json!({}));
    let (summary, took) = evening.run().await;
    assert_eq!((summary.exit_code, evening.requests()), (0, [90, 0]), "of 90 answers nobody knows how long they take");
    assert!(took > MINUTE, "{took:?}");

    let mut night = Night::new(&job(&["m"], "[run]\nhedge = true"), rows(1_000));
    let p = night.provider("p", stragglers(0.01));
    p.times_out_after(10 * MINUTE);
    assert_eq!((night.run().await.exit_code, p.sim.ledger().requests), (0, 1_000));
}

#[tokio::test(start_paused = true)]
async fn without_a_call_to_spare_there_is_no_second_one() {
    let one = json!({ "latency": "200ms", "script": [{ "from": 150, "to": 150, "fault": "slow_body" }] });
    let evening = Evening::new(200, "hedge = true\nconcurrency = 1", &one, &json!({}));
    assert_eq!((evening.run().await.0.exit_code, evening.requests()), (0, [200, 0]));

    let evening = Evening::new(200, "hedge = true\nconcurrency = 2", &one, &json!({}));
    let (summary, _) = evening.run().await;
    assert_eq!((summary.exit_code, evening.requests()), (0, [200, 1]), "at the end there is one");
    assert_counted(&summary, &evening);
}

#[tokio::test(start_paused = true)]
async fn a_second_call_keeps_to_the_limits_of_its_own_model() {
    let mut evening = Evening::new(1_000, "hedge = true", &stragglers(0.02), &json!({}));
    let limited =
        limited_first("hedge = true").replace("[providers.b]", "[providers.b]\nlimits = { rpm = 6, concurrency = 1 }");
    evening.night.world.write("job.toml", limited);
    evening.b = evening.night.provider("b", json!({ "latency": "200ms", "limits": { "rpm": 6 } }));
    let (summary, _) = evening.run().await;
    assert_eq!((summary.exit_code, summary.rate_limited), (0, 0));
    assert_counted(&summary, &evening);
    let ledger = evening.b.sim.ledger();
    assert!(ledger.requests > 1 && ledger.max_requests_per_minute <= 6, "{ledger:?}");
}

#[tokio::test(start_paused = true)]
async fn a_second_call_goes_on_as_the_fallback_where_the_first_one_fails() {
    let hangs = json!({ "latency": "200ms", "faults": { "hang": 0.01 }, "seed": 6 });
    let evening = Evening::new(1_000, "hedge = true", &hangs, &json!({ "latency": "8s" }));
    evening.a.times_out_after(Duration::from_secs(3));
    let (summary, _) = evening.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded), (0, 1_000));
    assert_counted(&summary, &evening);
    let (a, b) = (of(&summary, "a"), of(&summary, "b"));
    assert!(b.succeeded > 0, "{b:?}");
    assert_eq!((a.attempts, a.retries, a.fallbacks_out), (1_000, 0, b.succeeded), "nobody waits in line for it again");
}

#[tokio::test(start_paused = true)]
async fn where_the_second_call_fails_the_first_one_goes_on() {
    for broken in [json!({ "faults": { "server_error": 1.0 } }), json!({ "faults": { "context_length": 1.0 } })] {
        let evening = Evening::new(1_000, "hedge = true", &stragglers(0.01), &broken);
        let (summary, took) = evening.run().await;
        assert_eq!((summary.exit_code, summary.rows.succeeded), (0, 1_000));
        assert_counted(&summary, &evening);
        let (a, b) = (of(&summary, "a"), of(&summary, "b"));
        assert_eq!((a.succeeded, a.fallbacks_out, b.fallbacks_in), (1_000, 0, 0));
        assert!(b.attempts > 0 && took > MINUTE, "{b:?} in {took:?}");
    }
}

/// The same, with rules for the answers of its task.
fn ruled(a: &Value, b: &Value) -> Evening {
    let evening = Evening::new(1_000, "", a, b);
    let schema = "[tasks.tag.answer]\nschema = { type = \"object\", required = [\"mood\"], \
                  properties = { mood = { enum = [\"good\", \"bad\"] } } }\nmax_reasks = 9\n[providers.a]";
    evening.night.world.write("job.toml", limited_first("hedge = true").replace("[providers.a]", schema));
    evening
}

#[tokio::test(start_paused = true)]
async fn a_second_call_whose_answer_is_not_valid_leaves_the_row_to_the_first() {
    let evening = ruled(&stragglers(0.01), &json!({ "poison": { "invalid_answer": 1 } }));
    let (summary, took) = evening.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded), (0, 1_000));
    assert_counted(&summary, &evening);
    let (a, b) = (of(&summary, "a"), of(&summary, "b"));
    assert_eq!((a.succeeded, a.fallbacks_out, b.fallbacks_in, b.succeeded), (1_000, 0, 0, 0));
    assert!(b.invalid_answers > 0 && b.invalid_answers == b.attempts && took > MINUTE, "{b:?} in {took:?}");
    let rows = evening.night.results();
    let hedged = rows.iter().filter(|row| row["attempts"] == 2).map(|row| &row["trail"]);
    for trail in hedged {
        let told = json!([trail[0]["provider"], trail[0]["kind"], trail[1]["provider"], trail[1]["kind"]]);
        assert_eq!(told, json!(["b", "invalid_answer", "a", null]));
    }
    assert!(rows.iter().all(|row| row["data"]["mood"].is_string()));
}

#[tokio::test(start_paused = true)]
async fn a_second_call_that_became_the_fallback_and_is_not_valid_goes_on_along_its_route() {
    let hangs = json!({ "latency": "200ms", "faults": { "hang": 0.01 }, "seed": 6 });
    // The first model may be asked again, or has failed the row for good.
    for (max_attempts, is_told) in [(5, false), (1, true)] {
        let evening = ruled(&hangs, &json!({ "latency": "8s", "faults": { "invalid_answer": 0.5 }, "seed": 1 }));
        let job = evening.night.world.read("job.toml") + &format!("\n[retry]\nmax_attempts = {max_attempts}\n");
        evening.night.world.write("job.toml", job);
        evening.a.times_out_after(Duration::from_secs(3));
        let (summary, _) = evening.run().await;
        assert_eq!((summary.exit_code, summary.rows.succeeded), (0, 1_000));
        assert_counted(&summary, &evening);
        assert!(evening.night.results().iter().all(|row| row["data"]["mood"].is_string()));
        let b = of(&summary, "b");
        assert!(b.invalid_answers > 0, "{b:?}");
        let is_longer = |body: &Value| body["messages"].as_array().unwrap().len() > 1;
        let told = evening.b.bodies().iter().filter(|body| is_longer(body)).count() as u64;
        assert_eq!((b.reasks, told), if is_told { (b.invalid_answers, told) } else { (0, 0) }, "{b:?}");
        assert_eq!((told > 0, b.fallbacks_out), if is_told { (true, 0) } else { (false, b.invalid_answers) }, "{b:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_both_calls_fail_the_row_goes_on_along_its_route() {
    let hangs = json!({ "latency": "200ms", "faults": { "hang": 0.01 }, "seed": 6 });
    let fails = json!({ "latency": "4s", "faults": { "server_error": 0.5 }, "seed": 1 });
    let evening = Evening::new(1_000, "hedge = true", &hangs, &fails);
    evening.a.times_out_after(Duration::from_secs(3));
    let (summary, _) = evening.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded), (0, 1_000));
    assert_counted(&summary, &evening);
    let (a, b) = (of(&summary, "a"), of(&summary, "b"));
    assert!(b.fallbacks_out > 0 && a.attempts > 1_000, "{a:?} {b:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_in_the_middle_leaves_every_call_told_and_every_row_to_be_done() {
    for (first, second) in [(3_000, 60_000), (3_000, 3_001), (4_300, 4_500), (5_100, 5_900)] {
        let slow = json!({ "latency": ["100ms", "3s"] });
        let evening = Evening::new(1_000, "hedge = true\nmax_cost = 1000", &stragglers(0.02), &slow);
        let priced = "[models.\"a/m\"]\nprovider = \"a\"\nmodel = \"m\"\nprice = { input = 1, output = 2 }\n\
                      [models.\"b/m\"]\nprovider = \"b\"\nmodel = \"m\"\nprice = { input = 1, output = 2 }";
        evening.night.world.write("job.toml", limited_first("hedge = true\nmax_cost = 1000") + "\n" + priced);
        let stop = Stop::default();
        let stopping = stop.clone();
        let (stopped, ()) = tokio::join!(evening.night.try_run_with(stop), async move {
            tokio::time::sleep(Duration::from_millis(first)).await;
            stopping.request(StopReason::Interrupted);
            tokio::time::sleep(Duration::from_millis(second - first)).await;
            stopping.request(StopReason::Interrupted);
        });
        let stopped = stopped.0.unwrap();
        assert_eq!(stopped.exit_code, 130, "{first} {second}");
        assert!(evening.requests()[1] > 0, "{first} {second}: nothing was hedged yet");
        assert_eq!(stopped.attempts, evening.requests().iter().sum::<u64>(), "{first} {second}");
        let (summary, _) = evening.run().await;
        assert_eq!((summary.exit_code, summary.rows.succeeded), (0, 1_000), "{first} {second}");
        assert_eq!(stopped.attempts + summary.attempts, evening.requests().iter().sum::<u64>());
        assert_eq!(evening.night.results().len(), 1_000);
    }
}
