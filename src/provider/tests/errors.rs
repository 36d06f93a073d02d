//! Error replies as providers, gateways and local servers send them.

use super::failed;
use crate::types::FailureKind::{self, *};

#[rustfmt::skip]
pub(super) const BODIES: &[(u16, &str, FailureKind)] = &[
    // OpenAI and its like
    (429, r#"{"error":{"message":"Rate limit reached for gpt-4o in organization org-1 on tokens per min (TPM): Limit 200000, Used 150974, Requested 53621. Please try again in 1.378s.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#, RateLimited),
    (429, r#"{"error":{"message":"Request too large for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, Requested 80715. The input or output tokens must be reduced in order to run successfully.","type":"tokens","code":"rate_limit_exceeded"}}"#, TooLarge),
    (429, r#"{"error":{"message":"Request too large: Limit 30,000, Requested 20,000","code":"rate_limit_exceeded"}}"#, RateLimited),
    (429, r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#, QuotaExhausted),
    (429, r#"{"error":{"message":"x","type":"insufficient_quota","code":"project_spend_limit_exceeded"}}"#, QuotaExhausted),
    (401, r#"{"error":{"message":"Incorrect API key provided: sk-ab***yz.","type":"invalid_request_error","code":"invalid_api_key"}}"#, Auth),
    (404, r#"{"error":{"message":"The model `gpt-9` does not exist or you do not have access to it.","type":"invalid_request_error","code":"model_not_found"}}"#, ModelNotFound),
    (400, r#"{"error":{"message":"This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#, ContextLength),
    (400, r#"{"error":{"message":"Invalid 'user': string too long.","type":"invalid_request_error","code":"string_above_max_length"}}"#, InvalidRequest),
    (400, r#"{"error":{"message":"Unsupported parameter: 'max_tokens'","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}}"#, InvalidRequest),
    (400, r#"{"error":{"message":"Invalid prompt: violating our usage policy","code":"invalid_prompt"}}"#, ContentFilter),
    (403, r#"{"error":{"message":"Country not supported","code":"unsupported_country_region_territory"}}"#, Permission),
    (500, r#"{"error":{"message":"The server had an error","type":"server_error"}}"#, ServerError),
    (503, r#"{"error":{"message":"The engine is currently overloaded","code":"server_is_overloaded"}}"#, Overloaded),
    // Azure
    (400, r#"{"error":{"message":"filtered","code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#, ContentFilter),
    // Anthropic
    (529, r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, Overloaded),
    (400, r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#, ContextLength),
    (400, r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}"#, QuotaExhausted),
    (413, r#"{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}"#, TooLarge),
    // Gemini: also as a list
    (429, r#"[{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]}}]"#, DailyQuota),
    (429, r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"31s"}]}}"#, RateLimited),
    (400, r#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#, Auth),
    (400, r#"{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}"#, ContextLength),
    // DashScope
    (429, r#"{"error":{"message":"You exceeded your current quota. See https://help.aliyun.com/zh/model-studio/error-code","type":"insufficient_quota","code":"insufficient_quota"}}"#, RateLimited),
    (400, r#"{"error":{"code":"Arrearage","message":"Access denied, please make sure your account is in good standing."}}"#, QuotaExhausted),
    (400, r#"{"error":{"code":"data_inspection_failed","message":"Input data may contain inappropriate content."}}"#, ContentFilter),
    (400, r#"{"error":{"code":"invalid_parameter_error","message":"Range of input length should be [1, 30720]"}}"#, ContextLength),
    // Groq, xAI, Cerebras, Together, Fireworks, OpenRouter, Mistral
    (429, r#"{"error":{"message":"Rate limit reached for model llama on tokens per day (TPD): Limit 500000, Used 499000. Please try again in 7m12s.","type":"tokens","code":"rate_limit_exceeded"}}"#, DailyQuota),
    (498, r#"{"error":{"message":"capacity","code":"capacity_exceeded"}}"#, Overloaded),
    (403, r#"{"code":"permission","error":"Your team has used all available credits or reached its monthly spending limit."}"#, QuotaExhausted),
    (400, r#"{"code":"invalid-argument","error":"Incorrect API key provided: xa***. You can obtain an API key"}"#, Auth),
    (400, r#"{"message":"Please reduce the length of the messages. Current length is 9001 while limit is 8192","code":"context_length_exceeded"}"#, ContextLength),
    (403, r#"{"error":{"message":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193"}}"#, ContextLength),
    (412, r#"{"error":{"message":"Account is suspended"}}"#, QuotaExhausted),
    (402, r#"{"error":{"code":402,"message":"Insufficient credits"}}"#, QuotaExhausted),
    (403, r#"{"error":{"code":403,"message":"Your chosen model requires moderation and your input was flagged","metadata":{"reasons":["violence"]}}}"#, ContentFilter),
    (422, r#"{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required"}]}"#, InvalidRequest),
    // Gateways and local servers
    (400, r#"{"error":{"message":"litellm: Invalid model name passed in model=gpt-9","type":"None","code":"400"}}"#, ModelNotFound),
    (400, r#"{"error":{"message":"Budget has been exceeded!","type":"budget_exceeded","code":"400"}}"#, QuotaExhausted),
    (500, r#"{"error":{"code":500,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}"#, ContextLength),
    (503, r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#, Overloaded),
    (404, r#"{"error":"model 'llama9' not found"}"#, ModelNotFound),
    (400, r#"{"object":"error","message":"max_tokens must be at least 1, got -12.","type":"BadRequestError"}"#, ContextLength),
    // No JSON at all
    (502, "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>", ServerError),
    (504, "upstream request timeout", Timeout),
    (524, "<!DOCTYPE html><title>A timeout occurred</title>", Timeout),
    (522, "", ServerError),
    (408, "", Timeout),
    (409, "", Timeout),
    (429, "", RateLimited),
    (403, "Forbidden", Permission),
    (418, "{", InvalidRequest),
    (301, "", ModelNotFound),
];

#[test]
fn error_bodies_of_all_shapes_have_their_kinds() {
    for (status, body, kind) in BODIES {
        let error = failed(*status, &[], body);
        assert_eq!(error.failure.kind, *kind, "{status} {body}");
        assert_eq!((error.failure.status, error.possibly_billed), (Some(*status), false));
        assert!(!error.failure.message.is_empty(), "{status} {body}");
    }
}

#[test]
fn messages_are_found_in_every_shape_and_cut_to_one_line() {
    for (body, message) in [
        (r#"{"error":{"message":"a  b\n c"}}"#, "a b c"),
        (r#"{"error":"text"}"#, "text"),
        (r#"[{"error":{"message":"in a list"}}]"#, "in a list"),
        (r#"{"message":"top"}"#, "top"),
        (r#"{"detail":"fast"}"#, "fast"),
        (r#"{"detail":[{"msg":"x"}]}"#, r#"[{"msg":"x"}]"#),
        (r#"{"error":{"type":"Odd_Error"}}"#, "odd_error"),
        ("plain\ntext", "plain text"),
        ("<html><title>Bad\nGateway</title>", "an HTML page: Bad Gateway"),
        ("", "status 400 without a word"),
        ("{}", "status 400 without a word"),
    ] {
        assert_eq!(failed(400, &[], body).failure.message, message, "{body}");
    }
    let long = failed(400, &[], &"ä ".repeat(5000)).failure.message;
    assert_eq!(long.chars().count(), 501);
}

#[test]
fn waits_are_read_from_headers_then_the_body_with_any_status() {
    let millis = |status, headers: &[(&'static str, &str)], body| {
        failed(status, headers, body).retry_after.map(|wait| wait.as_millis())
    };
    let told = r#"{"error":{"message":"Please try again in 1.378s. Visit https://x"}}"#;
    assert_eq!(millis(429, &[], told), Some(1378));
    assert_eq!(millis(429, &[("retry-after", "3")], told), Some(3000));
    assert_eq!(millis(503, &[("retry-after", "3")], ""), Some(3000));
    assert_eq!(millis(429, &[], r#"{"error":{"details":[{"retryDelay":"31s"}]}}"#), Some(31_000));
    assert_eq!(millis(429, &[], r#"[{"error":{"details":[{"retryDelay":"0.5s"}]}}]"#), Some(500));
    assert_eq!(millis(503, &[], r#"{"error":{"availability":{"retry_after":12}}}"#), Some(12_000));
    assert_eq!(millis(200, &[("retry-after", "4")], r#"{"error":{"code":429}}"#), Some(4000));
    assert_eq!(millis(500, &[], "{}"), None);
}

#[test]
fn money_gone_and_a_throttle_differ_by_the_wait_at_402() {
    assert_eq!(failed(402, &[("retry-after", "5")], "{}").failure.kind, RateLimited);
    assert_eq!(failed(402, &[], "{}").failure.kind, QuotaExhausted);
}

#[test]
fn the_servers_word_on_retrying_and_its_request_id_are_kept() {
    let error = failed(500, &[("x-should-retry", "false"), ("request-id", "r1")], "{}");
    assert_eq!((error.retryable, error.request_id.as_deref()), (Some(false), Some("r1")));
    let error = failed(429, &[("x-should-retry", "true"), ("apim-request-id", "a1")], "{}");
    assert_eq!((error.retryable, error.request_id.as_deref()), (Some(true), Some("a1")));
    assert_eq!(failed(500, &[], "{}").retryable, None);
}

#[test]
fn a_redirect_says_where_to() {
    let told = failed(308, &[("location", "https://api.example/v1/chat/completions")], "").failure.message;
    assert!(told.contains("redirects to https://api.example/v1/chat/completions: set base_url"), "{told}");
}
