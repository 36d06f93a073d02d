//! OpenAI Batch files through any server: what goes in, what comes out, and again.

mod refused;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;

use serde_json::{Value, json};

use crate::process::{Running, wait_until};
use crate::world::{Ran, SimServer, World};

/// The lines that OpenAI's documents show.
const DOCUMENTED: &str = r#"{"custom_id": "request-1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-3.5-turbo-0125", "messages": [{"role": "system", "content": "You are a helpful assistant."},{"role": "user", "content": "Hello world!"}],"max_tokens": 1000}}
{"custom_id": "request-2", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-3.5-turbo-0125", "messages": [{"role": "system", "content": "You are an unhelpful assistant."},{"role": "user", "content": "Hello world!"}],"max_tokens": 1000}}
"#;

fn line(id: &str, model: &str, text: &str) -> String {
    let body = json!({"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 20});
    format!("{}\n", json!({"custom_id": id, "method": "POST", "url": "/v1/chat/completions", "body": body}))
}

/// Lines that name three models in turn.
fn lines(count: usize) -> String {
    let models = ["alpha", "beta", "gamma"];
    (1..=count).map(|n| line(&format!("r{n}"), models[n % 3], &format!("row {n}"))).collect()
}

/// A folder with this file to send.
fn world(input: &str) -> World {
    let world = World::new();
    world.write("in.jsonl", input);
    world
}

/// The command for it, with what is said besides.
fn command<'a>(sim: &'a SimServer, more: &[&'a str]) -> Vec<&'a str> {
    let mut command = vec!["batch", "-i", "in.jsonl", "-o", "out.jsonl", "--base-url", sim.url()];
    command.extend(more);
    command
}

/// A server that keeps what it is sent, and answers everything with the same words.
fn listener() -> (String, mpsc::Receiver<(String, Value)>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    // It ends with the process: nobody is told when a test needs it no more.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let tell = tell.clone();
            thread::spawn(move || listen(stream.unwrap(), &tell));
        }
    });
    (url, told)
}

/// Listens until the client goes away.
fn listen(mut stream: TcpStream, tell: &mpsc::Sender<(String, Value)>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap()];
        reader.read_exact(&mut body).ok()?;
        let path = head.split_whitespace().nth(1).unwrap().to_owned();
        tell.send((path, serde_json::from_slice(&body).unwrap())).ok()?;
        let reply = REPLY;
        let head = format!("HTTP/1.1 200 OK\r\nx-request-id: req-7\r\ncontent-length: {}\r\n\r\n", reply.len());
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(reply.as_bytes())).ok()?;
    }
}

/// Nothing in it is left out or moved.
const REPLY: &str = r#"{"zeta": 1.50, "choices": [{"message": {"content": "Hi", "extra": null}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3, "completion_tokens": 1, "x": 0}}"#;

fn ids(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["custom_id"].as_str().unwrap_or("none")).collect()
}

#[test]
fn the_documented_file_comes_out_in_the_documented_form() {
    let sim = SimServer::start(json!({}));
    let world = world(DOCUMENTED);
    let ran = world.overnight(&command(&sim, &["--json"]));
    assert_eq!((ran.code, ran.stderr.contains("warning")), (Some(0), false), "{ran:?}");
    let summary = ran.summary();
    assert_eq!((&summary["job"], &summary["rows"]["succeeded"]), (&json!("out.jsonl"), &json!(2)));
    assert_eq!((&summary["cost_usd"], &summary["cost_unknown_rows"]), (&json!(0), &json!(0)), "a server here is free");
    let out = world.lines("out.jsonl");
    assert_eq!(ids(&out), ["request-1", "request-2"]);
    for line in &out {
        let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["id", "custom_id", "response", "error"]);
        assert!(line["id"].as_str().unwrap().starts_with("batch_req_"));
        assert_eq!(line["error"], Value::Null);
        let response = &line["response"];
        assert_eq!(response["status_code"], 200);
        assert!(response["request_id"].is_string());
        let body = &response["body"];
        assert_eq!((&body["object"], &body["model"]), (&json!("chat.completion"), &json!("gpt-3.5-turbo-0125")));
        assert!(body["choices"][0]["message"]["content"].as_str().unwrap().starts_with("sim:"));
        assert!(body["usage"]["total_tokens"].as_u64().unwrap() > 0);
    }
    let distinct: BTreeSet<&str> = out.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(distinct.len(), 2);
    let again = world.overnight(&command(&sim, &["--json"]));
    assert_eq!((again.code, &again.summary()["attempts"]), (Some(0), &json!(0)));
    assert_eq!(world.lines("out.jsonl"), out);
}

