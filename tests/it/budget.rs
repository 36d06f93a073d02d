//! The hard budget: what it needs, what a plan says of it, and that no run goes over it.

use overnight::event::StopReason;
use overnight::store::{StateDir, read_standing};
use overnight::types::Money;
use serde_json::{Value, json};

use crate::night::{Night, job, rows};
use crate::world::World;

/// Two tasks on a server that is not ours.
const JOB: &str = r#"
[input]
path = "in.jsonl"
[output]
path = "out.jsonl"
[tasks.tag]
model = "m"
fallback = ["p/large"]
prompt = "Tag {{ text }}"
[tasks.sum]
model = "m"
prompt = "Sum up {{ text }}"
params = { max_tokens = 100 }
[models.m]
provider = "p"
[providers.p]
base_url = "https://gateway.example/v1"
"#;

fn world(job: &str) -> World {
    let world = World::new();
    let row = |n: usize| json!({"id": n, "task_type": "sum", "text": format!("row {n}")}).to_string();
    world.write("in.jsonl", (1..=10).map(row).collect::<Vec<_>>().join("\n"));
    world.write("job.toml", job);
    world
}

#[test]
fn a_budget_needs_a_price_and_a_cap_for_every_model_of_every_route() {
    let world = world(&format!("{JOB}\n[run]\nmax_cost = 5"));
    for command in ["run", "plan"] {
        let ran = world.overnight(&[command, "job.toml"]);
        assert_eq!(ran.code, Some(3), "{ran:?}");
        for told in [
            "models.m: ",
            "tasks.tag.params: run.max_cost needs a bound on the output of m\n  hint: write max_tokens in the task's \
             params, or max_output in [models.m]",
            "tasks.tag.model: run.max_cost needs a price for p/large",
            "tasks.tag.params: run.max_cost needs a bound on the output of p/large",
        ] {
            let told =
                told.replace("models.m: ", "models.m.price: run.max_cost needs a price for m\n  hint: write for");
            assert!(ran.stderr.contains(&told), "{told}: {}", ran.stderr);
        }
        assert_eq!(ran.stderr.matches("needs a price for m\n").count(), 1, "{}", ran.stderr);
        assert!(!ran.stderr.contains("tasks.sum.params"), "{}", ran.stderr);
    }
    assert!(!world.path(".overnight").exists(), "nothing has begun");
}

