//! What headers tell of limits, and the waits that follow from them.

use std::time::Duration;

use super::chat::completion;
use super::{call_as, failed_as, reply};
use crate::provider::Profile::{self, *};
use crate::types::FailureKind::{DailyQuota, QuotaExhausted, RateLimited, ServerError};
use crate::types::{RatePer, RateReport, RateTold, RateUnit};

use RatePer::{Day, Minute, Second};
use RateUnit::{InputTokens, OutputTokens, Requests, Tokens};

type Headers<'a> = &'a [(&'static str, &'a str)];
/// Unit, period, limit, remaining, reset in milliseconds.
type Row = (RateUnit, RatePer, Option<u64>, Option<u64>, Option<u64>);

const SEVEN: &str = "Wed, 21 Oct 2015 07:00:00 GMT";

fn told(profile: Profile, headers: Headers<'_>) -> RateReport {
    let body = completion(r#"{"content":"hi"}"#, r#""stop""#);
    call_as(profile, Ok(reply(200, headers, &body))).unwrap().rate
}

fn rows(expected: &[Row]) -> RateReport {
    let row = |&(unit, per, limit, remaining, reset): &Row| RateTold {
        unit,
        per,
        limit,
        remaining,
        reset: reset.map(Duration::from_millis),
    };
    expected.iter().map(row).collect()
}

fn assert_tells(profile: Profile, headers: Headers<'_>, expected: &[Row]) {
    assert_eq!(told(profile, headers), rows(expected), "{profile:?} {headers:?}");
}

const OPENAI: Headers<'static> = &[
    ("x-ratelimit-limit-requests", "500"),
    ("x-ratelimit-remaining-requests", "499"),
    ("x-ratelimit-reset-requests", "120ms"),
    ("x-ratelimit-limit-tokens", "30,000"),
    ("x-ratelimit-remaining-tokens", "29,984"),
    ("x-ratelimit-reset-tokens", "6m0s"),
];

#[test]
fn openai_and_its_like_tell_requests_and_tokens_of_a_minute() {
    let expected = [
        (Requests, Minute, Some(500), Some(499), Some(120)),
        (Tokens, Minute, Some(30_000), Some(29_984), Some(360_000)),
    ];
    assert_tells(OpenAi, OPENAI, &expected);
    assert_tells(Generic, OPENAI, &expected);
}

#[test]
fn requests_that_reset_in_more_than_two_minutes_are_a_days() {
    let headers = [("x-ratelimit-limit-requests", "10000"), ("x-ratelimit-reset-requests", "2m0.5s")];
    assert_tells(Generic, &headers, &[(Requests, Day, Some(10_000), None, Some(120_500))]);
    let headers = [("x-ratelimit-limit-requests", "10000"), ("x-ratelimit-reset-requests", "2m0s")];
    assert_tells(Generic, &headers, &[(Requests, Minute, Some(10_000), None, Some(120_000))]);
}

#[test]
fn groq_counts_requests_by_the_day() {
    let headers = [
        ("x-ratelimit-limit-requests", "14400"),
        ("x-ratelimit-remaining-requests", "14370"),
        ("x-ratelimit-reset-requests", "2m59.56s"),
        ("x-ratelimit-limit-tokens", "18000"),
        ("x-ratelimit-remaining-tokens", "17997"),
        ("x-ratelimit-reset-tokens", "7.66s"),
    ];
    let expected = [
        (Requests, Day, Some(14_400), Some(14_370), Some(179_560)),
        (Tokens, Minute, Some(18_000), Some(17_997), Some(7660)),
    ];
    assert_tells(Groq, &headers, &expected);
}

#[test]
fn azure_tells_what_remains_and_its_placeholders_tell_nothing() {
    let headers = [
        ("x-ratelimit-remaining-requests", "99"),
        ("x-ratelimit-limit-tokens", "100000"),
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-tokens", "12"),
    ];
    let expected = [(Requests, Minute, None, Some(99), None), (Tokens, Minute, Some(100_000), Some(0), Some(12_000))];
    assert_tells(Azure, &headers, &expected);
    let headers = [
        ("x-ratelimit-remaining-requests", "-1"),
        ("x-ratelimit-limit-tokens", "-1"),
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-tokens", "0"),
    ];
    assert_tells(Azure, &headers, &[]);
    assert_tells(Azure, &[("x-ratelimit-remaining-requests", "0")], &[]);
}

#[test]
fn limits_that_are_not_positive_are_not_told() {
    for limit in ["0", "-1", "", "many"] {
        let headers = [("x-ratelimit-limit-tokens", limit), ("x-ratelimit-remaining-tokens", "0")];
        assert_tells(OpenAi, &headers, &[]);
    }
}

