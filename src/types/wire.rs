//! One HTTP exchange without HTTP: what the provider room sends and what comes back.
//!
//! Both the real client and the simulator stand behind [`Transport`], so that tests on paused time take the same way
//! through classification as real replies.

use bytes::Bytes;
use futures::future::BoxFuture;
use http::HeaderMap;

/// A request as it goes out. The transport knows where to.
#[derive(Clone, Debug)]
pub struct WireRequest {
    /// The path below the base URL, such as `chat/completions`.
    pub path: &'static str,
    /// The JSON body.
    pub body: Bytes,
}

/// A reply with any status.
#[derive(Clone, Debug)]
pub struct WireReply {
    /// The HTTP status.
    pub status: u16,
    /// The reply's headers.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Bytes,
}

/// Why there is no whole reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// Nothing was sent: no connection within its time, refused, name not found, TLS failed.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The request may have arrived, but the attempt's time ran out.
    #[error("no whole answer within {0:?}")]
    Timeout(std::time::Duration),
    /// The request may have arrived, but the connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The reply is larger than the cap, in bytes.
    #[error("the reply is over {0} bytes")]
    TooLarge(usize),
}

/// One exchange with a provider.
pub trait Transport: Send + Sync {
    /// Sends the request and reads the whole reply. Dropping the future cuts the call.
    fn send(&self, request: WireRequest) -> BoxFuture<'_, Result<WireReply, TransportError>>;
}
