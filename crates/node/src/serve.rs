//! The listener for gateways.

use crate::Exchange;
use crate::exchange::Shown;
use futures::{Stream, StreamExt};
use spinwell_runtime::shutdown::Shutdown;
use spinwell_runtime::tls::Peer;
use spinwell_runtime::transport::{Door, Io};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, Server};

/// Connections that may wait for the server to take them.
const UNTAKEN_MAX: usize = 64;
/// What may be under way of one exchange, and of all, before the node has read it.
const WINDOWS: (u32, u32) = (4 * 1024 * 1024, 16 * 1024 * 1024);
/// How often a silent gateway is asked whether it is there, and how long it may take to say so: one that is frozen must not
/// keep a node from stopping.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(5));
/// How long to wait where the operating system has no room for another connection.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers gateways that call at `listener` until `stop`, and then until the requests under way are answered.
///
/// # Errors
/// Where the protocol's library gives up.
pub async fn serve(
    listener: TcpListener,
    door: Door,
    exchange: Exchange,
    stop: Shutdown,
) -> Result<(), tonic::transport::Error> {
    let (sender, receiver) = mpsc::channel(UNTAKEN_MAX);
    let accepting = tokio::spawn(accept(listener, door, sender));
    let served = serve_all(ReceiverStream::new(receiver), exchange, stop).await;
    accepting.abort();
    served
}

/// Answers gateways at connections that somebody else accepts, in the same way; nobody there has shown a certificate.
///
/// # Errors
/// Where the protocol's library gives up.
pub async fn serve_connections(
    connections: mpsc::Receiver<Box<dyn Io>>,
    exchange: Exchange,
    stop: Shutdown,
) -> Result<(), tonic::transport::Error> {
    let connections = ReceiverStream::new(connections).map(|connection| Accepted(connection, None));
    serve_all(connections, exchange, stop).await
}

async fn serve_all(
    connections: impl Stream<Item = Accepted>,
    exchange: Exchange,
    mut stop: Shutdown,
) -> Result<(), tonic::transport::Error> {
    Server::builder()
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
        .add_service(exchange.service())
        .serve_with_incoming_shutdown(connections.map(io::Result::Ok), async move { stop.wait().await })
        .await
}

async fn accept(listener: TcpListener, door: Door, accepted: mpsc::Sender<Accepted>) {
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(?error, "a connection of a gateway cannot be accepted just now");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (door, accepted) = (door.clone(), accepted.clone());
        tokio::spawn(async move {
            if let Some((stream, peer)) = door.accept(stream, from).await {
                // The receiver is gone when the server stops.
                let _ = accepted.send(Accepted(stream, peer)).await;
            }
        });
    }
}

/// A connection as the protocol's library wants it, and who is at its other end by a certificate.
struct Accepted(Box<dyn Io>, Option<Peer>);

impl Connected for Accepted {
    type ConnectInfo = Shown;

    fn connect_info(&self) -> Shown {
        Shown(self.1.clone())
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
