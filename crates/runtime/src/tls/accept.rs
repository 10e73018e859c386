//! Handshakes: both ends, with a limit of time, and with a line in the log and a count for each that fails.

use super::identity::{Peer, Role};
use super::quota::Quota;
use super::refusal::Refusal;
use super::{Mutual, verifier};
use rustls::CommonState;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// How many handshakes there were, and what became of them. Clones count the same.
#[derive(Debug, Clone, Default)]
pub struct Handshakes(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    refused: [AtomicU64; Refusal::KINDS.len()],
}

impl Handshakes {
    /// Handshakes that ended in a connection.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.0.accepted.load(Ordering::Relaxed)
    }

    /// Handshakes that did not, by the reason's name, all reasons there are.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.0.refused.iter().map(|count| count.load(Ordering::Relaxed));
        Refusal::KINDS.into_iter().zip(counts.collect::<Vec<_>>())
    }

    fn count(&self, refusal: &Refusal) {
        self.0.refused[refusal.kind()].fetch_add(1, Ordering::Relaxed);
    }
}

/// What holds for all handshakes at a listener. Clones share counts and the log's quota.
#[derive(Clone)]
pub(super) struct Gate {
    /// How long a handshake may take.
    limit: Duration,
    handshakes: Handshakes,
    quotas: Arc<Mutex<[Quota; Refusal::KINDS.len()]>>,
}

impl Gate {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            handshakes: Handshakes::default(),
            quotas: Arc::new(Mutex::new([Quota::FULL; Refusal::KINDS.len()])),
        }
    }

    /// The counts.
    pub(super) fn handshakes(&self) -> Handshakes {
        self.handshakes.clone()
    }

    /// The end of a handshake with `from`, at the latest when its time is over; counted, and logged where it failed.
    pub(super) async fn pass<T>(
        &self,
        handshake: impl Future<Output = Result<T, Refusal>>,
        from: SocketAddr,
    ) -> Result<T, Refusal> {
        let ended = match tokio::time::timeout(self.limit, handshake).await {
            Ok(ended) => ended,
            Err(_) => Err(Refusal::TooSlow { limit: self.limit }),
        };
        match &ended {
            Ok(_) => {
                self.handshakes.0.accepted.fetch_add(1, Ordering::Relaxed);
            }
            Err(refusal) => self.refuse(refusal, from),
        }
        ended
    }

    /// Counts and logs that a connection was refused.
    fn refuse(&self, refusal: &Refusal, from: SocketAddr) {
        self.handshakes.count(refusal);
        if *refusal == Refusal::HungUp {
            // Whoever checks that a port is open does this, every few seconds.
            return tracing::debug!(peer = %from, "a connection closed before its handshake was over");
        }
        let quota = {
            let mut quotas = self.quotas.lock().unwrap_or_else(PoisonError::into_inner);
            quotas[refusal.kind()].take(crate::clock::now())
        };
        if let Some(not_logged) = quota {
            tracing::warn!(peer = %from, reason = %refusal, not_logged, "refused a connection");
        }
    }
}

/// Accepts connections of our own processes. Clones share counts and the log's quota.
#[derive(Clone)]
pub struct Acceptor {
    acceptor: TlsAcceptor,
    gate: Gate,
}

impl Acceptor {
    /// Accepts processes of these roles, whose handshakes take no longer than `limit`.
    #[must_use]
    pub fn new(mutual: &Mutual, roles: &[Role], limit: Duration) -> Self {
        Self { acceptor: TlsAcceptor::from(mutual.server(roles)), gate: Gate::new(limit) }
    }

    /// The counts.
    #[must_use]
    pub fn handshakes(&self) -> Handshakes {
        self.gate.handshakes()
    }

    /// Makes a connection that was accepted from the address `from` one of ours, and says who is at its other end. To be called
    /// in the connection's own task: a peer that is slow must not hold up the next one.
    ///
    /// # Errors
    /// Where the peer is none of ours. It is logged and counted already; there is nothing left to do but to drop it.
    pub async fn accept<IO>(
        &self,
        stream: IO,
        from: SocketAddr,
    ) -> Result<(server::TlsStream<IO>, Peer), Refusal>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let handshake = async {
            let stream = self.acceptor.accept(stream).await.map_err(|error| Refusal::of(&error))?;
            let peer = peer(stream.get_ref().1)?;
            Ok((stream, peer))
        };
        self.gate.pass(handshake, from).await
    }
}

/// Opens connections to our own processes.
#[derive(Clone)]
pub struct Connector {
    connector: TlsConnector,
    /// How long a handshake may take.
    limit: Duration,
}

impl Connector {
    /// Calls processes of these roles, whose handshakes take no longer than `limit`.
    #[must_use]
    pub fn new(mutual: &Mutual, roles: &[Role], limit: Duration) -> Self {
        Self { connector: TlsConnector::from(mutual.client(roles)), limit }
    }

    /// Makes a connection that was opened to `name` one of ours, and says who is at its other end.
    ///
    /// That the other end accepts us is not known yet: in TLS 1.3 it looks at our certificate after our handshake is over. The
    /// first read says so; [`Refusal::of`] makes words of its error.
    ///
    /// # Errors
    /// Where the other end is none of ours, not of these roles, or not `name`, which its certificate must have among its
    /// addresses and host names.
    pub async fn connect<IO>(
        &self,
        stream: IO,
        name: ServerName<'static>,
    ) -> Result<(client::TlsStream<IO>, Peer), Refusal>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = within(self.limit, self.connector.connect(name, stream)).await?;
        let peer = peer(stream.get_ref().1)?;
        Ok((stream, peer))
    }
}

pub(super) async fn within<S>(
    limit: Duration,
    handshake: impl Future<Output = std::io::Result<S>>,
) -> Result<S, Refusal> {
    match tokio::time::timeout(limit, handshake).await {
        Ok(ended) => ended.map_err(|error| Refusal::of(&error)),
        Err(_) => Err(Refusal::TooSlow { limit }),
    }
}

/// Who is at the other end. The verifier has seen the same certificate before.
fn peer(connection: &CommonState) -> Result<Peer, Refusal> {
    let certificate = connection.peer_certificates().and_then(|chain| chain.first());
    verifier::identity(certificate.ok_or(Refusal::NoCertificate)?).map(Peer::from)
}
