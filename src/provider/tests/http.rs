//! The real client against a server that misbehaves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;
use tokio::task::JoinHandle;

use crate::provider::{HttpTransport, HttpVersion, Profile, ProviderSettings, Timeouts, TokenParam};
use crate::types::{Secret, Transport, TransportError, WireReply, WireRequest};

const KEY: &str = "sk-very-secret";

fn settings(base_url: String) -> ProviderSettings {
    let hours = Duration::from_hours(1);
    ProviderSettings {
        name: "test".to_owned(),
        profile: Profile::default(),
        base_url,
        api_key: Some(Secret::new(KEY)),
        headers: vec![("x-team".to_owned(), Secret::new("hidden-team"))],
        timeouts: Timeouts { connect: hours, attempt: hours / 2, row: hours },
        token_param: TokenParam::default(),
        http: HttpVersion::default(),
        connections: None,
        cost_header: None,
    }
}

fn transport(address: SocketAddr) -> HttpTransport {
    HttpTransport::new(&settings(format!("http://{address}/v1/?api-version=secret-query")), 4).unwrap()
}

fn wire_request() -> WireRequest {
    WireRequest { path: "chat/completions", body: Bytes::from_static(b"{\"a\":1}") }
}

/// Reads one request to its end; false where there is none.
async fn read_one(stream: &mut TcpStream) -> bool {
    let mut text = Vec::new();
    while !text.ends_with(b"{\"a\":1}") {
        let mut piece = [0; 1024];
        match stream.read(&mut piece).await {
            Ok(read) if read > 0 => text.extend_from_slice(&piece[..read]),
            Ok(_) | Err(_) => return false,
        }
    }
    true
}

/// Reads one request to its end, and returns its text.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"{\"a\":1}") {
        let mut piece = [0; 1024];
        let read = stream.read(&mut piece).await.unwrap();
        assert!(read > 0, "the request ended early");
        text.extend_from_slice(&piece[..read]);
    }
    String::from_utf8(text).unwrap()
}

/// A server that answers one connection's first request with these pieces, and closes it.
async fn server(pieces: Vec<Vec<u8>>) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let handle = tokio::runtime::Handle::current().spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        for piece in pieces {
            // The client may hang up first: that is what some tests are about.
            if stream.write_all(&piece).await.is_err() {
                break;
            }
        }
        request
    });
    (address, handle)
}

async fn exchange(reply: &[u8]) -> (Result<WireReply, TransportError>, String) {
    let (address, handle) = server(vec![reply.to_vec()]).await;
    let result = transport(address).send(wire_request()).await;
    (result, handle.await.unwrap())
}

#[tokio::test]
async fn a_request_goes_out_whole_and_its_reply_comes_back_as_received() {
    let (result, sent) = exchange(b"HTTP/1.1 429 Too Many\r\nretry-after: 3\r\ncontent-length: 5\r\n\r\n{\"x\"}").await;
    let reply = result.unwrap();
    assert_eq!((reply.status, &reply.body[..]), (429, &b"{\"x\"}"[..]));
    assert_eq!(reply.headers["retry-after"], "3");
    let lower = sent.to_lowercase();
    assert!(sent.starts_with("POST /v1/chat/completions?api-version=secret-query HTTP/1.1\r\n"), "{sent}");
    assert!(lower.contains("authorization: bearer sk-very-secret\r\n"), "{sent}");
    assert!(
        lower.contains("x-team: hidden-team\r\n") && lower.contains("content-type: application/json\r\n"),
        "{sent}"
    );
    assert!(lower.contains(concat!("user-agent: overnight/", env!("CARGO_PKG_VERSION"), "\r\n")), "{sent}");
}

#[tokio::test]
async fn a_name_and_password_in_the_url_go_into_a_header() {
    let (address, server) = server(vec![b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec()]).await;
    let with_name = ProviderSettings { api_key: None, ..settings(format!("http://user:hidden-pass@{address}/v1")) };
    HttpTransport::new(&with_name, 4).unwrap().send(wire_request()).await.unwrap();
    let sent = server.await.unwrap();
    assert!(sent.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{sent}");
    assert!(sent.to_lowercase().contains("authorization: basic dxnlcjpoawrkzw4tcgfzcw==\r\n"), "{sent}");
}

#[tokio::test]
async fn an_error_that_repeats_the_key_comes_back_without_it() {
    let (result, _) =
        exchange(b"HTTP/1.1 401 No\r\ncontent-length: 37\r\n\r\nkey sk-very-secret or sk-very-secret!").await;
    assert_eq!(result.unwrap().body, "key *** or ***!");
}

#[tokio::test]
async fn a_chunked_html_page_is_a_reply_like_any_other() {
    let (result, _) =
        exchange(b"HTTP/1.1 502 Bad\r\ntransfer-encoding: chunked\r\n\r\n6\r\n<html>\r\n1\r\n!\r\n0\r\n\r\n").await;
    let reply = result.unwrap();
    assert_eq!((reply.status, &reply.body[..]), (502, &b"<html>!"[..]));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (result, _) =
        exchange(b"HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(result.unwrap().status, 307);
}

#[tokio::test]
async fn replies_cut_short_are_broken_connections() {
    for reply in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"half",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"hal\r\n",
        b"nonsense\r\n\r\n",
    ] {
        let (result, _) = exchange(reply).await;
        let error = result.unwrap_err();
        assert!(matches!(error, TransportError::Broken(_)), "{error:?}");
        assert_no_secret(&format!("{error} {error:?}"));
    }
}

#[tokio::test]
async fn a_connection_reset_within_the_reply_is_broken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transport = transport(listener.local_addr().unwrap());
    let reset = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.readable().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{").await.unwrap();
        // Closing with the request unread makes the kernel send a reset.
    };
    let (result, ()) = tokio::join!(transport.send(wire_request()), reset);
    assert!(matches!(result, Err(TransportError::Broken(_))), "{result:?}");
}

