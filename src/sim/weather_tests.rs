//! Weather: limits of every kind, how they are told, knees, noise, changes, storms and poison.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::time::{Instant, advance, timeout};

use crate::types::{Transport, TransportError, WireReply, WireRequest};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn sim(settings: Value) -> (Arc<Sim>, SimTransport) {
    let sim = Sim::new(serde_json::from_value(settings).unwrap());
    (Arc::clone(&sim), SimTransport::new(sim))
}

async fn post(transport: &SimTransport, body: Value) -> WireReply {
    transport.send(WireRequest { path: "chat/completions", body: Bytes::from(body.to_string()) }).await.unwrap()
}

/// Asks with a text of so many tokens, the message's own three included.
async fn ask(transport: &SimTransport, tokens: usize) -> WireReply {
    let text = "x".repeat((tokens - 3) * 4);
    post(transport, json!({ "model": "m", "messages": [{ "role": "user", "content": text }] })).await
}

/// Asks with this `max_tokens`.
async fn ask_for(transport: &SimTransport, tokens: usize, most: u64) -> WireReply {
    let text = "x".repeat((tokens - 3) * 4);
    let messages = json!([{ "role": "user", "content": text }]);
    post(transport, json!({ "model": "m", "max_tokens": most, "messages": messages })).await
}

fn error(reply: &WireReply) -> Value {
    serde_json::from_slice::<Value>(&reply.body).unwrap()["error"].take()
}

