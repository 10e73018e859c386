//! The same behind a certificate: what holds in the clear is not lost there.

use super::tests::{BOUND, GOOD, answer, post};
use super::{Listening, serve_grpc, serve_http};
use crate::example::{self, Mood};
use crate::{ConnectionCounts, grpc_service, http_router};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use spinwell_core::Millis;
use spinwell_protocol::grpc::wire::ServerLiveRequest;
use spinwell_protocol::grpc::wire::grpc_inference_service_client::GrpcInferenceServiceClient;
use spinwell_runtime::health::Health;
use spinwell_runtime::options::Limits;
use spinwell_runtime::shutdown::{self, Trigger};
use spinwell_runtime::tls::{
    CalledStream, EdgeAcceptor, EdgeCertificate, EdgeConnector, EdgeFiles, Handshakes, Spoken, Trusted,
};
use std::net::SocketAddr;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A listener that shows a certificate, and its callers.
struct Edge {
    address: SocketAddr,
    connector: EdgeConnector,
    handshakes: Handshakes,
    trigger: Trigger,
    serving: JoinHandle<()>,
    counts: ConnectionCounts,
}

/// A certificate for this machine, and the authority that callers trust.
fn certificate(folder: &Path) -> (EdgeCertificate, Trusted) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let (issuer, key) = (Issuer::new(params, key), KeyPair::generate().unwrap());
    let issued = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        spinwell_runtime::files::write_atomically(&path, text.as_bytes()).unwrap();
        path
    };
    let files = EdgeFiles {
        certificate: write("certificate.pem", issued.pem()),
        key: write("key.pem", key.serialize_pem()),
        callers: None,
    };
    let trusted = Trusted::by_file(&write("authority.pem", authority)).unwrap();
    (EdgeCertificate::load(files).unwrap(), trusted)
}

async fn edge(spoken: Spoken, head_timeout: Millis) -> Edge {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, trusted) = certificate(folder.path());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (trigger, shutdown) = shutdown::channel();
    let (gateway, _) = example::gateway(Mood::Answers);
    let limits = Limits { head_timeout, connections_max: 16, ..gateway.limits().clone() };
    let acceptor = EdgeAcceptor::new(&certificate, spoken, head_timeout.into());
    let (handshakes, counts) = (acceptor.handshakes(), ConnectionCounts::default());
    let listening = Listening { listener, limits, counts: counts.clone(), tls: Some(acceptor) };
    let serving = match spoken {
        Spoken::Http1 => {
            tokio::spawn(serve_http(listening, http_router(gateway), Health::default(), shutdown))
        }
        Spoken::Http2 => tokio::spawn(serve_grpc(listening, grpc_service(gateway), shutdown)),
    };
    let connector = EdgeConnector::new(&trusted, None, spoken, BOUND);
    Edge { address, connector, handshakes, trigger, serving, counts }
}

impl Edge {
    async fn call(&self) -> CalledStream {
        let stream = TcpStream::connect(self.address).await.unwrap();
        self.connector.connect(stream, self.address.ip().into()).await.unwrap()
    }

    fn refused(&self, kind: &str) -> u64 {
        self.handshakes.refused().find(|(name, _)| *name == kind).unwrap().1
    }
}

const LONG: Millis = Millis(600_000);