#[test]
fn of_two_limits_on_the_same_tokens_the_tighter_is_told() {
    for (project, expected) in [("10", 10), ("900", 100)] {
        let headers = [
            ("x-ratelimit-limit-tokens", "1000"),
            ("x-ratelimit-remaining-tokens", "100"),
            ("x-ratelimit-limit-project-tokens", "1000"),
            ("x-ratelimit-remaining-project-tokens", project),
        ];
        assert_tells(OpenAi, &headers, &[(Tokens, Minute, Some(1000), Some(expected), None)]);
    }
}

#[test]
fn anthropic_tells_input_and_output_with_dates_by_its_own_clock() {
    let headers = [
        ("date", SEVEN),
        ("anthropic-ratelimit-requests-limit", "1000"),
        ("anthropic-ratelimit-requests-remaining", "999"),
        ("anthropic-ratelimit-requests-reset", "2015-10-21T07:00:01Z"),
        ("anthropic-ratelimit-input-tokens-limit", "2000000"),
        ("anthropic-ratelimit-input-tokens-remaining", "1999000"),
        ("anthropic-ratelimit-input-tokens-reset", "2015-10-21T07:00:30Z"),
        ("anthropic-ratelimit-output-tokens-limit", "400000"),
        ("anthropic-ratelimit-output-tokens-remaining", "0"),
        ("anthropic-ratelimit-output-tokens-reset", "2015-10-21T07:01:00Z"),
        ("anthropic-ratelimit-tokens-limit", "2400000"),
        ("anthropic-ratelimit-tokens-remaining", "1999000"),
    ];
    let expected = [
        (Requests, Minute, Some(1000), Some(999), Some(1000)),
        (InputTokens, Minute, Some(2_000_000), Some(1_999_000), Some(30_000)),
        (OutputTokens, Minute, Some(400_000), Some(0), Some(60_000)),
        (Tokens, Minute, Some(2_400_000), Some(1_999_000), None),
    ];
    assert_tells(Anthropic, &headers, &expected);
}

#[test]
fn mistral_cerebras_together_and_fireworks_have_names_of_their_own() {
    let headers = [
        ("x-ratelimit-limit-req-minute", "60"),
        ("x-ratelimit-remaining-req-minute", "59"),
        ("x-ratelimit-limit-tokens-minute", "500000"),
        ("x-ratelimit-remaining-tokens-minute", "499000"),
        ("x-ratelimit-tokens-query-cost", "1000"),
    ];
    let expected = [(Requests, Minute, Some(60), Some(59), None), (Tokens, Minute, Some(500_000), Some(499_000), None)];
    assert_tells(Mistral, &headers, &expected);
    let headers = [
        ("x-ratelimit-limit-requests-day", "14400"),
        ("x-ratelimit-remaining-requests-day", "14399"),
        ("x-ratelimit-reset-requests-day", "33011.382"),
        ("x-ratelimit-limit-tokens-minute", "60000"),
        ("x-ratelimit-remaining-tokens-minute", "59000"),
        ("x-ratelimit-reset-tokens-minute", "11.382"),
    ];
    let expected = [
        (Requests, Day, Some(14_400), Some(14_399), Some(33_011_382)),
        (Tokens, Minute, Some(60_000), Some(59_000), Some(11_382)),
    ];
    assert_tells(Cerebras, &headers, &expected);
    let headers = [
        ("x-ratelimit-limit", "10"),
        ("x-ratelimit-remaining", "9"),
        ("x-ratelimit-reset", "1"),
        ("x-tokenlimit-limit", "3000.0"),
        ("x-tokenlimit-remaining", "2950.5"),
    ];
    let expected =
        [(Requests, Second, Some(10), Some(9), Some(1000)), (Tokens, Second, Some(3000), Some(2950), Some(1000))];
    assert_tells(Together, &headers, &expected);
    let headers = [
        ("x-ratelimit-limit-requests", "6000"),
        ("x-ratelimit-remaining-requests", "5999"),
        ("x-ratelimit-limit-tokens-prompt", "3600000"),
        ("x-ratelimit-remaining-tokens-prompt", "3599000"),
        ("x-ratelimit-limit-tokens-cache-adjusted-prompt", "900000"),
        ("x-ratelimit-remaining-tokens-cache-adjusted-prompt", "899000"),
        ("x-ratelimit-limit-tokens-generated", "36000"),
        ("x-ratelimit-remaining-tokens-generated", "35000"),
    ];
    let expected = [
        (Requests, Minute, Some(6000), Some(5999), None),
        (InputTokens, Minute, Some(900_000), Some(899_000), None),
        (OutputTokens, Minute, Some(36_000), Some(35_000), None),
    ];
    assert_tells(Fireworks, &headers, &expected);
}

