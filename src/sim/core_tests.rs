//! What the core promises, seen through the face for paused time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::time::{Instant, advance, sleep, timeout};

use crate::types::{Endpoint, ReplyError, Transport, TransportError, WireReply, WireRequest, read_reply};

use super::*;

fn sim(settings: Value) -> (Arc<Sim>, SimTransport) {
    let sim = Sim::new(serde_json::from_value(settings).unwrap());
    (Arc::clone(&sim), SimTransport::new(sim))
}

async fn post(transport: &SimTransport, body: &Value) -> Result<WireReply, TransportError> {
    transport.send(WireRequest { path: "chat/completions", body: Bytes::from(body.to_string()) }).await
}

async fn ask(transport: &SimTransport, model: &str, text: &str) -> Result<WireReply, TransportError> {
    post(transport, &json!({ "model": model, "messages": [{ "role": "user", "content": text }] })).await
}

fn json_of(reply: &WireReply) -> Value {
    serde_json::from_slice(&reply.body).unwrap()
}

fn code(reply: &WireReply) -> String {
    json_of(reply)["error"]["code"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(start_paused = true)]
async fn an_answer_tells_its_row_and_its_tokens() {
    let (sim, transport) = sim(json!({ "count_marks": true }));
    let reply = ask(&transport, "any-name", "Tag this review of aspirin").await.unwrap();
    let view = read_reply(Endpoint::Chat, &reply.body).unwrap();
    let mark = answer_mark("Tag this review of aspirin");
    assert_eq!(view.content.unwrap(), format!("{mark} Tag this review of aspirin"));
    let usage = view.usage.unwrap();
    assert_eq!((usage.input_tokens, usage.output_tokens), (10, 12));
    assert_eq!(json_of(&reply)["usage"]["total_tokens"], 22);
    assert_eq!(json_of(&reply)["id"], "chatcmpl-sim-1");
    assert_eq!(reply.headers["x-request-id"], "req-sim-1");
    let ledger = sim.ledger();
    assert_eq!((ledger.requests, ledger.answered, ledger.billed), (1, 1, 1));
    assert_eq!((ledger.input_tokens, ledger.output_tokens, ledger.max_tokens_per_minute), (10, 12, 22));
    assert_eq!(ledger.by_status[&200], 1);
    assert_eq!(ledger.by_model["any-name"].output_tokens, 12);
    assert_eq!(ledger.answered_by_mark[&mark], 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_limit_lets_exactly_its_number_through_in_each_window() {
    let (sim, transport) = sim(json!({ "limits": { "rpm": 3 } }));
    for _ in 0..3 {
        assert_eq!(ask(&transport, "m", "x").await.unwrap().status, 200);
        advance(Duration::from_secs(1)).await;
    }
    let refused = ask(&transport, "m", "x").await.unwrap();
    assert_eq!((refused.status, code(&refused).as_str()), (429, "rate_limit_exceeded"));
    assert_eq!(json_of(&refused)["error"]["type"], "requests");
    let message = json_of(&refused)["error"]["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 57s."),
        "{message}"
    );
    assert_eq!(refused.headers["retry-after"], "57");
    assert_eq!(refused.headers["retry-after-ms"], "57000");
    assert_eq!(refused.headers["x-ratelimit-limit-requests"], "3");
    assert_eq!(refused.headers["x-ratelimit-remaining-requests"], "0");
    assert_eq!(refused.headers["x-ratelimit-reset-requests"], "59s");
    advance(Duration::from_micros(56_999_999)).await;
    assert_eq!(ask(&transport, "m", "x").await.unwrap().status, 429);
    advance(Duration::from_micros(1)).await;
    assert_eq!(ask(&transport, "m", "x").await.unwrap().status, 200);
    assert_eq!(ask(&transport, "m", "x").await.unwrap().status, 429);
    let ledger = sim.ledger();
    assert_eq!((ledger.by_status[&200], ledger.by_status[&429]), (4, 3));
    assert_eq!(ledger.max_requests_per_minute, 6, "the first has left, refused ones count");
}

#[tokio::test(start_paused = true)]
async fn short_windows_hold_a_share_of_the_limit() {
    let (sim, transport) = sim(json!({ "limits": { "rpm": 600 }, "limit_window": "1s" }));
    let mut answered = 0;
    for _ in 0..40 {
        answered += u64::from(ask(&transport, "m", "x").await.unwrap().status == 200);
        advance(Duration::from_millis(50)).await;
    }
    assert_eq!(answered, 20, "ten in each of two seconds");
    assert_eq!(sim.ledger().max_requests_per_second, 20);
}

#[tokio::test(start_paused = true)]
async fn a_token_limit_counts_the_real_usage() {
    let (_, transport) = sim(json!({ "limits": { "tpm": 100 }, "output_tokens": 30 }));
    // 10 tokens of prompt: 25 bytes and one message.
    let prompt = "x".repeat(25);
    for _ in 0..2 {
        assert_eq!(ask(&transport, "m", &prompt).await.unwrap().status, 200);
        advance(Duration::from_secs(10)).await;
    }
    let refused = ask(&transport, "m", &prompt).await.unwrap();
    assert_eq!((refused.status, &json_of(&refused)["error"]["type"]), (429, &json!("tokens")));
    assert_eq!(refused.headers["retry-after"], "40");
    assert_eq!(refused.headers["x-ratelimit-remaining-tokens"], "20");
    let body = json!({ "model": "m", "max_tokens": 5, "messages": [{ "role": "user", "content": prompt }] });
    assert_eq!(post(&transport, &body).await.unwrap().status, 200, "15 of 20 tokens fit");
    let large = ask(&transport, "m", &"x".repeat(300)).await.unwrap();
    let message = json_of(&large)["error"]["message"].as_str().unwrap().to_owned();
    assert!(large.status == 429 && message.starts_with("Request too large for m"), "{message}");
    assert!(!large.headers.contains_key("retry-after"));
}

#[tokio::test(start_paused = true)]
async fn more_calls_at_once_than_allowed_are_refused() {
    let (sim, transport) = sim(json!({ "limits": { "concurrency": 2 }, "latency": "100ms" }));
    let statuses = join_all((0..3).map(|_| ask(&transport, "m", "x"))).await;
    let statuses: Vec<_> = statuses.into_iter().map(|reply| reply.unwrap().status).collect();
    assert_eq!(statuses, [200, 200, 429]);
    assert_eq!(ask(&transport, "m", "x").await.unwrap().status, 200);
    assert_eq!((sim.ledger().peak_in_flight, sim.ledger().in_flight), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_is_billed_and_not_answered() {
    let (sim, transport) = sim(json!({ "latency": "1s" }));
    let cut = timeout(Duration::from_millis(500), ask(&transport, "m", "x")).await;
    assert!(cut.is_err());
    let ledger = sim.ledger();
    assert_eq!((ledger.requests, ledger.billed, ledger.answered, ledger.in_flight), (1, 1, 0, 0));
    assert!(ledger.by_status.is_empty());
}

#[tokio::test(start_paused = true)]
async fn each_fault_comes_as_what_it_is_and_is_billed_where_an_answer_was_computed() {
    let names = [
        "rate_limit",
        "server_error",
        "overloaded",
        "context_length",
        "html",
        "error_in_200",
        "null_choices",
        "truncated",
        "empty",
        "content_filter",
        "reset",
        "slow_body",
    ];
    let script: Vec<_> =
        names.iter().zip(1..).map(|(fault, n)| json!({ "from": n, "to": n, "fault": fault })).collect();
    let (sim, transport) = sim(json!({ "script": script, "slow_body": "10s" }));
    let mut statuses = Vec::new();
    for _ in 0..7 {
        let reply = ask(&transport, "m", "x").await.unwrap();
        statuses.push((reply.status, read_reply(Endpoint::Chat, &reply.body).unwrap_err()));
    }
    let seen: Vec<_> = statuses.iter().map(|(status, _)| *status).collect();
    assert_eq!(seen, [429, 500, 503, 400, 502, 200, 200]);
    assert!(matches!(statuses[4].1, ReplyError::Malformed(_)));
    assert!(matches!(statuses[5].1, ReplyError::Error(_)));
    assert!(matches!(statuses[6].1, ReplyError::Nothing("choices")));
    assert_eq!(sim.ledger().billed, 1, "of these only the reply that lost its choices");
    let cut = ask(&transport, "m", "x").await.unwrap();
    assert!(matches!(read_reply(Endpoint::Chat, &cut.body), Err(ReplyError::Malformed(_))));
    let empty = read_reply(Endpoint::Chat, &ask(&transport, "m", "x").await.unwrap().body).unwrap();
    assert_eq!(empty.content.as_deref(), Some(""));
    let filtered = read_reply(Endpoint::Chat, &ask(&transport, "m", "x").await.unwrap().body).unwrap();
    assert_eq!((filtered.content, filtered.finish_reason.as_deref()), (None, Some("content_filter")));
    assert!(matches!(ask(&transport, "m", "x").await, Err(TransportError::Broken(_))));
    let start = Instant::now();
    assert_eq!(ask(&transport, "m", "x").await.unwrap().status, 200);
    assert_eq!(start.elapsed(), Duration::from_secs(10));
    let ledger = sim.ledger();
    assert_eq!((ledger.requests, ledger.billed), (12, 6));
    assert_eq!(ledger.answered, 3, "empty, filtered and slow ones are whole");
}

#[tokio::test(start_paused = true)]
async fn a_hang_never_ends_and_is_not_billed() {
    let (sim, transport) = sim(json!({}));
    let hang = timeout(Duration::from_hours(24), ask(&transport, "hang", "x")).await;
    assert!(hang.is_err());
    assert_eq!((sim.ledger().requests, sim.ledger().billed), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn model_names_choose_the_behaviour() {
    let (sim, transport) = sim(json!({}));
    for (model, status, code_wanted) in [
        ("fail-500", 500, ""),
        ("fail-503", 503, ""),
        ("fail-401", 401, "invalid_api_key"),
        ("fail-404", 404, "model_not_found"),
        ("fail-429", 429, "rate_limit_exceeded"),
        ("flaky-100", 500, ""),
        ("short-context-5", 400, "context_length_exceeded"),
    ] {
        let reply = ask(&transport, model, "some ten bytes").await.unwrap();
        assert_eq!((reply.status, code(&reply).as_str()), (status, code_wanted), "{model}");
    }
    assert_eq!(sim.ledger().billed, 0);
    assert_eq!(ask(&transport, "flaky-0", "x").await.unwrap().status, 200);
    assert_eq!(ask(&transport, "short-context-4", "four").await.unwrap().status, 200);
    let start = Instant::now();
    ask(&transport, "slow-1500", "x").await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_millis(1500));
    assert_eq!(ask(&transport, "limit-1", "x").await.unwrap().headers["x-ratelimit-remaining-requests"], "0");
    assert_eq!(ask(&transport, "limit-1", "x").await.unwrap().status, 429);
    assert_eq!(ask(&transport, "limit-2", "x").await.unwrap().status, 200);
    let view = read_reply(Endpoint::Chat, &ask(&transport, "truncate", "x").await.unwrap().body).unwrap();
    assert_eq!(view.finish_reason.as_deref(), Some("length"));
    let view = read_reply(Endpoint::Chat, &ask(&transport, "filter", "x").await.unwrap().body).unwrap();
    assert_eq!(view.finish_reason.as_deref(), Some("content_filter"));
}

#[tokio::test(start_paused = true)]
async fn json_is_answered_where_it_is_asked_for_unless_the_model_is_made_not_to() {
    let (_, transport) = sim(json!({}));
    let schema = json!({ "type": "object", "properties": { "mood": { "enum": ["good", "bad"] } } });
    for (model, is_json) in [("m", true), ("invalid-100", false)] {
        let body = json!({ "model": model, "messages": [{ "role": "user", "content": "x" }],
            "response_format": { "type": "json_schema", "json_schema": { "name": "a", "schema": schema } } });
        let content =
            read_reply(Endpoint::Chat, &post(&transport, &body).await.unwrap().body).unwrap().content.unwrap();
        let mood = serde_json::from_str::<Value>(&content).map(|value| value["mood"].clone());
        assert_eq!(mood.is_ok_and(|mood| mood == "good" || mood == "bad"), is_json, "{content}");
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_keys_bodies_and_paths_are_refused_in_openais_words() {
    let (sim, keyless) = sim(json!({ "key": "right", "max_context_tokens": 20 }));
    assert_eq!(ask(&keyless, "m", "x").await.unwrap().status, 401);
    let wrong = ask(&SimTransport::with_key(Arc::clone(&sim), "wrong"), "m", "x").await.unwrap();
    assert_eq!((wrong.status, code(&wrong).as_str()), (401, "invalid_api_key"));
    let transport = SimTransport::with_key(Arc::clone(&sim), "right");
    assert_eq!(ask(&transport, "m", "x").await.unwrap().status, 200);
    let long = ask(&transport, "m", &"x".repeat(100)).await.unwrap();
    assert_eq!((long.status, code(&long).as_str()), (400, "context_length_exceeded"));
    let message = json_of(&long)["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("This model's maximum context length is 20 tokens."), "{message}");
    let send = |path, body: &'static [u8]| transport.send(WireRequest { path, body: Bytes::from_static(body) });
    assert_eq!(send("chat/completions", b"{").await.unwrap().status, 400);
    let missing = send("chat/completions", br#"{"model":"m"}"#).await.unwrap();
    assert!(json_of(&missing)["error"]["message"].as_str().unwrap().contains("missing field `messages`"));
    let elsewhere = send("v1/moderations", b"{}").await.unwrap();
    assert_eq!(elsewhere.status, 404);
    assert_eq!(json_of(&elsewhere)["error"]["message"], "Invalid URL (POST v1/moderations)");
    assert_eq!(sim.ledger().requests, 7);
}

#[tokio::test(start_paused = true)]
async fn a_quota_ends_after_its_billed_calls() {
    let (sim, transport) = sim(json!({ "quota": 2, "script": [{ "from": 1, "to": 1, "fault": "server_error" }] }));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(ask(&transport, "m", "x").await.unwrap());
    }
    assert_eq!(statuses.iter().map(|reply| reply.status).collect::<Vec<_>>(), [500, 200, 200, 429]);
    assert_eq!(code(&statuses[3]), "insufficient_quota");
    assert_eq!(sim.ledger().billed, 2);
}

#[tokio::test(start_paused = true)]
async fn outages_begin_and_end_on_time() {
    let outages = json!([{ "from": 1, "to": 2, "fault": "refuse" }, { "from": 2, "to": 3, "fault": "503" },
        { "from": 3, "to": 4, "fault": "hang" }]);
    let (sim, transport) = sim(json!({ "outages": outages }));
    assert_eq!(ask(&transport, "m", "x").await.unwrap().status, 200);
    advance(Duration::from_secs(1)).await;
    assert!(matches!(ask(&transport, "m", "x").await, Err(TransportError::Connect(_))));
    assert_eq!(sim.ledger().requests, 1, "it never arrived");
    advance(Duration::from_secs(1)).await;
    assert_eq!(ask(&transport, "m", "x").await.unwrap().status, 503);
    advance(Duration::from_secs(1)).await;
    assert!(timeout(Duration::from_millis(900), ask(&transport, "m", "x")).await.is_err());
    sleep(Duration::from_millis(100)).await;
    assert_eq!(ask(&transport, "m", "x").await.unwrap().status, 200);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_makes_the_same_night_and_shares_are_kept() {
    async fn night(seed: u64) -> Vec<(Option<u16>, Duration)> {
        let faults = json!({ "server_error": 0.2, "reset": 0.1 });
        let (_, transport) = sim(json!({ "seed": seed, "faults": faults, "latency": ["10ms", "900ms"] }));
        let mut calls = Vec::new();
        for _ in 0..1000 {
            let start = Instant::now();
            let status = ask(&transport, "m", "x").await.ok().map(|reply| reply.status);
            calls.push((status, start.elapsed()));
        }
        calls
    }
    let first = night(7).await;
    assert_eq!(first, night(7).await);
    assert_ne!(first, night(8).await);
    let share = |status| first.iter().filter(|(seen, _)| *seen == status).count();
    assert!((150..250).contains(&share(Some(500))), "{}", share(Some(500)));
    assert!((70..130).contains(&share(None)), "{}", share(None));
    let latencies = first.iter().map(|(_, latency)| *latency);
    assert!(latencies.clone().min().unwrap() < Duration::from_millis(50));
    assert!(latencies.max().unwrap() > Duration::from_millis(850));
}