fn message(reply: &WireReply) -> String {
    error(reply)["message"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn input_and_output_tokens_have_limits_of_their_own() {
    let limits = json!({ "input_tpm": 100, "output_tpm": 50 });
    let (_, transport) = sim(json!({ "limits": limits, "output_tokens": 20 }));
    assert_eq!(ask(&transport, 60).await.status, 200);
    let input = ask(&transport, 60).await;
    assert_eq!(input.status, 429);
    assert!(message(&input).contains("on input tokens per min (ITPM): Limit 100, Used 60, Requested 60"));
    assert_eq!(ask(&transport, 10).await.status, 200);
    let output = ask(&transport, 10).await;
    assert!(message(&output).contains("on output tokens per min (OTPM): Limit 50, Used 40, Requested 20"));
    assert_eq!(error(&output)["type"], "tokens");
}

#[tokio::test(start_paused = true)]
async fn requests_a_day_last_a_day_whatever_the_window() {
    let (_, transport) = sim(json!({ "limits": { "rpd": 2 }, "limit_window": "1s" }));
    assert_eq!(ask(&transport, 4).await.status, 200);
    advance(Duration::from_hours(10)).await;
    assert_eq!(ask(&transport, 4).await.status, 200);
    let refused = ask(&transport, 4).await;
    assert!(message(&refused).contains("requests per day (RPD): Limit 2, Used 2"), "{}", message(&refused));
    assert_eq!(refused.headers["retry-after"], "50400");
    advance(Duration::from_hours(14)).await;
    assert_eq!(ask(&transport, 4).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_fixed_window_lets_its_number_through_again_at_each_full_minute() {
    let (sim, transport) = sim(json!({ "limits": { "rpm": 2 }, "window_kind": "fixed" }));
    advance(50 * SECOND).await;
    assert_eq!([ask(&transport, 4).await.status, ask(&transport, 4).await.status], [200, 200]);
    let refused = ask(&transport, 4).await;
    assert_eq!((refused.status, &refused.headers["retry-after"]), (429, &"10".parse().unwrap()));
    assert_eq!(refused.headers["x-ratelimit-reset-requests"], "10s");
    advance(10 * SECOND).await;
    assert_eq!([ask(&transport, 4).await.status, ask(&transport, 4).await.status], [200, 200]);
    assert_eq!(ask(&transport, 4).await.status, 429);
    assert_eq!(sim.ledger().let_in, 4);
}

#[tokio::test(start_paused = true)]
async fn max_tokens_count_when_they_are_asked_for_and_are_not_given_back() {
    let settings = json!({ "limits": { "tpm": 100 }, "output_tokens": 5, "counts": "max_tokens" });
    let (sim, transport) = sim(settings);
    assert_eq!(ask_for(&transport, 10, 70).await.status, 200);
    let refused = ask_for(&transport, 10, 15).await;
    assert!(message(&refused).contains("Limit 100, Used 80, Requested 25"), "{}", message(&refused));
    assert_eq!(ask(&transport, 10).await.status, 200, "15 tokens used, as no more were asked for");
    let ledger = sim.ledger();
    assert_eq!((ledger.counted_tokens, ledger.input_tokens + ledger.output_tokens), (95, 30));
}

#[tokio::test(start_paused = true)]
async fn limits_are_told_as_the_provider_tells_them_and_429s_hint_in_seconds() {
    let limits = json!({ "rpm": 1, "rpd": 1000, "tpm": 60_000 });
    let (_, groq) = sim(json!({ "limits": limits, "headers": "groq" }));
    let reply = ask(&groq, 4).await;
    assert_eq!(reply.headers["x-ratelimit-remaining-requests"], "999");
    assert_eq!(reply.headers["x-ratelimit-reset-requests"], "1440m0s");
    let refused = ask(&groq, 4).await;
    assert_eq!((refused.status, &refused.headers["retry-after"]), (429, &"60".parse().unwrap()));
    assert!(!refused.headers.contains_key("retry-after-ms"));
    let (_, silent) = sim(json!({ "limits": limits, "headers": "none" }));
    let reply = ask(&silent, 4).await;
    assert!(reply.headers.keys().all(|name| !name.as_str().contains("ratelimit")), "{:?}", reply.headers);
}

#[tokio::test(start_paused = true)]
async fn without_hints_a_429_says_nothing_of_when() {
    let outages = json!([{ "from": 60, "to": 61, "fault": "429" }]);
    let script = json!([{ "from": 1, "to": 1, "fault": "rate_limit" }]);
    let (_, transport) = sim(json!({ "hints": false, "limits": { "rpm": 1 }, "script": script, "outages": outages }));
    let scripted = ask(&transport, 4).await;
    let limited = ask(&transport, 4).await;
    advance(60 * SECOND).await;
    for refused in [scripted, limited, ask(&transport, 4).await] {
        assert_eq!(refused.status, 429);
        assert!(!message(&refused).contains("try again"), "{}", message(&refused));
        assert!(!refused.headers.contains_key("retry-after") && !refused.headers.contains_key("retry-after-ms"));
    }
}

#[tokio::test(start_paused = true)]
async fn limits_change_on_time_and_what_was_used_stays_used() {
    let changes = json!([{ "at": 10, "limits": { "rpm": 2 } }, { "at": 20, "limits": { "rpm": 6, "concurrency": 1 } }]);
    let (_, transport) = sim(json!({ "limits": { "rpm": 4 }, "changes": changes }));
    for _ in 0..4 {
        assert_eq!(ask(&transport, 4).await.status, 200);
    }
    assert_eq!(ask(&transport, 4).await.status, 429);
    advance(10 * SECOND).await;
    let refused = ask(&transport, 4).await;
    assert!(message(&refused).contains("Limit 2, Used 4"), "{}", message(&refused));
    assert_eq!(refused.headers["x-ratelimit-limit-requests"], "2");
    advance(10 * SECOND).await;
    assert_eq!([ask(&transport, 4).await.status, ask(&transport, 4).await.status], [200, 200]);
    assert_eq!(ask(&transport, 4).await.status, 429);
}

/// How long two calls at once take.
async fn both(transport: &SimTransport) -> Duration {
    let start = Instant::now();
    tokio::join!(ask(transport, 4), ask(transport, 4));
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn latency_and_knee_change_on_time() {
    let changes = json!([{ "at": 100, "latency": "2s" }, { "at": 200, "knee": 1 }]);
    let (_, transport) = sim(json!({ "latency": "1s", "changes": changes }));
    assert_eq!(both(&transport).await, SECOND);
    advance(100 * SECOND).await;
    assert_eq!(both(&transport).await, 2 * SECOND);
    advance(100 * SECOND).await;
    assert_eq!(both(&transport).await, 4 * SECOND);
}

/// Answers a second, with so many calls in flight all the time.
async fn throughput(settings: Value, calls: usize) -> f64 {
    let (sim, transport) = sim(settings);
    let client = || async {
        loop {
            ask(&transport, 4).await;
        }
    };
    let all = join_all((0..calls).map(|_| client()));
    assert!(timeout(100 * SECOND, all).await.is_err());
    #[expect(clippy::cast_precision_loss, reason = "some thousand answers")]
    let answered = sim.ledger().answered as f64;
    answered / 100.0
}

#[tokio::test(start_paused = true)]
async fn throughput_is_best_at_the_knee_with_noise_as_without() {
    for noise in [0.0, 0.4] {
        let of = |beyond: &str, calls| {
            let knee = json!({ "concurrency": 12, "beyond": beyond });
            throughput(json!({ "latency": "500ms", "noise": noise, "knee": knee }), calls)
        };
        let (half, best) = (of("flat", 6).await, of("flat", 12).await);
        assert!((11.5..12.5).contains(&half) && (23.0..25.0).contains(&best), "{half} {best}");
        let (flat, degraded) = (of("flat", 36).await, of("degrading", 36).await);
        assert!((22.5..25.0).contains(&flat), "{flat}");
        assert!((17.5..20.0).contains(&degraded), "{degraded}: 24 too many keep 79 %");
    }
}

#[tokio::test(start_paused = true)]
async fn noise_spreads_the_latency_and_keeps_its_mean() {
    let (_, transport) = sim(json!({ "latency": "1s", "noise": 0.5 }));
    let mut times = Vec::new();
    for _ in 0..2_000 {
        let start = Instant::now();
        ask(&transport, 4).await;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let mean = times.iter().sum::<f64>() / 2_000.0;
    assert!((0.95..1.05).contains(&mean), "{mean}");
    let (median, late) = (times[1_000], times[1_900]);
    assert!((0.83..0.94).contains(&median) && (1.8..2.3).contains(&late), "{median} {late}");
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_429s_hints_at_its_end_or_as_told() {
    let outages = json!([{ "from": 0, "to": 30, "fault": "429" }, { "from": 30, "to": 31, "fault": "429",
        "hint": "5m" }, { "from": 31, "to": 32, "fault": "500" }]);
    let (sim, transport) = sim(json!({ "outages": outages, "latency": "100ms" }));
    advance(10 * SECOND).await;
    let storm = ask(&transport, 4).await;
    assert_eq!((storm.status, &storm.headers["retry-after"]), (429, &"20".parse().unwrap()));
    advance(20 * SECOND).await;
    assert_eq!(ask(&transport, 4).await.headers["retry-after"], "300");
    advance(SECOND).await;
    assert_eq!(ask(&transport, 4).await.status, 500);
    advance(SECOND).await;
    assert_eq!(ask(&transport, 4).await.status, 200);
    assert_eq!((sim.ledger().requests, sim.ledger().let_in), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn a_scripted_429_hints_as_told() {
    let script = json!([{ "from": 1, "to": 1, "fault": "rate_limit", "hint": 90 },
        { "from": 2, "to": 2, "fault": "daily_quota", "hint": "1.5h" }, { "from": 3, "to": 3, "fault": "rate_limit" }]);
    let (_, transport) = sim(json!({ "script": script }));
    for seconds in ["90", "5400", "1"] {
        assert_eq!(ask(&transport, 4).await.headers["retry-after"], seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn a_poisoned_prompt_fails_each_time_and_all_others_never() {
    let settings = json!({ "seed": 3, "poison": { "server_error": 0.1, "quota_exhausted": 0.05 } });
    let (_, transport) = sim(settings);
    let mut first = Vec::new();
    for round in 0..2 {
        let mut statuses = Vec::new();
        for row in 0..400 {
            let messages = json!([{ "role": "user", "content": format!("row {row}") }]);
            statuses.push(post(&transport, json!({ "model": "m", "messages": messages })).await.status);
        }
        if round == 0 {
            first = statuses;
        } else {
            assert_eq!(first, statuses);
        }
    }
    let count = |status| first.iter().filter(|seen| **seen == status).count();
    assert!((25..56).contains(&count(500)) && (8..33).contains(&count(429)), "{} {}", count(500), count(429));
    assert_eq!(count(200) + count(500) + count(429), 400);
}

#[tokio::test(start_paused = true)]
async fn faults_that_end_a_model_or_a_key_come_in_openais_words() {
    let names = ["auth", "quota_exhausted", "daily_quota", "model_not_found"];
    let script: Vec<_> =
        names.iter().zip(1..).map(|(fault, n)| json!({ "from": n, "to": n, "fault": fault })).collect();
    let (sim, transport) = sim(json!({ "script": script, "latency": "1s" }));
    let mut seen = Vec::new();
    for _ in names {
        let reply = ask(&transport, 4).await;
        seen.push((reply.status, error(&reply)["code"].as_str().unwrap().to_owned(), message(&reply)));
    }
    let codes: Vec<_> = seen.iter().map(|(status, code, _)| (*status, code.as_str())).collect();
    let expected =
        [(401, "invalid_api_key"), (429, "insufficient_quota"), (429, "rate_limit_exceeded"), (404, "model_not_found")];
    assert_eq!(codes, expected);
    assert!(seen[2].2.contains("requests per day (RPD). Please try again in 480m0s"), "{}", seen[2].2);
    assert_eq!(sim.ledger().billed, 0);
}

#[tokio::test(start_paused = true)]
async fn the_ledger_tells_each_second_where_it_is_asked_to() {
    let (sim, transport) = sim(json!({ "limits": { "rpm": 3 }, "latency": "1500ms", "count_seconds": true }));
    let replies = join_all((0..4).map(|_| ask(&transport, 10))).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 3);
    assert_eq!(ask(&transport, 10).await.status, 429);
    let ledger = sim.ledger();
    let first = &ledger.seconds[0];
    assert_eq!((first.second, first.requests, first.let_in, first.rate_limited), (0, 4, 3, 1));
    assert_eq!((first.peak_in_flight, first.answered), (4, 0));
    assert_eq!(first.billed_tokens, ledger.input_tokens + ledger.output_tokens);
    assert_eq!(first.counted_tokens, ledger.counted_tokens);
    let second = &ledger.seconds[1];
    assert_eq!((second.second, second.requests, second.rate_limited, second.answered), (1, 1, 1, 3));
    assert_eq!((ledger.over(0, 60, |second| second.let_in), ledger.over(1, 60, |second| second.let_in)), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn hangs_are_counted_and_refusals_do_not_arrive() {
    let outages = json!([{ "from": 0, "to": 1, "fault": "hang" }, { "from": 1, "to": 2, "fault": "refuse" }]);
    let (sim, transport) = sim(json!({ "outages": outages }));
    assert!(timeout(SECOND, ask(&transport, 4)).await.is_err());
    let body = Bytes::from_static(b"{}");
    let refused = transport.send(WireRequest { path: "chat/completions", body }).await;
    assert!(matches!(refused, Err(TransportError::Connect(_))));
    let ledger = sim.ledger();
    assert_eq!((ledger.hangs, ledger.requests, ledger.let_in, ledger.in_flight), (1, 1, 0, 0));
    assert!(ledger.seconds.is_empty(), "not asked for");
}