#[test]
fn headers_of_others_tell_nothing_and_take_no_memory() {
    for profile in [Gemini, Qwen, DeepSeek, Xai, Ollama, Vllm, LmStudio, Mistral, OpenRouter] {
        let report = told(profile, OPENAI);
        assert_eq!((report.len(), report.capacity()), (0, 0), "{profile:?}");
    }
    assert_eq!(told(Generic, &[]).capacity(), 0);
}

#[test]
fn every_failure_tells_its_limits_too() {
    for (status, body) in [(429, "{}"), (500, ""), (200, ""), (200, r#"{"error":{"code":429}}"#)] {
        assert_eq!(failed_as(OpenAi, status, OPENAI, body).rate.len(), 2, "{status} {body}");
    }
    let empty = completion(r#"{"content":""}"#, r#""stop""#);
    assert_eq!(failed_as(OpenAi, 200, OPENAI, &empty).rate.len(), 2);
}

fn wait(profile: Profile, status: u16, headers: Headers<'_>, body: &str) -> Option<u64> {
    failed_as(profile, status, headers, body).retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap())
}

const USED_UP: Headers<'static> = &[
    ("x-ratelimit-limit-requests", "500"),
    ("x-ratelimit-remaining-requests", "12"),
    ("x-ratelimit-reset-requests", "1m0s"),
    ("x-ratelimit-limit-tokens", "30000"),
    ("x-ratelimit-remaining-tokens", "0"),
    ("x-ratelimit-reset-tokens", "8.5s"),
];

#[test]
fn without_a_hint_the_reset_of_what_is_used_up_is_the_wait_of_a_refusal() {
    assert_eq!(wait(OpenAi, 429, USED_UP, "{}"), Some(8500));
    assert_eq!(wait(OpenAi, 429, &[USED_UP, &[("retry-after", "2")]].concat(), "{}"), Some(2000));
    assert_eq!(wait(OpenAi, 429, USED_UP, r#"{"error":{"message":"Please try again in 15ms."}}"#), Some(15));
    assert_eq!(wait(OpenAi, 429, OPENAI, "{}"), None, "nothing is used up");
    for (status, kind) in [(500, ServerError), (402, QuotaExhausted)] {
        let error = failed_as(OpenAi, status, USED_UP, "{}");
        assert_eq!((error.failure.kind, error.retry_after), (kind, None), "it was not the limit that refused");
    }
}

#[test]
fn resets_are_waits_in_every_providers_format() {
    let openrouter = |reset: &str| {
        let headers = [
            ("date", SEVEN),
            ("x-ratelimit-limit", "20"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", reset),
        ];
        failed_as(OpenRouter, 429, &headers, "{}")
    };
    let in_milliseconds = openrouter("1445410830000");
    assert_eq!(in_milliseconds.retry_after, Some(Duration::from_secs(30)));
    assert_eq!(in_milliseconds.failure.kind, RateLimited);
    assert_eq!(openrouter("1445410830").retry_after, Some(Duration::from_secs(30)));
    let next_day = openrouter("1445472000000");
    assert_eq!((next_day.failure.kind, next_day.retry_after), (DailyQuota, Some(Duration::from_hours(17))));
    let anthropic = [
        ("date", SEVEN),
        ("anthropic-ratelimit-input-tokens-limit", "50000"),
        ("anthropic-ratelimit-input-tokens-remaining", "0"),
        ("anthropic-ratelimit-input-tokens-reset", "2015-10-21T07:00:42Z"),
    ];
    assert_eq!(wait(Anthropic, 429, &anthropic, "{}"), Some(42_000));
    let together = [("x-tokenlimit-limit", "3000"), ("x-tokenlimit-remaining", "0"), ("x-ratelimit-reset", "3")];
    assert_eq!(wait(Together, 429, &together, "{}"), Some(3000));
}

#[test]
fn a_days_limit_that_is_used_up_has_its_long_wait_whatever_the_hint() {
    let groq = [
        ("x-ratelimit-limit-requests", "14400"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "7h12m0s"),
        ("retry-after", "6"),
    ];
    let error = failed_as(Groq, 429, &groq, "{}");
    assert_eq!((error.failure.kind, error.retry_after), (DailyQuota, Some(Duration::from_mins(432))));
    let per_day = r#"[{"error":{"code":429,"details":[{"violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},{"retryDelay":"31s"}]}}]"#;
    assert_eq!(wait(Gemini, 429, &[("date", SEVEN)], per_day), Some(3_600_000), "until midnight in California");
}
