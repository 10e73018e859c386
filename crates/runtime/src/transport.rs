//! Connections between our own processes: over TCP, in the clear or with certificates on both sides.

use crate::options::Exposure;
use crate::tls::{Acceptor, Connector, Peer, ServerName};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A connection, whatever it is made of.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// A connection, when it comes about.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Io>>> + Send>>;

/// A network that is not this machine's, such as a simulated one.
pub trait Network: Send + Sync {
    /// Connects to that address, host and port.
    fn connect(&self, address: &str) -> Connecting;
}

/// How this process is called.
#[derive(Clone)]
pub enum Door {
    /// By anybody who reaches the address.
    Clear,
    /// By those whose certificates are accepted.
    Mutual(Acceptor),
}

impl Door {
    /// Makes a connection of what was accepted, and says who is at its other end, where that has shown a certificate. To be called in
    /// a task of its own. Nothing where the caller is none of ours; the log says why.
    pub async fn accept(&self, stream: TcpStream, from: SocketAddr) -> Option<(Box<dyn Io>, Option<Peer>)> {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%from, ?error, "a connection was gone before it began");
            return None;
        }
        match self {
            Door::Clear => Some((Box::new(stream), None)),
            Door::Mutual(acceptor) => {
                let (stream, peer) = acceptor.accept(stream, from).await.ok()?;
                Some((Box::new(stream), Some(peer)))
            }
        }
    }
}

/// How this process calls others.
#[derive(Clone)]
pub enum Dial {
    /// Whoever is at the address, in the clear: on this machine, or anywhere where the operator said so.
    Clear(Exposure),
    /// Who can show that it is the process that was called.
    Mutual(Connector),
    /// Whoever is at the address in another network.
    Through(Arc<dyn Network>),
}

impl Dial {
    /// Connects to the process of that name at that address, host and port.
    ///
    /// # Errors
    /// Where nobody is there, or somebody else.
    pub async fn connect(&self, id: &str, address: &str) -> io::Result<Box<dyn Io>> {
        match self {
            Dial::Clear(exposure) => in_the_clear(address, *exposure).await,
            Dial::Mutual(connector) => with_certificates(connector, id, address).await,
            Dial::Through(network) => network.connect(address).await,
        }
    }
}

async fn in_the_clear(address: &str, exposure: Exposure) -> io::Result<Box<dyn Io>> {
    let stream = connected(address).await?;
    let is_elsewhere = !stream.peer_addr()?.ip().is_loopback();
    if is_elsewhere && exposure.between_processes() == Exposure::LoopbackOnly {
        let message =
            "it is on another machine, and there are no certificates (tls.dir); nothing is sent in the clear";
        return Err(io::Error::other(message));
    }
    Ok(Box::new(stream))
}

async fn with_certificates(connector: &Connector, id: &str, address: &str) -> io::Result<Box<dyn Io>> {
    let stream = connected(address).await?;
    let (stream, peer) = connector.connect(stream, server_name(address)?).await.map_err(io::Error::other)?;
    if peer.id.as_str() != id {
        let message = format!("its certificate is of {}, and {id} was called", peer.id);
        return Err(io::Error::other(message));
    }
    Ok(Box::new(stream))
}

async fn connected(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The name that the other side's certificate must have.
fn server_name(address: &str) -> io::Result<ServerName<'static>> {
    let (host, _) = address.rsplit_once(':').unwrap_or((address, ""));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(number) = host.parse::<IpAddr>() {
        return Ok(number.into());
    }
    ServerName::try_from(host.to_owned()).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_held_against_the_host_that_was_called() {
        let check = |address: &str, wanted: &str| {
            assert_eq!(server_name(address).unwrap().to_str(), wanted, "{address}");
        };
        check("127.0.0.1:80", "127.0.0.1");
        check("[::1]:80", "::1");
        check("node-1.internal:80", "node-1.internal");
        assert!(server_name("not a host:80").is_err());
    }
}
