//! Callers who show no certificate: real handshakes, and what else may come to such a listener.

use super::authority::{Authority, Issued, Wanted};
use super::{BOUND, Log};
use crate::shutdown;
use crate::tls::{
    CalledStream, EdgeAcceptor, EdgeCertificate, EdgeConnector, EdgeFiles, Error, Greeted, Own, Refusal,
    Spoken, Trusted, watch,
};
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How often the watcher looks, in paused time.
const INTERVAL: Duration = Duration::from_secs(10);

pub(super) fn files(issued: &Issued, folder: &Path) -> EdgeFiles {
    let written = issued.write(folder);
    EdgeFiles { certificate: written.certificate, key: written.key, callers: None }
}

/// A listener for callers.
pub(super) struct Edge {
    listener: TcpListener,
    pub(super) acceptor: EdgeAcceptor,
}

impl Edge {
    pub(super) async fn new(certificate: &EdgeCertificate, spoken: Spoken, limit: Duration) -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            acceptor: EdgeAcceptor::new(certificate, spoken, limit),
        }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    async fn accept(&self) -> Result<Greeted, Refusal> {
        let (stream, from) = self.listener.accept().await.unwrap();
        self.acceptor.accept(stream, from).await
    }

    /// Both ends of a connection to it by this name.
    async fn called(
        &self,
        trusted: &Trusted,
        name: &'static str,
    ) -> (Result<Greeted, Refusal>, Result<CalledStream, Refusal>) {
        self.called_with(trusted, None, name).await
    }

    /// The same by a caller who shows that certificate.
    pub(super) async fn called_with(
        &self,
        trusted: &Trusted,
        own: Option<&Own>,
        name: &'static str,
    ) -> (Result<Greeted, Refusal>, Result<CalledStream, Refusal>) {
        let connector = EdgeConnector::new(trusted, own, Spoken::Http1, BOUND);
        let call = async {
            let stream = TcpStream::connect(self.address()).await.unwrap();
            connector.connect(stream, name.try_into().unwrap()).await
        };
        tokio::join!(self.accept(), call)
    }

    /// How often it refused for this reason.
    pub(super) fn refused(&self, kind: &str) -> u64 {
        self.acceptor.handshakes().refused().find(|(name, _)| *name == kind).unwrap().1
    }
}

pub(super) fn trusted(authority: &Authority, folder: &Path) -> Trusted {
    let path = folder.join("trusted.pem");
    crate::files::write_atomically(&path, authority.pem().as_bytes()).unwrap();
    Trusted::by_file(&path).unwrap()
}

fn shown(called: &CalledStream) -> CertificateDer<'static> {
    called.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

fn first(issued: &Issued) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()
}

#[tokio::test]
async fn who_trusts_the_authority_is_served_and_nobody_else_trusts_us() {
    let (ours, here) = (Authority::new("ours"), tempfile::tempdir().unwrap());
    // A certificate of anybody's: it names no process of ours.
    let issued = ours.make(&Wanted { uris: &[], usages: &[ServerAuth], ..Wanted::default() });
    let edge = EdgeCertificate::load(files(&issued, here.path())).unwrap();
    assert!(!format!("{edge:?}").contains("PRIVATE"));
    let edge = Edge::new(&edge, Spoken::Http1, BOUND).await;
    let trusted = trusted(&ours, here.path());
    let (served, called) = edge.called(&trusted, "127.0.0.1").await;
    let (Ok(Greeted::Secured(mut served, None)), Ok(mut called)) = (served, called) else {
        panic!("no handshake")
    };
    assert_eq!(served.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    called.write_all(b"hello").await.unwrap();
    let mut heard = [0; 5];
    served.read_exact(&mut heard).await.unwrap();
    assert_eq!((&heard, edge.acceptor.handshakes().accepted()), (b"hello", 1));

    let (_, elsewhere) = edge.called(&trusted, "elsewhere.example").await;
    assert_eq!(elsewhere.map(drop), Err(Refusal::WrongName));
    let other = tempfile::tempdir().unwrap();
    let theirs = self::trusted(&Authority::new("ours"), other.path());
    let (served, called) = edge.called(&theirs, "127.0.0.1").await;
    assert_eq!(called.map(drop), Err(Refusal::ForeignAuthority));
    assert!(matches!(served, Err(Refusal::ByPeer { .. })));
    assert_eq!(edge.refused("by_peer"), 2);
}

#[tokio::test]
async fn plain_text_comes_back_unread_and_silence_ends_in_time() {
    let (ours, here) = (Authority::new("ours"), tempfile::tempdir().unwrap());
    let edge = EdgeCertificate::load(files(&ours.issue("spinwell://eu/gateway/g1"), here.path())).unwrap();
    let edge = Edge::new(&edge, Spoken::Http1, Duration::from_millis(20)).await;
    let mut caller = TcpStream::connect(edge.address()).await.unwrap();
    caller.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let Ok(Greeted::InTheClear(mut plain)) = edge.accept().await else { panic!("it is plain text") };
    let mut heard = [0; 16];
    plain.read_exact(&mut heard).await.unwrap();
    assert_eq!((&heard, edge.refused("no_tls")), (b"GET / HTTP/1.1\r\n", 1));

    let silent = TcpStream::connect(edge.address()).await.unwrap();
    assert!(matches!(edge.accept().await, Err(Refusal::TooSlow { .. })));
    drop(silent);
    drop(TcpStream::connect(edge.address()).await.unwrap());
    assert!(matches!(edge.accept().await, Err(Refusal::HungUp)));
    assert_eq!((edge.refused("too_slow"), edge.refused("hung_up")), (1, 1));
}

/// A greeting of TLS 1.2: without the extension in which later versions are offered.
fn greeting_of_tls_1_2() -> Vec<u8> {
    let extensions = [
        // Groups: x25519 and secp256r1.
        &[0, 10, 0, 6, 0, 4, 0, 29, 0, 23][..],
        // Signatures: ECDSA with P-256, RSA-PSS.
        &[0, 13, 0, 6, 0, 4, 4, 3, 8, 4],
        // Points as they are.
        &[0, 11, 0, 2, 1, 0],
    ]
    .concat();
    let suites = [0xc0, 0x2b, 0xc0, 0x2f];
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, suites.len() as u8]);
    hello.extend(suites);
    hello.extend([1, 0, 0, extensions.len() as u8]);
    hello.extend(extensions);
    let message = [&[1, 0, 0, hello.len() as u8][..], &hello].concat();
    [&[0x16, 3, 1, 0, message.len() as u8][..], &message].concat()
}

