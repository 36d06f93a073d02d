//! The chat completions protocol: `OpenAI`'s, which nearly all providers and servers speak.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::classify;
use super::profile::Profile;
use super::settings::TokenParam;
use super::{Answer, CallError, ModelRequest, Provider};
use crate::types::{Billing, Failure, FailureKind, RateReport, Transport, TransportError, WireReply, WireRequest};

const PATH: &str = "chat/completions";

/// Parameters that we make ourselves, or whose replies we cannot read.
const NEVER_SENT: [&str; 4] = ["model", "messages", "stream", "stream_options"];

/// A provider that speaks chat completions over any transport.
pub struct ChatProvider {
    transport: Arc<dyn Transport>,
    profile: Profile,
    token_param: TokenParam,
}

impl ChatProvider {
    /// A provider behind this transport, which has these habits and caps the output by this parameter.
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>, profile: Profile, token_param: TokenParam) -> Self {
        Self { transport, profile, token_param }
    }

    async fn exchange(&self, request: &ModelRequest) -> Result<Answer, CallError> {
        let body =
            serde_json::to_vec(&Body { request, token_param: self.token_param }).map_err(|error| unwritable(&error))?;
        let sent = self.transport.send(WireRequest { path: PATH, body: Bytes::from(body) }).await;
        let reply: WireReply = sent.map_err(|error| no_reply(&error))?;
        classify::read(self.profile, &reply).map_err(|error| *error)
    }
}

impl Provider for ChatProvider {
    fn call<'a>(&'a self, request: &'a ModelRequest) -> BoxFuture<'a, Result<Answer, CallError>> {
        self.exchange(request).boxed()
    }
}

/// The body as it is written: `model` and `messages` first, then the parameters in the caller's order.
struct Body<'a> {
    request: &'a ModelRequest,
    token_param: TokenParam,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let params = &self.request.params;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("model", &self.request.model)?;
        map.serialize_entry("messages", &self.request.messages)?;
        let (taken, other) = match self.token_param {
            TokenParam::MaxTokens => ("max_tokens", "max_completion_tokens"),
            TokenParam::MaxCompletionTokens => ("max_completion_tokens", "max_tokens"),
        };
        for (name, value) in params.iter().filter(|(name, _)| !NEVER_SENT.contains(&name.as_str())) {
            if name != other {
                map.serialize_entry(name, value)?;
            } else if !params.contains_key(taken) {
                map.serialize_entry(taken, value)?;
            }
        }
        map.end()
    }
}

fn unwritable(error: &serde_json::Error) -> CallError {
    let failure = Failure::new(FailureKind::InvalidRequest, format!("cannot write the request as JSON: {error}"));
    call_error(failure, false)
}

fn no_reply(error: &TransportError) -> CallError {
    let (kind, sent) = match error {
        TransportError::Connect(_) => (FailureKind::Connection, false),
        TransportError::Timeout(_) => (FailureKind::Timeout, true),
        TransportError::Broken(_) => (FailureKind::Connection, true),
        TransportError::TooLarge(_) => (FailureKind::MalformedReply, true),
    };
    call_error(Failure::new(kind, error.to_string()), sent)
}

fn call_error(failure: Failure, possibly_billed: bool) -> CallError {
    CallError {
        failure,
        retry_after: None,
        rate: RateReport::new(),
        retryable: None,
        usage: None,
        billing: Billing::default(),
        request_id: None,
        possibly_billed,
        body: None,
    }
}
