//! Completions, embeddings and responses beside chat: from the job file to the results, and what a row is known by.

use serde_json::{Value, json};

use crate::world::{SimServer, World};

/// A job whose model is asked at this endpoint, or has this more in its table.
fn job(sim: &SimServer, task: &str, model: &str) -> String {
    let url = sim.url();
    format!(
        "[input]\npath = \"in.jsonl\"\n[output]\npath = \"out.jsonl\"\n[tasks.tag]\nmodel = \"first\"\n{task}\n\
         [models.first]\nprovider = \"p\"\nprice = {{ input = 1.0, output = 2.0 }}\n{model}\n\
         [providers.p]\nbase_url = \"{url}\"\n[retry.backoff]\nbase = \"1ms\"\n"
    )
}

fn rows(world: &World, rows: &[Value]) {
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    world.write("in.jsonl", lines.join("\n"));
}

fn run(world: &World, code: i32) -> Value {
    let ran = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!(ran.code, Some(code), "{ran:?}");
    ran.summary()
}

const PROMPT: &str = "prompt = \"Tag {{ text }}\"";

#[test]
fn embeddings_stand_in_place_of_a_text_and_cost_their_input_alone() {
    let (world, sim) = (World::new(), SimServer::start(json!({})));
    let budget = "[run]\nmax_cost = 1.0\n";
    world.write("job.toml", job(&sim, PROMPT, "endpoint = \"embeddings\"\nparams = { dimensions = 3 }") + budget);
    rows(&world, &[json!({"id": 1, "text": "a"}), json!({"id": 2, "text": "b"})]);
    let summary = run(&world, 0);
    let lines = world.lines("out.jsonl");
    for line in &lines {
        assert_eq!(line["embedding"].as_array().map(Vec::len), Some(3), "{line}");
        assert!(line.get("content").is_none() && line["finish_reason"].is_null(), "{line}");
        assert_eq!(line["usage"]["output_tokens"], 0, "{line}");
    }
    assert_ne!(lines[0]["embedding"], lines[1]["embedding"]);
    // Five bytes are two tokens, at a dollar a million, for each of the two.
    assert_eq!((&summary["cost_usd"], &summary["usage"]["input_tokens"]), (&json!(0.000_004), &json!(4)));
    assert_eq!(run(&world, 0)["attempts"], 0);

    // As bytes it is another request, and the same numbers.
    let as_bytes = world.read("job.toml").replace("dimensions = 3", "dimensions = 3, encoding_format = \"base64\"");
    world.write("job.toml", as_bytes.replace("out.jsonl", "out.csv"));
    assert_eq!(run(&world, 0)["attempts"], 2);
    let mut table = csv::Reader::from_path(world.path("out.csv")).unwrap();
    for (record, line) in table.records().zip(&lines) {
        assert_eq!(record.unwrap()[2], line["embedding"].to_string());
    }
}

#[test]
fn each_endpoint_is_another_request_to_the_same_model_and_fails_by_the_same_kinds() {
    let faults = json!({ "script": [{ "from": 1, "to": 1, "fault": "server_error" }, { "from": 2, "to": 2, "fault": "empty" },
                                    { "from": 3, "to": 3, "fault": "null_choices" }] });
    for endpoint in ["chat", "completions", "embeddings", "responses"] {
        let (world, sim) = (World::new(), SimServer::start(faults.clone()));
        rows(&world, &[json!({"text": "a"})]);
        world.write("job.toml", job(&sim, PROMPT, &format!("endpoint = \"{endpoint}\"")));
        let summary = run(&world, 0);
        assert_eq!((&summary["attempts"], &summary["rows"]["succeeded"]), (&json!(4), &json!(1)), "{endpoint}");
        let kinds: Vec<Value> = world.lines("out.jsonl")[0]["trail"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["kind"].clone())
            .collect();
        assert_eq!(
            kinds,
            ["server_error", "empty", "malformed_reply"]
                .map(Value::from)
                .into_iter()
                .chain([Value::Null])
                .collect::<Vec<_>>()
        );
        let ledger = sim.ledger();
        let usage = &summary["usage"];
        let told = (usage["input_tokens"].as_u64().unwrap(), usage["output_tokens"].as_u64().unwrap());
        assert_eq!(told, (ledger.input_tokens, ledger.output_tokens), "{endpoint}: the report is the bill");
        let other = if endpoint == "responses" { "chat" } else { "responses" };
        world.write("job.toml", job(&sim, PROMPT, &format!("endpoint = \"{other}\"")));
        assert_eq!(run(&world, 0)["attempts"], 1, "{endpoint}");
    }
}

