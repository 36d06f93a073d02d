//! Error replies that mean something else, or are met alone, at one provider.

use std::ptr;

use bytes::Bytes;
use http::HeaderMap;

use super::chat::completion;
use super::errors::BODIES;
use super::{call_as, failed, failed_as, reply};
use crate::provider::Profile::{self, *};
use crate::provider::reading;
use crate::provider::rules::{RULES, Rule, TOO_LONG};
use crate::provider::verdict::{self, Evidence};
use crate::provider::{rates, wait};
use crate::types::FailureKind::{self, *};
use crate::types::WireReply;

type Headers = &'static [(&'static str, &'static str)];

const QUOTA: &str = r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#;
const XAI_CREDITS: &str = r#"{"code":"The caller does not have permission to execute the specified operation","error":"Your team 0b1 has either used all available credits or reached its monthly spending limit. To continue making API requests, please purchase more credits."}"#;
const ANTHROPIC_LIMIT: &str = r#"{"type":"error","error":{"type":"invalid_request_error","message":"You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."}}"#;
const SPEND_CAP: &str = r#"{"type":"error","error":{"type":"rate_limit_error","message":"Your organization has reached its monthly spend limit."},"request_id":"req_1"}"#;
const OPENROUTER_MODERATION: &str = r#"{"error":{"code":403,"message":"Input was flagged","metadata":{"reasons":["violence"],"flagged_input":"...","provider_name":"OpenAI"}}}"#;
const TOGETHER_LONG: &str = r#"{"error":{"message":"Input token count + max_tokens parameter must be less than the context length of the model being queried","type":"invalid_request_error","param":"max_tokens","code":null}}"#;
const GROQ_JSON: &str = r#"{"error":{"message":"Failed to generate JSON. Please adjust your prompt.","type":"invalid_request_error","code":"json_validate_failed","failed_generation":"{"}}"#;

