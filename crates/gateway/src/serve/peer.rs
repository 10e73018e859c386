//! Who is at the other end of a connection.

use std::net::SocketAddr;

/// Who is at the other end of a request's connection, as the network says: perhaps a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeerAddress(pub SocketAddr);