#[tokio::test]
async fn requests_are_answered_one_after_the_other_on_one_connection() {
    let edge = edge(Spoken::Http1, LONG).await;
    let mut stream = edge.call().await;
    for _ in 0..3 {
        stream.write_all(&post(GOOD.len(), GOOD)).await.unwrap();
        let answer = answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!(edge.handshakes.accepted(), 1);
}

#[tokio::test]
async fn a_body_that_nobody_wants_does_not_destroy_the_answer() {
    let edge = edge(Spoken::Http1, LONG).await;
    let mut all = post(50_000_000, "");
    all.resize(all.len() + 50_000_000, b'1');
    let (mut read, mut write) = tokio::io::split(edge.call().await);
    let sent = async {
        // The server may refuse and close while we still write; then its answer is what counts.
        let _ = write.write_all(&all).await;
    };
    let (whole, ()) = tokio::join!(answer(&mut read), sent);
    assert!(whole.starts_with("HTTP/1.1 413") && whole.contains("SPW-BODY-TOO-LARGE"), "{whole}");
}

#[tokio::test]
async fn what_the_library_refuses_gets_a_code_too() {
    let edge = edge(Spoken::Http1, LONG).await;
    let mut stream = edge.call().await;
    stream.write_all(b"hello\r\n\r\n").await.unwrap();
    let refused = answer(&mut stream).await;
    assert!(refused.starts_with("HTTP/1.1 400") && refused.contains("SPW-FRAMING-INVALID"), "{refused}");
}

#[tokio::test]
async fn who_speaks_in_the_clear_is_told_so_and_is_not_served() {
    let edge = edge(Spoken::Http1, LONG).await;
    let mut stream = TcpStream::connect(edge.address).await.unwrap();
    stream.write_all(&post(GOOD.len(), GOOD)).await.unwrap();
    let mut told = String::new();
    timeout(BOUND, stream.read_to_string(&mut told)).await.unwrap().unwrap();
    assert!(told.starts_with("HTTP/1.1 400") && told.contains("connection: close"), "{told}");
    assert!(told.contains("SPW-FRAMING-INVALID") && told.contains("https://"), "{told}");
    assert_eq!((edge.refused("no_tls"), edge.handshakes.accepted()), (1, 0));
}

#[tokio::test]
async fn a_stop_waits_for_the_request_in_flight_and_for_nobody_else() {
    let edge = edge(Spoken::Http1, LONG).await;
    let (mut stream, silent) = (edge.call().await, TcpStream::connect(edge.address).await.unwrap());
    let bytes = post(GOOD.len(), GOOD);
    let (first, second) = bytes.split_at(bytes.len() - 20);
    stream.write_all(first).await.unwrap();
    // Another request is answered after the first one's bytes, so those have arrived.
    let mut other = edge.call().await;
    other.write_all(&bytes).await.unwrap();
    assert!(answer(&mut other).await.starts_with("HTTP/1.1 200"));
    edge.trigger.pull();
    while TcpStream::connect(edge.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!edge.serving.is_finished());
    stream.write_all(second).await.unwrap();
    let mut last = String::new();
    timeout(BOUND, stream.read_to_string(&mut last)).await.unwrap().unwrap();
    assert!(last.starts_with("HTTP/1.1 200"), "{last}");
    timeout(BOUND, edge.serving).await.unwrap().unwrap();
    drop(silent);
}

#[tokio::test]
async fn a_place_is_free_again_when_a_handshake_has_taken_too_long() {
    for spoken in [Spoken::Http1, Spoken::Http2] {
        let edge = edge(spoken, Millis(20)).await;
        for begun in [&b""[..], &[0x16, 3, 1, 2, 0, 1]] {
            let mut stream = TcpStream::connect(edge.address).await.unwrap();
            stream.write_all(begun).await.unwrap();
            let closed = timeout(BOUND, stream.read_to_end(&mut Vec::new())).await;
            assert!(closed.is_ok(), "{spoken:?} {begun:?}");
        }
        assert_eq!(edge.refused("too_slow"), 2);
        // A peer that has shown itself and asks for nothing is sent away as well.
        let mut stream = edge.call().await;
        assert!(timeout(BOUND, stream.read_to_end(&mut Vec::new())).await.is_ok());
        while edge.counts.open.get() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn grpc_is_spoken_behind_a_handshake_and_not_before() {
    let edge = edge(Spoken::Http2, LONG).await;
    let connector = tower::service_fn({
        let (connector, address) = (edge.connector.clone(), edge.address);
        move |_: axum::http::Uri| {
            let connector = connector.clone();
            async move {
                let stream = TcpStream::connect(address).await?;
                let stream = connector.connect(stream, address.ip().into()).await;
                stream.map(hyper_util::rt::TokioIo::new).map_err(std::io::Error::other)
            }
        }
    });
    let endpoint = tonic::transport::Endpoint::from_static("http://test");
    let channel = endpoint.connect_with_connector(connector).await.unwrap();
    let live = GrpcInferenceServiceClient::new(channel).server_live(ServerLiveRequest {}).await.unwrap();
    assert!(live.into_inner().live);
    let mut plain = TcpStream::connect(edge.address).await.unwrap();
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    // It may be reset, as nothing was read.
    let _ = timeout(BOUND, plain.read_to_end(&mut Vec::new())).await.unwrap();
    assert_eq!((edge.refused("no_tls"), edge.handshakes.accepted()), (1, 1));
}
