//! `deploy/haproxy/haproxy.cfg` in a real HAProxy, which finds gateways by the Consul that they announce themselves to.

use crate::agent::{Agent, client, until};
use crate::region::Process;
use spinwell_registry::{Address, Health, Member, Role};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

/// The configuration that is delivered.
const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/haproxy/haproxy.cfg");
/// A way in without TLS, for the test's own client.
const PLAIN: &str = "frontend plain\n  mode http\n  timeout client 10s\n  bind \"${TEST_PLAIN}\"\n  default_backend gateways_http\n";

/// What stands in for a gateway: it answers each request with its name, and the edge's agent with what it is set to.
struct Gateway {
    process: Process,
    says: Arc<Mutex<&'static str>>,
    serving: JoinHandle<()>,
}

/// Addresses on one agent port, as gateways on machines of their own have.
struct Place {
    http: TcpListener,
    agent: TcpListener,
}

/// An HAProxy that runs until it is dropped.
struct Edge {
    plain: SocketAddr,
    tls: SocketAddr,
    operations: SocketAddr,
    http: reqwest::Client,
    _child: Child,
    _folder: TempDir,
}

/// These loopback addresses with the same free port for the agent.
async fn places(hosts: [&str; 3]) -> (u16, Vec<Place>) {
    for _ in 0..100 {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let mut places = Vec::new();
        for host in hosts {
            let Ok(agent) = TcpListener::bind((host, port)).await else { break };
            places.push(Place { http: TcpListener::bind((host, 0)).await.unwrap(), agent });
        }
        if places.len() == 3 {
            return (port, places);
        }
    }
    panic!("no port is free on three loopback addresses");
}

impl Gateway {
    fn begin(agent: &Agent, name: &'static str, place: Place) -> Self {
        let address = place.http.local_addr().unwrap();
        let address = Address::new(&address.ip().to_string(), address.port()).unwrap();
        let process = Process::announcing(agent, Member::new(Role::Gateway, name, address));
        let says = Arc::new(Mutex::new("up ready\n"));
        let answers = Arc::clone(&says);
        let serving = tokio::spawn(async move {
            // Ends with this task, and all connections with it.
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    Ok((stream, _)) = place.http.accept() => drop(connections.spawn(answer(stream, name))),
                    Ok((mut stream, _)) = place.agent.accept() => {
                        let says = *answers.lock().unwrap();
                        let _ = stream.write_all(says.as_bytes()).await;
                    }
                }
            }
        });
        Self { process, says, serving }
    }
}

