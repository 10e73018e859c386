//! Calling a server that shows a certificate to everybody: a gateway's listeners for callers, or whatever stands before them.

use super::accept::within;
use super::edge::Spoken;
use super::material::{Error, authorities, certificates, certified, read};
use super::refusal::Refusal;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client};

/// A connection to a server.
pub type CalledStream = client::TlsStream<TcpStream>;

/// Whose certificates are believed.
#[derive(Clone)]
pub struct Trusted(Arc<RootCertStore>);

impl Trusted {
    /// Those of the authorities that this system lists.
    ///
    /// # Errors
    /// Where it lists none.
    pub fn by_system() -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        // One that cannot be read is no reason to distrust the others.
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() { Err(Error::NoSystemAuthorities) } else { Ok(Self(Arc::new(roots))) }
    }

    /// Those of the authorities in this PEM file, and of no others.
    ///
    /// # Errors
    /// Where it cannot be read, or holds none.
    pub fn by_file(path: &Path) -> Result<Self, Error> {
        Ok(Self(Arc::new(authorities(path, &read(path)?)?)))
    }
}

/// The certificate that a caller shows where a server asks for one, with its key.
#[derive(Clone)]
pub struct Own(Arc<CertifiedKey>);

impl Own {
    /// Reads both from PEM files.
    ///
    /// # Errors
    /// Where one cannot be read, or they are not of each other.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, Error> {
        let chain = certificates(certificate, &read(certificate)?)?;
        let provider = aws_lc_rs::default_provider();
        Ok(Self(Arc::new(certified(certificate, chain, key, &read(key)?, &provider)?)))
    }
}

/// Opens connections to servers that everybody may call.
#[derive(Clone)]
pub struct EdgeConnector {
    connector: TlsConnector,
    /// How long a handshake may take.
    limit: Duration,
}

impl EdgeConnector {
    /// Calls servers with certificates that are trusted, whose handshakes take no longer than `limit`, and shows them this one. TLS 1.3
    /// only.
    ///
    /// # Panics
    /// Never: TLS 1.3 is part of every provider.
    #[must_use]
    pub fn new(trusted: &Trusted, own: Option<&Own>, spoken: Spoken, limit: Duration) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has TLS 1.3")
            .with_root_certificates(trusted.0.clone());
        let mut config = match own {
            Some(Own(own)) => {
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.clone())))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = spoken.names();
        Self { connector: TlsConnector::from(Arc::new(config)), limit }
    }

    /// Does the handshake on a connection that was opened to `name`.
    ///
    /// # Errors
    /// Where the server speaks no TLS 1.3, or its certificate is not trusted or not for `name`.
    pub async fn connect(
        &self,
        stream: TcpStream,
        name: ServerName<'static>,
    ) -> Result<CalledStream, Refusal> {
        let connecting = async { self.connector.connect(name, stream).await.map_err(namesake) };
        within(self.limit, connecting).await
    }
}

/// A chain whose signature is wrong is of an authority that only has the name of one that is trusted, as two regions of one name have.
fn namesake(error: io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(CertificateError::BadSignature)) => {
            io::Error::new(error.kind(), rustls::Error::from(CertificateError::UnknownIssuer))
        }
        _ => error,
    }
}
