//! Everything that a stranger may send: each gets its status and its code, the server goes on, and nobody
//! else notices.

use crate::support::{self, Request, Server, connect, models, read_answer, send, window};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

const ROWS: usize = 64;
const WAVE: &str = "/v2/models/wave/infer";

fn good() -> Value {
    json!({"inputs": [
        {"name": "series", "shape": [1, ROWS, 1], "datatype": "FP32", "data": window(ROWS, 0.5)}]})
}

/// A JSON request with one thing changed.
fn changed(change: impl FnOnce(&mut Value)) -> Request {
    let mut body = good();
    change(&mut body);
    Request::post(WAVE, body.to_string())
}

/// A JSON request whose only input has one field changed.
fn input(field: &str, value: Value) -> Request {
    changed(|body| body["inputs"][0][field] = value)
}

fn with_data(place: usize, value: &str) -> Request {
    let mut numbers: Vec<String> = window(ROWS, 0.5).iter().map(ToString::to_string).collect();
    numbers[place] = value.to_owned();
    let text = good().to_string();
    let (before, rest) = text.split_once("\"data\":[").unwrap();
    let (_, after) = rest.split_once(']').unwrap();
    Request::post(WAVE, format!("{before}\"data\":[{}]{after}", numbers.join(",")))
}

/// A binary request with `tensor` behind a head that promises `promised` bytes.
fn binary(promised: usize, tensor: &[u8]) -> Request {
    let head = json!({"inputs": [{"name": "series", "shape": [1, ROWS, 1], "datatype": "FP32",
        "parameters": {"binary_data_size": promised}}]});
    Request::post_binary(WAVE, &head, tensor)
}

