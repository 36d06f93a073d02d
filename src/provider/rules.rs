//! What a status and an error's words mean, as data: the first rule that fits decides.
//!
//! The rules come from the providers' documents and from errors seen. They go by what an error says, not by who says it:
//! most providers are met through gateways. Texts are compared in lower case; `*` in a pattern stands for anything.

use std::ops::RangeInclusive;

use crate::types::FailureKind;

/// One row of the table.
pub(super) struct Rule {
    pub(super) statuses: &'static [RangeInclusive<u16>],
    pub(super) when: When,
    pub(super) kind: FailureKind,
}

/// What else must hold, beside the status.
pub(super) enum When {
    /// Nothing.
    Always,
    /// Codes or message hold one of these.
    Says(&'static [&'static str]),
    /// The server tells a wait.
    TellsWait,
    /// The request alone is over a limit per minute: it can never be let through.
    OverLimitAlone,
}

const fn rule(statuses: &'static [RangeInclusive<u16>], when: When, kind: FailureKind) -> Rule {
    Rule { statuses, when, kind }
}

/// The table.
pub(super) const RULES: &[Rule] = &[
    // DashScope says `insufficient_quota` for a throttle that is over in a minute; elsewhere it means that money ran out.
    rule(&[429..=429], When::Says(DASHSCOPE_THROTTLE), FailureKind::RateLimited),
    rule(&[400..=401, 403..=403, 429..=429], When::Says(OUT_OF_MONEY), FailureKind::QuotaExhausted),
    rule(&[429..=429], When::OverLimitAlone, FailureKind::TooLarge),
    rule(&[402..=402], When::TellsWait, FailureKind::RateLimited),
    rule(&[402..=402], When::Always, FailureKind::QuotaExhausted),
    rule(&[412..=412], When::Says(&["suspended"]), FailureKind::QuotaExhausted),
    rule(&[400..=400], When::Says(BAD_KEY), FailureKind::Auth),
    rule(&[401..=401], When::Always, FailureKind::Auth),
    rule(&[404..=404, 410..=410], When::Always, FailureKind::ModelNotFound),
    rule(&[400..=400, 403..=403, 422..=422], When::Says(UNKNOWN_MODEL), FailureKind::ModelNotFound),
    rule(&[400..=400], When::Says(&["string_above_max_length", "invalid 'user'"]), FailureKind::InvalidRequest),
    rule(&[400..=400, 403..=403, 413..=413, 422..=422, 500..=500], When::Says(TOO_LONG), FailureKind::ContextLength),
    rule(&[400..=400, 403..=403], When::Says(FILTERED), FailureKind::ContentFilter),
    rule(&[413..=413], When::Always, FailureKind::TooLarge),
    rule(&[400..=400], When::Says(&["servicequotaexceeded", "throttlingexception"]), FailureKind::RateLimited),
    rule(&[429..=429], When::Says(PER_DAY), FailureKind::DailyQuota),
    rule(&[429..=429], When::Always, FailureKind::RateLimited),
    rule(&[498..=498, 503..=503, 529..=529], When::Always, FailureKind::Overloaded),
    rule(&[500..=599], When::Says(&["overloaded_error", "server_is_overloaded"]), FailureKind::Overloaded),
    rule(&[408..=409, 425..=425, 499..=499, 504..=504, 524..=524], When::Always, FailureKind::Timeout),
    rule(&[500..=599], When::Always, FailureKind::ServerError),
    rule(&[403..=403], When::Always, FailureKind::Permission),
    // A redirect is not followed, as it may lead the key elsewhere: nothing answers at this URL.
    rule(&[300..=399], When::Always, FailureKind::ModelNotFound),
];

const DASHSCOPE_THROTTLE: &[&str] = &[
    "insufficient_quota*aliyun",
    "insufficient_quota*alibabacloud",
    "insufficient_quota*dashscope",
    "throttling.allocationquota",
];

const OUT_OF_MONEY: &[&str] = &[
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "enforced_spend_limit_reached",
    "contract_spend_limit_reached",
    "specified api usage limits",
    "specified workspace api usage limits",
    "credit balance is too low",
    "arrearage",
    "allocationquota.freetieronly",
    "used all available credits",
    "spending limit",
    "budget_exceeded",
];

const BAD_KEY: &[&str] = &[
    "api_key_invalid",
    "api key not valid",
    "incorrect api key",
    "no_db_connection",
    "auth_error",
    "expired_key",
    "token_not_found_in_db",
];

const UNKNOWN_MODEL: &[&str] = &["invalid model name passed in model=", "model_not_found"];

const FILTERED: &[&str] = &[
    "content_filter",
    "responsibleaipolicyviolation",
    "content_policy_violation",
    "invalid_prompt",
    "data_inspection_failed",
    "datainspectionfailed",
    "moderation",
];

const PER_DAY: &[&str] = &["per day", "perday", "(rpd)", "(tpd)", "daily limit", "daily quota"];

const TOO_LONG: &[&str] = &[
    "context_length_exceeded",
    "maximum context length is",
    "prompt is too long",
    "exceed context limit",
    "exceeds the maximum number of tokens allowed",
    "exceed_context_size_error",
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
