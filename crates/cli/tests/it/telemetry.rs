//! Outcomes outside the metrics: the access log and the traces tell of the same requests, and of what they miss.

use crate::serving::{grpc_client, grpc_request, json_request, little_endian};
use crate::support::{Request, Server, connect, models, send, text, wait_until, window};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span, span::SpanKind};
use prost::Message;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

const ROWS: usize = 64;
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A collector that takes traces by OTLP over HTTP.
struct Collector {
    address: SocketAddr,
    taken: Arc<Mutex<Vec<ResourceSpans>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let all = taken.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let all = all.clone();
                thread::spawn(move || while take(&stream, &all).is_some() {});
            }
        });
        Self { address, taken }
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans that came, which must be of this service.
    fn spans(&self) -> Vec<Span> {
        let taken = self.taken.lock().unwrap();
        for resource in taken.iter() {
            let attributes = &resource.resource.as_ref().unwrap().attributes;
            let name = attributes.iter().find(|attribute| attribute.key == "service.name").unwrap();
            assert_eq!(
                name.value.as_ref().unwrap().value,
                Some(any_value::Value::StringValue("spinwell".into()))
            );
        }
        let scopes = taken.iter().flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }
}

/// Takes one message, unless the connection is over.
fn take(stream: &TcpStream, all: &Mutex<Vec<ResourceSpans>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let head: Vec<String> =
        reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    assert_eq!(head.first()?, "POST /v1/traces HTTP/1.1");
    let header = |name: &str| {
        let mut lines = head.iter().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    assert_eq!(header("content-type").as_deref(), Some("application/x-protobuf"));
    let mut body = vec![0; header("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    all.lock().unwrap().extend(ExportTraceServiceRequest::decode(&*body).unwrap().resource_spans);
    let mut stream = stream;
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n")
        .ok()
}

fn start(folder: &Path, config: &str) -> Server {
    let file = folder.join("spinwell.toml");
    std::fs::write(&file, config).unwrap();
    Server::start(models(), &["--config", text(&file)])
}

/// The lines of an access log.
fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

fn of_record<'a>(lines: &'a [Value], record: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["record"] == record).collect()
}

fn good() -> Value {
    json_request([1, ROWS, 1], &window(ROWS, 0.0))
}

fn infer_traced(server: &Server, body: &Value, traceparent: &str) -> u16 {
    let request = Request::post("/v2/models/wave/infer", body.to_string()).header("traceparent", traceparent);
    send(server.http, &request).status
}

fn count(server: &Server, name: &str, reader: &str) -> f64 {
    server.metric(&format!("spinwell_outcomes_{name}"), &[&format!("reader=\"{reader}\"")])
}

/// Every record is somewhere, for this reader.
fn assert_accounted(server: &Server, reader: &str) {
    // Waited for, because records move while the page is written.
    wait_until(reader, || {
        let fates = ["delivered_total", "failed_total", "dropped_total", "skipped_total", "waiting"];
        let all: f64 = fates.iter().map(|fate| count(server, fate, reader)).sum();
        all == server.metric("spinwell_outcomes_total", &[])
    });
}

/// Sends requests that end in every way there is and returns how many.
fn every_end(server: &Server) -> usize {
    let mut late = good();
    late["parameters"] = json!({"timeout": 1});
    assert_eq!(server.infer("wave", &good()).status, 200);
    assert_eq!(server.infer("none", &good()).status, 404);
    assert_eq!(server.infer("wave", &json_request([1, 1, 1], &window(1, 0.0))).status, 422);
    assert_eq!(server.infer("wave", &late).status, 504);
    assert_eq!(server.infer("wave", &json!({})).status, 400);
    let series: Vec<_> = window(ROWS, 0.0).into_iter().map(|value| [value]).collect();
    let batch = json!({"requests": [
        {"id": "a", "model": "wave", "series": series}, {"id": "b", "model": "none", "series": series}]});
    assert_eq!(send(server.http, &Request::post("/v1/predictions", batch.to_string())).status, 200);
    let mut raw = grpc_request([1, ROWS, 1]);
    raw.raw_input_contents = vec![little_endian(&window(ROWS, 0.0)).into()];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut request = tonic::Request::new(raw);
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
    runtime.block_on(async { grpc_client(server).await.model_infer(request).await.unwrap() });
    8 + cancelled(server)
}

/// Sends requests and goes away at once, until one was cancelled by that.
fn cancelled(server: &Server) -> usize {
    let tensor = little_endian(&window(256 * 1024, 0.0));
    let json = json!({"inputs": [{"name": "series", "shape": [256, 1024, 1], "datatype": "FP32",
        "parameters": {"binary_data_size": tensor.len()}}]});
    let request = Request::post_binary("/v2/models/wave/infer", &json, &tensor);
    let ended = || server.metric("spinwell_requests_total", &["protocol=\"http_binary\""]);
    for sent in 1..=100 {
        let mut stream = connect(server.http);
        stream.write_all(request.head.as_bytes()).unwrap();
        stream.write_all(b"\r\n\r\n").unwrap();
        stream.write_all(&request.body).unwrap();
        drop(stream);
        wait_until("a request whose caller went away ends", || ended() == f64::from(sent));
        if server.metric("spinwell_requests_total", &["code=\"cancelled\""]) > 0.0 {
            return sent as usize;
        }
    }
    panic!("no request was cancelled by its caller's going away");
}

#[test]
fn the_access_log_has_a_line_for_every_end_as_the_metrics_count_them() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.json");
    let server = start(folder.path(), &format!("[access_log]\npath = {:?}\n", text(&log)));
    let sent = every_end(&server);
    assert_eq!(server.metric("spinwell_requests_total", &[]), sent as f64);
    assert_eq!(server.metric("spinwell_outcomes_total", &["record=\"request\""]), sent as f64);
    assert_eq!(server.metric("spinwell_outcomes_total", &["record=\"batch_call\""]), 2.0);
    assert_accounted(&server, "access_log");
    let protocols = ["http_json", "http_binary", "http_batch", "grpc"];
    let codes = [
        "ok",
        "cancelled",
        "SPW-MODEL-NOT-FOUND",
        "SPW-WINDOW-TOO-SHORT",
        "SPW-DEADLINE-EXCEEDED",
        "SPW-REQUEST-INVALID",
    ];
    let mut counted = BTreeMap::new();
    for (protocol, code) in protocols.iter().flat_map(|protocol| codes.map(|code| (*protocol, code))) {
        let labels = [format!("protocol=\"{protocol}\""), format!("code=\"{code}\"")];
        counted.insert(
            (protocol, code),
            server.metric("spinwell_requests_total", &labels.each_ref().map(|l| &**l)),
        );
    }
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));

    let lines = lines(&log);
    let requests = of_record(&lines, "request");
    assert_eq!(requests.len(), sent);
    for ((protocol, code), counted) in counted {
        let written =
            requests.iter().filter(|line| line["protocol"] == protocol && line["code"] == code).count();
        assert_eq!(written as f64, counted, "{protocol} {code}");
    }
    assert!(requests.iter().any(|line| line["code"] == "cancelled"));
    assert!(of_record(&lines, "loss").is_empty());
    let calls = of_record(&lines, "batch_call");
    assert_eq!(calls.len(), 2);
    assert_eq!((&calls[0]["phase"], &calls[0]["requests"]), (&json!("started"), &json!(2)));
    assert_eq!(
        (&calls[1]["phase"], &calls[1]["answered"], &calls[1]["failed"]),
        (&json!("completed"), &json!(1), &json!(1))
    );
    let batched: Vec<_> = requests.iter().filter(|line| line["protocol"] == "http_batch").collect();
    assert!(batched.iter().all(|line| line["batch_call"] == calls[0]["batch_call"]));
    assert_eq!(batched[0]["trace_id"], batched[1]["trace_id"], "one call is one trace");
    let answered =
        requests.iter().find(|line| line["protocol"] == "http_json" && line["code"] == "ok").unwrap();
    assert_eq!(
        (&answered["request_id"], &answered["model"], &answered["windows"]),
        (&json!("t"), &json!("wave"), &json!(1))
    );
    assert_eq!(answered["model_hash"].as_str().unwrap().len(), 64);
    assert_eq!(answered["trace_id"].as_str().unwrap().len(), 32);
    assert!(answered["total_us"].as_u64() >= answered["compute_us"].as_u64());
    let over_grpc = requests.iter().find(|line| line["protocol"] == "grpc").unwrap();
    assert_eq!((&over_grpc["trace_id"], &over_grpc["parent_span_id"]), (&json!(TRACE), &json!(PARENT)));
}

