//! TLS for callers: the real server behind a certificate, and the real commands before it.

use crate::support::{BOUND, Server, address_in, connect, json, launch, models, run, said, spinwell, text};
use spinwell_runtime::tls::{CalledStream, EdgeConnector, Spoken, Trusted};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// An authority, a certificate for callers, and a configuration that names it.
struct Pki {
    folder: tempfile::TempDir,
}

impl Pki {
    fn new() -> Self {
        let pki = Self { folder: tempfile::tempdir().unwrap() };
        said(&["pki", "init", "--dir", &pki.dir()]);
        pki.issue();
        let (certificate, key) = (pki.path("edge-public/certificate.pem"), pki.path("edge-public/key.pem"));
        pki.configure("edge.toml", &format!("[edge]\ncertificate = {certificate:?}\nkey = {key:?}\n"));
        pki
    }

    /// A certificate in the place of the one before.
    fn issue(&self) {
        said(&["pki", "issue", "edge", "public", "--dir", &self.dir(), "--force"]);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn dir(&self) -> String {
        text(self.folder.path()).to_owned()
    }

    /// What callers trust.
    fn ca(&self) -> String {
        text(&self.path("authority.pem")).to_owned()
    }

    fn configure(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    fn server(&self, extra: &[&str]) -> Server {
        let config = self.path("edge.toml");
        Server::start(models(), &[&["--config", text(&config)], extra].concat())
    }

    /// A connection of a caller who trusts the authority.
    async fn call(&self, address: SocketAddr) -> CalledStream {
        let trusted = Trusted::by_file(&self.path("authority.pem")).unwrap();
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let connector = EdgeConnector::new(&trusted, None, Spoken::Http1, BOUND);
        connector.connect(stream, address.ip().into()).await.unwrap()
    }
}

fn https(address: SocketAddr) -> String {
    format!("https://{address}")
}

/// What a command says that must fail.
fn fails(arguments: &[&str], exit: i32) -> String {
    let Output { status, stderr, .. } = run(arguments);
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(exit), "{arguments:?}: {said}");
    said
}

/// Asks for a page on a connection that goes on.
async fn get(stream: &mut CalledStream, path: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1 << 20];
    let mut length = 0;
    loop {
        let read = stream.read(&mut answer[length..]).await.unwrap();
        length += read;
        let said = String::from_utf8_lossy(&answer[..length]).into_owned();
        let (head, body) = said.split_once("\r\n\r\n").unwrap_or((&said, ""));
        let bytes = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if read == 0 || bytes.is_some_and(|bytes| bytes.parse::<usize>().unwrap() == body.len()) {
            return said;
        }
    }
}

#[test]
fn who_trusts_the_authority_is_answered_over_https_as_in_the_clear() {
    let pki = Pki::new();
    let server = pki.server(&[]);
    for start in ["serving https://", "serving grpcs://"] {
        assert!(server.said.iter().any(|line| line.starts_with(start)), "{:?}", server.said);
    }
    assert!(!server.said.iter().any(|line| line.contains("http://") || line.contains("grpc://")));
    let (csv, folder, url) = (models().join("wave.csv"), text(models()).to_owned(), https(server.http));
    let at_home = json(&["predict", "wave", text(&csv), "--models", &folder, "--json"]);
    let over_tls = json(&["predict", "wave", text(&csv), "--url", &url, "--ca", &pki.ca(), "--json"]);
    assert_eq!(at_home["model_hash"], over_tls["model_hash"]);
    assert_eq!(at_home["targets"], over_tls["targets"]);
    // The authority may stand in the environment.
    let listed = spinwell().args(["model", "list", "--url", &url]).env("SPINWELL_CA", pki.ca()).output();
    let listed = listed.unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));

    let ask = ["model", "list", "--url", &url];
    let distrusted = fails(&ask, 1);
    assert!(distrusted.contains("SPW-CERTIFICATE-INVALID") && distrusted.contains("--ca"), "{distrusted}");
    let other = tempfile::tempdir().unwrap();
    said(&["pki", "init", "--dir", text(other.path())]);
    let theirs = other.path().join("authority.pem");
    let distrusted = fails(&[&ask[..], &["--ca", text(&theirs)]].concat(), 1);
    assert!(distrusted.contains("another authority"), "{distrusted}");
    let clear = fails(&["model", "list", "--url", &server.http.to_string()], 1);
    assert!(clear.contains("SPW-FRAMING-INVALID") && clear.contains("https://"), "{clear}");
    let named = url.replace("127.0.0.1", "127.0.0.2");
    let elsewhere = run(&["model", "list", "--url", &named, "--ca", &pki.ca()]);
    assert!(!elsewhere.status.success(), "nobody listens there, or under another name");
}

