//! A job from its file to its results, and again.

use overnight::event::Event;
use overnight::sim::answer_mark;
use serde_json::json;

use crate::night::{self, Night, TOP};
use crate::world::{SimServer, World};

/// A job of one task that asks `sim`.
fn job(sim: &SimServer) -> String {
    format!(
        r#"
        {TOP}
        [tasks.tag]
        model = "m"
        prompt = "Tag {{{{ text }}}}"
        [models.m]
        provider = "p"
        price = {{ input = 1, output = 2 }}
        [providers.p]
        base_url = "{}"
        "#,
        sim.url()
    )
}

#[test]
fn each_row_gets_its_own_answer_once() {
    let (world, sim) = (World::new(), SimServer::start(json!({})));
    world.write("job.toml", job(&sim));
    let rows: Vec<String> = (1..=50).map(|n| json!({"id": n, "text": format!("row {n}")}).to_string()).collect();
    world.write("in.jsonl", rows.join("\n"));

    let first = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!(first.code, Some(0), "{first:?}");
    assert_eq!(first.summary()["rows"]["succeeded"], 50);
    let results = world.lines("out.jsonl");
    assert_eq!(results.len(), 50);
    for (n, result) in (1..).zip(&results) {
        assert_eq!((&result["id"], &result["row"]), (&json!(n), &json!(n)));
        let mark = answer_mark(&format!("Tag row {n}"));
        assert!(result["content"].as_str().unwrap().starts_with(&mark), "{result}");
    }
    assert_eq!(world.read("out.errors.jsonl"), "");

    let again = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!(again.code, Some(0));
    assert_eq!((&again.summary()["attempts"], &again.summary()["rows"]["skipped"]), (&json!(0), &json!(50)));
    assert_eq!(sim.ledger().requests, 50);
}

#[tokio::test(start_paused = true)]
async fn a_run_begins_with_its_first_call_however_late_the_answer_is() {
    let mut night = Night::new(&night::job(&["m"], ""), night::rows(3));
    night.provider("p", json!({"latency": "60s"}));
    let (summary, events) = night.try_run().await;
    assert_eq!(summary.unwrap().rows.succeeded, 3);
    let before = events.iter().take_while(|event| !matches!(event, Event::RunStarted { .. }));
    let progress = before.filter(|event| matches!(event, Event::Progress(_))).count();
    assert!(progress <= 1, "told {progress} s after the first call");
}
