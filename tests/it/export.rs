//! What is done so far, written out without a run; and results to a pipe as rows end.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::world::{Ran, SimServer, World};

/// A job over a file of this name; rows of which the text is long fail.
fn world(sim: &SimServer, input: &str, rows: &str) -> World {
    let world = World::new();
    let job = format!(
        r#"
        [input]
        path = "{input}"
        [output]
        path = "out.jsonl"
        [tasks.tag]
        model = "short"
        prompt = "Tag {{{{ text }}}}"
        [models.short]
        provider = "p"
        model = "short-context-100"
        [providers.p]
        base_url = "{}"
        "#,
        sim.url()
    );
    world.write("job.toml", job);
    world.write(input, rows);
    world
}

fn json_rows(count: usize) -> String {
    let text = |n: usize| if n.is_multiple_of(5) { "long ".repeat(200) } else { format!("row {n}") };
    let row = |n| format!("{{\"id\": {n},  \"text\": {:?}}}\n", text(n));
    (1..=count).map(row).collect()
}

fn good_rows(count: usize) -> String {
    let row = |n| format!("{{\"id\":{n},\"text\":\"t {n}\"}}\n");
    (1..=count).map(row).collect()
}

fn values(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_is_done_is_exported_in_the_order_of_the_input() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim, "in.jsonl", &json_rows(12));
    let none = world.overnight(&["export", "job.toml"]);
    assert_eq!((none.code, none.stdout.as_str()), (Some(0), ""), "{none:?}");
    assert!(none.stderr.contains("nothing to export"), "{none:?}");

    world.overnight(&["run", "job.toml"]);
    let all = world.overnight(&["export", "job.toml"]);
    assert_eq!(all.stdout, world.read("out.jsonl"));
    insta::assert_snapshot!(all.stderr, @"10 rows exported, 2 failed (export --failed)");

    // Rows that were added are not done yet, and a turned file is matched by key.
    let rows = json_rows(14);
    world.write("in.jsonl", rows.lines().rev().collect::<Vec<_>>().join("\n"));
    let turned = world.overnight(&["export", "job.toml", "-o", "sub/part.csv", "--json"]);
    assert_eq!(turned.summary(), json!({"written": 12, "left_out": 0, "not_done": 2}), "{turned:?}");
    let table = world.read("sub/part.csv");
    let starts: Vec<&str> = table.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(starts, ["id", "12", "11", "10", "9", "8", "7", "6", "5", "4", "3", "2", "1"]);
    assert_eq!(sim.ledger().requests, 12);
}

#[test]
fn an_export_needs_no_key() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim, "in.jsonl", &json_rows(1));
    assert_eq!(world.overnight(&["run", "job.toml"]).code, Some(0));
    world.write("job.toml", world.read("job.toml") + "api_key_env = \"NOT_SET\"");
    let ran = world.overnight(&["export", "job.toml"]);
    assert_eq!((ran.code, ran.stdout), (Some(0), world.read("out.jsonl")), "{}", ran.stderr);
}

#[test]
fn failed_rows_are_exported_as_they_were_read() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim, "in.jsonl", &json_rows(12));
    world.overnight(&["run", "job.toml"]);
    let failed = world.overnight(&["export", "job.toml", "--failed"]);
    let rows = json_rows(12);
    let expected: String = rows.split_inclusive('\n').skip(4).step_by(5).collect();
    assert_eq!(failed.stdout, expected);
}

#[test]
fn failed_rows_of_a_table_are_a_table() {
    let sim = SimServer::start(json!({}));
    let long = "long ".repeat(200);
    let rows = format!("id;text\n1;\"a; \"\"b\"\"\nc\"\n2;\"{long}\n;\"\n3;c\n");
    let world = world(&sim, "in.csv", &rows);
    world.write("job.toml", world.read("job.toml").replace("[output]", "delimiter = \";\"\n[output]"));
    world.overnight(&["run", "job.toml"]);
    world.overnight(&["export", "job.toml", "--failed", "-o", "failed.csv"]);
    assert_eq!(world.read("failed.csv"), format!("id;text\n2;\"{long}\n;\"\n"));
    let again = world.overnight(&["run", "job.toml", "--input", "failed.csv", "--json"]);
    assert_eq!(again.summary()["rows"]["total"], 1, "{again:?}");
}

/// A job over a file of this name, in which rows end as the simulator has it.
fn failing(sim: &SimServer, input: &str, rows: &str) -> World {
    let world = world(sim, input, rows);
    assert_eq!(world.overnight(&["run", "job.toml"]).code, Some(4));
    world
}

#[test]
fn records_of_a_table_that_are_no_rows_are_exported_as_they_stand() {
    let sim = SimServer::start(json!({}));
    let broken = "2,too,many\n\"3\"\"\",x \"y\",\"z\n\"\n";
    let world = failing(&sim, "in.csv", &format!("id,text\n1,a\n{broken}4,b\n5,\"open\n6,c\n"));
    let failed = world.overnight(&["export", "job.toml", "--failed", "-o", "failed.csv"]);
    assert_eq!(world.read("failed.csv"), format!("id,text\n{broken}"));
    insta::assert_snapshot!(failed.stdout, @"2 rows exported to failed.csv, 2 did not fail, 1 left out that are no rows (out.errors.jsonl says where)");
    let quiet = world.overnight(&["export", "job.toml", "--failed", "-o", "failed.csv", "-q"]);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.lines().count()), ("", 1), "what is lost is told: {quiet:?}");
    assert!(world.read("out.errors.jsonl").contains("\"at\":\"in.csv:7\""));
    let told = world.overnight(&["export", "job.toml", "--failed", "-o", "failed.jsonl", "--json"]).summary();
    assert_eq!(
        told,
        json!({"written": 0, "left_out": 2, "not_done": 0, "no_place": 3}),
        "a line of JSON is none of it"
    );
}