#[rustfmt::skip]
const CASES: &[(Profile, u16, Headers, &str, FailureKind)] = &[
    // One word, two meanings
    (Qwen, 429, &[], QUOTA, RateLimited),
    (OpenAi, 429, &[], QUOTA, QuotaExhausted),
    (Azure, 429, &[], QUOTA, QuotaExhausted),
    (Generic, 429, &[], QUOTA, QuotaExhausted),
    (Qwen, 429, &[], r#"{"error":{"code":"limit_burst_rate","message":"Request rate increased too quickly. To ensure system stability, please adjust your client logic to scale requests more smoothly over time.","type":"limit_burst_rate"}}"#, RateLimited),
    (Qwen, 429, &[], r#"{"code":"Throttling.AllocationQuota","message":"Allocated quota exceeded, please increase your quota limit.","request_id":"r"}"#, RateLimited),
    (Generic, 429, &[], r#"{"error":{"code":"Throttling.AllocationQuota","message":"Allocated quota exceeded"}}"#, RateLimited),
    (Qwen, 403, &[], r#"{"error":{"code":"AllocationQuota.FreeTierOnly","message":"The free tier of the model has been exhausted."}}"#, QuotaExhausted),
    (Qwen, 400, &[], r#"{"error":{"code":"Arrearage","message":"Access denied, please make sure your account is in good standing."}}"#, QuotaExhausted),
    // Mistral: a plan without the model looks like a throttle
    (Mistral, 429, &[("x-ratelimit-limit-req-minute", "0")], r#"{"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":null,"code":"1300"}"#, Permission),
    (Mistral, 429, &[("x-ratelimit-limit-req-minute", "60")], r#"{"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":null,"code":"1300"}"#, RateLimited),
    (Generic, 429, &[("x-ratelimit-limit-req-minute", "0")], r#"{"message":"Rate limit exceeded"}"#, RateLimited),
    // Gemini
    (Gemini, 402, &[("retry-after", "5")], r#"[{"error":{"code":402,"message":"Your prepayment credits are depleted.","status":"RESOURCE_EXHAUSTED"}}]"#, QuotaExhausted),
    (Gemini, 400, &[], r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]"#, Auth),
    (Mistral, 400, &[], r#"{"message":"'api key not valid' is no valid role"}"#, InvalidRequest),
    (Gemini, 503, &[], r#"[{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}]"#, Overloaded),
    // xAI: the error is a text
    (Xai, 403, &[], XAI_CREDITS, QuotaExhausted),
    (Xai, 429, &[], XAI_CREDITS, QuotaExhausted),
    (Groq, 403, &[], XAI_CREDITS, Permission),
    (Xai, 400, &[], r#"{"code":"Client specified an invalid argument","error":"Incorrect API key provided: xa***. You can obtain an API key from https://console.x.ai."}"#, Auth),
    // Anthropic
    (Anthropic, 400, &[], ANTHROPIC_LIMIT, QuotaExhausted),
    (Generic, 400, &[], ANTHROPIC_LIMIT, QuotaExhausted),
    (Together, 400, &[], ANTHROPIC_LIMIT, InvalidRequest),
    (Anthropic, 429, &[], SPEND_CAP, QuotaExhausted),
    (Anthropic, 429, &[("retry-after", "20")], SPEND_CAP, RateLimited),
    (Groq, 429, &[], SPEND_CAP, RateLimited),
    (Anthropic, 429, &[], r#"{"type":"error","error":{"type":"rate_limit_error","message":"x","details":{"error_code":"enforced_spend_limit_reached"}}}"#, QuotaExhausted),
    (Anthropic, 429, &[], r#"{"type":"error","error":{"type":"rate_limit_error","message":"x","details":{"error_code":"ramp_limit_exceeded"}}}"#, RateLimited),
    (Anthropic, 402, &[], r#"{"type":"error","error":{"type":"billing_error","message":"There's an issue with your billing."}}"#, QuotaExhausted),
    // OpenRouter
    (OpenRouter, 402, &[], r#"{"error":{"code":402,"message":"In-flight budget exceeded","metadata":{"limit_source":"openrouter_in_flight_budget"}}}"#, RateLimited),
    (OpenRouter, 402, &[("retry-after", "3")], r#"{"error":{"code":402,"message":"x"}}"#, RateLimited),
    (DeepSeek, 402, &[("retry-after", "3")], r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}"#, QuotaExhausted),
    (OpenRouter, 402, &[], r#"{"error":{"code":402,"message":"Insufficient credits","metadata":{"limit_source":"openrouter_credits"}}}"#, QuotaExhausted),
    (OpenRouter, 403, &[], r#"{"error":{"code":403,"message":"Key limit exceeded","metadata":{"limit_source":"openrouter_key_limit"}}}"#, QuotaExhausted),
    (OpenRouter, 403, &[], OPENROUTER_MODERATION, ContentFilter),
    (Fireworks, 403, &[], OPENROUTER_MODERATION, Permission),
    (OpenRouter, 400, &[], r#"{"error":{"code":400,"message":"The model refused","metadata":{"error_type":"refusal"}}}"#, Refusal),
    (OpenRouter, 400, &[], r#"{"error":{"code":400,"message":"x is not a valid model ID","availability":{"code":"model_not_found","retryable":false}}}"#, ModelNotFound),
    (OpenRouter, 502, &[], r#"{"error":{"code":502,"message":"Provider returned error","metadata":{"error_type":"provider_unavailable"}}}"#, Overloaded),
    (OpenRouter, 429, &[], r#"{"error":{"message":"Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day","code":429}}"#, DailyQuota),
    // Together, Fireworks, Cerebras, Groq
    (Together, 403, &[], TOGETHER_LONG, ContextLength),
    (Together, 403, &[], r#"{"error":{"message":"The max_tokens of this request is too high for the model"}}"#, ContextLength),
    (Mistral, 403, &[], r#"{"error":{"message":"The max_tokens of this request is too high for the model"}}"#, Permission),
    (Together, 429, &[], r#"{"error":{"message":"You have reached the dynamic rate limit for this model","type":"dynamic_request_limited","code":"dynamic_request_limited"}}"#, RateLimited),
    (Fireworks, 412, &[], r#"{"error":{"object":"error","type":"invalid_request_error","message":"Account is not active, possibly due to reaching the monthly cap or failure to pay past invoices"}}"#, QuotaExhausted),
    (Groq, 412, &[], r#"{"error":{"message":"precondition failed"}}"#, InvalidRequest),
    (Cerebras, 400, &[], "", ContextLength),
    (Cerebras, 413, &[], "\n", ContextLength),
    (Generic, 400, &[], "", InvalidRequest),
    (Generic, 413, &[], "", TooLarge),
    (Cerebras, 429, &[("x-ratelimit-limit-requests-day", "14400"), ("x-ratelimit-remaining-requests-day", "0"), ("x-ratelimit-reset-requests-day", "33011.38")], r#"{"message":"Requests limit exceeded - too many requests sent.","type":"too_many_requests_error","param":"quota","code":"request_quota_exceeded"}"#, DailyQuota),
    (Groq, 498, &[], r#"{"error":{"message":"Flex tier capacity exceeded","type":"internal_server_error","code":"capacity_exceeded"}}"#, Overloaded),
    (Groq, 413, &[], r#"{"error":{"message":"Request too large for model `llama` on tokens per minute (TPM): Limit 6000, Requested 9000","type":"tokens","code":"rate_limit_exceeded"}}"#, TooLarge),
    (Groq, 400, &[], GROQ_JSON, MalformedReply),
    (OpenAi, 400, &[], GROQ_JSON, InvalidRequest),
    // A parameter that is too long, and not the prompt
    (OpenAi, 400, &[], r#"{"error":{"message":"Invalid 'user': string too long. Expected a string with maximum length 64.","type":"invalid_request_error","param":"user","code":null}}"#, InvalidRequest),
    // Amazon
    (Generic, 400, &[("x-amzn-errortype", "ServiceQuotaExceededException:http://internal.amazon.com/")], r#"{"message":"Too many requests, please wait before trying again."}"#, RateLimited),
    (Generic, 400, &[], r#"{"__type":"x","type":"ThrottlingException","message":"Rate exceeded"}"#, RateLimited),
    (Generic, 429, &[], r#"{"message":"Model is not ready for inference.","type":"ModelNotReadyException"}"#, RateLimited),
    (Generic, 400, &[], r#"{"message":"The provided model identifier is invalid."}"#, ModelNotFound),
    // Gateways, which put the words of the provider behind them into their own message
    (Generic, 400, &[], r#"{"error":{"message":"Budget has been exceeded! Current cost: 20.5, Max budget: 20.0","type":"None","param":"None","code":"400"}}"#, QuotaExhausted),
    (Generic, 401, &[], r#"{"error":{"message":"Authentication Error, Invalid proxy server token passed.","type":"token_not_found_in_db","param":"key","code":"401"}}"#, Auth),
    (Generic, 400, &[], r#"{"error":{"message":"Authentication Error, No connected db.","type":"no_db_connection","param":null,"code":"400"}}"#, Auth),
    (Generic, 400, &[], r#"{"error":{"message":"litellm.ContentPolicyViolationError: AzureException - The response was filtered","type":null,"param":null,"code":"400"}}"#, ContentFilter),
    (Groq, 400, &[], r#"{"error":{"message":"messages[0]: 'content_filter' is not a role"}}"#, InvalidRequest),
    (Generic, 429, &[], r#"{"error":{"message":"Deployment over user-defined ratelimit","type":"internal_server_error","param":null,"code":"429"}}"#, RateLimited),
    // Statuses that no provider documents
    (Generic, 407, &[], "", Auth),
    (Generic, 451, &[], "", Permission),
    (Generic, 405, &[], "", InvalidRequest),
    (Generic, 599, &[], "", ServerError),
    (Generic, 777, &[], "", ServerError),
];

#[test]
fn errors_have_the_kinds_that_their_provider_means() {
    for (profile, status, headers, body, kind) in CASES {
        let error = failed_as(*profile, *status, headers, body);
        assert_eq!(error.failure.kind, *kind, "{profile:?} {status} {headers:?} {body}");
    }
}

/// The words of those who send them, one for each pattern and in its order.
#[rustfmt::skip]
const LONG: &[(u16, &str)] = &[
    (400, "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."),
    (400, "prompt is too long: 210000 tokens > 200000 maximum"),
    (400, "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"),
    (400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
    (400, "the request exceeds the available context size, try increasing it"),
    (500, "Context size has been exceeded."),
    (400, "The input (9001 tokens) is longer than the model's context length (8192 tokens)."),
    (400, "max_tokens must be at least 1, got -186."),
    (400, "Please reduce the length of the messages or completion. Current length is 9001 while limit is 8192"),
    (400, "too many tokens: total tokens must be less than 4096"),
    (400, "Input is too long for requested model."),
    (422, "Too many input tokens. Max input tokens: 8192, request input token count: 9001"),
    (400, "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]"),
    (400, "This model's maximum prompt length is 131072 but the request contains 140000 tokens."),
    (400, "prompt too long; exceeded max context length by 12 tokens"),
    (400, "The number of tokens to keep from the initial prompt is greater than the context length."),
    (400, "the prompt does not fit the configured context size"),
    (400, "invalid params, context window exceeds limit"),
    (400, "Invalid request: Your request exceeded model token limit: 8192"),
    (422, "Input validation error: `inputs` must have less than 1024 tokens, and must be <= 1024. Given: 1500"),
    (422, "Input validation error: must be <= 1024 for inputs"),
    (422, "`max_new_tokens` must be <= 512. Given: 600"),
    (422, "Input token count + `max_tokens` must be less than the context length"),
    (400, "OpenAIException - Error code: 400 - {'code': 'context_length_exceeded'}"),
    (400, "litellm.ContextWindowExceededError: input too large"),
];

#[test]
fn every_wording_of_a_context_that_is_too_short_is_known_within_its_statuses() {
    assert_eq!(LONG.len(), TOO_LONG.len());
    for ((status, message), pattern) in LONG.iter().zip(TOO_LONG) {
        let body = serde_json::json!({"error": {"message": message}}).to_string();
        assert_eq!(failed(*status, &[], &body).failure.kind, ContextLength, "{message}");
        assert!(pattern.split('*').all(|piece| message.to_lowercase().contains(piece)), "{pattern} is for {message}");
        for (other, kind) in [(401, Auth), (429, RateLimited), (502, ServerError), (503, Overloaded), (408, Timeout)] {
            assert_eq!(failed(other, &[], &body).failure.kind, kind, "{other} {message}");
        }
    }
}

#[test]
fn a_request_repeated_in_an_error_is_not_searched() {
    let body = r#"{"detail":[{"type":"missing","loc":["body"],"msg":"Field required","input":"prompt is too long"}]}"#;
    assert_eq!(failed(422, &[], body).failure.kind, InvalidRequest);
    let body = r#"{"detail":[{"msg":"prompt is too long"}]}"#;
    assert_eq!(failed(422, &[], body).failure.kind, ContextLength);
}

#[test]
fn every_rule_is_met_by_an_error_of_these_tests() {
    let plain = BODIES.iter().map(|(status, body, _)| (Generic, *status, &[] as Headers, *body));
    let own = CASES.iter().map(|(profile, status, headers, body, _)| (*profile, *status, *headers, *body));
    let long = LONG.iter().map(|(status, message)| (Generic, *status, &[] as Headers, *message));
    let waits = [(Generic, 402, &[("retry-after", "5")] as Headers, "{}")];
    let met: Vec<&Rule> = plain.chain(own).chain(long).chain(waits).filter_map(|case| rule_of(&case)).collect();
    let is_met = |rule: &Rule| met.iter().any(|met| ptr::eq(*met, rule));
    let unmet: Vec<_> = RULES.iter().enumerate().filter(|(_, rule)| !is_met(rule)).collect();
    let unmet: Vec<_> = unmet.into_iter().map(|(number, rule)| (number, rule.kind)).collect();
    assert_eq!(unmet, [], "rules that no error meets");
}

fn rule_of((profile, status, headers, body): &(Profile, u16, Headers, &str)) -> Option<&'static Rule> {
    let WireReply { headers, body, .. } = reply(*status, headers, body);
    let (said, rate) = (reading::said(&body), rates::read(*profile, &headers));
    let tells_wait = wait::told(&headers, said.wait).is_some();
    let has_body = !body.trim_ascii().is_empty();
    let evidence = Evidence {
        profile: *profile,
        status: *status,
        headers: &headers,
        has_body,
        said: &said,
        tells_wait,
        rate: &rate,
    };
    verdict::rule(&evidence)
}

#[test]
fn an_error_s_own_word_on_retrying_counts_below_the_header_s() {
    let body = |retryable: bool| format!(r#"{{"error":{{"availability":{{"retryable":{retryable}}}}}}}"#);
    let retryable = |headers, body: &str| failed_as(OpenRouter, 503, headers, body).retryable;
    assert_eq!(retryable(&[], &body(false)), Some(false));
    assert_eq!(retryable(&[], &body(true)), Some(true));
    assert_eq!(retryable(&[("x-should-retry", "true")], &body(false)), Some(true));
    assert_eq!(retryable(&[], "{}"), None);
}

#[test]
fn endings_with_a_detail_or_of_one_provider_are_known() {
    let kind = |reason: &str| {
        let body = completion(r#"{"content":"half"}"#, &format!("\"{reason}\""));
        call_as(Gemini, Ok(reply(200, &[], &body))).map_err(|error| error.failure.kind).err()
    };
    assert_eq!(kind("content_filter: RECITATION"), Some(ContentFilter));
    assert_eq!(kind("LANGUAGE"), Some(ContentFilter));
    assert_eq!(kind("MALFORMED_FUNCTION_CALL"), Some(MalformedReply));
    for good in ["stop", "end_turn", "eos", "", "tool_calls"] {
        assert_eq!(kind(good), None, "{good}");
    }
}

#[test]
fn an_empty_answer_of_lm_studio_hints_at_its_context() {
    let body = completion(r#"{"content":""}"#, r#""stop""#);
    let message = |profile| call_as(profile, Ok(reply(200, &[], &body))).unwrap_err().failure.message;
    assert!(message(LmStudio).contains("context") && !message(Generic).contains("context"));
}

#[test]
fn an_error_within_a_good_reply_is_read_by_its_providers_rules() {
    let within = QUOTA.replace(r#""type":"insufficient_quota""#, r#""status":429"#);
    assert_eq!(failed_as(Qwen, 200, &[], &within).failure.kind, RateLimited);
    assert_eq!(failed_as(OpenAi, 200, &[], &within).failure.kind, QuotaExhausted);
}

#[test]
fn an_empty_reply_with_a_good_status_is_no_context_error() {
    let empty = WireReply { status: 200, headers: HeaderMap::new(), body: Bytes::new() };
    assert_eq!(call_as(Cerebras, Ok(empty)).unwrap_err().failure.kind, MalformedReply);
}
