//! Keys and secret headers stand in no file and on no screen, whatever the provider says.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use serde_json::json;

use crate::world::{Ran, World};

const KEY: &str = "sk-live-3f9c2ab7741e";
const HEADER: &str = "team-secret-88d1e0";

/// A server that repeats all request headers in what it says; the first part of the path is its status.
fn echo() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // It ends with the process: nobody is told when a test needs it no more.
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || answer(stream.unwrap()));
        }
    });
    url
}

/// Answers requests until the client goes away.
fn answer(stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
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
        let (kind, body) = reply(&head);
        let status = if kind == "200-error" { "200" } else { &kind };
        let length = body.len();
        let echoed = head.lines().find(|line| line.to_lowercase().starts_with("authorization")).unwrap_or("x: y");
        let location = echoed.replace(": ", "=").replace(' ', "%20");
        let head = format!(
            "HTTP/1.1 {status} Said\r\ncontent-length: {length}\r\nx-request-id: {location}\r\nlocation: https://elsewhere.example/{location}\r\n\r\n"
        );
        writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(body.as_bytes())).ok()?;
    }
}

/// The kind of reply that the path asks for, and a body that repeats the headers.
fn reply(head: &str) -> (String, String) {
    let kind = head.split('/').nth(1).unwrap().to_owned();
    let echo = head.replace("\r\n", " | ");
    let body = match kind.as_str() {
        "200" => json!({
            "id": echo, "choices": [{"message": {"content": "a plain answer"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1}
        }),
        _ => json!({ "error": { "message": format!("refused: {echo}"), "type": "x", "code": kind } }),
    };
    (kind, body.to_string())
}

/// A folder with a job whose provider needs the key and the header.
fn world(base_url: &str) -> World {
    let world = World::new();
    world.write("in.jsonl", "{\"prompt\":\"a\"}\n{\"prompt\":\"b\"}");
    let job = format!(
        "[input]\npath = \"in.jsonl\"\n[output]\npath = \"out.jsonl\"\nresponse = true\n[tasks.t]\nmodel = \"p/m\"\n\
         [providers.p]\nbase_url = \"{base_url}\"\napi_key_env = \"P_KEY\"\nheaders = {{ x-key = \"${{TEAM_KEY}}\" }}\n\
         [retry]\nmax_attempts = 2\nbackoff = {{ base = \"1ms\", max = \"2ms\" }}\n"
    );
    world.write("job.toml", job);
    world
}

fn run(world: &World, flags: &[&str]) -> Ran {
    let flags = [&["run", "job.toml", "-v"], flags].concat();
    Ran::from(world.command(&flags).env("P_KEY", KEY).env("TEAM_KEY", HEADER).output().unwrap())
}

/// Every file below the folder that holds the text, by name.
fn holders(folder: &Path, text: &str, found: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            holders(&path, text, found);
        } else if fs::read(&path).unwrap().windows(text.len()).any(|window| window == text.as_bytes()) {
            writeln!(found, "{}", path.display()).unwrap();
        }
    }
}

fn is_told_nowhere(world: &World, ran: &Ran) {
    for secret in [KEY, HEADER] {
        let mut found = String::new();
        holders(world.root(), secret, &mut found);
        assert_eq!(found, "", "{secret} stands in files");
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{ran:?}");
    }
}

#[test]
fn no_reply_brings_a_secret_into_a_file_or_on_the_screen() {
    let server = echo();
    for (kind, code) in [("401", 6), ("400", 4), ("500", 4), ("403", 6), ("404", 6), ("301", 6)] {
        for log in ["text", "json"] {
            let world = world(&format!("{server}/{kind}/v1"));
            let ran = run(&world, &["--log-format", log]);
            assert_eq!(ran.code, Some(code), "{kind}: {ran:?}");
            is_told_nowhere(&world, &ran);
        }
    }
}

#[test]
fn a_key_that_comes_back_in_an_answer_is_not_kept() {
    let server = echo();
    for (kind, code) in [("200", 0), ("200-error", 4)] {
        let world = world(&format!("{server}/{kind}/v1"));
        let ran = run(&world, &[]);
        assert_eq!(ran.code, Some(code), "{kind}: {ran:?}");
        let mut found = String::new();
        holders(world.root(), KEY, &mut found);
        assert_eq!(found, "", "{kind}");
        assert!(!ran.stderr.contains(KEY) && !ran.stdout.contains(KEY));
        if kind == "200" {
            assert_eq!(world.lines("out.jsonl")[0]["content"], "a plain answer");
        }
    }
}

#[test]
fn a_connection_that_fails_tells_no_secret() {
    let closed = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let world = world(&format!("http://{closed}/${{TEAM_KEY}}/v1"));
    let ran = run(&world, &["--json"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert_eq!(world.lines("out.errors.jsonl")[0]["error"]["kind"], "connection");
    assert!(world.read("out.errors.jsonl").contains(&closed.to_string()), "the place is told");
    is_told_nowhere(&world, &ran);
}

#[test]
fn a_job_that_is_refused_tells_no_secret() {
    for (key, header, wrong) in [(KEY, "team-secret\n88d1e0", "x-key"), ("sk-live\n3f9c2ab7741e", HEADER, "P_KEY")] {
        let world = world("https://p.example/v1");
        let output = world.command(&["run", "job.toml"]).env("P_KEY", key).env("TEAM_KEY", header).output().unwrap();
        let ran = Ran::from(output);
        assert_eq!(ran.code, Some(3), "{ran:?}");
        assert!(ran.stderr.contains(wrong) && ran.stderr.contains("job.toml:"), "{ran:?}");
        for part in ["88d1e0", "3f9c2ab7741e"] {
            assert!(!ran.stderr.contains(part), "{ran:?}");
        }
    }
    // A key in place of its variable's name.
    let world = world("https://p.example/v1");
    world.write("job.toml", world.read("job.toml").replace("P_KEY", KEY));
    let ran = world.overnight(&["run", "job.toml"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(!ran.stderr.contains(KEY), "{ran:?}");
}