#[test]
fn a_task_s_budget_needs_them_for_its_own_route_alone() {
    let priced = "price = { input = 1, output = 2 }";
    let job = JOB.replace("params = {", "max_cost = 1\nparams = {");
    let world = world(&job);
    let ran = world.overnight(&["plan", "job.toml"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stderr.contains("models.m.price: tasks.sum.max_cost needs a price for m"), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches(" needs ").count(), 1, "{}", ran.stderr);
    world.write("job.toml", job.replace("provider = \"p\"", &format!("provider = \"p\"\n{priced}")));
    assert_eq!(world.overnight(&["plan", "job.toml"]).code, Some(0));
}

#[test]
fn a_model_that_costs_nothing_needs_neither() {
    let world = world(&JOB.replace("https://gateway.example", "http://127.0.0.1:9"));
    let ran = world.overnight(&["plan", "job.toml", "--max-cost", "0"]);
    assert_eq!((ran.code, ran.stdout.contains("will stop")), (Some(0), false), "{ran:?}");
}

#[test]
fn a_plan_warns_of_a_budget_that_will_not_last() {
    let job =
        JOB.replace("provider = \"p\"", "provider = \"p\"\nprice = { input = 1, output = 1000 }\nmax_output = 200");
    let world = world(&job.replace("fallback = [\"p/large\"]\n", ""));
    let plan = |max_cost: &str| world.overnight(&["plan", "job.toml", "--max-cost", max_cost]);
    let json = |max_cost: &str| -> Value {
        world.overnight(&["plan", "job.toml", "--max-cost", max_cost, "--json"]).summary()["over_budget"].clone()
    };
    // Ten rows of 100 tokens at most, half of it expected, and some cents of input.
    assert_eq!(json("0.6/day"), json!([]));
    let over = json("0.4/day");
    assert_eq!(
        (&over[0]["key"], &over[0]["per"], &over[0]["max_usd"]),
        (&json!("run.max_cost"), &json!("day"), &json!(0.4))
    );
    let told = plan("0.4/day").stdout;
    assert!(told.contains("over run.max_cost ($0.4000 a day): the run will stop"), "{told}");
    let dry = world.overnight(&["run", "job.toml", "--dry-run", "--max-cost", "0.4"]);
    assert!(dry.stdout.contains("over run.max_cost ($0.4000): the run will stop"), "{dry:?}");
}

/// The top of a job with a priced model: 32 output tokens and some 50 bytes of input come to 0.0365 USD or so at most, of
/// which an answer needs about half.
fn priced(more: &str) -> String {
    format!(
        "{}\n[models.\"p/m\"]\nprovider = \"p\"\nmodel = \"m\"\nprice = {{ input = 100, output = 1000 }}\n{more}",
        job(&["m"], "")
    )
}

fn spent(night: &Night) -> Money {
    let state = StateDir::create(&night.world.path(".overnight/job"), &night.world.path("job.toml")).unwrap();
    let standing = read_standing(&state).unwrap().unwrap();
    standing.ledger.runs.iter().map(|run| run.charged.of(None)).sum()
}

#[tokio::test(start_paused = true)]
async fn a_run_stops_at_its_budget_over_all_resumes_and_goes_on_with_more() {
    let with = |usd: &str| priced(&format!("[run]\nmax_cost = {usd}"));
    let mut night = Night::new(&with("0.5"), rows(100));
    let p = night.provider("p", json!({ "latency": ["100ms", "900ms"] }));
    let first = night.run().await;
    assert_eq!((first.exit_code, first.stop_reason, first.rows.failed), (5, Some(StopReason::Budget), 0));
    let max: Money = "0.5".parse().unwrap();
    assert!(first.cost_usd <= max && first.cost_usd > "0.4".parse().unwrap(), "{}", first.cost_usd);
    assert_eq!(first.used_up.len(), 1);
    let sent = p.calls().len();
    let again = night.run().await;
    assert_eq!((again.exit_code, p.calls().len()), (5, sent), "nothing is left to spend");
    night.world.write("job.toml", with("100"));
    let last = night.run().await;
    assert_eq!((last.exit_code, last.rows.remaining, p.calls().len()), (0, 0, 100));
}

#[tokio::test(start_paused = true)]
async fn calls_at_once_fit_the_budget_at_their_worst() {
    let mut night = Night::new(&priced("[run]\nmax_cost = 0.2"), rows(100));
    let p = night.provider("p", json!({ "latency": "300ms" }));
    assert_eq!(night.run().await.exit_code, 5);
    assert!(p.sim.ledger().peak_in_flight <= 5, "{}", p.sim.ledger().peak_in_flight);
}

#[tokio::test(start_paused = true)]
async fn calls_whose_end_is_not_known_count_at_their_worst() {
    let mut night = Night::new(&priced("[run]\nmax_cost = 0.5"), rows(200));
    night.provider("p", json!({ "latency": "300ms", "faults": { "hang": 0.3, "reset": 0.2 }, "seed": 5 }));
    let mut summary = night.run().await;
    let mut max = summary.cost_usd + summary.possibly_billed.max_cost_usd;
    for _ in 0..3 {
        assert_eq!(summary.exit_code, 5);
        summary = night.run().await;
        max += summary.cost_usd + summary.possibly_billed.max_cost_usd;
    }
    assert!(max <= "0.5".parse().unwrap(), "{max}");
    assert_eq!(spent(&night), max);
}

#[tokio::test(start_paused = true)]
async fn a_task_without_money_is_left_and_the_others_go_on() {
    let tasks = priced("").replace(
        "[tasks.tag]",
        "[tasks.sum]\nmodel = \"p/m\"\nprompt = \"{{ text }}\"\nparams.max_tokens = 32\n[tasks.tag]\nmax_cost = 0.3",
    );
    let row = |n: usize| json!({"id": n, "task_type": if n.is_multiple_of(2) { "tag" } else { "sum" }, "text": format!("row {n}")});
    let mut night = Night::new(&tasks, (1..=200).map(row));
    night.provider("p", json!({ "latency": ["100ms", "900ms"] }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.stop_reason), (5, Some(StopReason::Budget)));
    let of = |task: &str| summary.tallies.iter().find(|(id, _)| id.task == task).unwrap().1.clone();
    assert_eq!(of("sum").succeeded, 100);
    assert!(of("tag").cost_usd <= "0.3".parse().unwrap() && of("tag").succeeded > 5, "{:?}", of("tag"));
    assert_eq!(summary.used_up[0].key, "tasks.tag.max_cost");
}

#[tokio::test(start_paused = true)]
async fn rows_that_wait_for_money_use_up_no_limits() {
    let mut night = Night::new(&priced("limits = { rpm = 60 }\n[run]\nmax_cost = 0.4"), rows(100));
    let p = night.provider("p", json!({ "latency": ["8s", "12s"] }));
    night.run().await;
    let calls = p.calls();
    let first_minute = calls.iter().filter(|call| call.sent.as_secs() < 60).count();
    assert!(first_minute >= 30, "{first_minute} of {} in the first minute", calls.len());
}
