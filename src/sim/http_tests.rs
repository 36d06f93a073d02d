//! What the HTTP face adds: connections, paths and faults on the wire.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::{JoinSet, spawn_blocking};

use super::*;

/// A server on a free port, gone with the set.
async fn server(settings: Value) -> (Arc<Sim>, SocketAddr, JoinSet<()>) {
    let sim = Sim::new(serde_json::from_value(settings).unwrap());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = JoinSet::new();
    let served = Arc::clone(&sim);
    serving.spawn(async move { serve(served, listener, std::future::pending()).await.unwrap() });
    (sim, address, serving)
}

/// What came back, and how the connection ended.
#[derive(Debug)]
struct Seen {
    head: String,
    body: String,
    /// The content length, where the body has it.
    is_whole: bool,
}

impl Seen {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// One request on a connection of its own.
async fn exchange(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Seen {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = Vec::new();
        // An error here is a reset: what came before it is in the buffer.
        let _ = stream.read_to_end(&mut reply);
        read(&String::from_utf8(reply).unwrap())
    })
    .await
    .unwrap()
}

fn read(reply: &str) -> Seen {
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or_default();
    let length = head
        .to_ascii_lowercase()
        .split_once("content-length: ")
        .map(|(_, rest)| rest.split("\r\n").next().unwrap_or_default().parse::<usize>().unwrap());
    Seen { head: head.to_owned(), body: body.to_owned(), is_whole: length == Some(body.len()) }
}

fn body(model: &str) -> String {
    json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }] }).to_string()
}

async fn ask(address: SocketAddr, model: &str) -> Seen {
    exchange(address, "POST", "/v1/chat/completions", "", &body(model)).await
}

#[tokio::test]
async fn answers_lists_and_keeps_its_ledger() {
    let (sim, address, _serving) = server(json!({ "key": "k" })).await;
    let key = "authorization: Bearer k\r\n";
    let seen = exchange(address, "POST", "/v1/chat/completions", key, &body("m")).await;
    assert_eq!(seen.status(), 200);
    assert!(seen.json()["choices"][0]["message"]["content"].as_str().unwrap().starts_with(&answer_mark("hello")));
    assert_eq!(ask(address, "m").await.status(), 401);
    assert_eq!(exchange(address, "POST", "/proxy/chat/completions", key, &body("m")).await.status(), 200);
    let models = exchange(address, "GET", "/v1/models", "", "").await.json();
    assert_eq!(models["data"][0]["id"], "sim");
    assert_eq!(exchange(address, "GET", "/_sim/health", "", "").await.json(), json!({ "status": "ok" }));
    let unknown = exchange(address, "GET", "/v2/other", "", "").await;
    assert_eq!((unknown.status(), &unknown.json()["error"]["message"]), (404, &json!("Invalid URL (GET /v2/other)")));
    let ledger: SimLedger =
        serde_json::from_value(exchange(address, "GET", "/_sim/ledger", "", "").await.json()).unwrap();
    assert_eq!(ledger, sim.ledger());
    assert_eq!((ledger.requests, ledger.answered, ledger.by_status[&401]), (3, 2, 1));
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let (sim, address, _serving) = server(json!({})).await;
    let reply = spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        for close in ["", "connection: close\r\n"] {
            let body = body("m");
            let head =
                format!("POST /chat/completions HTTP/1.1\r\nhost: s\r\n{close}content-length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).unwrap();
        }
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    });
    assert_eq!(reply.await.unwrap().matches("HTTP/1.1 200 OK").count(), 2);
    assert_eq!(sim.ledger().answered, 2);
}

#[tokio::test]
async fn limits_and_errors_have_status_and_headers() {
    let (_, address, _serving) = server(json!({ "limits": { "rpm": 1 } })).await;
    assert!(ask(address, "m").await.head.contains("x-ratelimit-remaining-requests: 0"));
    let refused = ask(address, "m").await;
    assert_eq!(refused.status(), 429);
    assert!(refused.head.contains("retry-after: ") && refused.head.contains("retry-after-ms: "), "{}", refused.head);
}

