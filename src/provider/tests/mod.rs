//! What replies mean, how requests look, and what HTTP does to both.

mod bills;
mod chat;
mod endpoints;
mod errors;
mod http;
mod profiles;
mod rates;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{Answer, CallError, ModelRequest, OpenAiProvider, Profile, Provider, TokenParam};
use crate::types::{Endpoint, Payload, Transport, TransportError, WireReply, WireRequest};

/// Answers each request with the same reply, and keeps what was sent.
struct Canned {
    reply: Result<WireReply, TransportError>,
    sent: Mutex<Vec<WireRequest>>,
}

impl Canned {
    fn new(reply: Result<WireReply, TransportError>) -> Arc<Self> {
        Arc::new(Self { reply, sent: Mutex::new(Vec::new()) })
    }

    fn body(&self) -> String {
        String::from_utf8(self.sent.lock().unwrap()[0].body.to_vec()).unwrap()
    }
}

impl Transport for Canned {
    fn send(&self, request: WireRequest) -> BoxFuture<'_, Result<WireReply, TransportError>> {
        self.sent.lock().unwrap().push(request);
        std::future::ready(self.reply.clone()).boxed()
    }
}

fn reply(status: u16, headers: &[(&'static str, &str)], body: &str) -> WireReply {
    let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    WireReply { status, headers, body: Bytes::copy_from_slice(body.as_bytes()) }
}

fn request(params: Value) -> ModelRequest {
    let params: Map<String, Value> = serde_json::from_value(params).unwrap();
    let messages = RawValue::from_string(r#"[{"role":"user","content":"hi"}]"#.to_owned()).unwrap();
    let payload = Payload::messages(messages);
    ModelRequest { model: "m".into(), endpoint: Endpoint::Chat, payload, params: Arc::new(params), as_written: false }
}

fn call(reply: Result<WireReply, TransportError>) -> Result<Answer, Box<CallError>> {
    call_as(Profile::Generic, reply)
}

fn call_as(profile: Profile, reply: Result<WireReply, TransportError>) -> Result<Answer, Box<CallError>> {
    let provider = OpenAiProvider::new(Canned::new(reply), profile, TokenParam::MaxTokens);
    let request = request(json!({}));
    provider.call(&request).now_or_never().unwrap().map_err(Box::new)
}

fn failed(status: u16, headers: &[(&'static str, &str)], body: &str) -> CallError {
    failed_as(Profile::Generic, status, headers, body)
}

fn failed_as(profile: Profile, status: u16, headers: &[(&'static str, &str)], body: &str) -> CallError {
    *call_as(profile, Ok(reply(status, headers, body))).unwrap_err()
}
