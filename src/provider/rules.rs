//! What a status and an error's words mean, as data: the first rule that fits decides.
//!
//! The rules come from the providers' documents and from errors seen. Most hold for every provider, as most are met
//! through gateways that pass errors on; where the same words mean different things, a rule holds for some profiles only.
//! Codes and types come before messages, and a message is searched only where its status is the expected one: it may
//! repeat the prompt. Everything is compared in lower case; `*` in a pattern stands for anything.

use std::ops::RangeInclusive;

use super::profile::Profile::{
    self, Anthropic, Cerebras, Fireworks, Gemini, Generic, Groq, Mistral, OpenAi, OpenRouter, Qwen, Together, Xai,
};
use crate::types::FailureKind::{
    self, Auth, ContentFilter, ContextLength, DailyQuota, InvalidRequest, MalformedReply, ModelNotFound, Overloaded,
    Permission, QuotaExhausted, RateLimited, Refusal, ServerError, Timeout, TooLarge,
};

/// One row of the table.
pub(super) struct Rule {
    pub(super) of: Of,
    pub(super) statuses: &'static [RangeInclusive<u16>],
    /// All of these must hold.
    pub(super) when: &'static [When],
    pub(super) kind: FailureKind,
}

/// Whose errors a rule is for.
pub(super) enum Of {
    /// All.
    Any,
    /// These alone.
    Only(&'static [Profile]),
}

/// What else must hold, beside profile and status.
pub(super) enum When {
    /// A code, type or status word holds one of these.
    Code(&'static [&'static str]),
    /// The message holds one of these.
    Text(&'static [&'static str]),
    /// The header has this value.
    Header(&'static str, &'static str),
    /// The server tells a wait.
    TellsWait,
    /// It tells none.
    TellsNoWait,
    /// The request alone is over a limit per minute: it can never be let through.
    OverLimitAlone,
    /// The headers tell that nothing is left of a limit per day.
    DayIsUsedUp,
    /// The reply is empty.
    NoBody,
}

use When::{Code, DayIsUsedUp, Header, NoBody, OverLimitAlone, TellsNoWait, TellsWait, Text};

type Statuses = &'static [RangeInclusive<u16>];

const fn any(statuses: Statuses, when: &'static [When], kind: FailureKind) -> Rule {
    Rule { of: Of::Any, statuses, when, kind }
}

const fn only(profiles: &'static [Profile], statuses: Statuses, when: &'static [When], kind: FailureKind) -> Rule {
    Rule { of: Of::Only(profiles), statuses, when, kind }
}

/// What may stand before any other provider, and wraps that one's errors into its own.
const RELAYS: &[Profile] = &[Generic, OpenAi, OpenRouter];

const BAD: Statuses = &[400..=400];
const MONEY: Statuses = &[400..=401, 403..=403, 429..=429];
const PAYMENT: Statuses = &[402..=402];
const THROTTLE: Statuses = &[429..=429];
const TOO_LONG_AT: Statuses = &[400..=400, 403..=403, 413..=413, 422..=422, 500..=500];
const REFUSED_AT: Statuses = &[400..=400, 403..=403];
const MODEL_AT: Statuses = &[400..=400, 403..=403, 422..=422];

