//! Every failure that the simulator can make, over HTTP, by its kind in the errors file.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::world::World;

/// A task on a simulated provider of its own, and the kind and status that its row fails with.
struct Case {
    name: &'static str,
    model: &'static str,
    simulate: &'static str,
    kind: &'static str,
    status: Option<u16>,
}

const fn case(name: &'static str, simulate: &'static str, kind: &'static str, status: Option<u16>) -> Case {
    Case { name, model: "m", simulate, kind, status }
}

const fn model(model: &'static str, kind: &'static str, status: Option<u16>) -> Case {
    Case { name: model, model, simulate: "", kind, status }
}

const CASES: &[Case] = &[
    case("server_error", "faults = { server_error = 1 }", "server_error", Some(500)),
    case("overloaded", "faults = { overloaded = 1 }", "overloaded", Some(503)),
    case("reset", "faults = { reset = 1 }", "connection", None),
    case("truncated", "faults = { truncated = 1 }", "malformed_reply", Some(200)),
    case("null_choices", "faults = { null_choices = 1 }", "malformed_reply", Some(200)),
    case("hang", "faults = { hang = 1 }", "timeout", None),
    case("slow_body", "faults = { slow_body = 1 }", "timeout", None),
    case("empty", "faults = { empty = 1 }", "empty", Some(200)),
    case("content_filter", "faults = { content_filter = 1 }", "content_filter", Some(200)),
    case("context_length", "faults = { context_length = 1 }", "context_length", Some(400)),
    case("html", "faults = { html = 1 }", "server_error", Some(502)),
    case("error_in_200", "faults = { error_in_200 = 1 }", "server_error", Some(200)),
    case("too_large", "limits = { tpm = 2 }", "too_large", Some(429)),
    case("refuse", "outages = [{ from = 0, to = 600, fault = \"refuse\" }]", "connection", None),
    model("short-context-1", "context_length", Some(400)),
    model("filter", "content_filter", Some(200)),
    model("fail-400", "invalid_request", Some(400)),
    model("fail-408", "timeout", Some(408)),
    model("fail-413", "too_large", Some(413)),
    model("fail-422", "invalid_request", Some(422)),
    model("fail-500", "server_error", Some(500)),
    model("fail-503", "overloaded", Some(503)),
    model("fail-504", "timeout", Some(504)),
    model("fail-529", "overloaded", Some(529)),
];

#[test]
fn each_failure_ends_as_its_kind() {
    let world = World::new();
    let tables = CASES.iter().map(|case| {
        let Case { name, model, simulate, .. } = case;
        format!(
            "[tasks.{name}]\nmodel = \"{name}/{model}\"\n\
             [providers.{name}]\nkind = \"simulated\"\nsimulate = {{ {simulate} }}\ntimeout = {{ attempt = \"400ms\" }}\n"
        )
    });
    let top = "[input]\npath = \"in.jsonl\"\n[output]\npath = \"out.jsonl\"\n[retry]\nmax_attempts = 1\n";
    world.write("job.toml", format!("{top}{}", tables.collect::<String>()));
    let row = |case: &Case| json!({"id": case.name, "task_type": case.name, "prompt": "a few words"}).to_string();
    world.write("in.jsonl", CASES.iter().map(row).collect::<Vec<_>>().join("\n"));

    let ran = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert_eq!(ran.summary()["rows"]["failed"], CASES.len());
    let errors = world.lines("out.errors.jsonl");
    let found: BTreeMap<&str, (&Value, &Value)> = errors
        .iter()
        .map(|line| (line["id"].as_str().unwrap(), (&line["error"]["kind"], &line["error"]["status"])))
        .collect();
    for case in CASES {
        assert_eq!(found[case.name], (&json!(case.kind), &json!(case.status)), "{}", case.name);
    }
    for line in &errors {
        let message = line["error"]["message"].as_str().unwrap();
        assert!(!message.is_empty() && !message.contains('\n'), "{line}");
    }
}

#[test]
fn what_takes_a_model_away_fails_no_row() {
    for (model, kind) in [
        ("fail-401", "auth"),
        ("fail-402", "quota_exhausted"),
        ("fail-403", "permission"),
        ("fail-404", "model_not_found"),
    ] {
        let world = World::new();
        world.write("in.jsonl", "{\"prompt\":\"a\"}\n{\"prompt\":\"b\"}");
        let job = format!(
            "[input]\npath = \"in.jsonl\"\n[output]\npath = \"out.jsonl\"\n[tasks.t]\nmodel = \"p/{model}\"\n\
             [providers.p]\nkind = \"simulated\"\n"
        );
        world.write("job.toml", job);
        let ran = world.overnight(&["run", "job.toml"]);
        assert_eq!(ran.code, Some(6), "{ran:?}");
        assert!(ran.stdout.contains(&format!("p/{model}: {kind}")), "{ran:?}");
        assert!(ran.stdout.contains("2 remaining"), "{ran:?}");
    }
}