#[tokio::test]
async fn each_fault_shows_on_the_wire() {
    let names = ["reset", "truncated", "slow_body", "html", "error_in_200", "null_choices", "empty", "overloaded"];
    let script: Vec<_> =
        names.iter().zip(1..).map(|(fault, n)| json!({ "from": n, "to": n, "fault": fault })).collect();
    let (sim, address, _serving) = server(json!({ "script": script, "slow_body": "20ms" })).await;
    let reset = ask(address, "m").await;
    assert!(reset.status() == 200 && !reset.is_whole && reset.body.starts_with(r#"{"id""#), "{reset:?}");
    let truncated = ask(address, "m").await;
    assert!(truncated.is_whole && serde_json::from_str::<Value>(&truncated.body).is_err(), "{truncated:?}");
    let slow = ask(address, "m").await;
    assert!(slow.is_whole && slow.json()["choices"].is_array(), "{slow:?}");
    let html = ask(address, "m").await;
    assert!(html.status() == 502 && html.body.starts_with("<html>") && html.head.contains("text/html"));
    assert_eq!(ask(address, "m").await.json()["error"]["code"], 502);
    assert_eq!(ask(address, "m").await.json()["choices"], Value::Null);
    assert_eq!(ask(address, "m").await.json()["choices"][0]["message"]["content"], "");
    assert_eq!(ask(address, "m").await.status(), 503);
    let ledger = sim.ledger();
    assert_eq!((ledger.requests, ledger.billed, ledger.answered), (8, 5, 2));
    assert_eq!(ledger.in_flight, 0);
}

#[tokio::test]
async fn a_hang_holds_the_connection_until_the_client_leaves() {
    let (sim, address, _serving) = server(json!({})).await;
    let connected = spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let body = body("hang");
        let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: s\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream
    });
    let mut stream = connected.await.unwrap();
    while sim.ledger().in_flight == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        tokio::task::yield_now().await;
    }
    drop(stream);
    while sim.ledger().in_flight > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!((sim.ledger().requests, sim.ledger().billed), (1, 0));
}

/// Time stands still while a blocking call runs, so the outage lasts until the test lets it end.
#[tokio::test(start_paused = true)]
async fn an_outage_closes_the_port_and_opens_it_again() {
    let outages = json!([{ "from": 0, "to": 3600, "fault": "refuse" }]);
    let (sim, address, _serving) = server(json!({ "outages": outages })).await;
    let refusal = spawn_blocking(move || {
        loop {
            // Before the server has looked at the clock, the port is still open.
            if let Err(error) = TcpStream::connect(address) {
                return error.kind();
            }
        }
    });
    assert_eq!(refusal.await.unwrap(), ErrorKind::ConnectionRefused);
    tokio::time::sleep(Duration::from_secs(3601)).await;
    assert_eq!(ask(address, "m").await.status(), 200);
    assert_eq!(sim.ledger().requests, 1);
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends_idle_connections() {
    let (sim, address, _serving) = server(json!({ "outages": [{ "from": 60, "to": 61, "fault": "refuse" }] })).await;
    let connected = spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let body = body("m");
        let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: s\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).unwrap();
        let mut first = [0; 15];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200 OK");
        stream
    });
    let mut stream = connected.await.unwrap();
    tokio::time::sleep(Duration::from_mins(1)).await;
    // Reads to the end only because the server ends the connection.
    let rest = spawn_blocking(move || stream.read_to_end(&mut Vec::new()).unwrap());
    assert!(rest.await.unwrap() > 0);
    assert_eq!(sim.ledger().answered, 1);
}

#[tokio::test]
async fn serving_ends_when_told_to() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    serve(Sim::new(SimSettings::default()), listener, async {}).await.unwrap();
}
