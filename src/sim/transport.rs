//! The face for tests on paused time: no sockets.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::types::{Transport, TransportError, WireReply, WireRequest};

use super::core::{Delivery, Sim};

/// The simulator as a [`Transport`].
#[derive(Clone, Debug)]
pub struct SimTransport {
    sim: Arc<Sim>,
    key: Option<String>,
}

impl SimTransport {
    /// Calls without an API key.
    #[must_use]
    pub fn new(sim: Arc<Sim>) -> Self {
        Self { sim, key: None }
    }

    /// Calls with this API key.
    #[must_use]
    pub fn with_key(sim: Arc<Sim>, key: impl Into<String>) -> Self {
        Self { sim, key: Some(key.into()) }
    }

    async fn exchange(&self, request: WireRequest) -> Result<WireReply, TransportError> {
        let Some(mut call) = self.sim.arrive(request.path, self.key.as_deref(), &request.body) else {
            return Err(TransportError::Connect("connection refused (simulated outage)".to_owned()));
        };
        let reply = call.reply().await;
        match call.delivery {
            Delivery::Cut => {
                return Err(TransportError::Broken("reset in the middle of the body (simulated)".to_owned()));
            }
            Delivery::Slow => tokio::time::sleep(call.slowness()).await,
            Delivery::Whole | Delivery::Never => {}
        }
        call.complete();
        Ok(reply)
    }
}

impl Transport for SimTransport {
    fn send(&self, request: WireRequest) -> BoxFuture<'_, Result<WireReply, TransportError>> {
        self.exchange(request).boxed()
    }
}
