//! The bodies of requests, in the words of each endpoint.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::ModelRequest;
use super::responses;
use super::settings::TokenParam;
use crate::types::{Endpoint, Form};

/// The names that the cap on output tokens has anywhere.
const CAPS: [&str; 3] = ["max_completion_tokens", "max_tokens", "max_output_tokens"];

/// Parameters whose replies we cannot read.
const NEVER_SENT: [&str; 4] = ["model", "stream", "stream_options", "background"];

/// The body of a request.
///
/// # Errors
/// Where it cannot be written as JSON.
pub(super) fn body(request: &ModelRequest, token_param: TokenParam) -> Result<Vec<u8>, serde_json::Error> {
    let cap = cap_name(request.endpoint, token_param);
    if request.endpoint == Endpoint::Responses && request.payload.form() == Form::Messages {
        let params = capped(&request.params, cap).map(|(name, value)| (name.to_owned(), value.clone())).collect();
        return serde_json::to_vec(&responses::body(&request.model, request.payload.json(), params)?);
    }
    let params =
        if request.as_written { all(&request.params).collect() } else { capped(&request.params, cap).collect() };
    serde_json::to_vec(&Body { request, params })
}

/// The endpoint's name for the cap on output tokens; `None`: it has none.
fn cap_name(endpoint: Endpoint, token_param: TokenParam) -> Option<&'static str> {
    match (endpoint, token_param) {
        (Endpoint::Embeddings, _) => None,
        (Endpoint::Responses, _) => Some("max_output_tokens"),
        (Endpoint::Completions, _) | (Endpoint::Chat, TokenParam::MaxTokens) => Some("max_tokens"),
        (Endpoint::Chat, TokenParam::MaxCompletionTokens) => Some("max_completion_tokens"),
    }
}

/// The body as it is written: `model` and what is asked first, then the parameters in the caller's order.
struct Body<'a> {
    request: &'a ModelRequest,
    params: Vec<(&'a str, &'a Value)>,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (request, field) = (self.request, self.request.endpoint.field());
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("model", &request.model)?;
        map.serialize_entry(field, request.payload.json())?;
        for (name, value) in self.params.iter().filter(|(name, _)| *name != field) {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

fn all(params: &Map<String, Value>) -> impl Iterator<Item = (&str, &Value)> {
    params.iter().map(|(name, value)| (name.as_str(), value))
}

/// The parameters that are sent, with one cap on the output under the endpoint's name for it, where it has one.
fn capped<'a>(params: &'a Map<String, Value>, cap: Option<&'static str>) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let there = |name: &&str| params.contains_key(*name);
    // Null is no cap where another name has one: what a budget sets aside is the cap that is sent.
    let says = |name: &&str| params.get(*name).is_some_and(|value| !value.is_null());
    let first = |found: &dyn Fn(&&str) -> bool| CAPS.into_iter().find(found);
    let chosen = cap.filter(|cap| says(cap)).or_else(|| first(&says)).or_else(|| first(&there));
    let sent = params.iter().filter(|(name, _)| !NEVER_SENT.contains(&name.as_str()));
    sent.filter_map(move |(name, value)| match cap {
        Some(cap) if CAPS.contains(&name.as_str()) => (Some(name.as_str()) == chosen).then_some((cap, value)),
        Some(_) | None => Some((name.as_str(), value)),
    })
}
