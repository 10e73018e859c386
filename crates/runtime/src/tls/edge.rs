//! The certificate that callers are shown, who show none themselves.
//!
//! Another one than between our own processes: callers trust authorities of their own choice, and who they are they say in each
//! request. Sessions may be resumed, because nothing that was checked once is skipped then.

use super::accept::{Gate, Handshakes};
use super::held::{Filed, Held};
use super::material::{Error, Validity, certificates, certified, read};
use super::refusal::Refusal;
use super::shared::Shown;
use super::verifier;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::UnixTime;
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use spinwell_core::UnixMillis;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server};

/// The first byte of a TLS connection: a record of the handshake. No text that a caller would send in the clear begins so.
const HANDSHAKE_RECORD: u8 = 0x16;

/// The two PEM files of the listeners for callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeFiles {
    /// The certificate, and below it those between it and its authority.
    pub certificate: PathBuf,
    /// The key of the certificate: PKCS #8, SEC 1 or PKCS #1, not encrypted.
    pub key: PathBuf,
}

/// What is spoken inside, as both ends agree on it in the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, for gRPC.
    Http2,
}

impl Spoken {
    pub(super) fn names(self) -> Vec<Vec<u8>> {
        let name: &[u8] = match self {
            Spoken::Http1 => b"http/1.1",
            Spoken::Http2 => b"h2",
        };
        vec![name.to_vec()]
    }
}

/// The certificate that callers are shown, with its key. Clones are the same one.
#[derive(Clone)]
pub struct EdgeCertificate(Arc<Held<Material>>);

/// The contents of the two files.
#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// What a handshake needs, checked.
#[derive(Debug)]
struct Material {
    validity: Validity,
    certified: Arc<CertifiedKey>,
}

impl Shown for Material {
    fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }
}

impl Filed for Material {
    type Files = EdgeFiles;
    type Contents = Contents;

    fn read(files: &EdgeFiles) -> Result<Contents, Error> {
        Ok(Contents { certificate: read(&files.certificate)?, key: read(&files.key)? })
    }

    fn check(
        files: &EdgeFiles,
        contents: &Contents,
        provider: &Arc<CryptoProvider>,
        now: UnixMillis,
    ) -> Result<Self, Error> {
        let path = &files.certificate;
        let chain = certificates(path, &contents.certificate)?;
        let certified = certified(path, chain, &files.key, &contents.key, provider)?;
        let missing = || Error::Missing { path: path.clone(), wanted: "certificate" };
        let own = certified.cert.first().ok_or_else(missing)?;
        let refused = |source| Error::Refused { path: path.clone(), source };
        let algorithms = provider.signature_verification_algorithms;
        let now = UnixTime::since_unix_epoch(Duration::from_millis(now.0));
        verifier::check_for_callers(own, &algorithms, now).map_err(refused)?;
        let validity = verifier::validity(own, &algorithms).map_err(refused)?;
        Ok(Self { validity, certified: Arc::new(certified) })
    }
}

impl fmt::Debug for EdgeCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the key.
        f.debug_struct("EdgeCertificate").field("files", &self.0.files).finish()
    }
}

impl EdgeCertificate {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// Where one cannot be read, is not what it should be, or every caller would refuse it: the key is of another certificate, the
    /// certificate is not valid now, or not for a server. Whether callers trust its authority, only they know.
    pub fn load(files: EdgeFiles) -> Result<Self, Error> {
        Ok(Self(Arc::new(Held::load(files)?)))
    }

    /// Reads the files again and, where they hold something new, checks it and takes it for all later handshakes. Whether it
    /// was new.
    ///
    /// # Errors
    /// Those of [`EdgeCertificate::load`]. What held before then goes on to hold.
    pub fn reload(&self) -> Result<bool, Error> {
        self.0.reload()
    }

    /// Where it is read from.
    #[must_use]
    pub fn files(&self) -> &EdgeFiles {
        &self.0.files
    }

    /// From when until when the certificate in use is valid.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.0.shared.now().validity
    }

    fn server(&self, spoken: Spoken) -> ServerConfig {
        let mut config = ServerConfig::builder_with_provider(self.0.provider.clone())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has TLS 1.3")
            .with_no_client_auth()
            .with_cert_resolver(self.0.shared.clone());
        config.alpn_protocols = spoken.names();
        config
    }
}

/// A connection of a caller.
pub type EdgeStream = server::TlsStream<TcpStream>;

/// How a caller began.
pub enum Greeted {
    /// With a handshake, which has succeeded.
    Secured(Box<EdgeStream>),
    /// In the clear. Nothing was read of it yet, so that it can be answered, and refused, in its own protocol.
    InTheClear(TcpStream),
}

/// Accepts connections of callers at one listener. Clones share counts and the log's quota.
#[derive(Clone)]
pub struct EdgeAcceptor {
    acceptor: TlsAcceptor,
    gate: Gate,
}

impl EdgeAcceptor {
    /// Shows callers this certificate, whose handshakes take no longer than `limit`.
    ///
    /// # Panics
    /// Never: TLS 1.3 is part of every provider.
    #[must_use]
    pub fn new(certificate: &EdgeCertificate, spoken: Spoken, limit: Duration) -> Self {
        let config = Arc::new(certificate.server(spoken));
        Self { acceptor: TlsAcceptor::from(config), gate: Gate::new(limit) }
    }

    /// The counts.
    #[must_use]
    pub fn handshakes(&self) -> Handshakes {
        self.gate.handshakes()
    }

    /// Does the handshake of a connection that was accepted from the address `from`. To be called in the connection's own task: a
    /// caller who is slow must not hold up the next one. Whoever speaks in the clear comes back as such.
    ///
    /// # Errors
    /// Where there is no handshake, or it fails. It is logged and counted already; there is nothing left to do but to drop it.
    pub async fn accept(&self, stream: TcpStream, from: SocketAddr) -> Result<Greeted, Refusal> {
        let mut plain = None;
        let handshake = async {
            let mut first = [0];
            match stream.peek(&mut first).await.map_err(|error| Refusal::of(&error))? {
                0 => Err(Refusal::HungUp),
                _ if first[0] != HANDSHAKE_RECORD => {
                    plain = Some(stream);
                    Err(Refusal::NoTls)
                }
                _ => self.acceptor.accept(stream).await.map_err(|error| Refusal::of(&error)),
            }
        };
        let ended = self.gate.pass(handshake, from).await;
        match (ended, plain) {
            (Err(_), Some(stream)) => Ok(Greeted::InTheClear(stream)),
            (ended, _) => ended.map(|stream| Greeted::Secured(Box::new(stream))),
        }
    }
}
