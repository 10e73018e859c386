//! Connections: accepting, bounding and, at the end, finishing them.
//!
//! The frameworks' own servers are not used because what matters here is what they leave open: how many
//! connections there may be, how long a head may take, what happens to a body that nobody reads, and that a
//! stop lets every request in flight be answered before its connection closes.

mod linger;
mod refusal;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use linger::{Lingering, Unread, WatchedBody};
use spinwell_runtime::shutdown::Shutdown;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_service::Service;

/// How long a request's head may take, and with it how long a connection may idle. Clients keep connections
/// for about a minute; closing sooner than they do makes their next request fail.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// The largest head of a request; a larger one is answered with 431.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Headers in a head.
const HEADERS_MAX: usize = 96;
/// Bytes read ahead from one connection.
const READ_BUFFER_BYTES: usize = 128 * 1024;
/// Requests at the same time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 1024;
/// Flow-control windows of HTTP/2: small enough to bound what a peer can make us hold, large enough that a
/// body of the default limit is not sent in small steps.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// How often a silent HTTP/2 peer is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long to wait when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `router` over HTTP/1.1 until `shutdown`, and returns when every request in flight is answered.
pub async fn serve_http(listener: TcpListener, router: Router, connections_max: usize, shutdown: Shutdown) {
    accept(listener, connections_max, shutdown, |stream, watcher, permit| {
        let router = router.clone();
        tokio::spawn(async move {
            let unread = Unread::default();
            let watched = unread.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let request = request.map(|body| Body::new(WatchedBody::new(body, watched.clone())));
                router.clone().call(request)
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_headers(HEADERS_MAX)
                .max_header_size(HEAD_BYTES_MAX)
                .max_buf_size(READ_BUFFER_BYTES)
                .serve_connection(TokioIo::new(Lingering::new(stream, unread)), service);
            log_end(watcher.watch(connection).await);
            drop(permit);
        });
    })
    .await;
}

/// Serves a gRPC service until `shutdown`, and returns when every request in flight is answered.
pub async fn serve_grpc<S>(listener: TcpListener, service: S, connections_max: usize, shutdown: Shutdown)
where
    S: Service<Request<Incoming>, Response = Response<tonic::body::Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
{
    accept(listener, connections_max, shutdown, |stream, watcher, permit| {
        let service = service.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| service.clone().call(request));
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_header_list_size(HEAD_BYTES_MAX as u32)
                .max_concurrent_streams(STREAMS_MAX)
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .keep_alive_interval(KEEP_ALIVE)
                .serve_connection(TokioIo::new(stream), service);
            log_end(watcher.watch(connection).await);
            drop(permit);
        });
    })
    .await;
}

/// Hands each connection to `start` until `shutdown`, then waits for all of them.
async fn accept(
    listener: TcpListener,
    connections_max: usize,
    mut shutdown: Shutdown,
    mut start: impl FnMut(TcpStream, Watcher, OwnedSemaphorePermit),
) {
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(connections_max));
    loop {
        let accepted = tokio::select! {
            () = shutdown.wait() => break,
            accepted = accept_one(&listener, &permits) => accepted,
        };
        match accepted {
            Ok((stream, permit)) => start(stream, graceful.watcher(), permit),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // From here on a new connection is refused, so that a balancer tries elsewhere at once.
    drop(listener);
    graceful.shutdown().await;
}

async fn accept_one(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = permits.clone().acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // Answers are small and written whole: waiting for more to send would only delay them.
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

/// A connection's end is the peer's business unless somebody debugs.
fn log_end(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(error = spinwell_runtime::telemetry::chain(&error), "a connection ended early");
    }
}

#[cfg(test)]
mod tests;
