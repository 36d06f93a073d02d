//! Rows that carry a model and params of their own, where the job allows it.

use serde_json::{Value, json};

use crate::world::{SimServer, World};

fn job(sim: &SimServer, allowed: bool) -> String {
    format!(
        r#"
        [input]
        path = "in.jsonl"
        allow_overrides = {allowed}
        [output]
        path = "out.jsonl"
        [tasks.tag]
        model = "small"
        prompt = "Tag {{{{ text }}}}"
        params = {{ max_tokens = 50 }}
        [models]
        small = "p/small"
        large = "p/large"
        [providers.p]
        base_url = "{}"
        "#,
        sim.url()
    )
}

fn models(world: &World) -> Vec<Value> {
    world.lines("out.jsonl").iter().map(|result| result["model"].clone()).collect()
}

fn write_rows(world: &World) {
    let rows = [
        json!({"id": 1, "text": "a"}),
        json!({"id": 2, "text": "b", "model": "large"}),
        json!({"id": 3, "text": "c", "model": "p/large", "params": {"max_tokens": 2}}),
        json!({"id": 4, "text": "d", "model": "huge"}),
    ];
    world.write("in.jsonl", rows.map(|row| row.to_string()).join("\n"));
}

#[test]
fn a_row_may_name_its_model_and_params_where_the_job_allows_it() {
    let (world, sim) = (World::new(), SimServer::start(json!({})));
    world.write("job.toml", job(&sim, true));
    write_rows(&world);
    let ran = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert_eq!(models(&world), [json!("small"), json!("large"), json!("large")]);
    assert!(world.lines("out.jsonl")[2]["usage"]["output_tokens"].as_u64() <= Some(2));
    let error = &world.lines("out.errors.jsonl")[0];
    assert_eq!((&error["id"], &error["error"]["kind"]), (&json!(4), &json!("no_route")), "{error}");

    // What a row asks is part of its key: another model or other params are another request.
    world.write("in.jsonl", world.read("in.jsonl").replace("\"max_tokens\":2", "\"max_tokens\":3"));
    let again = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!(again.summary()["attempts"], 1, "{again:?}");
}

#[test]
fn a_column_called_model_means_nothing_where_the_job_does_not_allow_it() {
    let (world, sim) = (World::new(), SimServer::start(json!({})));
    world.write("job.toml", job(&sim, false));
    write_rows(&world);
    let ran = world.overnight(&["run", "job.toml"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(models(&world), vec![json!("small"); 4]);
}
