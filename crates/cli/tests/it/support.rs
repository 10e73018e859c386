//! What the integration tests share: small models trained by the real binary, the real server, and a client
//! that can be as rude as a test needs.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long anything may take before a test fails. Never waited for in a run that passes.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// The binary under test.
pub(crate) fn spinwell() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spinwell"));
    // The tests' own environment must not configure the server.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SPINWELL_")) {
        command.env_remove(name);
    }
    command
}

/// Runs the binary to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    spinwell().args(arguments).output().unwrap()
}

/// What the binary prints where it succeeds.
pub(crate) fn said(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The same as JSON.
pub(crate) fn json(arguments: &[&str]) -> serde_json::Value {
    serde_json::from_str(&said(arguments)).unwrap()
}

/// Waits for a state, with a bound.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < BOUND, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Trains a model of two waves, season 12 and horizon 3, and returns its file.
pub(crate) fn train_small_model(models: &Path, name: &str, extra: &[&str]) -> PathBuf {
    let csv = models.join(format!("{name}.csv"));
    let mut text = String::from("value,other\n");
    for row in 0..300_u32 {
        let wave = (f64::from(row) * std::f64::consts::TAU / 12.0).sin();
        // A little of everything else, so that nothing is constant or perfectly predictable.
        let grain = f64::from(row * 7919 % 101) / 101.0;
        writeln!(text, "{},{}", 10.0 + 3.0 * wave + 0.3 * grain, 5.0 - wave + 0.1 * grain).unwrap();
    }
    std::fs::create_dir_all(models).unwrap();
    std::fs::write(&csv, text).unwrap();
    let output = spinwell()
        .arg("train")
        .arg(&csv)
        .args(["--family", "linear", "--season", "12", "--horizon", "3", "--trials", "2"])
        .args(["--name", name, "--models"])
        .arg(models)
        .args(extra)
        .output()
        .unwrap();
    assert!(output.status.success(), "training {name} failed: {}", String::from_utf8_lossy(&output.stderr));
    let versions = std::fs::read_dir(models.join(name)).unwrap();
    let newest = versions.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok()).max();
    models.join(name).join(newest.unwrap().to_string()).join("model.spinwell")
}

/// A folder with the models `wave` (one channel) and `pair` (two), trained once for all tests.
pub(crate) fn models() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            train_small_model(folder.path(), "wave", &["--target", "value"]);
            train_small_model(folder.path(), "pair", &["--target", "value,other"]);
            folder
        })
        .path()
}

/// A window of a wave, `rows` long, as flat numbers.
pub(crate) fn window(rows: usize, phase: f64) -> Vec<f32> {
    (0..rows)
        .map(|row| (10.0 + 3.0 * (row as f64 * std::f64::consts::TAU / 12.0 + phase).sin()) as f32)
        .collect()
}

/// A running server that is killed when the test ends.
pub(crate) struct Server {
    child: Child,
    /// Its own files, where the test names no folder for them.
    _data: tempfile::TempDir,
    /// Inference over HTTP.
    pub(crate) http: SocketAddr,
    /// Inference over gRPC.
    pub(crate) grpc: SocketAddr,
    /// Metrics and health.
    pub(crate) ops: SocketAddr,
    /// Everything it said until it was ready.
    pub(crate) said: Vec<String>,
}

impl Server {
    /// Starts a server on free ports and waits until it says that it is ready. Nobody needs to notice that it stops.
    pub(crate) fn start(models: &Path, extra: &[&str]) -> Self {
        Self::start_noticed(models, extra, "0")
    }

    /// The same, which gives notice of its stop for so many milliseconds.
    pub(crate) fn start_noticed(models: &Path, extra: &[&str], notice_ms: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut command = command(models, data.path(), extra);
        command.env("SPINWELL_DRAIN_NOTICE_MS", notice_ms);
        Self::run(command, data)
    }

    /// The same as [`Self::start`], with its log in a file.
    pub(crate) fn start_logged(models: &Path, extra: &[&str], log: File) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut command = command(models, data.path(), extra);
        command.env("SPINWELL_DRAIN_NOTICE_MS", "0").stderr(log);
        Self::of(launch_with(command), data)
    }

    /// Starts a process that answers callers, and waits until it says that it is ready.
    pub(crate) fn run(mut command: Command, data: tempfile::TempDir) -> Self {
        command.env("SPINWELL_DATA_DIR", data.path());
        Self::of(launch(command), data)
    }

    fn of((child, said): (Child, Vec<String>), data: tempfile::TempDir) -> Self {
        let http = address_in(&said, "inference, HTTP");
        let grpc = address_in(&said, "inference, gRPC");
        let ops = address_in(&said, "metrics");
        Self { child, _data: data, http, grpc, ops, said }
    }

    /// Runs a server that is expected to give up, and returns what it said.
    pub(crate) fn fails(models: &Path, extra: &[&str]) -> Output {
        let data = tempfile::tempdir().unwrap();
        command(models, data.path(), extra).output().unwrap()
    }

    /// Kills it where it stands.
    pub(crate) fn kill(&self) {
        self.signal("-KILL");
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// The most memory that it has had, in bytes.
    pub(crate) fn memory_peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
    }

    /// Sends a signal, named as `kill` names it.
    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> ExitStatus {
        end_of(&mut self.child)
    }

    /// Posts an inference request to a model.
    pub(crate) fn infer(&self, model: &str, body: &serde_json::Value) -> Answer {
        send(self.http, &Request::post(&format!("/v2/models/{model}/infer"), body.to_string()))
    }

    /// Gets a JSON document from the inference plane.
    pub(crate) fn get(&self, path: &str) -> Answer {
        send(self.http, &Request::new("GET", path))
    }

    /// The value of a metric, summed over the series whose labels contain all of `labels`.
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let page = send(self.ops, &Request::new("GET", "/metrics")).text();
        page.lines()
            .filter_map(|line| line.rsplit_once(' '))
            .filter(|(series, _)| {
                let is_named = series.strip_prefix(name).is_some_and(|r| r.is_empty() || r.starts_with('{'));
                is_named && labels.iter().all(|label| series.contains(label))
            })
            .map(|(_, value)| value.parse::<f64>().unwrap())
            .sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; either way no process outlives its test.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a process and waits until it says that it is ready, or ends. Comes with what it said.