#[test]
fn failed_rows_are_written_as_their_files_name_says_or_not_at_all() {
    let sim = SimServer::start(json!({}));
    let long = "long ".repeat(200);
    let table = failing(&sim, "in.csv", &format!("id,text\n1,a\n2,\"{long}\n\"\n"));
    assert_eq!(table.overnight(&["export", "job.toml", "--failed", "-o", "failed.jsonl"]).code, Some(0));
    assert_eq!(table.lines("failed.jsonl"), [json!({"id": "2", "text": format!("{long}\n")})]);
    let again = table.overnight(&["run", "job.toml", "--input", "failed.jsonl", "--json"]);
    assert_eq!(again.summary()["rows"]["total"], 1, "{again:?}");

    let lines = failing(&sim, "in.jsonl", &json_rows(5));
    for name in ["failed.csv", "failed.TSV.gz", "failed.json"] {
        let refused = lines.overnight(&["export", "job.toml", "--failed", "-o", name]);
        assert_eq!((refused.code, lines.path(name).exists()), (Some(2), false), "{refused:?}");
        assert!(refused.stderr.contains("hint: name the file .jsonl"), "{refused:?}");
    }
}

#[test]
fn elements_of_an_array_become_lines_with_all_that_they_hold() {
    let sim = SimServer::start(json!({}));
    let long = "long ".repeat(200);
    let rows = format!("[{{\"id\": 1, \"text\": \"a\"}},\n{{\r\n \"id\": 2.50,\n \"text\": \"{long}\\n\"\n}}]");
    let world = failing(&sim, "in.json", &rows);
    let failed = world.overnight(&["export", "job.toml", "--failed"]);
    assert_eq!(failed.stdout, format!("{{   \"id\": 2.50,  \"text\": \"{long}\\n\" }}\n"));
}

#[test]
fn batch_lines_have_the_reply_or_the_error() {
    let sim = SimServer::start(json!({}));
    let rows = format!("{}{{\"id\": \"x\"}}\n", json_rows(5));
    let world = world(&sim, "in.jsonl", &rows);
    world.overnight(&["run", "job.toml"]);
    let lines = values(&world.overnight(&["export", "job.toml", "--format", "openai-batch"]).stdout);
    assert_eq!(lines.len(), 6);
    let good = &lines[0];
    assert_eq!((&good["custom_id"], &good["error"]), (&json!("1"), &Value::Null));
    assert_eq!(good["response"]["status_code"], 200);
    assert_eq!(good["response"]["body"]["object"], "chat.completion");
    assert!(good["id"].as_str().unwrap().starts_with("batch_req_"));
    let long = &lines[4];
    assert_eq!((&long["response"]["status_code"], &long["error"]), (&json!(400), &Value::Null));
    assert_eq!(long["response"]["body"]["error"]["code"], "context_length_exceeded", "as received");
    let empty = &lines[5];
    assert_eq!((&empty["response"], &empty["error"]["code"]), (&Value::Null, &json!("template")));
}

#[test]
fn an_export_goes_on_beside_a_run() {
    let sim = SimServer::start(json!({"script": [{"from": 21, "to": 40, "fault": "hang"}]}));
    let world = world(&sim, "in.jsonl", &good_rows(40));
    let mut run = world.command(&["run", "job.toml"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let exported = loop {
        let exported = world.overnight(&["export", "job.toml", "-o", "part.jsonl", "--json"]).summary();
        if exported["written"] == 20 {
            break exported;
        }
        assert!(run.try_wait().unwrap().is_none(), "{exported}");
    };
    assert_eq!(exported["not_done"], 20);
    assert_eq!(world.lines("part.jsonl").len(), 20);
    run.kill().unwrap();
    run.wait().unwrap();
}

fn through_pipe(world: &World, input: &str, args: &[&str]) -> Ran {
    let mut command: Command = world.command(args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Ran::from(child.wait_with_output().unwrap())
}

#[test]
fn results_go_through_a_pipe_with_those_done_before_in_front() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim, "in.jsonl", "");
    let args = ["run", "job.toml", "--input", "-", "--output", "-", "--json"];
    let first = through_pipe(&world, &json_rows(12), &args);
    assert_eq!(first.code, Some(4), "{first:?}");
    assert_eq!(values(&first.stdout).len(), 10);
    let summary: Value = serde_json::from_str(first.stderr.lines().last().unwrap()).unwrap();
    assert_eq!((&summary["rows"]["succeeded"], &summary["rows"]["failed"]), (&json!(10), &json!(2)));
    assert!(!world.path("out.jsonl").exists() && !world.path("-").exists());

    let second = through_pipe(&world, &json_rows(14), &args);
    let ids: Vec<Value> = values(&second.stdout).iter().map(|line| line["id"].clone()).collect();
    let done: Vec<Value> = (1..=12).filter(|n| n % 5 != 0).map(Value::from).collect();
    assert_eq!((ids.len(), &ids[..10]), (12, &done[..]));
    assert_eq!(sim.ledger().requests, 14, "rows that failed for good are not tried again");
}

#[test]
fn a_reader_that_leaves_ends_the_run_quietly_and_it_goes_on_from_there() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim, "in.jsonl", &good_rows(3000));
    let args = ["run", "job.toml", "--output", "-", "--concurrency", "4", "--progress", "none"];
    let mut child = world.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with('{'));
    drop(lines);
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(141), ""));
    let asked = sim.ledger().requests;
    assert!(asked < 3000, "{asked}");

    let rest = world.overnight(&args);
    assert_eq!((rest.code, values(&rest.stdout).len()), (Some(0), 3000));
    assert_eq!(sim.ledger().requests, 3000);
}