fn tensor() -> Vec<u8> {
    window(ROWS, 0.5).iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn with_nan() -> Vec<u8> {
    let mut bytes = tensor();
    bytes[40..44].copy_from_slice(&f32::NAN.to_le_bytes());
    bytes
}

fn short_window() -> Request {
    changed(|body| {
        body["inputs"][0]["shape"] = json!([1, 2, 1]);
        body["inputs"][0]["data"] = json!([1, 2]);
    })
}

/// Name, request, status, code.
type Row = (&'static str, Request, u16, &'static str);

fn bad_targets() -> Vec<Row> {
    let body = good().to_string();
    let post = |path: &str| Request::post(path, body.clone());
    vec![
        ("unknown model", post("/v2/models/none/infer"), 404, "SPW-MODEL-NOT-FOUND"),
        ("a model's name that cannot be", post("/v2/models/a%2Fb/infer"), 404, "SPW-MODEL-NOT-FOUND"),
        ("unknown version", post("/v2/models/wave/versions/99/infer"), 404, "SPW-VERSION-NOT-FOUND"),
        (
            "version that is no number",
            post("/v2/models/wave/versions/last/infer"),
            404,
            "SPW-VERSION-NOT-FOUND",
        ),
        ("unknown path", post("/v2/models/wave/guess"), 404, "SPW-PATH-NOT-FOUND"),
        ("the root", Request::new("GET", "/"), 404, "SPW-PATH-NOT-FOUND"),
        ("wrong method", Request::new("GET", WAVE), 405, "SPW-METHOD-NOT-ALLOWED"),
        ("wrong method on metadata", post("/v2/models/wave"), 405, "SPW-METHOD-NOT-ALLOWED"),
    ]
}

fn bad_tensors() -> Vec<Row> {
    vec![
        ("wrong name", input("name", json!("sereis")), 400, "SPW-TENSOR-UNKNOWN"),
        ("rank 1", input("shape", json!([ROWS])), 400, "SPW-TENSOR-SHAPE"),
        ("rank 4", input("shape", json!([1, ROWS, 1, 1])), 400, "SPW-TENSOR-SHAPE"),
        ("channel count", input("shape", json!([1, ROWS / 2, 2])), 400, "SPW-TENSOR-SHAPE"),
        ("wrong datatype", input("datatype", json!("INT32")), 400, "SPW-TENSOR-DATATYPE"),
        ("unknown datatype", input("datatype", json!("FP31")), 400, "SPW-TENSOR-DATATYPE"),
        ("empty batch", input("shape", json!([0, ROWS, 1])), 400, "SPW-TENSOR-EMPTY"),
        ("empty window", input("shape", json!([1, 0, 1])), 400, "SPW-TENSOR-EMPTY"),
        ("negative extent", input("shape", json!([-1, ROWS, 1])), 400, "SPW-TENSOR-SHAPE"),
        ("terabytes of batch", input("shape", json!([1_u64 << 60, ROWS, 1])), 400, "SPW-TENSOR-SHAPE"),
        ("terabytes of rows", input("shape", json!([1, 1_u64 << 60, 1])), 400, "SPW-TENSOR-SHAPE"),
        (
            "a product that overflows",
            input("shape", json!([1_u64 << 33, 1_u64 << 33, 1])),
            400,
            "SPW-TENSOR-SHAPE",
        ),
        ("more than the data", input("shape", json!([7, ROWS, 1])), 400, "SPW-TENSOR-SHAPE"),
        ("window too short", short_window(), 422, "SPW-WINDOW-TOO-SHORT"),
        ("a string", with_data(3, "\"a\""), 400, "SPW-TENSOR-DATA"),
        ("null", with_data(3, "null"), 400, "SPW-TENSOR-DATA"),
        ("NaN", with_data(3, "NaN"), 422, "SPW-TENSOR-NOT-FINITE"),
        ("infinity", with_data(3, "Infinity"), 422, "SPW-TENSOR-NOT-FINITE"),
        ("minus infinity", with_data(3, "-Infinity"), 422, "SPW-TENSOR-NOT-FINITE"),
        ("too large for FP32", with_data(3, "1e39"), 422, "SPW-TENSOR-NOT-FINITE"),
        ("ragged", with_data(3, "[1,2]"), 400, "SPW-TENSOR-SHAPE"),
        ("NaN in binary", binary(ROWS * 4, &with_nan()), 422, "SPW-TENSOR-NOT-FINITE"),
    ]
}

fn bad_bodies() -> Vec<Row> {
    let length = |value: &str| {
        Request::post(WAVE, good().to_string()).header("Inference-Header-Content-Length", value)
    };
    let declared = |length: &str| Request::new("POST", WAVE).header("Content-Length", length);
    let unknown_output = changed(|body| body["outputs"] = json!([{"name": "label"}]));
    let sequence = changed(|body| body["parameters"] = json!({"sequence_id": 7}));
    let brotli = Request::post(WAVE, good().to_string()).header("Content-Encoding", "br");
    let raw = |tensor: &[u8]| Request::post(WAVE, tensor).header("Inference-Header-Content-Length", "0");
    vec![
        ("malformed JSON", Request::post(WAVE, "{\"inputs\": ["), 400, "SPW-JSON-MALFORMED"),
        ("no JSON", Request::post(WAVE, "hello"), 400, "SPW-JSON-MALFORMED"),
        ("empty", Request::post(WAVE, ""), 400, "SPW-JSON-MALFORMED"),
        ("deep nesting", Request::post(WAVE, "[".repeat(100_000)), 400, "SPW-REQUEST-INVALID"),
        (
            "deep nesting inside",
            Request::post(WAVE, format!("{{\"inputs\":{}", "[".repeat(100_000))),
            400,
            "SPW-REQUEST-INVALID",
        ),
        (
            "deep nesting in the data",
            Request::post(WAVE, format!("{{\"inputs\":[{{\"data\":{}", "[".repeat(100_000))),
            400,
            "SPW-JSON-MALFORMED",
        ),
        ("an array", Request::post(WAVE, "[]"), 400, "SPW-REQUEST-INVALID"),
        ("no inputs", Request::post(WAVE, "{}"), 400, "SPW-REQUEST-INVALID"),
        (
            "two inputs",
            changed(|b| b["inputs"] = json!([b["inputs"][0], b["inputs"][0]])),
            400,
            "SPW-REQUEST-INVALID",
        ),
        ("unknown output", unknown_output, 400, "SPW-OUTPUT-UNKNOWN"),
        ("a sequence that nobody began", sequence, 404, "SPW-SEQUENCE-UNKNOWN"),
        ("coding", brotli, 415, "SPW-NOT-OFFERED"),
        ("truncated tensor", binary(ROWS * 4, &tensor()[..ROWS * 4 - 5]), 400, "SPW-FRAMING-INVALID"),
        (
            "surplus bytes",
            binary(ROWS * 4, &[tensor(), b"zzzz".to_vec()].concat()),
            400,
            "SPW-FRAMING-INVALID",
        ),
        ("size that is not the shape's", binary(8, &[0; 8]), 400, "SPW-FRAMING-INVALID"),
        ("header too long", length("1000000"), 400, "SPW-FRAMING-INVALID"),
        ("header that is no number", length("x"), 400, "SPW-FRAMING-INVALID"),
        ("raw tensor cut short", raw(&[0; 41]), 400, "SPW-FRAMING-INVALID"),
        ("raw tensor not finite", raw(&f32::NAN.to_le_bytes().repeat(64)), 422, "SPW-TENSOR-NOT-FINITE"),
        ("length that is no number", declared("abc"), 400, "SPW-FRAMING-INVALID"),
        ("length below zero", declared("-1"), 400, "SPW-FRAMING-INVALID"),
        ("two lengths", declared("5").header("Content-Length", "6"), 400, "SPW-FRAMING-INVALID"),
        ("no HTTP", Request { head: "hello".into(), body: Vec::new() }, 400, "SPW-FRAMING-INVALID"),
        ("50 MB", Request::post(WAVE, vec![b'1'; 50_000_000]), 413, "SPW-BODY-TOO-LARGE"),
        ("50 MB promised", declared("50000000"), 413, "SPW-BODY-TOO-LARGE"),
        (
            "endless chunks",
            Request::new("POST", WAVE)
                .header("Transfer-Encoding", "chunked")
                .body(format!("10000\r\n{}\r\n", "1".repeat(0x1_0000)).repeat(300)),
            413,
            "SPW-BODY-TOO-LARGE",
        ),
    ]
}

fn rows() -> Vec<Row> {
    [bad_targets(), bad_tensors(), bad_bodies()].into_iter().flatten().collect()
}

#[test]
fn each_bad_request_gets_its_status_and_code_and_the_server_goes_on() {
    let server = Server::start(models(), &[]);
    for (name, request, status, code) in rows() {
        let answer = send(server.http, &request);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{name}: {}", answer.text());
        let body = answer.json();
        assert!(body["error"].as_str().is_some_and(|text| text.len() > 10), "{name}: {body}");
        assert_eq!(body["retryable"], false, "{name}");
        assert_eq!(server.infer("wave", &good()).status, 200, "after {name}");
    }
}

#[test]
fn a_body_shorter_than_it_says_harms_nobody() {
    let server = Server::start(models(), &[]);
    let mut stream = connect(server.http);
    write!(stream, "POST {WAVE} HTTP/1.1\r\nHost: t\r\nContent-Length: 5000\r\n\r\n{{\"inputs\"").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let answer = read_answer(stream);
    assert!(matches!(answer.status, 0 | 400), "{answer:?}");
    assert_eq!(server.infer("wave", &good()).status, 200);
    assert_eq!(server.metric("spinwell_requests_total", &[]), 2.0);
}

#[test]
fn bad_requests_never_fail_the_good_ones_beside_them() {
    let server = Server::start(models(), &[]);
    let wanted = server.infer("wave", &good()).numbers("forecast");
    // The largest bodies would only measure the loopback device here; they have their own rows above.
    let bad: Vec<Row> = rows().into_iter().filter(|row| row.1.body.len() < 1_000_000).collect();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    for (name, request, status, _) in &bad {
                        assert_eq!(send(server.http, request).status, *status, "{name}");
                    }
                }
            });
        }
        let good_ones: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let answer = server.infer("wave", &good());
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        assert_eq!(answer.numbers("forecast"), wanted);
                    }
                })
            })
            .collect();
        let ended: Vec<_> = good_ones.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok));
    });
}

