//! How a connection begins, before its first request: with a handshake, where the listener shows a certificate.

use super::activity::CLOSE_TIME;
use super::wire::Wire;
use spinwell_runtime::shutdown::Shutdown;
use spinwell_runtime::tls::{EdgeAcceptor, Greeted};
use std::net::SocketAddr;
use std::pin::pin;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Who is at the other end of a request's connection, as the network says: perhaps a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeerAddress(pub SocketAddr);

/// A connection that can be spoken on.
pub(super) struct Begun {
    pub(super) wire: Wire,
    /// Whether it is in the clear where it must not be: then it is only told so.
    pub(super) is_misled: bool,
}

/// Does the handshake, where there is one. Nothing where it fails, or is not over soon after a stop: a caller who came just before it
/// brings his request at once, and who is silent brings none.
pub(super) async fn greet(
    stream: TcpStream,
    tls: Option<&EdgeAcceptor>,
    peer: PeerAddress,
    close: &mut Shutdown,
) -> Option<Begun> {
    let Some(tls) = tls else { return Some(Begun { wire: Wire::Clear(stream), is_misled: false }) };
    let mut greeting = pin!(tls.accept(stream, peer.0));
    let greeted = tokio::select! {
        greeted = &mut greeting => greeted,
        () = close.wait() => timeout(CLOSE_TIME, greeting).await.ok()?,
    };
    Some(match greeted.ok()? {
        Greeted::Secured(stream) => Begun { wire: Wire::Secured(stream), is_misled: false },
        Greeted::InTheClear(stream) => Begun { wire: Wire::Clear(stream), is_misled: true },
    })
}
