//! The ledger's copy in object storage: a real server of S3's protocol (`s3s-fs`), which is killed and comes back.

use crate::support::{BOUND, Server, models, spinwell, text, window};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

const ROWS: usize = 40;
const BUCKET: &str = "ledgers";
const COPY: &str = "s3://ledgers/house/berlin";

/// The program as `scripts/need.sh s3` puts it into the target folder, or as it is on the search path.
fn program() -> PathBuf {
    let ours = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("tools/bin/s3s-fs");
    let found = [ours, PathBuf::from("s3s-fs")].into_iter().find(|path| {
        let mut asked = Command::new(path);
        asked.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        asked.status().is_ok_and(|status| status.success())
    });
    found.expect("this test needs a server of S3's protocol: run scripts/need.sh s3")
}

/// Storage that is killed when the test ends.
struct Storage {
    child: Child,
}

impl Storage {
    fn start(folder: &Path, port: u16) -> Self {
        let mut command = Command::new(program());
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--access-key", "us", "--secret-key", "ours"]).arg(folder);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { child }
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        // `kill -9`, in the test and behind it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn with_storage(command: &mut Command, port: u16) -> &mut Command {
    command
        .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_ACCESS_KEY_ID", "us")
        .env("AWS_SECRET_ACCESS_KEY", "ours")
}

fn serve(data: &Path, port: u16) -> Server {
    let mut command = spinwell();
    command.args(["serve", "--models", text(models()), "--data", text(data)]);
    command.args(["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--ops", "127.0.0.1:0"]);
    with_storage(&mut command, port);
    command.env("SPINWELL_LEDGER_COPY_TO", COPY).env("SPINWELL_DRAIN_NOTICE_MS", "0");
    Server::run(command, tempfile::tempdir().unwrap())
}

fn ask(server: &Server, count: u64) {
    let body = json!({"inputs": [
        {"name": "series", "shape": [1, ROWS, 1], "datatype": "FP32", "data": window(ROWS, 0.3)}]});
    for _ in 0..count {
        assert_eq!(server.infer("wave", &body).status, 200);
    }
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < BOUND, "{what}");
        std::thread::yield_now();
    }
}

fn wait_until_copied(server: &Server) {
    let of = |name: &str| server.metric(&format!("spinwell_ledger_{name}"), &[]);
    wait_until("the copy has all that is signed", || {
        of("entries_unsigned") == 0.0
            && of("copied_entries") == of("entries_total")
            && of("copy_lag_seconds") == 0.0
    });
}

fn fetch(port: u16, into: &Path, extra: &[&str]) -> Output {
    let mut command = spinwell();
    with_storage(&mut command, port);
    command.args(["audit", "fetch", COPY, text(into), "--json"]).args(extra).output().unwrap()
}

fn verified(arguments: &[&str]) -> Value {
    crate::support::json(&[&["audit", "verify", "--json"], arguments].concat())["logs"][0].clone()
}

#[test]
fn an_outage_of_storage_holds_up_nobody_and_the_copy_verifies_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (data, objects) = (folder.path().join("data"), folder.path().join("objects"));
    std::fs::create_dir_all(objects.join(BUCKET)).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let storage = Storage::start(&objects, port);
    let server = serve(&data, port);
    ask(&server, 5);
    wait_until_copied(&server);

    drop(storage);
    ask(&server, 20);
    wait_until("an outage shows", || {
        server.metric("spinwell_ledger_copy_failed_total", &[]) > 0.0
            && server.metric("spinwell_ledger_copy_lag_seconds", &[]) > 0.0
    });
    assert_eq!(server.get("/v2/health/ready").status, 200);
    // The server goes as well, and comes back before the storage does.
    server.kill();
    drop(server);
    let server = serve(&data, port);
    ask(&server, 5);
    let storage = Storage::start(&objects, port);
    wait_until_copied(&server);
    ask(&server, 3);
    server.terminate();
    assert!(server.wait().success());

    let (key, back) = (data.join("ledger/log.vkey"), folder.path().join("back"));
    let output = fetch(port, &back, &["--key", text(&key)]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let fetched: Value = serde_json::from_slice(&output.stdout).unwrap();
    let copy = verified(&["--offline", text(&back), "--key", text(&key)]);
    let own = verified(&["--data", text(&data)]);
    assert_eq!((&copy["holds"], &copy["records"], &copy["gaps"]), (&json!(true), &json!(33), &json!([])));
    assert_eq!((&copy["root"], &copy["entries"]), (&own["root"], &own["entries"]), "the end went there too");
    assert_eq!(
        fetched["logs"],
        json!([{"log": "gateway", "entries": own["entries"], "new": own["entries"]}])
    );

    // One file that is not there any more.
    let batches = objects.join(BUCKET).join("house/berlin/gateway/batches");
    let first = std::fs::read_dir(&batches).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    std::fs::remove_file(first).unwrap();
    let output = fetch(port, &folder.path().join("other"), &[]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && told.contains("SPW-LEDGER-WRONG"), "{told}");
    assert!(told.contains("batches/"), "{told}");
    drop(storage);
}

#[test]
fn a_place_that_is_none_is_refused_when_a_server_starts() {
    let mut command = spinwell();
    let data = tempfile::tempdir().unwrap();
    command.args(["serve", "--models", text(models()), "--data", text(data.path()), "--http", "127.0.0.1:0"]);
    command
        .args(["--grpc", "127.0.0.1:0", "--ops", "127.0.0.1:0"])
        .env("SPINWELL_LEDGER_COPY_TO", "ftp://somewhere");
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && told.contains("ledger.copy_to") && told.contains("s3://bucket/prefix"),
        "{told}"
    );
}
