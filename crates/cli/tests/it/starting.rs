//! A process that loads its models answers already, and says that it is not ready.

use crate::support::{self, BOUND, Request, address_in, send};
use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

/// Models that cannot all be loaded until somebody says so: the settings of one are a pipe, and who reads it waits.
struct HeldModels {
    folder: tempfile::TempDir,
    pipe: PathBuf,
}

impl HeldModels {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let version = folder.path().join("wave/1");
        fs::create_dir_all(&version).unwrap();
        fs::copy(support::models().join("wave/1/model.spinwell"), version.join("model.spinwell")).unwrap();
        let pipe = folder.path().join("wave/serving.toml");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        Self { folder, pipe }
    }

    /// Returns as soon as somebody reads, who goes on then.
    fn release(&self) {
        let mut settings = fs::OpenOptions::new().write(true).open(&self.pipe).unwrap();
        // Whoever looks again finds none.
        fs::remove_file(&self.pipe).unwrap();
        settings.write_all(b"[limits]\nqueue_len_max = 7\n").unwrap();
    }
}

/// A process that has said where it listens, and not that it is ready.
struct Starting {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    said: Vec<String>,
    _data: tempfile::TempDir,
}

impl Starting {
    fn run(command: &str, flags: &[&str], models: &HeldModels) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut process = support::spinwell();
        process.arg(command).arg("--models").arg(models.folder.path()).arg("--data").arg(data.path());
        for flag in flags {
            process.args([flag, "127.0.0.1:0"]);
        }
        let mut child = process.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut starting = Self { child, lines, said: Vec::new(), _data: data };
        while !starting.said.iter().any(|line| line.contains("metrics")) {
            starting.read_line();
        }
        starting
    }

    fn read_line(&mut self) {
        self.said.push(self.lines.next().expect("it ended").unwrap());
    }

    fn until_ready(&mut self) {
        while !self.said.iter().any(|line| line.starts_with("ready")) {
            self.read_line();
        }
    }

    fn address(&self, what: &str) -> SocketAddr {
        address_in(&self.said, what)
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn check(address: SocketAddr, path: &str, status: u16, code: &str) {
    let answer = send(address, &Request::new("GET", path));
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{path}: {}", answer.text());
}

#[test]
fn a_server_is_alive_before_its_models_are_loaded_and_ready_behind() {
    let models = HeldModels::new();
    let mut server = Starting::run("serve", &["--http", "--grpc", "--ops"], &models);
    let (http, ops) = (server.address("inference, HTTP"), server.address("metrics"));
    check(http, "/v2/health/live", 200, "");
    check(ops, "/livez", 200, "");
    for (address, path) in [
        (http, "/v2/health/ready"),
        (http, "/v2/models/wave"),
        (http, "/v2/models/wave/ready"),
        (ops, "/readyz"),
    ] {
        check(address, path, 503, "SPW-STARTING");
    }
    let body = json!({"inputs": [
        {"name": "series", "shape": [1, 60, 1], "datatype": "FP32", "data": support::window(60, 0.0)},
    ]});
    let infer = Request::post("/v2/models/wave/infer", body.to_string());
    let early = send(http, &infer);
    assert_eq!((early.status, early.code().as_str()), (503, "SPW-STARTING"), "{}", early.text());
    assert_eq!(early.json()["retry_after_ms"], 1000);
    let metrics = send(ops, &Request::new("GET", "/metrics"));
    assert_eq!(metrics.status, 200);
    assert!(metrics.text().contains("spinwell_models_loaded 0\n"), "{}", metrics.text());
    assert!(!server.said.iter().any(|line| line.starts_with("ready")), "{:?}", server.said);
    models.release();
    server.until_ready();
    check(http, "/v2/health/ready", 200, "");
    check(ops, "/readyz", 200, "");
    let answer = send(http, &infer);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let metrics = send(ops, &Request::new("GET", "/metrics")).text();
    for wanted in [
        "spinwell_models_loaded 1\n",
        "nv_inference_request_success{model=\"wave\",version=\"1\"} 1\n",
        "spinwell_connections_open{listener=\"ops\"} ",
        "spinwell_connections_open_max{listener=\"grpc\"} 4096\n",
        "spinwell_connections_refused_total{listener=\"http\"} 0\n",
    ] {
        assert!(metrics.contains(wanted), "{wanted:?} is missing in\n{metrics}");
    }
}

#[test]
fn a_node_tells_probes_that_it_loads_and_takes_gateways_behind() {
    let models = HeldModels::new();
    let mut node = Starting::run("node", &["--address", "--ops"], &models);
    let ops = node.address("metrics");
    check(ops, "/livez", 200, "");
    check(ops, "/readyz", 503, "SPW-STARTING");
    let its = format!("local={}", node.address("gateways"));
    let mut gateway = support::spinwell();
    let data = tempfile::tempdir().unwrap();
    gateway
        .args(["gateway", "--node", &its])
        .arg("--data")
        .arg(data.path())
        .env("SPINWELL_GATEWAY_AGENT_ADDRESS", "127.0.0.1:0");
    for flag in ["--http", "--grpc", "--ops"] {
        gateway.args([flag, "127.0.0.1:0"]);
    }
    let mut child = gateway.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = Vec::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    while !said.iter().any(|line: &String| line.contains("metrics")) {
        said.push(lines.next().expect("it ended"));
    }
    // A model that its node is to have is not unknown to the gateway.
    check(address_in(&said, "inference, HTTP"), "/v2/models/wave", 503, "SPW-STARTING");
    models.release();
    node.until_ready();
    check(ops, "/readyz", 200, "");
    let is_ready = lines.any(|line| line.starts_with("ready"));
    let _stopped = (child.kill(), child.wait());
    assert!(is_ready);
}

#[test]
fn a_stop_is_followed_while_models_are_loaded() {
    let models = HeldModels::new();
    let mut server = Starting::run("serve", &["--http", "--grpc", "--ops"], &models);
    let since = Instant::now();
    support::signal(&server.child, "-TERM");
    let status = support::end_of(&mut server.child);
    assert!(status.success(), "{status}");
    assert!(since.elapsed() < BOUND / 2);
}
