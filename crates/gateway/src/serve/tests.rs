//! Real connections on loopback: what only the socket can show.

use super::{Listening, serve_grpc, serve_http};
use crate::example::{self, Mood};
use crate::{ConnectionCounts, grpc_service, http_router};
use spinwell_core::{Millis, ResultClass};
use spinwell_runtime::health::{Health, Phase};
use spinwell_runtime::options::Limits;
use spinwell_runtime::shutdown::{self, Trigger};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(super) const BOUND: Duration = Duration::from_secs(20);

async fn server(mood: Mood) -> (SocketAddr, Trigger, JoinHandle<()>, std::sync::Arc<example::Outcomes>) {
    server_of(mood, Health::default()).await
}

async fn server_of(
    mood: Mood,
    health: Health,
) -> (SocketAddr, Trigger, JoinHandle<()>, std::sync::Arc<example::Outcomes>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (trigger, shutdown) = shutdown::channel();
    let (gateway, outcomes) = example::gateway(mood);
    let limits = Limits { connections_max: 16, ..gateway.limits().clone() };
    let listening = Listening { listener, limits, counts: ConnectionCounts::default(), tls: None };
    let serving = tokio::spawn(serve_http(listening, http_router(gateway), health, shutdown));
    (address, trigger, serving, outcomes)
}

/// One of the two planes, with another limit on the first head.
async fn plane(is_grpc: bool, head_timeout: Millis) -> (SocketAddr, Trigger, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (trigger, shutdown) = shutdown::channel();
    let (gateway, _) = example::gateway(Mood::Answers);
    let limits = Limits { head_timeout, ..gateway.limits().clone() };
    let listening = Listening { listener, limits, counts: ConnectionCounts::default(), tls: None };
    let serving = if is_grpc {
        tokio::spawn(serve_grpc(listening, grpc_service(gateway), shutdown))
    } else {
        tokio::spawn(serve_http(listening, http_router(gateway), Health::default(), shutdown))
    };
    (address, trigger, serving)
}

/// Whether gRPC, what the peer says before it falls silent.
const HALF_OPEN: [(bool, &[u8]); 6] = [
    (false, b""),
    (false, b"POST /v2/models/taxi/infer HTTP/1.1\r\nHost: x\r\nContent-"),
    (false, b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\nGET /v2"),
    (true, b""),
    (true, b"PRI * HTTP/2.0"),
    (true, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
];

/// Sends bytes and reads until the server closes or has answered once.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may refuse and close while we still write; then its answer is what counts.
    let _ = stream.write_all(bytes).await;
    answer(&mut stream).await
}

/// Reads until the server closes or has answered once.
pub(super) async fn answer(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut answer = Vec::new();
    timeout(BOUND, async {
        let mut buffer = [0; 4096];
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(count) => answer.extend_from_slice(&buffer[..count]),
            }
            if answer.ends_with(b"}") {
                break;
            }
        }
    })
    .await
    .expect("the server neither answered nor closed");
    String::from_utf8_lossy(&answer).into_owned()
}

