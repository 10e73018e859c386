//! Connections: accepting, bounding and, at the end, finishing them.
//!
//! The frameworks' own servers are not used because what matters here is what they leave open: how many
//! connections there may be, how long a head may take, what happens to a body that nobody reads, and that a
//! stop lets every request in flight be answered before its connection closes.

mod activity;
mod linger;
mod preface;
mod refusal;

use crate::http::fault_response;
use activity::{Activity, AnswerBody};
use axum::Router;
use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response};
use futures::future::Either;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown, Watcher};
use linger::{Lingering, Unread, WatchedBody};
use spinwell_runtime::health::{Health, Phase};
use spinwell_runtime::options::Limits;
use spinwell_runtime::shutdown::Shutdown;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_service::Service;

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

/// Serves `router` over HTTP/1.1 until `shutdown`, and returns when every request in flight is answered. From when `health`
/// says that the process leaves, each answer says that its connection ends with it: so callers go elsewhere between two
/// requests, and none of theirs meets a closed connection.
pub async fn serve_http(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    health: Health,
    shutdown: Shutdown,
) {
    let idle_timeout = limits.idle_timeout.into();
    accept(listener, &limits, shutdown, |stream, held| {
        let (router, health) = (router.clone(), health.clone());
        tokio::spawn(async move {
            let unread = Unread::default();
            let watched = unread.clone();
            let activity = held.activity.clone();
            let lingering = Lingering::new(stream, unread, activity.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let in_flight = activity.begin();
                let request = request.map(|body| Body::new(WatchedBody::new(body, watched.clone())));
                let answer = match refusal::of_host(&request) {
                    None => Either::Left(router.clone().call(request)),
                    Some(fault) => Either::Right(std::future::ready(Ok(fault_response(&fault)))),
                };
                let (watched, health) = (watched.clone(), health.clone());
                async move {
                    let mut answer = answer.await?;
                    // What is not said here would cost the next request on this connection, without a word.
                    if watched.settle().await || health.phase() >= Phase::Leaving {
                        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                    }
                    Ok::<_, Infallible>(answer.map(|body| AnswerBody::new(body, in_flight)))
                }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Some(idle_timeout))
                .max_headers(HEADERS_MAX)
                .max_header_size(HEAD_BYTES_MAX)
                .max_buf_size(READ_BUFFER_BYTES)
                .serve_connection(TokioIo::new(lingering), service);
            held.watch(connection).await;
        });
    })
    .await;
}

/// Serves a gRPC service until `shutdown`, and returns when every request in flight is answered.
pub async fn serve_grpc<S>(listener: TcpListener, service: S, limits: Limits, shutdown: Shutdown)
where
    S: Service<Request<Incoming>, Response = Response<tonic::body::Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
{
    accept(listener, &limits, shutdown, |stream, mut held| {
        let service = service.clone();
        tokio::spawn(async move {
            let stream = tokio::select! {
                () = held.shutdown.wait() => return,
                stream = preface::awaited(stream, held.head_timeout) => match stream {
                    Ok(stream) => stream,
                    Err(error) => return tracing::debug!(%error, "a connection had no HTTP/2 preface"),
                },
            };
            let activity = held.activity.clone();
            // A peer with a preface may wait as long as it answers pings: channels are often opened early.
            drop(activity.begin());
            let service = service_fn(move |request: Request<Incoming>| {
                let in_flight = activity.begin();
                let answer = service.clone().call(request);
                async move { Ok::<_, Infallible>(answer.await?.map(|body| AnswerBody::new(body, in_flight))) }
            });
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_header_list_size(HEAD_BYTES_MAX as u32)
                .max_concurrent_streams(STREAMS_MAX)
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .keep_alive_interval(KEEP_ALIVE)
                .serve_connection(TokioIo::new(stream), service);
            held.watch(connection).await;
        });
    })
    .await;
}

/// What a connection's task holds until the connection ends.
struct Held {
    /// Tells the library of a stop, and the listener that the connection has ended.
    watcher: Watcher,
    /// The same stop, for what the library does not end by itself.
    shutdown: Shutdown,
    activity: Activity,
    /// How long the first request may let itself be waited for.
    head_timeout: Duration,
    /// Its place among the connections that may be open.
    _permit: OwnedSemaphorePermit,
}

impl Held {
    /// Drives a connection to its end, and ends it where no request comes or, after a stop, none is in flight.
    async fn watch<C: GracefulConnection<Error = hyper::Error>>(self, connection: C) {
        let Self { watcher, mut shutdown, activity, head_timeout, _permit } = self;
        let stopped = async {
            shutdown.wait().await;
            activity.is_over().await;
        };
        tokio::select! {
            ended = watcher.watch(connection) => log_end(ended),
            () = activity.nothing_began(head_timeout) => tracing::debug!("a connection brought no request"),
            () = stopped => tracing::debug!("a connection without a request did not close at the stop"),
        }
    }
}

/// Hands each connection to `start` until `shutdown`, then waits for all of them.
async fn accept(
    listener: TcpListener,
    limits: &Limits,
    mut shutdown: Shutdown,
    mut start: impl FnMut(TcpStream, Held),
) {
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(limits.connections_max));
    loop {
        let accepted = tokio::select! {
            () = shutdown.wait() => break,
            accepted = accept_one(&listener, &permits) => accepted,
        };
        match accepted {
            Ok((stream, permit)) => {
                let held = Held {
                    watcher: graceful.watcher(),
                    shutdown: shutdown.clone(),
                    activity: Activity::new(),
                    head_timeout: limits.head_timeout.into(),
                    _permit: permit,
                };
                start(stream, held);
            }
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
