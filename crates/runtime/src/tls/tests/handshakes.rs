//! Who is let in, who is not, and what the log says of it.

use super::authority::{Authority, Wanted};
use super::{BOUND, Log, Node, mutual};
use crate::tls::{Acceptor, Connector, Files, Mutual, Refusal, Role};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, Error, HandshakeKind, SignatureScheme};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A client that trusts everybody and shows what it is told to: certificate and key, or nothing.
fn stranger(shows: Option<&Files>) -> TlsConnector {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting));
    let config = match shows {
        None => config.with_no_client_auth(),
        Some(files) => {
            let chain = vec![CertificateDer::from_pem_file(&files.certificate).unwrap()];
            config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&files.key).unwrap()).unwrap()
        }
    };
    TlsConnector::from(Arc::new(config))
}

#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// What the node says of a client, and what the client reads then.
async fn knock(node: &Node, client: &TlsConnector) -> (Refusal, Refusal) {
    let call = async {
        let stream = TcpStream::connect(node.address()).await.unwrap();
        let mut stream = client.connect(node.address().ip().into(), stream).await.unwrap();
        // The client's own handshake is over: that it was refused comes with the first read.
        Refusal::of(&stream.read_u8().await.unwrap_err())
    };
    let (node, client) = tokio::join!(node.accept(), call);
    (node.unwrap_err(), client)
}