fn attribute(span: &Span, key: &str) -> Option<any_value::Value> {
    span.attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn traces_reach_a_collector_and_go_on_from_the_caller_s() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start();
    let server = start(folder.path(), &format!("[otlp]\nendpoint = {:?}\n", collector.endpoint()));
    assert_eq!(infer_traced(&server, &good(), &format!("00-{TRACE}-{PARENT}-01")), 200);
    assert_eq!(infer_traced(&server, &good(), &format!("00-{TRACE}-{PARENT}-00")), 200);
    assert_eq!(infer_traced(&server, &json_request([1, 1, 1], &window(1, 0.0)), "00-nonsense"), 422);
    wait_until("both sampled requests are delivered", || count(&server, "delivered_total", "otlp") == 2.0);
    assert_eq!(count(&server, "skipped_total", "otlp"), 1.0, "the caller did not want a trace");
    assert_accounted(&server, "otlp");
    // What has not been sent yet is sent before the end.
    assert_eq!(infer_traced(&server, &good(), &format!("00-{}-{PARENT}-01", "7".repeat(32))), 200);
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));

    let spans = collector.spans();
    let of_trace =
        |id: &str| spans.iter().filter(|span| hexadecimal(&span.trace_id) == id).collect::<Vec<_>>();
    for id in [TRACE, &"7".repeat(32)] {
        let trace = of_trace(id);
        let names: Vec<_> = trace.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(names, ["POST /v2/models/{model}/infer", "decode", "queue", "compute", "encode"]);
        let request = trace[0];
        assert_eq!(hexadecimal(&request.parent_span_id), PARENT);
        assert_eq!(request.kind, SpanKind::Server as i32);
        for stage in &trace[1..] {
            assert_eq!(stage.parent_span_id, request.span_id, "{}", stage.name);
            assert!(request.start_time_unix_nano <= stage.start_time_unix_nano);
            assert!(stage.end_time_unix_nano <= request.end_time_unix_nano);
        }
        for (key, value) in [
            ("http.request.method", any_value::Value::StringValue("POST".into())),
            ("http.response.status_code", any_value::Value::IntValue(200)),
            ("spinwell.model.name", any_value::Value::StringValue("wave".into())),
            ("spinwell.model.version", any_value::Value::IntValue(1)),
            ("spinwell.profile", any_value::Value::StringValue("cpu-f32".into())),
            ("spinwell.node", any_value::Value::StringValue("local".into())),
        ] {
            assert_eq!(attribute(request, key), Some(value), "{key}");
        }
    }
    let refused = spans
        .iter()
        .find(|span| attribute(span, "http.response.status_code") == Some(any_value::Value::IntValue(422)));
    let refused = refused.unwrap();
    assert!(refused.parent_span_id.is_empty(), "what is no traceparent is ignored");
    assert_eq!(
        attribute(refused, "error.type"),
        Some(any_value::Value::StringValue("SPW-WINDOW-TOO-SHORT".into()))
    );
    assert_eq!(spans.iter().filter(|span| span.kind == SpanKind::Server as i32).count(), 3);
}