/// Answers one request after the other, none of which has a body.
async fn answer(mut stream: TcpStream, name: &'static str) {
    let mut read = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(more @ 1..) = stream.read(&mut chunk).await {
        read.extend_from_slice(&chunk[..more]);
        while let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            read.drain(..end + 4);
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

impl Edge {
    async fn start(agent: &Agent, agent_port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (plain, certificate) = (folder.path().join("plain.cfg"), certificate(folder.path()));
        tokio::fs::write(&plain, PLAIN).await.unwrap();
        let [plain_at, tls, operations] = [free().await, free().await, free().await];
        let mut command = Command::new(binary());
        command
            .args(["-db", "-f", CONFIG, "-f"])
            .arg(plain)
            .env("SPINWELL_EDGE_BIND", tls.to_string())
            .env("SPINWELL_EDGE_CERTIFICATE", certificate)
            .env("SPINWELL_EDGE_DNS", format!("127.0.0.1:{}", agent.dns_port()))
            .env("SPINWELL_EDGE_AGENT_PORT", agent_port.to_string())
            .env("SPINWELL_EDGE_OPS_BIND", operations.to_string())
            .env("SPINWELL_EDGE_SOCKET", folder.path().join("admin.sock"))
            .env("TEST_PLAIN", plain_at.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        Self { plain: plain_at, tls, operations, http: client(), _child: child, _folder: folder }
    }

    /// Which gateway answers a request, or why none does.
    async fn ask(&self) -> Result<String, String> {
        let answer = self.http.get(format!("http://{}/v2/health/live", self.plain)).send().await;
        let answer =
            answer.and_then(reqwest::Response::error_for_status).map_err(|error| error.to_string())?;
        answer.text().await.map_err(|error| error.to_string())
    }

    /// Who answers so many requests.
    async fn answers_of(&self, requests: usize) -> BTreeSet<Result<String, String>> {
        let mut answered = BTreeSet::new();
        for _ in 0..requests {
            answered.insert(self.ask().await);
        }
        answered
    }

    /// What HAProxy says of the servers that are at an address, by address.
    async fn states(&self) -> Vec<(String, String)> {
        self.says("status").await
    }

    /// What stands in a column of HAProxy's statistics for each server that is at an address, by address.
    async fn says(&self, title: &str) -> Vec<(String, String)> {
        let Ok(answer) = self.http.get(format!("http://{}/;csv", self.operations)).send().await else {
            return Vec::new();
        };
        let text = answer.text().await.unwrap();
        let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let head = lines.next().unwrap();
        let column = |name| head.iter().position(|title| *title == name).unwrap();
        let (backend, server, wanted, address) =
            (column("# pxname"), column("svname"), column(title), column("addr"));
        let gateways = lines.filter(|line| line[backend] == "gateways_http" && line[server] != "BACKEND");
        gateways.map(|line| (line[address].to_owned(), line[wanted].to_owned())).collect()
    }

    /// Whether it knows so many gateways, and each gets its whole share.
    async fn gives_whole_shares(&self, count: usize) -> bool {
        let throttled = self.says("throttle").await;
        let known = throttled.iter().filter(|(address, percent)| address.contains(':') && percent.is_empty());
        known.count() == count
            && self.states().await.iter().filter(|(_, status)| status == "UP").count() == count
    }

    /// How many gateways it knows.
    async fn known(&self) -> usize {
        self.states().await.iter().filter(|(address, _)| address.contains(':')).count()
    }

    /// How many of so many requests a gateway answers; all are answered.
    async fn share_of(&self, name: &str, requests: usize) -> usize {
        let mut count = 0;
        for _ in 0..requests {
            count += usize::from(self.ask().await.expect("an answer") == name);
        }
        count
    }

    async fn is_in_state(&self, host: &str, wanted: &str) -> bool {
        let states = self.states().await;
        states
            .iter()
            .any(|(address, status)| address.starts_with(&format!("{host}:")) && status.starts_with(wanted))
    }

    /// What OpenSSL's client says when it asks through TLS, speaking `protocol`.
    fn through_tls(&self, protocol: &str) -> String {
        let script = format!(
            "(printf 'GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n'; sleep 1) | \
             openssl s_client -connect {} -alpn {protocol} 2>&1",
            self.tls
        );
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

async fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A certificate of our own with its key, in one file as HAProxy wants it.
fn certificate(folder: &Path) -> PathBuf {
    let script = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
                  -keyout key.pem -out edge.pem && cat key.pem >>edge.pem";
    let made = Command::new("sh").args(["-c", script]).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    folder.join("edge.pem")
}

fn binary() -> PathBuf {
    let found = ["haproxy", "/usr/sbin/haproxy"].into_iter().find(|path| {
        let mut asked = Command::new(path);
        asked.arg("-v").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        asked.status().is_ok_and(|status| status.success())
    });
    found.expect("this test needs HAProxy: run scripts/need.sh haproxy").into()
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<Result<String, String>> {
    names.into_iter().map(|name| Ok(name.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_edge_finds_gateways_and_loses_no_request_when_they_go() {
    let agent = Agent::start().await;
    let (agent_port, places) = places(["127.0.0.11", "127.0.0.12", "127.0.0.13"]).await;
    let mut places = places.into_iter();
    let mut begin = |name| Gateway::begin(&agent, name, places.next().unwrap());
    let [g1, g2, g3] = [begin("g1"), begin("g2"), begin("g3")];
    let edge = Edge::start(&agent, agent_port).await;
    for host in ["127.0.0.11", "127.0.0.12", "127.0.0.13"] {
        until("up", || edge.is_in_state(host, "UP")).await;
    }
    assert_eq!(edge.answers_of(60).await, names(["g1", "g2", "g3"]));

    // One drains: it says so on its agent port, and gets nothing new.
    *g1.says.lock().unwrap() = "drain\n";
    until("drains", || edge.is_in_state("127.0.0.11", "DRAIN")).await;
    assert_eq!(edge.answers_of(60).await, names(["g2", "g3"]));
    *g1.says.lock().unwrap() = "up ready\n";
    until("up again", || edge.is_in_state("127.0.0.11", "UP")).await;

    // One dies without a word: no request is lost before anybody has noticed.
    g2.serving.abort();
    assert!(g2.serving.await.is_err_and(|error| error.is_cancelled()));
    assert_eq!(edge.answers_of(60).await, names(["g1", "g3"]));
    until("down", || edge.is_in_state("127.0.0.12", "DOWN")).await;

    // One withdraws, and its place is free for another.
    g3.process.registry.withdraw().await.unwrap();
    until("gone", || async { !edge.is_in_state("127.0.0.13", "UP").await }).await;
    assert_eq!(edge.answers_of(20).await, names(["g1"]));

    let over_http1 = edge.through_tls("http/1.1");
    assert!(over_http1.contains("HTTP/1.1 200 OK") && over_http1.contains("\r\n\r\ng1"), "{over_http1}");
    let over_http2 = edge.through_tls("h2");
    assert!(over_http2.contains("ALPN protocol: h2"), "{over_http2}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_edge_gives_little_to_who_has_just_come_and_nothing_to_who_is_cut_off() {
    let agent = Agent::start().await;
    let (agent_port, places) = places(["127.0.0.21", "127.0.0.22", "127.0.0.23"]).await;
    let mut places = places.into_iter();
    let mut begin = |name| Gateway::begin(&agent, name, places.next().unwrap());
    let [_g1, _g2] = [begin("g1"), begin("g2")];
    let edge = Edge::start(&agent, agent_port).await;
    until("whole shares", || edge.gives_whole_shares(2)).await;

    let g3 = begin("g3");
    until("up", || edge.is_in_state("127.0.0.23", "UP")).await;
    let at_first = edge.share_of("g3", 90).await;
    assert!(at_first < 15, "{at_first} of 90 requests to who has just come, where each would get 30");
    until("whole shares", || edge.gives_whole_shares(3)).await;
    let later = edge.share_of("g3", 300).await;
    assert!(later > 50, "{later} of 300 requests to who has been there for a while");

    // It has lost its nodes, and finds them again.
    *g3.says.lock().unwrap() = "down #no node can be reached\n";
    until("down", || edge.is_in_state("127.0.0.23", "DOWN")).await;
    assert_eq!(edge.answers_of(60).await, names(["g1", "g2"]));
    *g3.says.lock().unwrap() = "up ready\n";
    until("up again", || edge.is_in_state("127.0.0.23", "UP")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_are_all_critical_are_held_for_longer_than_one_that_is_alone() {
    let agent = Agent::start().await;
    let (agent_port, places) = places(["127.0.0.31", "127.0.0.32", "127.0.0.33"]).await;
    let gateways: Vec<_> = ["g1", "g2", "g3"]
        .into_iter()
        .zip(places)
        .map(|(name, place)| Gateway::begin(&agent, name, place))
        .collect();
    let edge = Edge::start(&agent, agent_port).await;
    for host in ["127.0.0.31", "127.0.0.32", "127.0.0.33"] {
        until("up", || edge.is_in_state(host, "UP")).await;
    }
    let mut held = Vec::new();
    for (critical, left) in [(&gateways[..1], 2), (&gateways[1..], 0)] {
        let since = Instant::now();
        critical.iter().for_each(|gateway| gateway.process.registry.set_health(Health::Critical));
        until("gone", || async { edge.known().await == left }).await;
        held.push(since.elapsed());
        assert_eq!(edge.ask().await.is_ok(), left > 0);
    }
    // `hold obsolete` and `hold nx` of the configuration; a busy machine makes the first longer, and neither shorter.
    assert!(held[1] > held[0], "{held:?}");
    gateways.iter().for_each(|gateway| gateway.process.registry.set_health(Health::Passing));
    until("back", || async { edge.known().await == 3 }).await;
}

/// Also where an operator sets nothing: what is missing then is the certificate alone.
#[tokio::test]
async fn the_configuration_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    command.args(["-c", "-f", CONFIG]).env("SPINWELL_EDGE_CERTIFICATE", certificate(folder.path()));
    let output =
        tokio::time::timeout(Duration::from_secs(30), tokio::process::Command::from(command).output());
    let output = output.await.expect("an answer").unwrap();
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
}