struct House {
    ours: Authority,
    folder: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        Self { ours: Authority::new("ours"), folder: tempfile::tempdir().unwrap() }
    }

    fn files(&self, identity: &str) -> Files {
        self.ours.issue(identity).write(&self.folder.path().join(identity.replace(['/', ':'], "-")))
    }

    fn mutual(&self, identity: &str) -> Mutual {
        mutual(&self.files(identity))
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

#[tokio::test]
async fn both_ends_learn_who_the_other_is() {
    let house = House::new();
    let node = Node::new(&house.mutual("spinwell://eu/node/n1")).await;
    for (caller, name) in
        [("spinwell://eu/gateway/g1", "gateway g1"), ("spinwell://eu/control/c1", "control c1")]
    {
        let (served, called) = node.called_by(&house.mutual(caller)).await;
        let ((mut at_node, peer), (mut at_caller, called)) = (served.unwrap(), called.unwrap());
        assert_eq!((peer.to_string().as_str(), called.to_string().as_str()), (name, "node n1"));
        let connection = at_node.get_ref().1;
        assert_eq!(connection.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        assert_eq!(connection.alpn_protocol(), Some(&b"h2"[..]));
        at_caller.write_all(b"ping").await.unwrap();
        let mut heard = [0; 4];
        at_node.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"ping");
    }
    assert_eq!(node.acceptor.handshakes().accepted(), 2);
    assert_eq!(node.acceptor.handshakes().refused().map(|(_, count)| count).sum::<u64>(), 0);
}

#[tokio::test]
async fn strangers_are_refused_with_the_reason_in_the_log() {
    let house = House::new();
    let node = Node::new(&house.mutual("spinwell://eu/node/n1")).await;
    let gateway = ["spinwell://eu/gateway/g1"];
    // A foreign authority that took the name of ours.
    let foreign = Authority::new("ours").issue(gateway[0]).write(&house.path().join("foreign"));
    let expired = Wanted { uris: &gateway, hours: (-48, -24), ..Wanted::default() };
    let expired = house.ours.make(&expired).write(&house.path().join("expired"));
    let early = Wanted { uris: &gateway, hours: (24, 48), ..Wanted::default() };
    let early = house.ours.make(&early).write(&house.path().join("early"));
    let only_server = [rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let only_server = Wanted { uris: &gateway, usages: &only_server, ..Wanted::default() };
    let only_server = house.ours.make(&only_server).write(&house.path().join("server"));
    let nobody =
        house.ours.make(&Wanted { uris: &[], ..Wanted::default() }).write(&house.path().join("nobody"));
    let other_node = house.files("spinwell://eu/node/n2");
    let elsewhere = house.files("spinwell://us/gateway/g1");

    let cases = [
        (None, "no client certificate", "no_certificate", "it wants a certificate"),
        (
            Some(&foreign),
            "certificate is of another authority",
            "foreign_authority",
            "our certificate is of another authority",
        ),
        (Some(&expired), "certificate expired at 2", "expired", "our certificate is expired"),
        (Some(&early), "certificate is not valid before 2", "not_yet_valid", "our certificate is"),
        (Some(&other_node), "certificate is for role node", "wrong_role", "our certificate is not for this"),
        (Some(&elsewhere), "certificate is for region us", "wrong_region", "our certificate is not for this"),
        (Some(&nobody), "certificate names no identity", "no_identity", "our certificate is not for this"),
        (Some(&only_server), "certificate may not be used for this", "wrong_purpose", "our certificate is"),
    ];
    for (shows, said, kind, heard) in cases {
        let log = Log::new();
        let (refusal, client) = knock(&node, &stranger(shows)).await;
        assert!(refusal.to_string().starts_with(said), "{kind}: {refusal}");
        let text = log.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        for part in ["WARN", "refused a connection", "peer=127.0.0.1:", &format!("reason={said}")] {
            assert!(text.contains(part), "{kind}: no {part} in {text}");
        }
        assert!(client.to_string().contains(heard), "{kind}: {client}");
        assert_eq!(node.refused(kind), 1, "{kind}");
    }
    assert_eq!(node.acceptor.handshakes().accepted(), 0);
}

#[tokio::test]
async fn a_key_that_is_not_the_certificates_opens_nothing() {
    let house = House::new();
    let node = Node::new(&house.mutual("spinwell://eu/node/n1")).await;
    let (gateway, other) = (house.files("spinwell://eu/gateway/g1"), house.files("spinwell://eu/gateway/g2"));
    // Certificates are no secret: whoever has one without its key must not get in.
    let provider = aws_lc_rs::default_provider();
    let key =
        provider.key_provider.load_private_key(PrivateKeyDer::from_pem_file(&other.key).unwrap()).unwrap();
    let chain = vec![CertificateDer::from_pem_file(&gateway.certificate).unwrap()];
    let stolen = rustls::sign::SingleCertAndKey::from(rustls::sign::CertifiedKey::new(chain, key));
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_client_cert_resolver(Arc::new(stolen));
    knock(&node, &TlsConnector::from(Arc::new(config))).await;
    assert_eq!(node.acceptor.handshakes().accepted(), 0);
}

#[tokio::test]
async fn no_session_goes_on_without_a_look_at_the_certificate() {
    let house = House::new();
    let node = Node::new(&house.mutual("spinwell://eu/node/n1")).await;
    // A client that would resume its session, were it given a ticket.
    let client = stranger(Some(&house.files("spinwell://eu/gateway/g1")));
    for _ in 0..3 {
        let call = async {
            let stream = TcpStream::connect(node.address()).await.unwrap();
            let mut stream = client.connect(node.address().ip().into(), stream).await.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), 7);
        };
        let serve = async {
            let (mut stream, _) = node.accept().await.unwrap();
            stream.write_all(&[7]).await.unwrap();
            stream.get_ref().1.handshake_kind()
        };
        let ((), kind) = tokio::join!(call, serve);
        assert!(
            matches!(kind, Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest)),
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn nothing_but_tls_13_is_spoken() {
    let house = House::new();
    let node = Node::new(&house.mutual("spinwell://eu/node/n1")).await;
    let log = Log::new();
    let plain = async {
        let mut stream = TcpStream::connect(node.address()).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: n1\r\n\r\n").await.unwrap();
        // Until the node closes: an early end of ours would be another reason.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };
    let (refused, ()) = tokio::join!(async { node.accept().await.map(drop) }, plain);
    assert_eq!(refused, Err(Refusal::NoTls));
    assert!(log.text().contains("reason=the peer spoke no TLS 1.3"), "{}", log.text());
}

#[tokio::test]
async fn who_hangs_up_is_counted_and_who_waits_is_sent_away() {
    let house = House::new();
    let own = house.mutual("spinwell://eu/node/n1");
    let mut node = Node::new(&own).await;
    let log = Log::new();
    let check = async { drop(TcpStream::connect(node.address()).await.unwrap()) };
    let (refused, ()) = tokio::join!(async { node.accept().await.map(drop) }, check);
    assert_eq!((refused, node.refused("hung_up"), log.text()), (Err(Refusal::HungUp), 1, String::new()));

    let limit = Duration::from_millis(1);
    node.acceptor = Acceptor::new(&own, &[Role::Gateway], limit);
    let silent = TcpStream::connect(node.address()).await.unwrap();
    assert_eq!(node.accept().await.map(drop), Err(Refusal::TooSlow { limit }));
    drop(silent);
    assert!(log.text().contains("reason=the handshake took longer than 1 ms"), "{}", log.text());
}

#[tokio::test]
async fn a_flood_of_strangers_does_not_fill_the_log_or_hide_another_reason() {
    let house = House::new();
    let node = Node::new(&house.mutual("spinwell://eu/node/n1")).await;
    let (log, stranger_without) = (Log::new(), stranger(None));
    for _ in 0..60 {
        knock(&node, &stranger_without).await;
    }
    knock(&node, &stranger(Some(&house.files("spinwell://eu/node/n2")))).await;
    let text = log.text();
    let lines = |words: &str| text.lines().filter(|line| line.contains(words)).count() as u64;
    // Slow machines get a line more for each second.
    assert!((20..60).contains(&lines("no client certificate")), "{text}");
    assert_eq!(lines("certificate is for role node"), 1);
    assert_eq!(node.refused("no_certificate"), 60);
}

#[tokio::test]
async fn a_client_refuses_whom_it_did_not_mean_to_call() {
    let house = House::new();
    let caller = house.mutual("spinwell://eu/control/c1");
    let gateway = house.mutual("spinwell://eu/gateway/g1");
    // A node's certificate may not pose as control, nor a gateway's as a node.
    for (own, roles, role) in [
        (house.mutual("spinwell://eu/node/n1"), Role::Control, Role::Node),
        (gateway, Role::Node, Role::Gateway),
    ] {
        let node = Node::new(&own).await;
        let connector = Connector::new(&caller, &[roles], BOUND);
        let call = async {
            let stream = TcpStream::connect(node.address()).await.unwrap();
            connector.connect(stream, node.address().ip().into()).await.map(drop)
        };
        let (served, called) = tokio::join!(node.accept(), call);
        assert_eq!(called, Err(Refusal::WrongRole { role }));
        assert!(matches!(served, Err(Refusal::ByPeer { .. })), "{:?}", served.map(|(_, peer)| peer));
    }
    let strange = Authority::new("ours").issue("spinwell://eu/node/n1").write(&house.path().join("strange"));
    let (_, called) = Node::new(&mutual(&strange)).await.called_by(&caller).await;
    assert_eq!(called.map(drop), Err(Refusal::ForeignAuthority));
    let named = Wanted { names: &["n1.example.org"], uris: &["spinwell://eu/node/n1"], ..Wanted::default() };
    let named = house.ours.make(&named).write(&house.path().join("named"));
    let (_, called) = Node::new(&mutual(&named)).await.called_by(&caller).await;
    assert_eq!(called.map(drop), Err(Refusal::WrongName));
}