#[test]
fn a_queue_that_is_full_costs_lines_that_are_counted_in_the_log_and_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.json");
    // A collector that takes the connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "[outcomes]\nqueue_len_max = 1\n[access_log]\npath = {:?}\n[otlp]\nendpoint = \"http://{}\"\n\
         [drain]\ntimeout_ms = 500\n",
        text(&log),
        silent.local_addr().unwrap()
    );
    let server = start(folder.path(), &config);
    let sent = 40;
    for _ in 0..sent {
        assert_eq!(server.infer("wave", &good()).status, 200);
    }
    for reader in ["access_log", "otlp"] {
        assert_accounted(&server, reader);
        assert!(count(&server, "dropped_total", reader) > 0.0, "{reader}");
    }
    server.terminate();
    assert_eq!(server.wait().code(), Some(0), "a reader that hangs does not make the stop fail");
    let lines = lines(&log);
    let lost: u64 = of_record(&lines, "loss").iter().map(|line| line["lost"].as_u64().unwrap()).sum();
    assert!(lost > 0);
    assert_eq!(of_record(&lines, "request").len() as u64 + lost, sent);
}

#[test]
fn a_full_disk_is_counted_and_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), "[access_log]\npath = \"/dev/full\"\n");
    assert_eq!(server.infer("wave", &good()).status, 200);
    wait_until("the line that did not fit is counted", || {
        count(&server, "failed_total", "access_log") == 1.0
    });
    assert_eq!(server.infer("wave", &good()).status, 200);
    assert_accounted(&server, "access_log");
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn sighup_begins_a_new_file_and_loses_no_line() {
    let folder = tempfile::tempdir().unwrap();
    let (log, old) = (folder.path().join("access.json"), folder.path().join("access.json.1"));
    let server = start(folder.path(), &format!("[access_log]\npath = {:?}\n", text(&log)));
    assert_eq!(server.infer("wave", &good()).status, 200);
    wait_until("the first line is written", || lines(&log).len() == 1);
    std::fs::rename(&log, &old).unwrap();
    server.signal("-HUP");
    wait_until("there is a new file", || log.exists());
    assert_eq!(server.infer("wave", &good()).status, 200);
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!((lines(&old).len(), lines(&log).len()), (1, 1));
}

#[test]
fn a_log_that_cannot_be_opened_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("spinwell.toml");
    std::fs::write(&file, "[access_log]\npath = \"/nonexistent/access.json\"\n").unwrap();
    let output = Server::fails(models(), &["--config", text(&file)]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("access_log.path") && said.contains("SPW-IO"),
        "{said}"
    );
}