#[test]
fn bodies_and_replies_are_passed_on_as_they_stand() {
    let (url, told) = listener();
    let body = json!({"model": "m", "n": 2, "stream": false, "max_completion_tokens": 9, "made_up": {"b": 1, "a": null},
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}], "tools": [], "response_format": {"type": "json_object"}});
    let input = json!({"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body});
    let world = world(&input.to_string());
    let ran = world.overnight(&["batch", "-i", "in.jsonl", "-o", "out.jsonl", "--base-url", &url]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [("/v1/chat/completions".to_owned(), body)]);
    let out = world.read("out.jsonl");
    let response =
        format!("\"response\":{{\"status_code\":200,\"request_id\":\"req-7\",\"body\":{REPLY}}},\"error\":null}}");
    assert!(out.trim_end().ends_with(&response), "{out}");
}

#[test]
fn each_line_is_asked_at_the_endpoint_of_its_url() {
    let sim = SimServer::start(json!({}));
    let ask = |id: &str, url: &str, body: Value| {
        format!("{}\n", json!({"custom_id": id, "method": "POST", "url": url, "body": body}))
    };
    let messages = json!([{"role": "user", "content": "hi"}]);
    let input = [
        ask("vector", "/v1/embeddings", json!({"model": "m", "input": ["hi", "ho"]})),
        ask("text", "/v1/completions", json!({"model": "m", "prompt": "hi", "max_tokens": 9})),
        ask("response", "/v1/responses", json!({"model": "m", "input": "hi"})),
        ask("chat", "/v1/chat/completions", json!({"model": "m", "messages": messages})),
        ask("unknown", "/v1/moderations", json!({"model": "m", "input": "hi", "messages": messages})),
        ask("stream", "/v1/chat/completions", json!({"model": "m", "messages": messages, "stream": true})),
    ];
    let world = world(&input.concat());
    let ran = world.overnight(&command(&sim, &["--json"]));
    assert_eq!((ran.code, &ran.summary()["attempts"]), (Some(4), &json!(4)), "{ran:?}");
    let out = world.lines("out.jsonl");
    let objects: Vec<&Value> = out.iter().take(4).map(|line| &line["response"]["body"]["object"]).collect();
    assert_eq!(objects, ["list", "text_completion", "response", "chat.completion"]);
    let told = |n: usize| (&out[n]["response"], out[n]["error"]["code"].as_str(), out[n]["error"]["message"].as_str());
    assert!(matches!(told(4), (Value::Null, Some("unsupported_url"), Some(why)) if why.contains("/v1/moderations")));
    assert!(matches!(told(5), (Value::Null, Some("invalid_request"), Some(why)) if why.contains("`stream`")));
}

#[test]
fn killed_in_the_middle_every_line_is_answered_once_by_its_own_model() {
    let settings = json!({
        "latency": ["2ms", "20ms"],
        "faults": { "server_error": 0.03, "reset": 0.01, "overloaded": 0.01 },
    });
    let (sim, input) = (SimServer::start(settings), lines(300));
    let world = world(&input);
    let more = ["--max-inflight", "16", "--set", "retry.backoff.base=5ms", "--set", "retry.backoff.max=20ms", "--json"];
    let command = command(&sim, &more);
    let mut run = Running::start(&world, &command);
    wait_until("a third is done", || sim.ledger().requests >= 100 || run.has_ended());
    assert_eq!(run.kill().code, None);
    assert!(!world.path("out.jsonl").exists());

    let ended = Running::start(&world, &command).wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let summary = ended.summary();
    assert!(summary["rows"]["skipped"].as_u64().unwrap() > 50, "{summary}");
    let out = world.lines("out.jsonl");
    let expected: Vec<String> = (1..=300).map(|n| format!("r{n}")).collect();
    assert_eq!(ids(&out), expected);
    for (line, sent) in out.iter().zip(input.lines()) {
        let sent: Value = serde_json::from_str(sent).unwrap();
        assert_eq!(line["response"]["body"]["model"], sent["body"]["model"], "{line}");
    }
    let models: Vec<String> = sim.ledger().by_model.into_keys().collect();
    assert_eq!(models, ["alpha", "beta", "gamma"]);
}

#[test]
fn an_edited_line_is_sent_again_and_the_others_are_not() {
    let sim = SimServer::start(json!({}));
    let world = world(&lines(30));
    world.overnight(&command(&sim, &[]));
    let edited = lines(30).replace("row 7\"", "row seven\"");
    world.write("in.jsonl", format!("{}{edited}", line("new", "alpha", "first of all")));
    let ran = world.overnight(&command(&sim, &["--json"]));
    assert_eq!((&ran.summary()["attempts"], &ran.summary()["rows"]["skipped"]), (&json!(2), &json!(29)), "{ran:?}");
    let out = world.lines("out.jsonl");
    assert_eq!((out.len(), &out[0]["custom_id"], &out[7]["custom_id"]), (31, &json!("new"), &json!("r7")));
    assert_eq!(sim.ledger().requests, 32);
}

#[test]
fn each_end_has_its_form_and_a_broken_line_ends_nothing() {
    let sim = SimServer::start(json!({}));
    let input = [
        line("good", "m", "hi"),
        "{\"custom_id\": \"broken\n".to_owned(),
        line("long", "short-context-100", &"long ".repeat(200)),
        "{\"method\": \"POST\", \"body\": {\"model\": \"m\", \"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}}\n".to_owned(),
        "{\"custom_id\": \"bare\", \"method\": \"POST\", \"url\": \"/v1/chat/completions\", \"body\": {\"model\": \"m\"}}\n".to_owned(),
        line("filtered", "filter", "x"),
        line("last", "m", "ho"),
    ];
    let world = world(&input.concat());
    let ran = world.overnight(&command(&sim, &["--json"]));
    assert_eq!((ran.code, &ran.summary()["rows"]["failed"]), (Some(4), &json!(5)), "{ran:?}");
    let out = world.lines("out.jsonl");
    assert_eq!(ids(&out), ["good", "none", "long", "none", "bare", "filtered", "last"]);
    let of = |n: usize| (&out[n]["response"], &out[n]["error"]["code"], out[n]["error"]["message"].as_str());
    assert!(
        matches!(of(1), (Value::Null, code, Some(why)) if code == "bad_row" && why.starts_with("line 2: ")),
        "{}",
        out[1]
    );
    assert_eq!((&out[2]["response"]["status_code"], &out[2]["error"]), (&json!(400), &Value::Null));
    assert_eq!(out[2]["response"]["body"]["error"]["code"], "context_length_exceeded", "as received");
    assert!(
        matches!(of(3), (Value::Null, Value::String(_), Some(why)) if why.starts_with("line 4: the line has no `custom_id`")),
        "{}",
        out[3]
    );
    assert!(matches!(of(4), (Value::Null, Value::String(_), Some(_))), "{}", out[4]);
    assert_eq!((&out[5]["response"]["status_code"], of(5).1), (&json!(200), &json!("content_filter")));
    assert_eq!(out[6]["response"]["status_code"], 200);
}

#[test]
fn failed_lines_go_to_a_file_of_their_own_where_one_is_wanted() {
    let sim = SimServer::start(json!({}));
    let world = world(&[line("a", "m", "1"), line("b", "fail-400", "2"), line("c", "m", "3")].concat());
    let ran = world.overnight(&command(&sim, &["--error-file", "bad/errors.txt"]));
    assert_eq!(ran.code, Some(4), "{ran:?}");
    let (out, errors) = (world.lines("out.jsonl"), world.lines("bad/errors.txt"));
    assert_eq!((ids(&out), ids(&errors)), (vec!["a", "c"], vec!["b"]));
    assert_eq!(errors[0]["response"]["status_code"], 400);
    assert!(ran.stdout.contains("bad/errors.txt"), "{}", ran.stdout);
}

#[test]
fn ids_that_stand_there_twice_are_told_and_answered_twice() {
    let sim = SimServer::start(json!({}));
    let input = [line("a", "m", "1"), line("b", "m", "2"), line("a", "m", "other"), line("b", "m", "2")];
    let world = world(&input.concat());
    let ran = world.overnight(&command(&sim, &["-q"]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let told =
        "2 lines have the custom_id of a line before (\"a\", \"b\"); they are sent and answered like the others\n";
    assert_eq!(ran.stderr, told);
    let out = world.lines("out.jsonl");
    assert_eq!(ids(&out), ["a", "b", "a", "b"]);
    assert_ne!(out[0]["response"]["body"], out[2]["response"]["body"]);
}

#[test]
fn one_model_can_stand_for_all() {
    let sim = SimServer::start(json!({}));
    let world = world(&lines(9));
    assert_eq!(world.overnight(&command(&sim, &["--model", "org/delta"])).code, Some(0));
    let models: Vec<String> = sim.ledger().by_model.into_keys().collect();
    assert_eq!(models, ["org/delta"]);
    let nameless = world.lines("in.jsonl").into_iter().map(|mut line| {
        line["body"].as_object_mut().unwrap().remove("model");
        format!("{line}\n")
    });
    world.write("in.jsonl", nameless.collect::<String>());
    let refused = world.overnight(&["batch", "-i", "in.jsonl", "-o", "other.jsonl", "--base-url", sim.url()]);
    assert_eq!(refused.code, Some(3));
    assert!(refused.stderr.contains("no line names a model") && refused.stderr.contains("--model"), "{refused:?}");
    assert!(!world.path("other.jsonl.overnight").exists());
}

#[test]
fn flags_for_the_engine_of_vllm_are_ignored_with_a_word() {
    let sim = SimServer::start(json!({}));
    let world = world(&lines(3));
    let flags = [
        "--model",
        "alpha",
        "--max-inflight",
        "4",
        "--tensor-parallel-size",
        "2",
        "--max-model-len=8192",
        "-pp",
        "1",
        "--enable-prefix-caching",
        "--gpu_memory_utilization",
        "0.9",
        "--no-enable-chunked-prefill",
    ];
    let ran = world.overnight(&command(&sim, &flags));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let told = "--tensor-parallel-size, --max-model-len, --pipeline-parallel-size, --enable-prefix-caching, \
                --gpu-memory-utilization, --enable-chunked-prefill\n";
    assert!(ran.stderr.contains(told), "{}", ran.stderr);
    assert_eq!(world.lines("out.jsonl").len(), 3);
    let quiet = world.overnight(&command(&sim, &["-q", "--model", "alpha", "--seed", "-1"]));
    assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(0), ""));
    let short = world.overnight(&command(&sim, &["--model", "alpha", "-O3", "-q", "awq", "--progress", "none"]));
    assert_eq!(
        (short.code, short.stderr.as_str()),
        (Some(0), "ignored, as they are for the server's own command line: --optimization-level, --quantization\n")
    );
    for unknown in ["--max-model-length", "--enable-prefix-cache"] {
        let ran = world.overnight(&command(&sim, &[unknown, "1"]));
        assert_eq!(ran.code, Some(2), "{ran:?}");
    }
    assert_eq!(world.overnight(&["run", "job.toml", "--max-model-len", "1"]).code, Some(2), "only of a batch");
    let help = world.overnight(&["batch", "--help"]).stdout;
    assert!(help.contains("--max-inflight") && !help.contains("--tensor-parallel-size"), "{help}");
}

#[test]
fn the_output_stands_for_the_job_in_other_commands() {
    let sim = SimServer::start(json!({"script": [{"from": 3, "to": 3, "fault": "hang"}]}));
    let world = world(&[lines(5), line("bad", "fail-400", "x")].concat());
    let mut run = Running::start(&world, &command(&sim, &["--max-inflight", "1", "--set", "run.drain=0s"]));
    wait_until("two are done and the third hangs", || sim.ledger().requests == 3 || run.has_ended());
    let status = world.overnight(&["status", "out.jsonl", "--json"]).summary();
    assert_eq!((&status["job"], &status["state"]), (&json!("out.jsonl"), &json!("running")), "{status}");
    run.signal("INT");
    let stopped = run.wait();
    assert_eq!(stopped.code, Some(130), "{stopped:?}");
    assert!(stopped.stdout.contains("`overnight export out.jsonl -o FILE` writes what is there"), "{}", stopped.stdout);
    assert!(!world.path("out.jsonl").exists());
    let so_far = world.overnight(&["export", "out.jsonl"]);
    assert_eq!(so_far.stdout.lines().count(), 2, "{so_far:?}");
    assert!(so_far.stdout.starts_with("{\"id\":\"batch_req_"), "{so_far:?}");

    assert_eq!(world.overnight(&command(&sim, &[])).code, Some(4));
    for job in ["out.jsonl", "out.jsonl.overnight", "out.jsonl.overnight/", "out.jsonl.overnight/batch.toml"] {
        let report = world.overnight(&["report", job, "--json"]).summary();
        assert_eq!((&report["job"], &report["totals"]["succeeded"]), (&json!("out.jsonl"), &json!(5)), "{job}");
    }
    assert!(world.overnight(&["errors", "out.jsonl"]).stdout.contains("invalid_request"));
    let all = world.overnight(&["status"]).stdout;
    assert!(all.contains("out.jsonl"), "{all}");
    let retried = world.overnight(&["retry", "out.jsonl", "--model", "alpha", "--json"]);
    assert_eq!((retried.code, &retried.summary()["rows"]["succeeded"]), (Some(0), &json!(6)), "{retried:?}");
    let again = world.overnight(&command(&sim, &["--json"]));
    assert_eq!((again.code, &again.summary()["attempts"]), (Some(0), &json!(0)), "{again:?}");
    assert!(world.lines("out.jsonl").iter().all(|line| line["error"].is_null()));
}

#[test]
fn a_dry_run_tells_what_would_be_sent_and_leaves_nothing() {
    let sim = SimServer::start(json!({}));
    let world = world(&lines(6));
    let plan = world.overnight(&command(&sim, &["--dry-run", "--json"]));
    assert_eq!((plan.code, &plan.summary()["remaining"]), (Some(0), &json!(6)), "{plan:?}");
    assert_eq!(sim.ledger().requests, 0);
    assert!(!world.path("out.jsonl").exists() && !world.path("out.jsonl.overnight").exists());
}

/// Sends what comes from standard input.
fn send(world: &World, sim: &SimServer, input: &str, more: &[&str]) -> Ran {
    let all = ["batch", "-i", "-", "-o", "sub/out", "--base-url", sim.url(), "--json"].into_iter();
    let mut command = world.command(&all.chain(more.iter().copied()).collect::<Vec<_>>());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Ran::from(child.wait_with_output().unwrap())
}

#[test]
fn standard_input_is_a_file_too() {
    let (sim, world) = (SimServer::start(json!({})), World::new());
    let planned = send(&world, &sim, &lines(3), &["--dry-run"]);
    assert_eq!((planned.code, &planned.summary()["remaining"]), (Some(0), &json!(3)), "{planned:?}");
    assert!(!world.path("sub").exists());
    let first = send(&world, &sim, &lines(3), &[]);
    assert_eq!(first.code, Some(0), "{first:?}");
    let more = send(&world, &sim, &lines(4), &[]);
    assert_eq!((&more.summary()["attempts"], world.lines("sub/out").len()), (&json!(1), 4), "{more:?}");
}

#[test]
fn a_pipe_that_brings_nothing_is_an_error_and_replaces_nothing() {
    let (sim, world) = (SimServer::start(json!({})), World::new());
    assert_eq!(send(&world, &sim, &lines(3), &[]).code, Some(0));
    let out = world.read("sub/out");
    for (nothing, more) in [("", &[][..]), ("\n \n", &[]), ("", &["--dry-run"])] {
        let ran = send(&world, &sim, nothing, more);
        assert_eq!((ran.code, world.read("sub/out") == out), (Some(3), true), "{ran:?}");
        let told =
            "error: -i -: standard input holds no line for sub/out\n  hint: did the command before the pipe fail?";
        assert!(ran.stderr.starts_with(told), "{ran:?}");
    }
    // What was piped in before is still there for the other commands.
    let again = world.overnight(&["run", "sub/out", "--json"]);
    assert_eq!((again.code, &again.summary()["rows"]["total"]), (Some(0), &json!(3)), "{again:?}");
    // A file without a line is no accident of a pipe.
    world.write("in.jsonl", "");
    assert_eq!(world.overnight(&command(&sim, &[])).code, Some(0));
}

#[test]
fn what_standard_input_said_is_kept_for_the_commands_that_follow() {
    let (sim, world) = (SimServer::start(json!({})), World::new());
    let input = [lines(3), line("bad", "fail-400", "x")].concat();
    assert_eq!(send(&world, &sim, &input, &[]).code, Some(4));
    let out = world.read("sub/out");
    for command in [&["run", "sub/out"][..], &["retry", "sub/out", "--kind", "timeout"]] {
        let ran = world.overnight(command);
        assert_eq!((ran.code, world.read("sub/out")), (Some(0), out.clone()), "{ran:?}");
    }
    assert_eq!(world.overnight(&["export", "sub/out"]).stdout, out);
    assert_eq!(world.overnight(&["export", "sub/out", "--failed"]).stdout, line("bad", "fail-400", "x"));
    assert_eq!(sim.ledger().requests, 4);
    let retried = world.overnight(&["retry", "sub/out", "--model", "alpha"]);
    assert_eq!((retried.code, world.lines("sub/out").len()), (Some(0), 4), "{retried:?}");
}

#[test]
fn a_budget_goes_by_the_caps_of_the_lines() {
    let sim = SimServer::start(json!({"output_tokens": 5}));
    let with = |id: &str, cap: &str, tokens: u64| {
        let mut line: Value = serde_json::from_str(&line(id, "m", "x")).unwrap();
        let body = line["body"].as_object_mut().unwrap();
        body.remove("max_tokens");
        body.insert(cap.to_owned(), json!(tokens));
        format!("{line}\n")
    };
    let price = ["--set", "models.m.price={input=0, output=1000000}", "--json"];
    let run = |world: &World, usd: &str| {
        let ran = world.overnight(&command(&sim, &[&["--max-cost", usd][..], &price].concat()));
        (ran.code, ran.summary()["attempts"].clone())
    };
    // A dollar a token: what does not fit is not sent.
    let capped = world(&[with("a", "max_completion_tokens", 20), with("b", "max_tokens", 21)].concat());
    assert_eq!(run(&capped, "19"), (Some(5), json!(0)));
    assert_eq!(run(&capped, "26"), (Some(0), json!(2)), "the second one fits when the first has cost 5");
    // What the endpoint does not know is no cap.
    let open = world(&[with("a", "max_output_tokens", 5), with("b", "max_tokens", 5)].concat());
    assert_eq!(run(&open, "100"), (Some(4), json!(1)));
    let out = open.lines("out.jsonl");
    assert_eq!(
        (&out[0]["error"]["code"], &out[1]["response"]["status_code"]),
        (&json!("invalid_request"), &json!(200))
    );
    assert!(out[0]["error"]["message"].as_str().unwrap().contains("max_tokens"), "{}", out[0]);
}

#[test]
fn failed_lines_can_be_sent_to_a_model_that_no_line_names() {
    let sim = SimServer::start(json!({}));
    let world = world(&[line("a", "m", "1"), line("b", "fail-400", "2")].concat());
    assert_eq!(world.overnight(&command(&sim, &[])).code, Some(4));
    let retried = world.overnight(&["retry", "out.jsonl", "--model", "org/other", "--json"]);
    assert_eq!((retried.code, &retried.summary()["rows"]["succeeded"]), (Some(0), &json!(2)), "{retried:?}");
    assert_eq!(world.lines("out.jsonl")[1]["response"]["body"]["model"], "org/other");
    let again = world.overnight(&command(&sim, &["--json"]));
    assert_eq!((again.code, &again.summary()["attempts"]), (Some(0), &json!(0)), "{again:?}");
}

#[test]
fn an_empty_file_is_done_at_once() {
    let sim = SimServer::start(json!({}));
    let world = world("");
    assert_eq!(world.overnight(&command(&sim, &[])).code, Some(0));
    assert_eq!(world.read("out.jsonl"), "");
}
