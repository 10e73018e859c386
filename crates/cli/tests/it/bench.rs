//! `spinwell bench` against the real server: what it sends is what the server counts, over every protocol.

use crate::support::{Server, models, run, spinwell, text};
use serde_json::Value;
use std::collections::BTreeMap;

fn address(address: std::net::SocketAddr) -> String {
    format!("http://{address}")
}

/// Runs a load and gives its document.
fn bench(server: &Server, protocol: &str, extra: &[&str]) -> Value {
    let url = match protocol {
        "grpc" | "sequence" => address(server.grpc),
        _ => address(server.http),
    };
    let ops = address(server.ops);
    let mut arguments =
        vec!["bench", "--url", &url, "--model", "wave", "--protocol", protocol, "--ops", &ops];
    arguments.extend(["--window", "64", "--warmup", "0", "--duration", "20", "--json"]);
    arguments.extend(extra);
    let output = run(&arguments);
    assert!(output.status.success(), "{protocol}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_protocol_is_answered_and_counted_the_same_on_both_sides() {
    let server = Server::start(models(), &[]);
    for (protocol, extra, predictions, sent) in [
        ("http", &["--concurrency", "4"][..], 200, 200),
        ("binary", &["--concurrency", "4", "--windows", "3"], 600, 200),
        ("grpc", &["--concurrency", "4"], 200, 200),
        ("batch", &["--concurrency", "2", "--windows", "5"], 1000, 1000),
        ("sequence", &["--concurrency", "8", "--sequences", "10", "--connections", "2"], 200, 210),
        ("http", &["--rate", "2000", "--connections", "3"], 200, 200),
        ("binary", &["--rate", "2000", "--arrivals", "constant"], 200, 200),
        ("grpc", &["--rate", "2000"], 200, 200),
        ("sequence", &["--rate", "2000", "--sequences", "10", "--seed", "7"], 200, 210),
    ] {
        let document = bench(&server, protocol, &[extra, &["--requests", "200"]].concat());
        assert_eq!(document["answered"], 200, "{protocol} {extra:?}: {document}");
        assert_eq!(document["predictions"], predictions, "{protocol} {extra:?}");
        assert_eq!(
            (&document["sent"], &document["server_counted"]),
            (&sent.into(), &sent.into()),
            "{protocol}"
        );
        assert_eq!(document["failures"], serde_json::json!({}), "{protocol}");
        let latency = |name: &str| document["latency_ms"][name].as_f64().unwrap();
        assert!(
            0.0 < latency("p50") && latency("p50") <= latency("p999") && latency("p999") <= latency("max")
        );
    }
}

#[test]
fn sequences_give_the_same_digest_whenever_they_take_the_same_steps() {
    let server = Server::start(models(), &[]);
    let digest = |steps: &str, extra: &[&str]| {
        let steps = ["--sequences", "12", "--connections", "3", "--requests", steps];
        bench(&server, "sequence", &[&steps[..], extra].concat())["answers_digest"].clone()
    };
    let one = digest("100", &["--concurrency", "3"]);
    assert_eq!(digest("100", &["--concurrency", "24", "--seed", "5"]), one, "other ids, another pace");
    assert_ne!(digest("101", &[]), one);
}

#[test]
fn the_trace_has_every_request_once_and_the_same_answers_in_every_run() {
    let server = Server::start(models(), &[]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.csv");
    let lines = |protocol: &str, extra: &[&str]| {
        bench(&server, protocol, &[&["--requests", "100", "--trace", text(&path)], extra].concat());
        let trace = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Vec<String>> =
            trace.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect();
        for line in &lines {
            let [due, sent, ended] = [0, 1, 2].map(|column| line[column].parse::<u64>().unwrap());
            assert!(due <= sent && sent < ended && line[3].is_empty(), "{line:?}");
        }
        lines
    };
    assert_eq!(lines("http", &["--concurrency", "4"]).len(), 100);
    // Fewer sequences than steps under way: with --reconnect a sequence has one, and the others wait for it.
    let steps = |extra: &[&str]| {
        let sequences = ["--sequences", "3", "--connections", "2", "--reconnect", "5"];
        let lines = lines("sequence", &[&sequences[..], extra].concat());
        let steps: BTreeMap<(u64, u64), String> = lines
            .into_iter()
            .map(|line| ((line[4].parse().unwrap(), line[5].parse().unwrap()), line[6].clone()))
            .collect();
        assert_eq!(steps.len(), 100);
        steps
    };
    let one = steps(&["--concurrency", "32", "--seed", "1"]);
    assert_eq!(one.keys().map(|(_, step)| *step).min(), Some(2), "the first step is of the beginning");
    assert_eq!(steps(&["--rate", "4000", "--seed", "2"]), one);
}

#[test]
fn failures_are_named_and_end_with_1_and_wrong_usage_with_2() {
    let server = Server::start(models(), &[]);
    let (url, grpc) = (address(server.http), address(server.grpc));
    let check = |arguments: &[&str], status: i32, words: &str| {
        let output = spinwell().arg("bench").args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        said.into_owned()
    };
    let none = check(&["--url", &url, "--model", "none"], 1, "SPW-MODEL-NOT-FOUND");
    assert!(none.contains("spinwell model list --url"), "{none}");
    let grpc_none = ["--url", &grpc, "--model", "none", "--protocol", "grpc"];
    assert!(check(&grpc_none, 1, "SPW-MODEL-NOT-FOUND").contains("spinwell model list --url"));
    // Too short a window is the caller's fault: every request is refused for good.
    let short = ["--model", "wave", "--window", "1", "--requests", "5", "--warmup", "0", "--url"];
    for (protocol, url) in [("http", &url), ("batch", &url), ("grpc", &grpc)] {
        let said = check(&[&short[..], &[url, "--protocol", protocol]].concat(), 1, " SPW-WINDOW-TOO-SHORT");
        assert!(said.contains("error[SPW-WINDOW-TOO-SHORT]") && said.contains("needs at least"), "{said}");
        assert!(!said.contains("spinwell serve"), "{said}");
    }
    // A server that answers in another way than asked is there.
    for protocol in ["grpc", "sequence"] {
        let other = ["--url", &url, "--model", "wave", "--protocol", protocol];
        check(&other, 1, "--url must be the server's gRPC address");
    }
    let in_warmup = ["--url", &url, "--model", "wave", "--rate", "100", "--requests", "20", "--warmup", "60"];
    check(&in_warmup, 2, "all 20 requests were in the warm-up; set --warmup 0, or more --requests");
    check(&["--url", &url, "--model", "wave", "--warmup", "0", "--duration=0"], 2, "more than 0 seconds");
    check(&["--url", "http://127.0.0.1:1", "--model", "wave"], 1, "cannot be reached");
    check(&["--url", "ftp://127.0.0.1:1", "--model", "wave"], 2, "over HTTP or gRPC");
    for wrong in ["wave:new", "wave:0"] {
        check(&["--url", &url, "--model", wrong], 1, "is not a version number");
    }
    check(&["--url", &url, "--model", "wave", "--rate", "0"], 2, "a number over 0");
}

#[test]
fn the_report_stands_alone_and_holds_the_figures() {
    let server = Server::start(models(), &[]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("load.html");
    bench(&server, "http", &["--requests", "100", "--report", text(&path)]);
    let page = std::fs::read_to_string(path).unwrap();
    assert!(page.contains("wave over http") && page.contains("99.9 %") && page.contains("<svg"), "{page}");
    assert!(!page.contains("<script") && !page.contains("src="), "it asks nothing of any host");
}
