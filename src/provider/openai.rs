//! `OpenAI`'s protocol, which nearly all providers and servers speak.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::body::body;
use super::classify;
use super::images;
use super::profile::Profile;
use super::settings::TokenParam;
use super::{Answer, CallError, ModelRequest, Provider};
use crate::types::{
    Billing, Failure, FailureKind, Money, RateReport, Transport, TransportError, WireReply, WireRequest,
};

/// A provider that speaks it over any transport.
pub struct OpenAiProvider {
    transport: Arc<dyn Transport>,
    profile: Profile,
    token_param: TokenParam,
    cost_header: Option<String>,
}

impl OpenAiProvider {
    /// A provider behind this transport, which has these habits and caps the output by this parameter.
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>, profile: Profile, token_param: TokenParam) -> Self {
        Self { transport, profile, token_param, cost_header: None }
    }

    /// The same, but what this header of its replies says of their cost in USD is believed.
    #[must_use]
    pub fn believing(self, cost_header: Option<String>) -> Self {
        Self { cost_header, ..self }
    }

    async fn exchange(&self, request: &ModelRequest) -> Result<Answer, CallError> {
        let body = body(request, self.token_param).map_err(|error| unwritable(&error))?;
        let body =
            images::inline(body, request.payload.images()).await.map_err(|failure| call_error(failure, false))?;
        let sent = self.transport.send(WireRequest { path: request.endpoint.path(), body: Bytes::from(body) }).await;
        let reply: WireReply = sent.map_err(|error| no_reply(&error))?;
        let mut read = classify::read(self.profile, request.endpoint, &reply).map_err(|error| *error);
        if let Some(cost) = self.told_cost(&reply) {
            match &mut read {
                Ok(answer) => answer.billing.cost = Some(cost),
                Err(error) => error.billing.cost = Some(cost),
            }
        }
        read
    }

    /// What the header says. Proxies write `None` or 0 where they do not know: no cost that is unknown passes for none.
    fn told_cost(&self, reply: &WireReply) -> Option<Money> {
        let told = reply.headers.get(self.cost_header.as_deref()?)?.to_str().ok()?;
        Money::from_decimal(told.trim(), 0).filter(|cost| *cost > Money::ZERO)
    }
}

impl Provider for OpenAiProvider {
    fn call<'a>(&'a self, request: &'a ModelRequest) -> BoxFuture<'a, Result<Answer, CallError>> {
        self.exchange(request).boxed()
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