#[tokio::test]
async fn a_refused_connection_was_never_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = transport(address).send(wire_request()).await.unwrap_err();
    let TransportError::Connect(message) = &error else { panic!("{error:?}") };
    assert!(message.starts_with(&address.to_string()) && message.contains("(os error"), "{message}");
    assert_no_secret(&error.to_string());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_runs_into_the_attempts_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = transport(listener.local_addr().unwrap()).send(wire_request()).await.unwrap_err();
    assert_eq!(error, TransportError::Timeout(Duration::from_mins(30)));
}

#[tokio::test]
async fn a_reply_over_the_cap_is_not_read_on() {
    let told = b"HTTP/1.1 200 OK\r\ncontent-length: 68157440\r\n\r\n".to_vec();
    let untold = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
    let megabytes = vec![vec![b' '; 1024 * 1024]; 65];
    for head in [told, untold] {
        let (address, _handle) = server([vec![head], megabytes.clone()].concat()).await;
        let error = transport(address).send(wire_request()).await.unwrap_err();
        assert_eq!(error, TransportError::TooLarge(64 * 1024 * 1024));
    }
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transport = transport(listener.local_addr().unwrap());
    let two_on_one = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        for _ in 0..2 {
            read_request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
        }
    };
    let both = async {
        for _ in 0..2 {
            assert_eq!(transport.send(wire_request()).await.unwrap().status, 200);
        }
    };
    tokio::join!(two_on_one, both);
}

#[test]
fn settings_that_cannot_work_are_told_without_secrets() {
    for (base_url, word) in [("api.example.com/v1", "base_url"), ("ftp://x/v1", "http://"), ("http://", "empty host")] {
        let error = HttpTransport::new(&settings(base_url.to_owned()), 4).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    let mut with_break = settings("http://127.0.0.1/v1".to_owned());
    with_break.api_key = Some(Secret::new(format!("{KEY}\nx")));
    let error = HttpTransport::new(&with_break, 4).unwrap_err();
    assert_no_secret(&format!("{error} {error:?} {with_break:?}"));
    let mut odd_header = settings("http://127.0.0.1/v1".to_owned());
    odd_header.headers.push(("bad name".to_owned(), Secret::new(KEY)));
    let error = HttpTransport::new(&odd_header, 4).unwrap_err();
    assert!(error.to_string().contains("`bad name`"), "{error}");
    assert_no_secret(&format!("{error} {error:?}"));
}

#[test]
fn debug_output_shows_the_host_alone() {
    let base = "http://user:hidden-pass@127.0.0.1:9/v1?key=secret-query".to_owned();
    let shown = format!("{:?}", HttpTransport::new(&settings(base), 4).unwrap());
    assert!(shown.contains("127.0.0.1:9"), "{shown}");
    assert_no_secret(&shown);
}

fn assert_no_secret(shown: &str) {
    for secret in [KEY, "hidden-team", "secret-query", "hidden-pass"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn the_version_of_http_is_as_the_settings_say() {
    for (http, first_line) in [
        (HttpVersion::Auto, "POST /v1/chat/completions HTTP/1.1\r\n"),
        (HttpVersion::One, "POST /v1/chat/completions HTTP/1.1\r\n"),
        (HttpVersion::Two, "PRI * HTTP/2.0\r\n"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let transport =
            HttpTransport::new(&ProviderSettings { http, ..settings(format!("http://{address}/v1")) }, 4).unwrap();
        let heard = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut start = vec![0; first_line.len()];
            stream.read_exact(&mut start).await.unwrap();
            String::from_utf8(start).unwrap()
        };
        // It hangs up after the first line: there is no answer.
        let (_, heard) = tokio::join!(transport.send(wire_request()), heard);
        assert_eq!(heard, first_line, "{http:?}");
    }
}

/// Sends two calls at once to a server that never hangs up, then two more; how many connections that took.
async fn connections_for_two_and_two(connections: Option<usize>) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let base_url = format!("http://{address}/v1");
    let transport = HttpTransport::new(&ProviderSettings { connections, ..settings(base_url) }, 4).unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&accepted);
    let both_came = Arc::new(Barrier::new(2));
    let server = tokio::runtime::Handle::current().spawn(async move {
        let mut serving = tokio::task::JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let both_came = Arc::clone(&both_came);
            serving.spawn(async move {
                // The client may close it between calls.
                while read_one(&mut stream).await {
                    both_came.wait().await;
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
                }
            });
        }
    });
    for _ in 0..2 {
        let (one, other) = tokio::join!(transport.send(wire_request()), transport.send(wire_request()));
        assert!(one.is_ok() && other.is_ok());
    }
    server.abort();
    accepted.load(Ordering::Relaxed)
}

#[tokio::test]
async fn no_more_connections_are_kept_than_the_settings_say() {
    assert_eq!(connections_for_two_and_two(None).await, 2);
    assert_eq!(connections_for_two_and_two(Some(1)).await, 3);
}
