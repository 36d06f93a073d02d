//! Whose word on the cost of a call is believed, and that errors which tell tokens keep them.

use futures::FutureExt;
use serde_json::json;

use super::{Canned, call_as, failed, failed_as, reply, request};
use crate::provider::{OpenAiProvider, Profile, Provider, TokenParam};
use crate::types::Money;

const REPLY: &str = r#"{"model":"m","choices":[{"message":{"content":"a"},"finish_reason":"stop"}],
    "usage":{"prompt_tokens":1,"completion_tokens":1,"cost":0.5}}"#;

#[test]
fn only_who_bills_by_the_cost_that_it_tells_is_believed() {
    let told = |profile| call_as(profile, Ok(reply(200, &[], REPLY))).unwrap().billing.cost;
    assert_eq!(told(Profile::OpenRouter), Money::from_usd(0.5));
    for profile in [Profile::Generic, Profile::OpenAi, Profile::Together, Profile::Vllm] {
        assert_eq!(told(profile), None, "{profile:?}");
    }
    let refused = REPLY.replace("\"content\":\"a\"", "\"content\":\"\"");
    let failed = failed_as(Profile::OpenRouter, 200, &[], &refused);
    assert_eq!((failed.billing.cost, failed.usage.unwrap().input_tokens), (Money::from_usd(0.5), 1));
}

#[test]
fn a_header_is_believed_where_the_job_names_it() {
    let told = |header: Option<&str>, status, value: &str| {
        let wire = Canned::new(Ok(reply(status, &[("x-litellm-response-cost", value)], REPLY)));
        let provider = OpenAiProvider::new(wire, Profile::Generic, TokenParam::MaxTokens);
        let request = request(json!({}));
        let called = provider.believing(header.map(str::to_owned)).call(&request).now_or_never().unwrap();
        called.map_or_else(|error| error.billing.cost, |answer| answer.billing.cost)
    };
    let name = Some("x-litellm-response-cost");
    assert_eq!(told(name, 200, "3.45e-05"), Some("0.0000345".parse().unwrap()));
    assert_eq!(told(name, 500, "0.25"), Money::from_usd(0.25));
    assert_eq!(told(name, 200, "None"), None);
    assert_eq!(told(name, 200, "0.0"), None);
    assert_eq!(told(None, 200, "0.25"), None);
    assert_eq!(told(Some("x-other"), 200, "0.25"), None);
}

#[test]
fn an_error_with_a_bad_status_that_tells_tokens_keeps_them() {
    let body = r#"{"error":{"message":"stopped half-way"},"usage":{"prompt_tokens":7,"completion_tokens":3}}"#;
    let usage = failed(500, &[], body).usage.unwrap();
    assert_eq!((usage.input_tokens, usage.output_tokens), (7, 3));
    assert_eq!(failed(500, &[], r#"{"error":{"message":"no usage told"}}"#).usage, None);
}