pub(super) fn post(length: usize, body: &str) -> Vec<u8> {
    format!("POST /v2/models/taxi/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

pub(super) const GOOD: &str =
    r#"{"inputs":[{"name":"series","shape":[1,2,1],"datatype":"FP32","data":[1,2]}]}"#;

#[tokio::test]
async fn fifty_megabytes_are_refused_before_they_are_sent_and_while() {
    let (address, _trigger, _serving, outcomes) = server(Mood::Answers).await;
    let head_only = exchange(address, &post(50_000_000, "")).await;
    assert!(head_only.starts_with("HTTP/1.1 413") && head_only.contains("SPW-BODY-TOO-LARGE"), "{head_only}");
    let mut all = post(50_000_000, "");
    all.resize(all.len() + 50_000_000, b'1');
    let whole = exchange(address, &all).await;
    assert!(whole.starts_with("HTTP/1.1 413"), "the answer must survive the rest of the body: {whole}");
    assert_eq!(outcomes.take().len(), 2);
    let good = exchange(address, &post(GOOD.len(), GOOD)).await;
    assert!(good.starts_with("HTTP/1.1 200"), "{good}");
}

#[tokio::test]
async fn an_answer_before_the_body_was_read_says_whether_the_connection_goes_on() {
    let (address, _trigger, _serving, _outcomes) = server(Mood::Answers).await;
    let unknown = |length: usize| {
        let head =
            format!("POST /v2/models/none/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        [head.as_bytes(), &vec![b' '; length][..]].concat()
    };
    for (length, goes_on) in [(10, true), (60_000, true), (100_000, false), (4_000_000, false)] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let (mut read, mut write) = stream.split();
        let sent = async {
            let _ = write.write_all(&unknown(length)).await;
        };
        let (answer, ()) = tokio::join!(answer(&mut read), sent);
        assert!(answer.starts_with("HTTP/1.1 404"), "{length}: {answer}");
        assert_eq!(!answer.contains("connection: close"), goes_on, "{length}: {answer}");
        if goes_on {
            stream.write_all(&post(GOOD.len(), GOOD)).await.unwrap();
            let next = self::answer(&mut stream).await;
            assert!(next.starts_with("HTTP/1.1 200"), "{length}: {next}");
        }
    }
}

#[tokio::test]
async fn who_leaves_says_so_with_each_answer_and_still_takes_new_connections() {
    let health = Health::default();
    let (address, _trigger, _serving, _outcomes) = server_of(Mood::Answers, health.clone()).await;
    health.advance(Phase::Ready);
    let mut kept = TcpStream::connect(address).await.unwrap();
    for _ in 0..2 {
        kept.write_all(&post(GOOD.len(), GOOD)).await.unwrap();
        let answer = answer(&mut kept).await;
        assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("connection: close"), "{answer}");
    }
    health.advance(Phase::Leaving);
    for stream in [kept, TcpStream::connect(address).await.unwrap()] {
        let mut stream = stream;
        stream.write_all(&post(GOOD.len(), GOOD)).await.unwrap();
        let answer = answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
        assert_eq!(timeout(BOUND, stream.read(&mut [0; 16])).await.unwrap().unwrap(), 0, "it ends");
    }
}

#[tokio::test]
async fn a_body_that_ends_early_does_no_harm() {
    let (address, _trigger, _serving, outcomes) = server(Mood::Answers).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&post(GOOD.len() + 10, GOOD)).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    let _ = timeout(BOUND, stream.read_to_end(&mut rest)).await.unwrap();
    let good = exchange(address, &post(GOOD.len(), GOOD)).await;
    assert!(good.starts_with("HTTP/1.1 200"), "{good}");
    assert_eq!(outcomes.take().len(), 2);
}

#[tokio::test]
async fn a_head_that_is_no_request_gets_a_code_too() {
    let (address, _trigger, _serving, outcomes) = server(Mood::Answers).await;
    let with = |headers: &str| format!("POST /v2/models/taxi/infer HTTP/1.1\r\nHost: x\r\n{headers}\r\n{{}}");
    let many = (0..200).map(|number| format!("X-{number}: 1\r\n")).collect::<String>();
    let rows = [
        ("hello\r\n\r\n".to_owned(), "400", "SPW-FRAMING-INVALID"),
        (with("Content-Length: abc\r\n"), "400", "SPW-FRAMING-INVALID"),
        (with("Content-Length: -5\r\n"), "400", "SPW-FRAMING-INVALID"),
        (with("Content-Length: 5\r\nContent-Length: 6\r\n"), "400", "SPW-FRAMING-INVALID"),
        (with("Content-Length: 99999999999999999999999\r\n"), "400", "SPW-FRAMING-INVALID"),
        (with(&format!("X-Long: {}\r\n", "x".repeat(200_000))), "431", "SPW-REQUEST-INVALID"),
        (with(&many), "431", "SPW-REQUEST-INVALID"),
        (with("Content-Length: 18446744073709551615\r\n"), "431", "or the length of its body is"),
        (format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(70_000)), "431", "SPW-REQUEST-INVALID"),
    ];
    for (request, status, code) in rows {
        let answer = exchange(address, request.as_bytes()).await;
        let start = request.chars().take(90).collect::<String>();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(code),
            "{start}: {answer}"
        );
    }
    assert!(exchange(address, &post(GOOD.len(), GOOD)).await.starts_with("HTTP/1.1 200"));
    assert_eq!(outcomes.results(), [ResultClass::Answered]);
}

#[tokio::test]
async fn a_request_says_once_which_host_it_is_for() {
    let (address, _trigger, _serving, _outcomes) = server(Mood::Answers).await;
    for (version, hosts, wanted) in [
        ("1.1", "", "400"),
        ("1.1", "Host: a\r\nHost: a\r\n", "400"),
        ("1.1", "Host: a\r\n", "200"),
        ("1.1", "Host:\r\n", "200"),
        ("1.0", "", "200"),
        ("1.0", "Host: a\r\nHost: a\r\n", "400"),
    ] {
        let head = format!(
            "POST /v2/models/taxi/infer HTTP/{version}\r\n{hosts}Content-Length: {}\r\n\r\n",
            GOOD.len()
        );
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{head}{GOOD}").as_bytes()).await.unwrap();
        let first = answer(&mut stream).await;
        let status = first.split(' ').nth(1);
        assert_eq!(status, Some(wanted), "{version} {hosts:?}: {first}");
        assert_eq!(first.contains("SPW-FRAMING-INVALID"), wanted == "400", "{first}");
        if version == "1.1" {
            stream.write_all(&post(GOOD.len(), GOOD)).await.unwrap();
            let next = answer(&mut stream).await;
            assert!(next.starts_with("HTTP/1.1 200"), "the connection goes on: {next}");
        }
    }
}