#[test]
fn the_load_generator_goes_over_tls_with_every_protocol() {
    let pki = Pki::new();
    let server = pki.server(&[]);
    let ops = https(server.ops);
    for (protocol, url) in [
        ("http", https(server.http)),
        ("binary", https(server.http)),
        ("batch", https(server.http)),
        ("grpc", https(server.grpc)),
        ("sequence", format!("grpcs://{}", server.grpc)),
    ] {
        let ca = pki.ca();
        let mut arguments = vec!["bench", "--url", &url, "--ops", &ops, "--ca", &ca, "--token", "spw_a1_b2"];
        arguments.extend(["--model", "wave", "--window", "64", "--warmup", "0", "--duration", "20"]);
        arguments.extend([
            "--concurrency",
            "4",
            "--requests",
            "40",
            "--sequences",
            "4",
            "--protocol",
            protocol,
        ]);
        let output = run(&[&arguments[..], &["--json"]].concat());
        assert!(output.status.success(), "{protocol}: {}", String::from_utf8_lossy(&output.stderr));
        let all = [output.stdout, output.stderr].concat();
        assert!(!String::from_utf8_lossy(&all).contains("spw_a1_b2"));
    }
    let distrusted =
        fails(&["bench", "--url", &https(server.grpc), "--model", "wave", "--protocol", "grpc"], 1);
    assert!(distrusted.contains("SPW-CERTIFICATE-INVALID") && distrusted.contains("--ca"), "{distrusted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_exchanged_under_way_and_a_broken_one_is_not_taken() {
    let pki = Pki::new();
    let server = pki.server(&[]);
    let shown = async || {
        let stream = pki.call(server.http).await;
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let mut kept = pki.call(server.http).await;
    let old = shown().await;
    assert!(get(&mut kept, "/v2/health/live").await.starts_with("HTTP/1.1 200"));
    // One that fits no key: it is looked at and left.
    let path = pki.path("edge-public/certificate.pem");
    let (before, since) = (fs::read(&path).unwrap(), Instant::now());
    fs::write(&path, fs::read(pki.path("authority.pem")).unwrap()).unwrap();
    assert_eq!(shown().await, old);
    fs::write(&path, before).unwrap();
    pki.issue();
    while shown().await == old {
        assert!(since.elapsed() < BOUND, "the new certificate was not taken");
        tokio::task::yield_now().await;
    }
    // A connection that was open stays so.
    assert!(get(&mut kept, "/v2/health/live").await.starts_with("HTTP/1.1 200"));
    let page = get(&mut pki.call(server.ops).await, "/metrics").await;
    assert!(page.contains("spinwell_tls_handshakes_total{listener=\"http\",result=\"accepted\"}"), "{page}");
    let document = get(&mut pki.call(server.ops).await, "/openapi.json").await;
    assert!(document.contains("https://{host}:{port}") && !document.contains("\"http://{host}"));
}

#[test]
fn an_older_tls_and_plain_text_find_an_end() {
    let pki = Pki::new();
    let server = pki.server(&[]);
    for address in [server.http, server.grpc, server.ops] {
        let mut stream = connect(address);
        // A gRPC client in the clear; at the other listeners it is a head that is no HTTP/1.1.
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        // Closed, or reset where nothing was read; in either case at once.
        let _ = stream.read_to_end(&mut Vec::new());
        let called = Command::new("openssl")
            .args(["s_client", "-tls1_2", "-connect", &address.to_string()])
            .stdin(Stdio::null())
            .output();
        match called {
            Ok(output) => {
                let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
                assert!(!output.status.success() && said.contains("protocol version"), "{said}");
            }
            // The unit tests of the handshake say the same with bytes of their own.
            Err(_) => return eprintln!("openssl is not installed"),
        }
    }
}

#[test]
fn an_address_for_others_needs_a_certificate_and_identities_or_somebody_who_says_so() {
    let pki = Pki::new();
    pki.configure("access.toml", "[access]\nrequired = true\n");
    pki.configure("none.toml", "");
    for (config, wanted, unwanted) in [
        ("edge.toml", "set access.required,", "edge.certificate"),
        ("access.toml", "set edge.certificate and edge.key,", "set access.required"),
        ("none.toml", "set edge.certificate, edge.key and access.required,", "tls.dir"),
    ] {
        let config = pki.path(config);
        let refused = Server::fails(models(), &["--config", text(&config), "--http", "0.0.0.0:0"]);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{told}");
        assert!(told.contains("SPW-LISTEN-REFUSED") && told.contains("or say --insecure"), "{told}");
        assert!(told.contains(wanted) && !told.contains(unwanted), "{config:?}: {told}");
    }
    // Said aloud, the certificate is shown all the same.
    let server = pki.server(&["--http", "0.0.0.0:0", "--insecure"]);
    let url = format!("https://127.0.0.1:{}", server.http.port());
    said(&["model", "list", "--url", &url, "--ca", &pki.ca()]);
}

#[test]
fn a_server_does_not_begin_with_a_certificate_that_nobody_would_take() {
    let pki = Pki::new();
    let config = pki.path("edge.toml");
    fs::copy(pki.path("authority.key"), pki.path("edge-public/key.pem")).unwrap();
    let refused = Server::fails(models(), &["--config", text(&config)]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("SPW-CERTIFICATE-INVALID") && told.contains("edge-public/key.pem"), "{told}");
}

#[test]
fn a_region_is_looked_at_over_https() {
    let pki = Pki::new();
    let server = pki.server(&["--nodes", "1"]);
    let node = server.said.iter().find(|line| line.starts_with("node ")).unwrap();
    assert!(node.contains("metrics at https://"), "{node}");
    let region = json(&["cluster", "status", "--url", &https(server.ops), "--ca", &pki.ca(), "--json"]);
    assert_eq!(region["nodes"][0]["state"], "serving");

    let mut control = spinwell();
    control.args(["control", "--ops", "127.0.0.1:0", "--config", text(&pki.path("edge.toml"))]);
    control.arg("--data").arg(pki.path("control"));
    let (mut control, told) = launch(control);
    let url = https(address_in(&told, "administration"));
    let asked = run(&["cluster", "drain", "n1", "--url", &url, "--ca", &pki.ca()]);
    control.kill().unwrap();
    control.wait().unwrap();
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(said.contains(&format!("{url} is a control")), "{said}");
}

/// The head of the first request that a command sends.
fn head_of(mut command: Command, listener: &TcpListener) -> String {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let since = Instant::now();
    let stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(_) => assert!(since.elapsed() < BOUND, "{command:?} has called nobody"),
        }
        std::thread::yield_now();
    };
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let _ = child.kill();
    child.wait().unwrap();
    head.join("\n").to_ascii_lowercase()
}

#[test]
fn a_token_is_shown_to_the_server_whatever_the_command() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // A command that never calls must not hold the test.
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let csv = models().join("wave.csv");
    for arguments in [
        &["predict", "wave", text(&csv), "--url", &url][..],
        &["model", "list", "--url", &url],
        &["model", "show", "wave", "--url", &url],
        &["cluster", "status", "--url", &url],
        &["audit", "receipt", "gateway-1", "--url", &url, "--key", "none"],
        &["bench", "--model", "wave", "--url", &url],
    ] {
        let mut by_environment = spinwell();
        by_environment.args(arguments).env("SPINWELL_TOKEN", "spw_a1_b2");
        let head = head_of(by_environment, &listener);
        assert!(head.contains("authorization: bearer spw_a1_b2"), "{arguments:?}: {head}");
    }
    let mut by_option = spinwell();
    by_option.args(["model", "list", "--url", &url, "--token", "spw_c3_d4"]);
    assert!(head_of(by_option, &listener).contains("authorization: bearer spw_c3_d4"));
}
