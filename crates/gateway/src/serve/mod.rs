//! Connections: accepting, bounding and, at the end, finishing them.
//!
//! The frameworks' own servers are not used because what matters here is what they leave open: how many
//! connections there may be, how long a head may take, what happens to a body that nobody reads, and that a
//! stop lets every request in flight be answered before its connection closes.

mod activity;
mod greeting;
mod linger;
mod places;
mod preface;
mod refusal;
mod wire;

pub(crate) use greeting::PeerAddress;

use crate::http::fault_response;
use crate::metrics::ConnectionCounts;
use activity::{Activity, AnswerBody};
use axum::Router;
use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response};
use futures::future::Either;
use greeting::{Begun, greet};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use linger::{Lingering, Unread, WatchedBody};
use places::{Place, Places};
use spinwell_runtime::health::{Health, Phase};
use spinwell_runtime::options::Limits;
use spinwell_runtime::shutdown::{self, Shutdown};
use spinwell_runtime::tls::EdgeAcceptor;
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
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

/// A listener, and what holds for the connections to it.
pub struct Listening {
    /// Where they come.
    pub listener: TcpListener,
    /// How many there may be, and how long they may be silent.
    pub limits: Limits,
    /// Where they are counted.
    pub counts: ConnectionCounts,
    /// How they are encrypted; none where they are in the clear.
    pub tls: Option<EdgeAcceptor>,
}

/// Serves `router` over HTTP/1.1 until `shutdown`, and returns when every request in flight is answered. From when `health`
/// says that the process leaves, each answer says that its connection ends with it: so callers go elsewhere between two
/// requests, and none of theirs meets a closed connection.
pub async fn serve_http(listening: Listening, router: Router, health: Health, shutdown: Shutdown) {
    let idle_timeout = listening.limits.idle_timeout.into();
    let tls = listening.tls.clone();
    accept(listening, shutdown, |stream, mut held| {
        let (router, health, tls) = (router.clone(), health.clone(), tls.clone());
        tokio::spawn(async move {
            let begun = greet(stream, tls.as_ref(), held.peer, &mut held.close).await;
            let Some(Begun { wire, origin, is_misled }) = begun else { return };
            let unread = Unread::default();
            let watched = unread.clone();
            let activity = held.activity.clone();
            let lingering = Lingering::new(wire, unread, activity.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let in_flight = activity.begin();
                let mut request = request.map(|body| Body::new(WatchedBody::new(body, watched.clone())));
                origin.mark(request.extensions_mut());
                let refused = is_misled.then(refusal::of_the_clear);
                let answer = match refused.or_else(|| refusal::of_host(&request)) {
                    None => Either::Left(router.clone().call(request)),
                    Some(fault) => Either::Right(std::future::ready(Ok(fault_response(&fault)))),
                };
                let (watched, health) = (watched.clone(), health.clone());
                async move {
                    let mut answer = answer.await?;
                    // What is not said here would cost the next request on this connection, without a word.
                    if watched.settle().await || is_misled || health.phase() >= Phase::Leaving {
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
pub async fn serve_grpc<S>(listening: Listening, service: S, shutdown: Shutdown)
where
    S: Service<Request<Incoming>, Response = Response<tonic::body::Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let tls = listening.tls.clone();
    accept(listening, shutdown, |stream, mut held| {
        let (service, tls) = (service.clone(), tls.clone());
        tokio::spawn(async move {
            // Who speaks in the clear where he must not could only be told in HTTP/1.1.
            let begun = greet(stream, tls.as_ref(), held.peer, &mut held.close).await;
            let Some(Begun { wire, origin, is_misled: false }) = begun else { return };
            let stream = tokio::select! {
                () = held.close.wait() => return,
                stream = preface::awaited(wire, held.head_timeout) => match stream {
                    Ok(stream) => stream,
                    Err(error) => {
                        let peer = held.peer.0;
                        return tracing::debug!(%peer, %error, "a connection had no HTTP/2 preface");
                    }
                },
            };
            let activity = held.activity.clone();
            let service = service_fn(move |mut request: Request<Incoming>| {
                let in_flight = activity.begin();
                origin.mark(request.extensions_mut());
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
    /// Who is at its other end.
    peer: PeerAddress,
    /// Says that the connection is to end after the requests in flight.
    close: Shutdown,
    activity: Activity,
    /// How long the first request may let itself be waited for.
    head_timeout: Duration,
    /// Its place among the connections that may be open.
    place: Place,
    /// Gone when the connection has ended.
    open: mpsc::Sender<Infallible>,
}

impl Held {
    /// Drives a connection to its end. It is told to end at a stop, and where no request comes: in a peer's protocol, so that a
    /// channel that was opened early is opened again. Where it does not end then, and no request is in flight, it is dropped.
    async fn watch<C: GracefulConnection<Error = hyper::Error>>(self, connection: C) {
        let Self { mut close, activity, head_timeout, place: _place, open: _open, .. } = self;
        let mut connection = pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return log_end(ended),
            () = close.wait() => {}
            () = activity.nothing_began(head_timeout) => tracing::debug!("a connection brought no request"),
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            ended = connection => log_end(ended),
            () = activity.is_over() => tracing::debug!("a connection without a request did not close by itself"),
        }
    }
}

/// Hands each connection to `start` until `shutdown`, then waits for all of them.
async fn accept(listening: Listening, mut shutdown: Shutdown, mut start: impl FnMut(TcpStream, Held)) {
    let Listening { listener, limits, counts, .. } = listening;
    let (closing, close) = shutdown::channel();
    let (open, mut all_closed) = mpsc::channel::<Infallible>(1);
    let mut places = Places::new(&limits, counts);
    loop {
        let accepted = tokio::select! {
            () = shutdown.wait() => break,
            accepted = accept_one(&listener, &mut places) => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                let held = Held {
                    peer,
                    close: close.clone(),
                    activity: Activity::new(),
                    head_timeout: limits.head_timeout.into(),
                    place,
                    open: open.clone(),
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
    closing.pull();
    drop(open);
    // Nothing is ever sent: this is the end of the last sender.
    let _ = all_closed.recv().await;
}

/// The next connection that finds a place; one whose address has too many is closed.
async fn accept_one(
    listener: &TcpListener,
    places: &mut Places,
) -> std::io::Result<(TcpStream, PeerAddress, Place)> {
    loop {
        let (stream, from) = listener.accept().await?;
        let Some(place) = places.take(from.ip()).await else { continue };
        // Answers are small and written whole: waiting for more to send would only delay them.
        stream.set_nodelay(true)?;
        return Ok((stream, PeerAddress(from), place));
    }
}

/// A connection's end is the peer's business unless somebody debugs.
fn log_end(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(error = spinwell_runtime::telemetry::chain(&error), "a connection ended early");
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
