//! What a model is asked when it does not take the form of answer that was asked for first.

use overnight::types::Money;
use serde_json::{Value, json};

use crate::night::{Night, job, rows};

const SCHEMA: &str =
    r#"schema = { type = "object", required = ["mood"], properties = { mood = { enum = ["good", "bad"] } } }"#;

/// A task of a priced model of `p` whose answers have a schema.
fn night(model: &str, answer: &str, run: &str, rows: impl IntoIterator<Item = Value>) -> Night {
    let more = format!(
        "[models.\"p/{model}\"]\nprovider = \"p\"\nmodel = \"{model}\"\nprice = {{ input = 1, output = 2 }}\n\
         [tasks.tag.answer]\n{SCHEMA}\n{answer}\n[run]\n{run}\n"
    );
    Night::new(&job(&[model], &more).replace("max_tokens = 32", "max_tokens = 200"), rows)
}

fn formats(bodies: &[Value]) -> Vec<&str> {
    bodies.iter().map(|body| body["response_format"]["type"].as_str().unwrap_or("none")).collect()
}

fn texts(body: &Value) -> Vec<&str> {
    body["messages"].as_array().unwrap().iter().map(|one| one["content"].as_str().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_row_that_asks_for_a_format_of_its_own_which_is_refused_fails_alone() {
    let own = json!({"id": 1, "text": "own", "params": {"response_format": {"type": "json_object"}}});
    let mut night = night("text-only", "", "concurrency = 1", [own].into_iter().chain(rows(2)));
    let with_overrides = night.world.read("job.toml").replace("[input]", "[input]\nallow_overrides = true");
    night.world.write("job.toml", with_overrides);
    let p = night.provider("p", json!({}));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded, summary.rows.failed), (4, 2, 1));
    assert_eq!(formats(&p.bodies()), ["json_object", "json_schema", "json_object", "none", "none"]);
    let error = &night.errors()[0];
    assert_eq!((&error["input"]["text"], &error["error"]["kind"]), (&json!("own"), &json!("invalid_request")));
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_told_what_is_wrong_is_told_the_schema_too_where_it_has_to_be() {
    let mut night = night("m", "", "concurrency = 1", rows(1));
    let p = night.provider("p", json!({ "script": [{ "from": 1, "to": 1, "fault": "invalid_answer" }] }));
    p.text_only_after(1);
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded), (0, 1));
    let bodies = p.bodies();
    assert_eq!(formats(&bodies), ["json_schema", "json_schema", "json_object", "none"]);
    let told = texts(&bodies[3]);
    assert_eq!((told.len(), texts(&bodies[1])[0]), (3, "Tag row 1"));
    assert!(told[0].starts_with("Tag row 1\n\n") && told[0].contains("JSON schema:\n{"), "{told:?}");
    assert_eq!(told[1..], texts(&bodies[1])[1..], "the same conversation");
}

/// The most that the first call may cost where it is asked for in this way.
async fn worst(mode: &str) -> Money {
    let mut night = night("m", mode, "max_cost = 0.000001", rows(1));
    night.provider("p", json!({}));
    night.run().await.used_up[0].next
}

#[tokio::test(start_paused = true)]
async fn a_row_that_waits_for_money_sets_aside_what_its_request_has_become() {
    let (first, then) = (worst("").await, worst("mode = \"json_object\"").await);
    assert!(first < then, "{first} {then}");
    // One call at a time, and enough for the first way alone.
    let mut night = night("text-only", "", &format!("concurrency = 2\nmax_cost = {first}"), rows(2));
    let p = night.provider("p", json!({ "latency": "1s" }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, formats(&p.bodies())), (5, vec!["json_schema"]));
    assert_eq!(summary.used_up[0].next, then);
}