/// The table.
#[rustfmt::skip]
pub(super) static RULES: &[Rule] = &[
    // Limits, money and what looks like one and is the other.
    only(&[Qwen], THROTTLE, &[], RateLimited),
    // Its `insufficient_quota` is a throttle that is over in a minute, also behind a gateway; elsewhere it means that money ran out.
    any(THROTTLE, &[Code(&["insufficient_quota"]), Text(&["aliyun", "alibabacloud", "dashscope"])], RateLimited),
    any(THROTTLE, &[Code(&["throttling.allocationquota"])], RateLimited),
    only(&[Mistral], THROTTLE, &[Header("x-ratelimit-limit-req-minute", "0")], Permission),
    only(&[Gemini], PAYMENT, &[], QuotaExhausted),
    any(PAYMENT, &[Code(&["in_flight_budget"])], RateLimited),
    only(RELAYS, PAYMENT, &[TellsWait], RateLimited),
    any(PAYMENT, &[], QuotaExhausted),
    any(&[403..=403], &[Code(&["openrouter_credits", "key_limit", "workspace_budget", "guardrail_budget"])], QuotaExhausted),
    any(MONEY, &[Code(OUT_OF_MONEY)], QuotaExhausted),
    only(&[Xai, Generic, OpenAi, OpenRouter], &[403..=403, 429..=429], &[Text(&["used all available credits", "spending limit"])], QuotaExhausted),
    only(&[Anthropic, Generic, OpenAi, OpenRouter], BAD, &[Text(ANTHROPIC_MONEY)], QuotaExhausted),
    only(&[Anthropic], THROTTLE, &[TellsNoWait, Text(&["spend"])], QuotaExhausted),
    only(RELAYS, &[400..=400, 429..=429], &[Text(&["budget has been exceeded"])], QuotaExhausted),
    only(&[Fireworks], &[412..=412], &[], QuotaExhausted),
    any(&[412..=412], &[Text(&["suspended"])], QuotaExhausted),
    any(THROTTLE, &[OverLimitAlone], TooLarge),
    any(BAD, &[Code(&["servicequotaexceeded", "throttlingexception"])], RateLimited),
    any(BAD, &[Header("x-amzn-errortype", "ServiceQuotaExceededException")], RateLimited),
    any(THROTTLE, &[Code(&["perday"])], DailyQuota),
    any(THROTTLE, &[Text(PER_DAY)], DailyQuota),
    any(THROTTLE, &[DayIsUsedUp], DailyQuota),
    any(THROTTLE, &[], RateLimited),

    // The key and the model.
    any(REFUSED_AT, &[Code(BAD_KEY)], Auth),
    only(&[Gemini, Generic, OpenAi, OpenRouter], BAD, &[Text(&["api key not valid"])], Auth),
    only(&[Xai, Generic, OpenAi, OpenRouter], BAD, &[Text(&["incorrect api key"])], Auth),
    any(&[401..=401, 407..=407], &[], Auth),
    any(&[404..=404, 410..=410], &[], ModelNotFound),
    any(MODEL_AT, &[Code(&["model_not_found", "modelnotfound", "deploymentnotfound"])], ModelNotFound),
    only(RELAYS, BAD, &[Text(&["invalid model name passed in model=", "provided model identifier is invalid"])], ModelNotFound),

    // What the request holds.
    any(BAD, &[Code(&["string_above_max_length"])], InvalidRequest),
    any(BAD, &[Text(&["invalid 'user'"])], InvalidRequest),
    any(TOO_LONG_AT, &[Code(&["context_length_exceeded", "exceed_context_size_error"])], ContextLength),
    only(&[Together], &[403..=403], &[Text(&["context length", "max_tokens", "max_new_tokens"])], ContextLength),
    only(&[Cerebras], &[400..=400, 413..=413], &[NoBody], ContextLength),
    any(TOO_LONG_AT, &[Text(TOO_LONG)], ContextLength),
    any(REFUSED_AT, &[Code(FILTERED)], ContentFilter),
    only(&[OpenRouter], &[403..=403], &[Code(&["metadata.reasons", "metadata.patterns", "metadata.flagged_input"])], ContentFilter),
    only(&[OpenRouter], REFUSED_AT, &[Code(&["refusal"])], Refusal),
    only(RELAYS, REFUSED_AT, &[Text(FILTERED_IN_WORDS)], ContentFilter),
    any(&[413..=413], &[], TooLarge),
    // The model wrote what the provider could not read: the next try may be better.
    only(&[Groq], BAD, &[Code(&["tool_use_failed", "json_validate_failed"])], MalformedReply),

    // The server.
    any(&[498..=498, 503..=503, 529..=529], &[], Overloaded),
    any(&[500..=599], &[Code(&["overloaded", "provider_unavailable"])], Overloaded),
    any(&[408..=409, 425..=425, 499..=499, 504..=504, 524..=524], &[], Timeout),
    any(&[500..=999], &[], ServerError),

    any(&[403..=403, 451..=451], &[], Permission),
    // A redirect is not followed, as it may lead the key elsewhere: nothing answers at this URL.
    any(&[300..=399], &[], ModelNotFound),
    any(&[400..=499], &[], InvalidRequest),
];

const OUT_OF_MONEY: &[&str] = &[
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "enforced_spend_limit_reached",
    "contract_spend_limit_reached",
    "arrearage",
    "allocationquota.freetieronly",
    "budget_exceeded",
];

const ANTHROPIC_MONEY: &[&str] =
    &["specified api usage limits", "specified workspace api usage limits", "credit balance is too low"];

const PER_DAY: &[&str] = &["per day", "per-day", "perday", "(rpd)", "(tpd)", "daily limit", "daily quota"];

const BAD_KEY: &[&str] =
    &["api_key_invalid", "invalid_api_key", "no_db_connection", "auth_error", "expired_key", "token_not_found_in_db"];

const FILTERED: &[&str] = &[
    "content_filter",
    "responsibleaipolicyviolation",
    "content_policy_violation",
    "invalid_prompt",
    "data_inspection_failed",
    "datainspectionfailed",
];

const FILTERED_IN_WORDS: &[&str] = &[
    "content_filter",
    "content_policy_violation",
    "contentpolicyviolation",
    "responsibleaipolicyviolation",
    "data_inspection_failed",
    "datainspectionfailed",
    "requires moderation",
];

pub(super) const TOO_LONG: &[&str] = &[
    "maximum context length is",
    "prompt is too long",
    "exceed context limit",
    "exceeds the maximum number of tokens allowed",
    "exceeds the available context size",
    "context size has been exceeded",
    "is longer than the model's context length",
    "max_tokens must be at least 1, got -",
    "current length is*while limit is",
    "too many tokens",
    "input is too long",
    "too many input tokens",
    "range of input length should be",
    "maximum prompt length is*but the request contains",
    "prompt too long; exceeded",
    "greater than the context length",
    "configured context size",
    "context window exceeds limit",
    "exceeded model token limit",
    "inputs*must be <= ",
    "must be <= *inputs",
    "max_new_tokens*must be <= ",
    "must be less than the context length",
    "context_length_exceeded",
    "contextwindowexceeded",
];

/// The status that an error within a good reply would have had, by its code or type.
pub(super) const STATUS_OF_CODE: &[(&str, u16)] = &[
    ("rate_limit", 429),
    ("resource_exhausted", 429),
    ("insufficient_quota", 429),
    ("overloaded", 503),
    ("unavailable", 503),
    ("timeout", 504),
    ("authentication", 401),
    ("permission", 403),
    ("not_found", 404),
    ("content_filter", 400),
    ("content_policy", 400),
    ("context_length", 400),
    ("invalid_request", 400),
    ("invalid_argument", 400),
    ("bad_request", 400),
];
