//! The endpoints beside chat: the same limits, faults and books.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::types::{Endpoint, ReplyError, ReplyView, Transport, WireReply, WireRequest, read_reply};

use super::*;

fn sim(settings: Value) -> (Arc<Sim>, SimTransport) {
    let sim = Sim::new(serde_json::from_value(settings).unwrap());
    (Arc::clone(&sim), SimTransport::new(sim))
}

async fn post(transport: &SimTransport, endpoint: Endpoint, body: Value) -> WireReply {
    transport.send(WireRequest { path: endpoint.path(), body: Bytes::from(body.to_string()) }).await.unwrap()
}

/// The same text to any of them.
fn asked(endpoint: Endpoint, model: &str, text: &str) -> Value {
    match endpoint {
        Endpoint::Chat => json!({ "model": model, "messages": [{ "role": "user", "content": text }] }),
        Endpoint::Completions => json!({ "model": model, "prompt": text }),
        Endpoint::Embeddings | Endpoint::Responses => json!({ "model": model, "input": text }),
    }
}

async fn answer(transport: &SimTransport, endpoint: Endpoint, body: Value) -> ReplyView {
    read_reply(endpoint, &post(transport, endpoint, body).await.body).unwrap()
}

const OTHERS: [Endpoint; 3] = [Endpoint::Completions, Endpoint::Embeddings, Endpoint::Responses];

#[tokio::test(start_paused = true)]
async fn every_endpoint_answers_the_same_text_in_its_own_shape_and_on_the_same_books() {
    let (sim, transport) = sim(json!({ "count_marks": true }));
    let text = "Tag this review of aspirin";
    let mut usage = Vec::new();
    for endpoint in Endpoint::ALL {
        let view = answer(&transport, endpoint, asked(endpoint, "m", text)).await;
        match endpoint {
            Endpoint::Embeddings => assert!(view.content.is_none() && view.embedding.is_some()),
            _ => assert_eq!(view.content.unwrap(), format!("{} {text}", answer_mark(text))),
        }
        usage.push(view.usage.map(|usage| (usage.input_tokens, usage.output_tokens)).unwrap());
    }
    assert_eq!(usage, [(10, 12), (7, 12), (7, 0), (10, 12)]);
    let ledger = sim.ledger();
    assert_eq!((ledger.requests, ledger.answered, ledger.billed), (4, 4, 4));
    assert_eq!((ledger.input_tokens, ledger.output_tokens), (34, 36));
    assert_eq!(ledger.answered_by_mark[&answer_mark(text)], 4);
}

#[tokio::test(start_paused = true)]
async fn vectors_are_of_length_one_and_tell_their_text() {
    let (_, transport) = sim(json!({}));
    let vector = async |more: Value| {
        let mut body = asked(Endpoint::Embeddings, "m", "one");
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let view = answer(&transport, Endpoint::Embeddings, body).await;
        serde_json::from_str::<Vec<f32>>(view.embedding.unwrap().get()).unwrap()
    };
    let one = vector(json!({})).await;
    assert_eq!(one.len(), 8);
    assert!((one.iter().map(|number| number * number).sum::<f32>() - 1.0).abs() < 1e-6);
    assert_eq!(vector(json!({ "encoding_format": "base64" })).await, one);
    assert_eq!(vector(json!({ "dimensions": 3 })).await.len(), 3);
    let two = answer(&transport, Endpoint::Embeddings, json!({ "model": "m", "input": ["one", "two"] })).await;
    let two: Vec<Vec<f32>> = serde_json::from_str(two.embedding.unwrap().get()).unwrap();
    assert!(two[0] == one && two[1] != one);
}

#[tokio::test(start_paused = true)]
async fn limits_faults_and_names_count_at_every_endpoint() {
    for endpoint in OTHERS {
        let (sim, transport) = sim(json!({ "limits": { "rpm": 5 },
            "script": [{ "from": 1, "to": 1, "fault": "server_error" }, { "from": 2, "to": 2, "fault": "null_choices" },
                       { "from": 3, "to": 3, "fault": "empty" }] }));
        let ask = async |model: &str| post(&transport, endpoint, asked(endpoint, model, "x")).await;
        assert_eq!(ask("m").await.status, 500);
        let reply = ask("m").await;
        assert!(matches!(read_reply(endpoint, &reply.body), Err(ReplyError::Nothing(_))), "{endpoint:?}");
        let silent = read_reply(endpoint, &ask("m").await.body).unwrap();
        assert!(silent.content.is_none_or(|text| text.is_empty()) && silent.embedding.is_none(), "{endpoint:?}");
        assert_eq!(ask("fail-503").await.status, 503);
        assert_eq!(ask("m").await.status, 200);
        assert_eq!(ask("m").await.status, 429);
        assert_eq!(sim.ledger().by_status[&429], 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_cut_or_filtered_is_incomplete() {
    let (_, transport) = sim(json!({}));
    let reason = async |model: &str| {
        let view = answer(&transport, Endpoint::Responses, asked(Endpoint::Responses, model, "x")).await;
        view.finish_reason.unwrap()
    };
    assert_eq!((reason("m").await.as_str(), reason("truncate").await.as_str()), ("stop", "length"));
    assert_eq!(reason("filter").await, "content_filter");
    let body = json!({ "model": "m", "max_output_tokens": 2, "instructions": "s",
        "input": [{ "role": "user", "content": [{ "type": "input_text", "text": "one two three" }] }],
        "text": { "format": { "type": "json_schema", "name": "n", "schema": { "type": "integer" } } } });
    let view = answer(&transport, Endpoint::Responses, body).await;
    assert!(view.content.unwrap().parse::<i64>().is_ok());
    assert_eq!(view.usage.unwrap().input_tokens, 14_u64.div_ceil(4) + 6);
}

#[tokio::test(start_paused = true)]
async fn another_path_is_none() {
    let (_, transport) = sim(json!({}));
    let reply = transport.send(WireRequest { path: "moderations", body: Bytes::new() }).await.unwrap();
    assert_eq!(reply.status, 404);
}
