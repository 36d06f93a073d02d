//! Replies of the endpoints beside chat.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Number, Value, json};

use crate::types::Endpoint;

use super::answer::{Answer, EPOCH, digest};
use super::request::Request;

/// The body of a reply: its number and the seconds since the start tell it from others. `whole` is false for a broken
/// server's reply that lacks what it should hold.
pub(super) fn body(answer: &Answer, request: &Request<'_>, (number, seconds): (u64, u64), whole: bool) -> Vec<u8> {
    let reply = match request.endpoint {
        Endpoint::Chat => return answer.body(&request.model, number, seconds, whole),
        Endpoint::Completions => completion(answer, request, number, EPOCH + seconds, whole),
        Endpoint::Embeddings => embeddings(answer, request, whole),
        Endpoint::Responses => response(answer, request, number, EPOCH + seconds, whole),
    };
    reply.to_string().into_bytes()
}

fn completion(answer: &Answer, request: &Request<'_>, number: u64, created: u64, whole: bool) -> Value {
    let choice = json!({ "text": answer.content, "index": 0, "logprobs": null, "finish_reason": answer.finish_reason });
    json!({
        "id": format!("cmpl-sim-{number}"),
        "object": "text_completion",
        "created": created,
        "model": request.model,
        "choices": whole.then_some([choice]),
        "usage": {
            "prompt_tokens": answer.usage.input_tokens,
            "completion_tokens": answer.usage.output_tokens,
            "total_tokens": answer.usage.total(),
            "prompt_tokens_details": { "cached_tokens": answer.usage.cached_input_tokens },
            "completion_tokens_details": { "reasoning_tokens": answer.usage.reasoning_tokens },
        },
    })
}

/// Where nothing is to be said, the vectors have no numbers.
fn embeddings(answer: &Answer, request: &Request<'_>, whole: bool) -> Value {
    let dimensions = if answer.content.is_empty() { 0 } else { request.dimensions };
    let item = |(index, text): (usize, &str)| {
        let vector = vector(text, dimensions);
        let embedding = if request.base64 {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            json!(STANDARD.encode(bytes))
        } else {
            // As texts of 32 bits have it: a number of 64 would have digits that mean nothing.
            vector.iter().filter_map(|number| number.to_string().parse::<Number>().ok()).collect()
        };
        json!({ "object": "embedding", "index": index, "embedding": embedding })
    };
    let data: Vec<Value> = request.texts().enumerate().map(item).collect();
    json!({
        "object": "list",
        "data": whole.then_some(data),
        "model": request.model,
        "usage": { "prompt_tokens": answer.usage.input_tokens, "total_tokens": answer.usage.input_tokens },
    })
}

/// A vector of length 1: the same for the same text.
fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut rng = fastrand::Rng::with_seed(digest(text));
    let numbers: Vec<f32> = (0..dimensions).map(|_| rng.f32() - 0.5).collect();
    let length = numbers.iter().map(|number| number * number).sum::<f32>().sqrt();
    numbers.into_iter().map(|number| number / length).collect()
}

fn response(answer: &Answer, request: &Request<'_>, number: u64, created: u64, whole: bool) -> Value {
    let reason = match answer.finish_reason {
        "length" => Some("max_output_tokens"),
        "content_filter" => Some("content_filter"),
        _ => None,
    };
    let status = if reason.is_some() { "incomplete" } else { "completed" };
    let message = json!({
        "id": format!("msg-sim-{number}"),
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [{ "type": "output_text", "text": answer.content, "annotations": [] }],
    });
    json!({
        "id": format!("resp-sim-{number}"),
        "object": "response",
        "created_at": created,
        "status": status,
        "error": null,
        "incomplete_details": reason.map(|reason| json!({ "reason": reason })),
        "model": request.model,
        "output": whole.then_some([message]),
        "usage": {
            "input_tokens": answer.usage.input_tokens,
            "input_tokens_details": { "cached_tokens": answer.usage.cached_input_tokens },
            "output_tokens": answer.usage.output_tokens,
            "output_tokens_details": { "reasoning_tokens": answer.usage.reasoning_tokens },
            "total_tokens": answer.usage.total(),
        },
    })
}
