//! The real transport: HTTP over reqwest.

use std::error::Error as _;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, Request, Response, Url, redirect, retry};

use super::error::ProviderError;
use super::redact::Redactor;
use super::settings::{HttpVersion, ProviderSettings};
use crate::types::{Endpoint, Transport, TransportError, WireReply, WireRequest};

/// A reply over this many bytes is not read on: no completion is that long, and memory is bounded.
const MAX_REPLY: usize = 64 * 1024 * 1024;

/// Sends requests to one provider.
///
/// One request is one exchange: nothing is retried or redirected here. Proxies come from the environment; loopback is
/// never proxied.
pub struct HttpTransport {
    client: Client,
    base: Url,
    headers: HeaderMap,
    /// Those of the endpoints, ready but for a body: what is the same in all calls is put together once.
    requests: Vec<(&'static str, Request)>,
    redactor: Redactor,
    attempt: Duration,
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither headers nor the whole URL: both may hold secrets.
        f.debug_struct("HttpTransport").field("to", &place(&self.base)).finish_non_exhaustive()
    }
}

impl HttpTransport {
    /// A transport that keeps up to `max_in_flight` connections open, where the settings do not say how many.
    ///
    /// # Errors
    /// Where the base URL or a header cannot be used, or there are no root certificates for `https`.
    pub fn new(settings: &ProviderSettings, max_in_flight: usize) -> Result<Self, ProviderError> {
        let base = base_url(settings)?;
        let headers = headers(settings)?;
        let unusable = |error: reqwest::Error| ProviderError::Client {
            provider: settings.name.clone(),
            message: chain(&error.without_url()),
        };
        let client = client(settings, &base, max_in_flight).build().map_err(unusable)?;
        let redactor = Redactor::new(settings);
        let attempt = settings.timeouts.attempt;
        let mut transport = Self { client, base, headers, requests: Vec::new(), redactor, attempt };
        for path in Endpoint::ALL.map(Endpoint::path) {
            transport.requests.push((path, transport.request(path).map_err(unusable)?));
        }
        Ok(transport)
    }

    /// A request to this path, without a body.
    fn request(&self, path: &str) -> reqwest::Result<Request> {
        let known = self.requests.iter().find(|(known, _)| *known == path).and_then(|(_, request)| request.try_clone());
        let made = || self.client.post(below(&self.base, path)).headers(self.headers.clone()).build();
        known.map_or_else(made, Ok)
    }

    async fn exchange(&self, request: WireRequest) -> Result<WireReply, TransportError> {
        let mut call = self.request(request.path).map_err(|error| self.broken(error))?;
        *call.body_mut() = Some(request.body.into());
        let mut response = self.client.execute(call).await.map_err(|error| self.broken(error))?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let body = self.body(response).await?;
        Ok(self.redactor.clean(WireReply { status, headers, body }))
    }

    async fn body(&self, mut response: Response) -> Result<Bytes, TransportError> {
        let told = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        if told > MAX_REPLY {
            return Err(TransportError::TooLarge(MAX_REPLY));
        }
        let mut whole = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(error))? {
            if whole.is_empty() && chunk.len() == told {
                return Ok(chunk);
            }
            if whole.len() + chunk.len() > MAX_REPLY {
                return Err(TransportError::TooLarge(MAX_REPLY));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    fn broken(&self, error: reqwest::Error) -> TransportError {
        let error = error.without_url();
        if error.is_connect() {
            return TransportError::Connect(format!("{}: {}", place(&self.base), chain(&error)));
        }
        if error.is_timeout() {
            return TransportError::Timeout(self.attempt);
        }
        TransportError::Broken(chain(&error))
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: WireRequest) -> BoxFuture<'_, Result<WireReply, TransportError>> {
        async move {
            let whole = tokio::time::timeout(self.attempt, self.exchange(request)).await;
            whole.unwrap_or(Err(TransportError::Timeout(self.attempt)))
        }
        .boxed()
    }
}

fn client(settings: &ProviderSettings, base: &Url, max_in_flight: usize) -> ClientBuilder {
    // Fails only where the process has chosen its cryptography before: then that one is used.
    let _chosen_before = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("overnight/", env!("CARGO_PKG_VERSION")))
        .retry(retry::never())
        .redirect(redirect::Policy::none())
        .referer(false)
        .tcp_nodelay(true)
        .pool_max_idle_per_host(settings.connections.unwrap_or(max_in_flight))
        .connect_timeout(settings.timeouts.connect);
    builder = match (settings.http, base.scheme()) {
        (HttpVersion::Auto | HttpVersion::One, _) => builder.http1_only(),
        (HttpVersion::Two, "http") => builder.http2_prior_knowledge(),
        // Client and server agree on it as the connection is made.
        (HttpVersion::Two, _) => builder,
    };
    if is_loopback(base) {
        builder = builder.no_proxy();
    }
    if base.scheme() == "http" {
        // Reading the system's certificates takes time, and fails where there are none (bare containers).
        builder = builder.tls_certs_only([]);
    }
    builder
}

fn base_url(settings: &ProviderSettings) -> Result<Url, ProviderError> {
    let wrong = |message: &str| ProviderError::BaseUrl { provider: settings.name.clone(), message: message.to_owned() };
    let url = Url::parse(settings.base_url.trim()).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("it must begin with http:// or https://"));
    }
    Ok(url)
}

/// The base URL with a path below its own; a query (`?api-version=...`) stays.
fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path.split('/'));
    }
    url
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.ends_with(".localhost") || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Host and port: what an error may show of a URL.
fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn headers(settings: &ProviderSettings) -> Result<HeaderMap, ProviderError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(key) = &settings.api_key {
        let value = HeaderValue::from_str(&format!("Bearer {}", key.expose().trim()));
        let value = value.map_err(|_| ProviderError::ApiKey { provider: settings.name.clone() })?;
        headers.insert(AUTHORIZATION, sensitive(value));
    }
    for (header, value) in &settings.headers {
        let wrong = |message: &str| ProviderError::Header {
            provider: settings.name.clone(),
            header: header.clone(),
            message: message.to_owned(),
        };
        let name = HeaderName::from_bytes(header.as_bytes()).map_err(|_| wrong("no header may have this name"))?;
        let value = HeaderValue::from_str(value.expose())
            .map_err(|_| wrong("its value holds a character that no header may hold (a line break?)"))?;
        headers.insert(name, sensitive(value));
    }
    Ok(headers)
}

fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// What went wrong in one line: the causes from the outside in, without reqwest's own word ("error sending request").
fn chain(error: &reqwest::Error) -> String {
    let mut told: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !text.starts_with("client error (") && !told.iter().any(|before| before.contains(&text)) {
            told.push(text);
        }
        cause = error.source();
    }
    if told.is_empty() { error.to_string() } else { told.join(": ") }
}