#[tokio::test]
async fn a_stop_waits_for_the_request_in_flight() {
    let (address, trigger, serving, outcomes) = server(Mood::Answers).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let bytes = post(GOOD.len(), GOOD);
    let (first, second) = bytes.split_at(bytes.len() - 20);
    stream.write_all(first).await.unwrap();
    // Another request is answered after the first one's bytes, so those have arrived.
    assert!(exchange(address, &post(GOOD.len(), GOOD)).await.starts_with("HTTP/1.1 200"));
    trigger.pull();
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!serving.is_finished());
    stream.write_all(second).await.unwrap();
    let mut answer = String::new();
    timeout(BOUND, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    timeout(BOUND, serving).await.unwrap().unwrap();
    assert_eq!(outcomes.results(), [ResultClass::Answered; 2]);
}

#[tokio::test]
async fn a_caller_who_hangs_up_is_recorded() {
    let (address, _trigger, _serving, outcomes) = server(Mood::NeverAnswers).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&post(GOOD.len(), GOOD)).await.unwrap();
    drop(stream);
    let seen = timeout(BOUND, async {
        loop {
            match outcomes.results() {
                none if none.is_empty() => tokio::task::yield_now().await,
                some => return some,
            }
        }
    });
    assert_eq!(seen.await.unwrap(), [ResultClass::Cancelled]);
}

/// Whether the server answers these bytes, and then waits for the next as long as connections may idle.
fn has_shown_itself(is_grpc: bool, bytes: &[u8]) -> bool {
    bytes.starts_with(b"GET") || bytes.len() > 24 && is_grpc
}

#[tokio::test]
async fn a_stop_does_not_wait_for_connections_without_a_request() {
    for (is_grpc, bytes) in HALF_OPEN {
        let (address, trigger, serving) = plane(is_grpc, Millis(600_000)).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        if has_shown_itself(is_grpc, bytes) {
            // What the server says shows that it has read.
            assert!(timeout(BOUND, stream.read(&mut [0; 9])).await.unwrap().unwrap() > 0);
        }
        trigger.pull();
        let stopped = timeout(BOUND, serving).await;
        assert!(stopped.is_ok(), "gRPC {is_grpc}: {:?}", String::from_utf8_lossy(bytes));
    }
}

#[tokio::test]
async fn a_connection_without_a_first_request_is_closed_in_time() {
    for (is_grpc, bytes) in HALF_OPEN.into_iter().filter(|(_, bytes)| !bytes.starts_with(b"GET")) {
        let (address, _trigger, _serving) = plane(is_grpc, Millis(20)).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let closed = timeout(BOUND, stream.read_to_end(&mut Vec::new())).await;
        assert!(closed.is_ok(), "gRPC {is_grpc}: {:?}", String::from_utf8_lossy(bytes));
    }
}

#[tokio::test]
async fn silent_connections_of_one_address_leave_room_for_others() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_trigger, shutdown) = shutdown::channel();
    let (gateway, _) = example::gateway(Mood::Answers);
    let limits = Limits {
        connections_max: 16,
        connections_per_address_max: Some(4),
        head_timeout: Millis(600_000),
        ..gateway.limits().clone()
    };
    let counts = ConnectionCounts::default();
    let listening = Listening { listener, limits, counts: counts.clone(), tls: None };
    tokio::spawn(serve_http(listening, http_router(gateway), Health::default(), shutdown));
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    // All of this machine are one caller, but each address of 127.0.0.0/8 is one of its own.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = timeout(BOUND, socket.connect(address)).await.unwrap().unwrap();
    other.write_all(&post(GOOD.len(), GOOD)).await.unwrap();
    let good = answer(&mut other).await;
    assert!(good.starts_with("HTTP/1.1 200"), "{good}");
    assert_eq!((counts.open.get(), counts.refused.get(), counts.waited.get()), (5, 16, 0));
    let closed = timeout(BOUND, silent[19].read(&mut [0; 1])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "it was closed");
}

#[tokio::test]
async fn a_peer_that_speaks_no_http_2_is_sent_away_at_once() {
    let (address, _trigger, _serving) = plane(true, Millis(600_000)).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /").await.unwrap();
    let closed = timeout(BOUND, stream.read_to_end(&mut Vec::new())).await;
    assert!(closed.is_ok());
}
