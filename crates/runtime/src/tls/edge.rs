//! The certificate that callers are shown, who may show one themselves.
//!
//! Another one than between our own processes: callers trust authorities of their own choice, and who they are they say in each
//! request, or by a certificate of authorities that the operator names. Sessions may be resumed where none is asked for, because nothing
//! that was checked once is skipped then.

use super::accept::{Gate, Handshakes};
use super::callers::{Callers, shown};
use super::held::{Filed, Held};
use super::material::{Error, Validity, authorities, certificates, certified, read};
use super::refusal::Refusal;
use super::shared::Shown;
use super::verifier;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::UnixTime;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use spinwell_core::UnixMillis;
use spinwell_security::certificate::Certificate;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server};

/// The first byte of a TLS connection: a record of the handshake. No text that a caller would send in the clear begins so.
const HANDSHAKE_RECORD: u8 = 0x16;

/// The PEM files of the listeners for callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeFiles {
    /// The certificate, and below it those between it and its authority.
    pub certificate: PathBuf,
    /// The key of the certificate: PKCS #8, SEC 1 or PKCS #1, not encrypted.
    pub key: PathBuf,
    /// Certificates of the authorities whose certificates callers may show; without, they are not asked for any.
    pub callers: Option<PathBuf>,
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

/// The contents of the files.
#[derive(PartialEq, Eq)]
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    callers: Option<Vec<u8>>,
}

/// What a handshake needs, checked.
#[derive(Debug)]
pub(super) struct Material {
    validity: Validity,
    certified: Arc<CertifiedKey>,
    /// Checks what callers show; nothing where they are not asked.
    pub(super) callers: Option<Arc<dyn ClientCertVerifier>>,
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
        let callers = files.callers.as_deref().map(read).transpose()?;
        Ok(Contents { certificate: read(&files.certificate)?, key: read(&files.key)?, callers })
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
        let callers = match (&files.callers, &contents.callers) {
            (Some(path), Some(contents)) => Some(verifier_of(path, contents, provider)?),
            _ => None,
        };
        Ok(Self { validity, certified: Arc::new(certified), callers })
    }
}

/// Checks certificates of the authorities in a file.
fn verifier_of(
    path: &Path,
    contents: &[u8],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let roots = Arc::new(authorities(path, contents)?);
    let built = WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build();
    built.map_err(|error| Error::Unusable {
        path: path.to_owned(),
        wanted: "an authority",
        source: rustls::Error::General(error.to_string()),
    })
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
        let Held { files, provider, shared, .. } = &*self.0;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has TLS 1.3");
        if files.callers.is_none() {
            let mut config = builder.with_no_client_auth().with_cert_resolver(shared.clone());
            config.alpn_protocols = spoken.names();
            return config;
        }
        let algorithms = provider.signature_verification_algorithms;
        let callers = Arc::new(Callers { shared: shared.clone(), algorithms });
        let mut config = builder.with_client_cert_verifier(callers).with_cert_resolver(shared.clone());
        config.alpn_protocols = spoken.names();
        // A resumed session would skip the look at the caller's certificate.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config
    }
}

/// A connection of a caller.
pub type EdgeStream = server::TlsStream<TcpStream>;

/// How a caller began.
pub enum Greeted {
    /// With a handshake, which has succeeded, and perhaps a certificate.
    Secured(Box<EdgeStream>, Option<Arc<Certificate>>),
    /// In the clear. Nothing was read of it yet, so that it can be answered, and refused, in its own protocol.
    InTheClear(TcpStream),
}

/// Accepts connections of callers at one listener. Clones share counts and the log's quota.
#[derive(Clone)]
pub struct EdgeAcceptor {
    acceptor: TlsAcceptor,
    algorithms: WebPkiSupportedAlgorithms,
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
        let algorithms = certificate.0.provider.signature_verification_algorithms;
        Self { acceptor: TlsAcceptor::from(config), algorithms, gate: Gate::new(limit) }
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
                _ => {
                    let stream = self.acceptor.accept(stream).await.map_err(|error| Refusal::of(&error))?;
                    let chain = stream.get_ref().1.peer_certificates();
                    let now = crate::clock::unix();
                    let own =
                        chain.map(|chain| shown(chain, &self.algorithms, now).map(Arc::new)).transpose()?;
                    Ok((Box::new(stream), own))
                }
            }
        };
        let ended = self.gate.pass(handshake, from).await;
        match (ended, plain) {
            (Err(_), Some(stream)) => Ok(Greeted::InTheClear(stream)),
            (ended, _) => ended.map(|(stream, own)| Greeted::Secured(stream, own)),
        }
    }
}