#[test]
fn broken_model_files_are_told_and_the_others_serve() {
    let folder = tempfile::tempdir().unwrap();
    let whole =
        std::fs::read(support::train_small_model(folder.path(), "wave", &["--target", "value"])).unwrap();
    let broken = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name).join("1");
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("model.spinwell"), bytes).unwrap();
    };
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x10;
    let mut future = whole.clone();
    future[8..12].copy_from_slice(&999_u32.to_le_bytes());
    let rows: [(&str, &[u8], &str); 5] = [
        ("corrupt", &flipped, "SPW-FILE-CORRUPT"),
        ("cut", &whole[..whole.len() - 7], "SPW-FILE-TRUNCATED"),
        ("nothing", b"", "SPW-FILE-TRUNCATED"),
        (
            "picture",
            b"\x89PNG\r\n\x1a\n and more bytes than any header would have, so that it is read on",
            "SPW-FILE-FOREIGN",
        ),
        ("tomorrow", &future, "SPW-FILE-FROM-THE-FUTURE"),
    ];
    for (name, bytes, _) in rows {
        broken(name, bytes);
    }
    let server = Server::start(folder.path(), &[]);
    for (name, _, code) in rows {
        let line = server.said.iter().find(|line| line.contains(&format!("/{name}/1/model.spinwell")));
        assert!(line.is_some_and(|line| line.contains(code)), "{name}: {:?}", server.said);
        for answer in [server.get(&format!("/v2/models/{name}/ready")), server.infer(name, &good())] {
            assert_eq!((answer.status, answer.code().as_str()), (500, code), "{name}: {}", answer.text());
            assert!(!answer.text().contains(path_of(folder.path())), "a path leaked: {}", answer.text());
        }
    }
    assert_eq!(server.get("/v2/models/wave/ready").status, 200);
    assert_eq!(server.infer("wave", &good()).status, 200);
}

fn path_of(folder: &Path) -> &str {
    folder.to_str().unwrap()
}
