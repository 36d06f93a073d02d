//! How a call or a row can fail, as plain data.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Every way in which a call or a row fails. What follows from a kind is decided in `retry`, by nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The record cannot be read: broken JSON, too few columns, invalid UTF-8, over `max_row`.
    BadRow,
    /// The template cannot be rendered: a missing column, an empty prompt.
    Template,
    /// The row's task type has no table, and there is no `[tasks.default]`.
    NoRoute,
    /// 429 and its like: too many requests or tokens for now.
    RateLimited,
    /// The provider has no capacity for now (503, 529).
    Overloaded,
    /// The provider failed (500, 502, ...).
    ServerError,
    /// No answer within the attempt's time.
    Timeout,
    /// No connection, or one that broke before the reply was whole.
    Connection,
    /// A reply with a good status that cannot be understood.
    MalformedReply,
    /// A reply with neither text nor tool calls.
    Empty,
    /// The request is longer than the model's context.
    ContextLength,
    /// The request is larger than the provider takes, or than its token limit can ever let through.
    TooLarge,
    /// The provider's filter stopped the request or the answer.
    ContentFilter,
    /// The model refused.
    Refusal,
    /// The provider does not take the request as it is.
    InvalidRequest,
    /// The key is wrong or missing.
    Auth,
    /// The key may not use this model.
    Permission,
    /// No money or no quota left.
    QuotaExhausted,
    /// The day's quota is used up.
    DailyQuota,
    /// The provider does not know the model.
    ModelNotFound,
    /// The answer does not fit the task's rules.
    InvalidAnswer,
    /// The row's own clock ran out (`timeout.row`).
    RowTimeout,
}

impl FailureKind {
    /// All kinds, in the order of their numbers on disk: append only.
    pub const ALL: [Self; 22] = [
        Self::BadRow,
        Self::Template,
        Self::NoRoute,
        Self::RateLimited,
        Self::Overloaded,
        Self::ServerError,
        Self::Timeout,
        Self::Connection,
        Self::MalformedReply,
        Self::Empty,
        Self::ContextLength,
        Self::TooLarge,
        Self::ContentFilter,
        Self::Refusal,
        Self::InvalidRequest,
        Self::Auth,
        Self::Permission,
        Self::QuotaExhausted,
        Self::DailyQuota,
        Self::ModelNotFound,
        Self::InvalidAnswer,
        Self::RowTimeout,
    ];

    /// The kind's number on disk.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The kind with this number on disk.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The name in errors, reports and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BadRow => "bad_row",
            Self::Template => "template",
            Self::NoRoute => "no_route",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::ServerError => "server_error",
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::MalformedReply => "malformed_reply",
            Self::Empty => "empty",
            Self::ContextLength => "context_length",
            Self::TooLarge => "too_large",
            Self::ContentFilter => "content_filter",
            Self::Refusal => "refusal",
            Self::InvalidRequest => "invalid_request",
            Self::Auth => "auth",
            Self::Permission => "permission",
            Self::QuotaExhausted => "quota_exhausted",
            Self::DailyQuota => "daily_quota",
            Self::ModelNotFound => "model_not_found",
            Self::InvalidAnswer => "invalid_answer",
            Self::RowTimeout => "row_timeout",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a row or a call failed, as the errors file tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What sort of failure.
    pub kind: FailureKind,
    /// The HTTP status, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What the provider or the check said, in words.
    pub message: String,
}

impl Failure {
    /// A failure without an HTTP status.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, status: None, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_one_to_one() {
        for (index, kind) in FailureKind::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(kind.code()), index);
            assert_eq!(FailureKind::from_code(kind.code()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        assert_eq!(FailureKind::from_code(22), None);
    }
}
