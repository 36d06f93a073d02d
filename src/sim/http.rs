//! The face that speaks HTTP.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::types::WireReply;

use super::body::SimBody;
use super::core::{Delivery, Sim};
use super::error::{ApiError, json_reply};
use super::model;

/// By so much the runtime's timers end late on average: they go by whole milliseconds, and so does the kernel's wait below.
const LATENESS: Duration = Duration::from_micros(1500);

/// Larger requests are refused.
const MAX_BODY: usize = 256 << 20;

/// Serves HTTP/1.1 until `stop` is done; then open connections are cut.
///
/// Paths: `POST */chat/completions`, `*/completions`, `*/embeddings` and `*/responses`, `GET */models`, `GET /_sim/ledger`, `GET /_sim/health`. While an outage refuses
/// connections, the port is closed: connections in use end with their call.
///
/// # Errors
/// The listener's address cannot be read, or the port cannot be opened again after an outage.
pub async fn serve(sim: Arc<Sim>, listener: TcpListener, stop: impl Future<Output = ()> + Send) -> io::Result<()> {
    tokio::select! {
        ended = serve_forever(&sim, listener) => ended,
        () = stop => Ok(()),
    }
}

async fn serve_forever(sim: &Arc<Sim>, mut listener: TcpListener) -> io::Result<()> {
    let address = listener.local_addr()?;
    let mut connections = JoinSet::new();
    loop {
        let refusal = sim.next_refusal();
        let (closing, closed) = watch::channel(());
        accept(sim, &listener, refusal.map(|(from, _)| from), &mut connections, &closed).await;
        drop((listener, closing));
        // `accept` only ends for a refusal.
        let Some((_, end)) = refusal else { return Ok(()) };
        sleep_until(end).await;
        listener = TcpListener::bind(address).await?;
    }
}

/// Takes connections until it is time to refuse them.
async fn accept(
    sim: &Arc<Sim>,
    listener: &TcpListener,
    until: Option<Instant>,
    connections: &mut JoinSet<()>,
    closed: &watch::Receiver<()>,
) {
    let mut end = pin!(async {
        match until {
            Some(until) => sleep_until(until).await,
            None => std::future::pending().await,
        }
    });
    loop {
        tokio::select! {
            () = &mut end => return,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(Arc::clone(sim), stream, closed.clone()));
                }
                // Out of descriptors, or a client that is gone already: others may still come.
                Err(_) => sleep(Duration::from_millis(10)).await,
            },
        }
    }
}

async fn connection(sim: Arc<Sim>, stream: TcpStream, mut closed: watch::Receiver<()>) {
    // Small replies would wait for the client's acknowledgement; without the option they do, and that is all.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| handle(Arc::clone(&sim), request));
    let mut serving = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    // How a connection ends is its client's business, and in simulated resets ours.
    tokio::select! {
        _ = serving.as_mut() => return,
        // Nothing is ever sent: the sender goes when the port closes.
        _ = closed.changed() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}

async fn handle(sim: Arc<Sim>, request: Request<Incoming>) -> io::Result<Response<SimBody>> {
    if request.method() == Method::POST {
        return complete(&sim, request).await;
    }
    let path = request.uri().path();
    let reply = match (request.method(), path) {
        (&Method::GET, "/_sim/ledger") => json_reply(200, serde_json::to_vec(&sim.ledger())?),
        (&Method::GET, "/_sim/health") => json_reply(200, json!({ "status": "ok" }).to_string().into_bytes()),
        _ if sim.is_refusing() => return Err(refused()),
        (&Method::GET, path) if path.ends_with("/models") => models(),
        (method, path) => ApiError::unknown_path(method.as_str(), path).reply(),
    };
    Ok(whole(reply))
}

async fn complete(sim: &Arc<Sim>, request: Request<Incoming>) -> io::Result<Response<SimBody>> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            return Ok(whole(ApiError::too_large().reply()));
        }
        Err(error) => return Err(io::Error::other(error)),
    };
    let key = head.headers.get(header::AUTHORIZATION).and_then(|key| key.to_str().ok()?.strip_prefix("Bearer "));
    let mut call = sim.arrive(head.uri.path(), key, &body).ok_or_else(refused)?;
    call.allow_for(LATENESS);
    let reply = call.reply().await;
    let delivery = call.delivery;
    Ok(respond(reply, |body| match delivery {
        Delivery::Cut => SimBody::cut(body, call),
        Delivery::Slow => SimBody::slow(body, call),
        Delivery::Whole | Delivery::Never => {
            call.complete();
            SimBody::Whole(Some(body))
        }
    }))
}

/// Ends a connection that was open when the port closed.
fn refused() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionRefused)
}

fn whole(reply: WireReply) -> Response<SimBody> {
    respond(reply, |body| SimBody::Whole(Some(body)))
}

fn respond(reply: WireReply, body: impl FnOnce(Bytes) -> SimBody) -> Response<SimBody> {
    let mut response = Response::new(body(reply.body));
    // All our statuses are valid ones; 200 stands for one that is not.
    *response.status_mut() = http::StatusCode::from_u16(reply.status).unwrap_or_default();
    *response.headers_mut() = reply.headers;
    response
}

fn models() -> WireReply {
    let data: Vec<_> = model::EXAMPLES
        .into_iter()
        .map(|id| json!({ "id": id, "object": "model", "created": 0, "owned_by": "overnight" }))
        .collect();
    json_reply(200, json!({ "object": "list", "data": data }).to_string().into_bytes())
}