pub(crate) fn launch(mut command: Command) -> (Child, Vec<String>) {
    command.stderr(Stdio::null());
    launch_with(command)
}

/// The same, with its log where the command says.
pub(crate) fn launch_with(mut command: Command) -> (Child, Vec<String>) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut said = Vec::new();
    for line in lines {
        let is_ready = line.starts_with("ready");
        said.push(line);
        if is_ready {
            break;
        }
    }
    (child, said)
}

/// The address that a process serves for something, by what it said.
pub(crate) fn address_in(said: &[String], what: &str) -> SocketAddr {
    let line = said.iter().find(|line| line.starts_with("serving") && line.contains(what));
    let line = line.unwrap_or_else(|| panic!("no line about {what} in {said:?}"));
    let url = line.split_whitespace().nth(1).unwrap();
    let address = url.split_once("://").map_or(url, |(_, address)| address);
    address.parse().unwrap()
}

/// Sends a signal to a process, named as `kill` names it.
pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Waits for the end of a process.
pub(crate) fn end_of(child: &mut Child) -> ExitStatus {
    let since = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(since.elapsed() < BOUND, "the process did not stop");
        std::thread::yield_now();
    }
}

fn command(models: &Path, data: &Path, extra: &[&str]) -> Command {
    let mut command = spinwell();
    command.arg("serve").args(extra);
    for (flag, value) in [("--http", "127.0.0.1:0"), ("--grpc", "127.0.0.1:0"), ("--ops", "127.0.0.1:0")] {
        if !extra.contains(&flag) {
            command.args([flag, value]);
        }
    }
    for (flag, folder) in [("--models", models), ("--data", data)] {
        if !extra.contains(&flag) {
            command.arg(flag).arg(folder);
        }
    }
    command
}

/// A request as it goes over the wire, right or wrong.
#[derive(Clone)]
pub(crate) struct Request {
    /// The request line and headers, without the empty line.
    pub(crate) head: String,
    /// The bytes behind it.
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// A request without a body.
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self {
            head: format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close"),
            body: Vec::new(),
        }
    }

    /// A POST of a body with its true length.
    pub(crate) fn post(path: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { head: Self::new("POST", path).head, body: Vec::new() }
            .header("Content-Length", &body.len().to_string())
            .body(body)
    }

    /// A POST of a JSON head and binary tensors behind it.
    pub(crate) fn post_binary(path: &str, json: &serde_json::Value, tensors: &[u8]) -> Self {
        let json = json.to_string();
        Self::post(path, [json.as_bytes(), tensors].concat())
            .header("Inference-Header-Content-Length", &json.len().to_string())
    }

    /// The same with one more header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        write!(self.head, "\r\n{name}: {value}").unwrap();
        self
    }

    /// The same with something that says who asks.
    pub(crate) fn bearer(self, credential: &str) -> Self {
        self.header("Authorization", &format!("Bearer {credential}"))
    }

    /// The same with another body, whatever the headers say.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status, 0 where the server closed without one.
    pub(crate) status: u16,
    /// Status line and headers, in lower case.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, null where it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The error code in the body.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The numbers of a JSON output.
    pub(crate) fn numbers(&self, output: &str) -> Vec<f32> {
        let json = self.json();
        let outputs = json["outputs"].as_array().cloned().unwrap_or_default();
        let found = outputs.iter().find(|tensor| tensor["name"] == output);
        let found = found.unwrap_or_else(|| panic!("no output {output} in {}", self.text()));
        found["data"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect()
    }

    /// How many bytes of the body are JSON.
    pub(crate) fn json_bytes(&self) -> usize {
        let (_, rest) = self.head.split_once("inference-header-content-length: ").expect("a binary answer");
        rest.lines().next().unwrap().trim().parse().unwrap()
    }
}

/// Sends a request on a connection of its own and reads the answer until the server closes.
pub(crate) fn send(address: SocketAddr, request: &Request) -> Answer {
    let mut stream = connect(address);
    stream.write_all(request.head.as_bytes()).unwrap();
    stream.write_all(b"\r\n\r\n").unwrap();
    // A server may refuse and close while we still write; then its answer is what counts.
    let _ = stream.write_all(&request.body);
    read_answer(stream)
}

/// A connection that gives up after [`BOUND`].
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream.set_write_timeout(Some(BOUND)).unwrap();
    stream
}

/// Reads until the server closes.
pub(crate) fn read_answer(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // A reset after the answer is no matter: what arrived is judged.
    let _ = stream.read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(bytes.len());
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let status = head.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    Answer { status, head, body: bytes.split_off((end + 4).min(bytes.len())) }
}