#[tokio::test]
async fn an_older_tls_is_refused_with_the_alert_that_says_so() {
    let (ours, here) = (Authority::new("ours"), tempfile::tempdir().unwrap());
    let edge = EdgeCertificate::load(files(&ours.issue("spinwell://eu/gateway/g1"), here.path())).unwrap();
    let edge = Edge::new(&edge, Spoken::Http2, BOUND).await;
    let mut caller = TcpStream::connect(edge.address()).await.unwrap();
    caller.write_all(&greeting_of_tls_1_2()).await.unwrap();
    assert!(matches!(edge.accept().await, Err(Refusal::NoTls)));
    let mut alert = Vec::new();
    caller.read_to_end(&mut alert).await.unwrap();
    // Record 21, an alert; 2, it is fatal; 70, protocol_version.
    assert_eq!((alert[0], &alert[alert.len() - 2..]), (21, &[2, 70][..]), "{alert:?}");
    assert_eq!(edge.refused("no_tls"), 1);
}

#[test]
fn what_every_caller_would_refuse_is_refused_first() {
    let (ours, here) = (Authority::new("ours"), tempfile::tempdir().unwrap());
    let said = |wanted: Wanted<'_>| {
        let error = EdgeCertificate::load(files(&ours.make(&wanted), here.path())).unwrap_err();
        let message = error.fault().message().to_owned();
        assert!(message.contains("certificate.pem"), "{message}");
        message
    };
    assert!(said(Wanted { hours: (-3, -1), ..Wanted::default() }).contains("expired at"));
    assert!(said(Wanted { hours: (1, 2), ..Wanted::default() }).contains("not valid before"));
    assert!(said(Wanted { usages: &[ClientAuth], ..Wanted::default() }).contains("must allow serverAuth"));
    let mut issued = ours.issue("spinwell://eu/gateway/g1");
    issued.key = ours.issue("spinwell://eu/gateway/g1").key;
    let other = EdgeCertificate::load(files(&issued, here.path()));
    assert!(matches!(other, Err(Error::KeyMismatch { .. })));
    assert!(matches!(Trusted::by_file(&here.path().join("key.pem")), Err(Error::Missing { .. })));
}

// Time is paused: a wait is over as soon as nothing else can happen.
#[tokio::test(start_paused = true)]
async fn callers_see_a_new_certificate_where_it_is_sound_and_the_old_one_otherwise() {
    let (ours, here) = (Authority::new("ours"), tempfile::tempdir().unwrap());
    let old = ours.issue("spinwell://eu/gateway/g1");
    let certificate = EdgeCertificate::load(files(&old, here.path())).unwrap();
    let edge = Edge::new(&certificate, Spoken::Http1, BOUND).await;
    let (log, trusted) = (Log::new(), trusted(&ours, here.path()));
    let (trigger, stop) = shutdown::channel();
    let watcher = tokio::spawn(watch(certificate.clone(), INTERVAL, stop));
    let until = async |words: &str| {
        let seen = async {
            while !log.text().contains(words) {
                tokio::time::sleep(INTERVAL).await;
            }
        };
        tokio::time::timeout(BOUND * 100, seen).await.expect("the watcher looks");
    };

    // As it is for a moment whenever files are exchanged one by one.
    let new = ours.issue("spinwell://eu/gateway/g1");
    let path = &certificate.files().certificate;
    crate::files::write_atomically(path, new.certificate.as_bytes()).unwrap();
    until("does not fit").await;
    assert_eq!(shown(&edge.called(&trusted, "127.0.0.1").await.1.unwrap()), first(&old));
    crate::files::write_atomically(&certificate.files().key, new.key.as_bytes()).unwrap();
    until("a new certificate is in use").await;
    assert_eq!(shown(&edge.called(&trusted, "127.0.0.1").await.1.unwrap()), first(&new));
    assert_eq!(log.text().matches("cannot be used").count(), 1, "{}", log.text());
    trigger.pull();
    watcher.await.unwrap();
}
