//! Calls models.
//!
//! Owns the one call: the request's body in the words of its endpoint, the HTTP exchange, and what its end means ([`crate::types::FailureKind`], the
//! wait and the limits that were told, whether it may have been billed), after the habits of its [`Profile`]. Does not
//! retry, wait, choose a model or know prices: each call is one request, and every reply comes back as received, but
//! for our own secrets in it.

mod body;
mod classify;
mod error;
mod format;
mod http;
mod images;
mod openai;
mod profile;
mod rates;
mod reading;
mod redact;
mod responses;
mod rules;
mod settings;
#[cfg(test)]
mod tests;
mod verdict;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::{Map, Value};

use crate::types::{Billing, Endpoint, Failure, FailureKind, Payload, RateReport, Usage};

pub use error::ProviderError;
pub use format::{AnswerFormat, AnswerMode};
pub use http::HttpTransport;
pub use openai::OpenAiProvider;
pub use profile::Profile;
pub use settings::{HttpVersion, ProviderSettings, Timeouts, TokenParam};

/// Something that answers requests to models: one call, no retries.
pub trait Provider: Send + Sync {
    /// Sends the request and says what came of it. Dropping the future cuts the call.
    fn call<'a>(&'a self, request: &'a ModelRequest) -> BoxFuture<'a, Result<Answer, CallError>>;
}

/// What is asked of a model.
#[derive(Clone, Debug)]
pub struct ModelRequest {
    /// The model's name on the wire.
    pub model: Arc<str>,
    /// Where it is asked.
    pub endpoint: Endpoint,
    /// What it is asked.
    pub payload: Payload,
    /// All other parameters, merged, in `OpenAI`'s names.
    pub params: Arc<Map<String, Value>>,
    /// The parameters are sent as they stand: none is left out or gets the provider's name for it.
    pub as_written: bool,
}

/// A good answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Where it was asked, in whose words the reply is.
    pub endpoint: Endpoint,
    /// The text; `None` where the model only calls tools, or gives a vector.
    pub content: Option<String>,
    /// Why the model stopped, in the provider's words.
    pub finish_reason: Option<String>,
    /// The tokens, where the provider tells them.
    pub usage: Option<Usage>,
    /// What it tells of its bill; a cost only where the provider's word on it is the truth.
    pub billing: Box<Billing>,
    /// The provider's id of the call.
    pub request_id: Option<String>,
    /// The model stopped at its output limit.
    pub truncated: bool,
    /// What the reply's headers tell of limits; mostly nothing.
    pub rate: RateReport,
    /// The reply as received.
    pub body: Bytes,
}

/// A call without a good answer.
#[derive(Clone, Debug)]
pub struct CallError {
    /// What sort of failure, and what was said.
    pub failure: Failure,
    /// How long the server asks to wait, with any status; where it refuses for a limit and asks for nothing, until that
    /// limit's reset. At most a day.
    pub retry_after: Option<Duration>,
    /// What the reply's headers tell of limits; mostly nothing.
    pub rate: RateReport,
    /// What the server says of trying again (`x-should-retry`, or an error's own word).
    pub retryable: Option<bool>,
    /// The tokens, where a reply told them although it is no answer: they are billed.
    pub usage: Option<Usage>,
    /// What it told of its bill; a cost only where the provider's word on it is the truth.
    pub billing: Billing,
    /// The provider's id of the call.
    pub request_id: Option<String>,
    /// The request was sent, and what came back does not say whether it was billed.
    pub possibly_billed: bool,
    /// The reply as received, where there was one.
    pub body: Option<Bytes>,
}

impl CallError {
    /// Nothing was sent, as a file that goes with the request cannot be read as the row was known by it. No server's error is
    /// of this kind.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        self.failure.kind == FailureKind::Template
    }
}