#[test]
fn a_response_stands_in_for_a_chat_completion_that_fails() {
    let (world, sim) = (World::new(), SimServer::start(json!({})));
    let task =
        "fallback = [\"second\"]\nsystem = \"Be brief.\"\nprompt = \"Tag {{ text }}\"\nparams = { max_tokens = 40 }";
    let models = "model = \"fail-500\"\n[models.second]\nprovider = \"p\"\nmodel = \"new\"\nendpoint = \"responses\"";
    world.write("job.toml", job(&sim, task, models) + "[retry]\nmax_attempts = 1\n");
    world.write("job.toml", world.read("job.toml").replace("[retry.backoff]\nbase = \"1ms\"\n", ""));
    rows(&world, &[json!({"text": "a"})]);
    run(&world, 0);
    let line = &world.lines("out.jsonl")[0];
    assert_eq!((&line["model"], &line["finish_reason"]), (&json!("new"), &json!("stop")), "{line}");
    assert!(line["content"].as_str().unwrap().ends_with("Tag a"), "{line}");
}

#[test]
fn lines_of_a_batch_file_are_asked_at_the_endpoint_of_their_url() {
    let (world, sim) = (World::new(), SimServer::start(json!({})));
    world.write("job.toml", job(&sim, "", "").replace("in.jsonl\"", "in.jsonl\"\nformat = \"openai-batch\""));
    let line = |id: &str, url: &str, body: Value| json!({"custom_id": id, "method": "POST", "url": url, "body": body});
    let talk = json!([{"role": "user", "content": "hi"}]);
    rows(
        &world,
        &[
            line("chat", "/v1/chat/completions", json!({"model": "x", "messages": talk})),
            line("text", "/v1/completions", json!({"model": "x", "prompt": "hi", "max_tokens": 50})),
            line("vector", "/v1/embeddings", json!({"model": "x", "input": "hi", "dimensions": 2})),
            line("vectors", "/v1/embeddings", json!({"model": "x", "input": ["hi", "ho"], "dimensions": 2})),
            line("response", "/v1/responses", json!({"model": "x", "input": talk, "instructions": "Be brief."})),
            line("other", "/v1/moderations", json!({"model": "x", "input": "hi"})),
            line("many", "/v1/chat/completions", json!({"model": "x", "messages": talk, "n": 2})),
        ],
    );
    assert_eq!(run(&world, 4)["attempts"], 5);
    let of = |id: &str| world.lines("out.jsonl").into_iter().find(|line| line["id"] == id).unwrap();
    for id in ["chat", "text", "response"] {
        assert!(of(id)["content"].as_str().unwrap().ends_with(" hi"), "{id}");
    }
    assert_eq!(of("vector")["embedding"].as_array().unwrap().len(), 2);
    assert_eq!(of("vectors")["embedding"][1].as_array().unwrap().len(), 2);
    assert!(of("response")["usage"]["input_tokens"].as_u64() > of("chat")["usage"]["input_tokens"].as_u64());
    let errors = world.lines("out.errors.jsonl");
    let told: Vec<_> = errors.iter().map(|line| (line["id"].as_str().unwrap(), &line["error"]["kind"])).collect();
    assert_eq!(told, [("other", &json!("invalid_request")), ("many", &json!("invalid_request"))]);
    assert!(errors[0]["error"]["message"].as_str().unwrap().contains("/v1/moderations"));
    assert_eq!(run(&world, 0)["attempts"], 0);
}

#[test]
fn a_row_may_not_ask_a_model_for_what_it_does_not_take_nor_for_two_answers() {
    let (world, sim) = (World::new(), SimServer::start(json!({})));
    let models = "[models.vector]\nprovider = \"p\"\nendpoint = \"embeddings\"";
    let job = job(&sim, PROMPT, models).replace("in.jsonl\"", "in.jsonl\"\nallow_overrides = true");
    world.write("job.toml", job);
    rows(
        &world,
        &[
            json!({"text": "a", "params": {"n": 1}}),
            json!({"text": "b", "params": {"n": 2}}),
            json!({"text": "c", "model": "vector"}),
        ],
    );
    run(&world, 4);
    let errors = world.lines("out.errors.jsonl");
    let messages: Vec<_> = errors.iter().map(|line| line["error"]["message"].as_str().unwrap().to_owned()).collect();
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0], "the row asks for n = 2: it must be 1");
    assert!(messages[1].contains("model vector") && messages[1].contains("embeddings"), "{}", messages[1]);
    assert!(errors.iter().all(|line| line["error"]["kind"] == "invalid_request" && line["attempts"] == 0));
}

#[test]
fn explain_shows_what_the_endpoint_is_asked() {
    let (world, sim) = (World::new(), SimServer::start(json!({})));
    world.write("job.toml", job(&sim, PROMPT, "endpoint = \"embeddings\""));
    rows(&world, &[json!({"text": "a"})]);
    let told = world.overnight(&["explain", "job.toml", "1", "--json"]).summary();
    assert_eq!((&told["input"], &told["messages"]), (&json!("Tag a"), &Value::Null), "{told}");
    assert_eq!(told["route"][0]["endpoint"], "embeddings");
    assert_eq!(told["route"][0]["output_tokens"]["high"], 0);
    let shown = world.overnight(&["explain", "job.toml", "1"]);
    assert!(shown.stdout.contains("[input]\nTag a") && shown.stdout.contains("embeddings"), "{}", shown.stdout);
    let plan = world.overnight(&["plan", "job.toml", "--json"]).summary();
    assert_eq!(plan["by_model"][0]["output_tokens"]["expected"], 0, "{plan}");
}
