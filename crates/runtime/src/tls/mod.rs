//! Mutual TLS between our own processes, and TLS for callers, who may show a certificate.
//!
//! Between our own processes both ends show a certificate, and both look at whose it is.
//!
//! A certificate says which process it is for (`spinwell://<region>/<role>/<id>`), and each end says which roles it deals with: a
//! node is called by gateways and control, and its own certificate opens nothing at another node. TLS 1.3 only, HTTP/2 by ALPN.
//! Sessions are never resumed, because a resumed one would skip the look at the certificate: after a rotation, every new
//! connection proves itself with what holds now. Connections that are open stay open.
//!
//! [`Mutual::load`] reads and checks the files, [`watch`] takes new ones without a restart, [`Acceptor`] and [`Connector`] do the
//! handshakes. `spinwell pki` makes the files. Why it is done so stands in `docs/adr/0027`.
//!
//! Callers are shown an [`EdgeCertificate`], by an [`EdgeAcceptor`] for each listener; the command line calls with an
//! [`EdgeConnector`], which believes whom it [`Trusted`] before, and shows its [`Own`]. Whose a caller's certificate is, is not decided
//! here: it goes with each of his requests.
//!
//! ```
//! use spinwell_runtime::tls::{Acceptor, Connector, Files, Mutual, Role};
//! use std::path::Path;
//! use std::time::Duration;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio::net::{TcpListener, TcpStream};
//!
//! type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;
//! const LIMIT: Duration = Duration::from_secs(5);
//!
//! /// Greets the gateway that calls next, by its id.
//! async fn node(folder: &Path, listener: TcpListener) -> Result {
//!     let acceptor = Acceptor::new(&Mutual::load(Files::in_folder(folder))?, &[Role::Gateway], LIMIT);
//!     let (stream, from) = listener.accept().await?;
//!     let (mut stream, peer) = acceptor.accept(stream, from).await?;
//!     stream.write_all(format!("hello, {}", peer.id).as_bytes()).await?;
//!     Ok(stream.shutdown().await?)
//! }
//!
//! /// Calls a node and returns its greeting.
//! async fn gateway(folder: &Path, address: std::net::SocketAddr) -> Result<String> {
//!     let connector = Connector::new(&Mutual::load(Files::in_folder(folder))?, &[Role::Node], LIMIT);
//!     let stream = TcpStream::connect(address).await?;
//!     let (mut stream, _node) = connector.connect(stream, address.ip().into()).await?;
//!     let mut greeting = String::new();
//!     stream.read_to_string(&mut greeting).await?;
//!     Ok(greeting)
//! }
//! # use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
//! # use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
//! # fn issue(ours: &Issuer<KeyPair>, authority: &str, identity: &str, folder: &Path) -> Result {
//! #     let key = KeyPair::generate()?;
//! #     let mut params = CertificateParams::new(["127.0.0.1".to_owned()])?;
//! #     params.subject_alt_names.push(SanType::URI(identity.try_into()?));
//! #     params.extended_key_usages = vec![ClientAuth, ServerAuth];
//! #     std::fs::create_dir(folder)?;
//! #     std::fs::write(folder.join("certificate.pem"), params.signed_by(&key, ours)?.pem())?;
//! #     std::fs::write(folder.join("key.pem"), key.serialize_pem())?;
//! #     Ok(std::fs::write(folder.join("authority.pem"), authority)?)
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result {
//! #     let mut params = CertificateParams::default();
//! #     params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
//! #     let key = KeyPair::generate()?;
//! #     let authority = params.self_signed(&key)?.pem();
//! #     let (ours, here) = (Issuer::new(params, key), tempfile::tempdir()?);
//! #     let (of_node, of_gateway) = (here.path().join("node"), here.path().join("gateway"));
//! #     issue(&ours, &authority, "spinwell://test/node/n1", &of_node)?;
//! #     issue(&ours, &authority, "spinwell://test/gateway/g1", &of_gateway)?;
//! #     let listener = TcpListener::bind("127.0.0.1:0").await?;
//! #     let address = listener.local_addr()?;
//! #     let (served, greeting) = tokio::join!(node(&of_node, listener), gateway(&of_gateway, address));
//! #     served?;
//! #     assert_eq!(greeting?, "hello, g1");
//! #     Ok(())
//! # }
//! ```

mod accept;
mod called;
mod callers;
mod edge;
mod held;
mod identity;
mod material;
mod quota;
mod refusal;
mod shared;
mod verifier;
mod watch;

pub use accept::{Acceptor, Connector, Handshakes};
pub use called::{CalledStream, EdgeConnector, Own, Trusted};
pub use edge::{EdgeAcceptor, EdgeCertificate, EdgeFiles, EdgeStream, Greeted, Spoken};
pub use identity::{Identity, Invalid, Name, Peer, Role};
pub use material::{Authority, Contents, Error, Files, Validity, check, check_caller, check_edge};
pub use refusal::Refusal;
pub use rustls::pki_types::ServerName;
pub use watch::{Watched, watch};

use held::Held;
use material::Material;
use rustls::client::Resumption;
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use std::fmt;
use std::sync::Arc;
use verifier::Verifier;

/// What both ends speak inside; a peer that offers only something else is refused.
const PROTOCOL: &[u8] = b"h2";

/// Certificate, key and authority of this process. Clones are the same ones.
#[derive(Clone)]
pub struct Mutual(Arc<Held<Material>>);

impl fmt::Debug for Mutual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the key.
        f.debug_struct("Mutual")
            .field("files", &self.0.files)
            .field("identity", &self.identity().to_string())
            .finish()
    }
}

impl Mutual {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// Where one cannot be read, is not what it should be, or a peer would refuse it: the key is of another certificate, the
    /// certificate of another authority, expired, or not for both ends of a connection, or it names no identity.
    pub fn load(files: Files) -> Result<Self, Error> {
        Ok(Self(Arc::new(Held::load(files)?)))
    }

    /// Reads the files again and, where they hold something new, checks it and takes it for all later handshakes. Whether it
    /// was new.
    ///
    /// # Errors
    /// Those of [`Mutual::load`], and where the new certificate is of another process. What held before then goes on to hold.
    pub fn reload(&self) -> Result<bool, Error> {
        self.0.reload()
    }

    /// Who this process is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.0.shared.now().identity.clone()
    }

    /// From when until when the certificate in use is valid.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.0.shared.now().validity
    }

    /// The end that is called, by processes of these roles. For [`Acceptor`] and for libraries that do their own handshakes.
    ///
    /// # Panics
    /// Never: TLS 1.3 is part of every provider.
    #[must_use]
    pub fn server(&self, roles: &[Role]) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(self.0.provider.clone())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has TLS 1.3")
            .with_client_cert_verifier(self.verifier(roles))
            .with_cert_resolver(self.0.shared.clone());
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Arc::new(config)
    }

    /// The end that calls processes of these roles. For [`Connector`] and for libraries that do their own handshakes.
    ///
    /// # Panics
    /// Never: TLS 1.3 is part of every provider.
    #[must_use]
    pub fn client(&self, roles: &[Role]) -> Arc<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(self.0.provider.clone())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(self.verifier(roles))
            .with_client_cert_resolver(self.0.shared.clone());
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.resumption = Resumption::disabled();
        Arc::new(config)
    }

    fn verifier(&self, roles: &[Role]) -> Arc<Verifier> {
        Arc::new(Verifier {
            shared: self.0.shared.clone(),
            roles: roles.to_vec(),
            algorithms: self.0.provider.signature_verification_algorithms,
        })
    }
}

#[cfg(test)]
mod tests;
