//! How a connection begins, before its first request: with a handshake, where the listener shows a certificate.

use super::activity::CLOSE_TIME;
use super::wire::Wire;
use axum::http::Extensions;
use spinwell_runtime::shutdown::Shutdown;
use spinwell_runtime::tls::{EdgeAcceptor, Greeted};
use spinwell_security::certificate::Certificate;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Who is at the other end of a request's connection, as the network says: perhaps a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeerAddress(pub SocketAddr);

/// What a connection says of all requests on it.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    peer: PeerAddress,
    /// What was shown in the handshake.
    certificate: Option<Arc<Certificate>>,
}

impl Origin {
    /// Puts it beside a request, for whoever asks who sends it.
    pub(super) fn mark(&self, request: &mut Extensions) {
        request.insert(self.peer);
        if let Some(certificate) = &self.certificate {
            request.insert(certificate.clone());
        }
    }
}

/// A connection that can be spoken on.
pub(super) struct Begun {
    pub(super) wire: Wire,
    pub(super) origin: Origin,
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
    let begun =
        |wire, certificate, is_misled| Begun { wire, origin: Origin { peer, certificate }, is_misled };
    let Some(tls) = tls else { return Some(begun(Wire::Clear(stream), None, false)) };
    let mut greeting = pin!(tls.accept(stream, peer.0));
    let greeted = tokio::select! {
        greeted = &mut greeting => greeted,
        () = close.wait() => timeout(CLOSE_TIME, greeting).await.ok()?,
    };
    Some(match greeted.ok()? {
        Greeted::Secured(stream, certificate) => begun(Wire::Secured(stream), certificate, false),
        Greeted::InTheClear(stream) => begun(Wire::Clear(stream), None, true),
    })
}
