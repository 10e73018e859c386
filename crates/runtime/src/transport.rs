//! Connections between our own processes: over TCP, in the clear.

use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A connection, whatever it is made of.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// How this process is called.
#[derive(Clone)]
pub enum Door {
    /// By anybody who reaches the address.
    Clear,
}

impl Door {
    /// Makes a connection of what was accepted. To be called in a task of its own. Nothing where the caller is none of ours;
    /// the log says why.
    pub async fn accept(&self, stream: TcpStream, from: SocketAddr) -> Option<Box<dyn Io>> {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%from, ?error, "a connection was gone before it began");
            return None;
        }
        match self {
            Door::Clear => Some(Box::new(stream)),
        }
    }
}

/// How this process calls others.
#[derive(Clone)]
pub enum Dial {
    /// Whoever is at the address, in the clear.
    Clear,
}

impl Dial {
    /// Connects to the process of that name at that address, host and port.
    ///
    /// # Errors
    /// Where nobody is there, or somebody else.
    pub async fn connect(&self, _id: &str, address: &str) -> io::Result<Box<dyn Io>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        match self {
            Dial::Clear => Ok(Box::new(stream)),
        }
    }
}
