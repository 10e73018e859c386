//! The server as a process: every wire gives the same answer, every request leaves one outcome, and a stop
//! loses nothing.

use crate::support::{self, Answer, Request, Server, connect, models, read_answer, send, window};
use serde_json::{Value, json};
use spinwell_protocol::grpc::wire::grpc_inference_service_client::GrpcInferenceServiceClient;
use spinwell_protocol::grpc::wire::infer_parameter::ParameterChoice;
use spinwell_protocol::grpc::wire::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use spinwell_protocol::grpc::wire::{
    InferParameter, InferTensorContents, ModelConfigRequest, ModelInferRequest, ModelInferResponse,
    ModelMetadataRequest, ModelMetadataResponse,
};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;
use tonic::transport::Channel;

const ROWS: usize = 64;

pub(crate) fn json_request(shape: [usize; 3], data: &[f32]) -> Value {
    json!({"id": "t", "inputs": [{"name": "series", "shape": shape, "datatype": "FP32", "data": data}]})
}

pub(crate) fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn over_json(server: &Server, shape: [usize; 3], data: &[f32]) -> Vec<f32> {
    let answer = server.infer("wave", &json_request(shape, data));
    assert_eq!(answer.status, 200, "{}", answer.text());
    ["forecast", "lower", "upper"].iter().flat_map(|name| answer.numbers(name)).collect()
}

fn over_binary(server: &Server, shape: [usize; 3], datatype: &str, tensor: &[u8]) -> Vec<f32> {
    let json = json!({"parameters": {"binary_data_output": true}, "inputs": [
        {"name": "series", "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": tensor.len()}}]});
    let answer = send(server.http, &Request::post_binary("/v2/models/wave/infer", &json, tensor));
    assert_eq!(answer.status, 200, "{}", answer.text());
    floats(&answer.body[answer.json_bytes()..])
}

pub(crate) fn grpc_request(shape: [usize; 3]) -> ModelInferRequest {
    ModelInferRequest {
        model_name: "wave".into(),
        inputs: vec![InferInputTensor {
            name: "series".into(),
            datatype: "FP32".into(),
            shape: shape.map(|extent| extent as i64).to_vec(),
            ..InferInputTensor::default()
        }],
        ..ModelInferRequest::default()
    }
}

pub(crate) async fn grpc_client(server: &Server) -> GrpcInferenceServiceClient<Channel> {
    let endpoint = Channel::from_shared(format!("http://{}", server.grpc)).unwrap();
    GrpcInferenceServiceClient::new(endpoint.connect().await.unwrap())
}

/// A model's metadata over gRPC, and its answer to the raw `tensor` with the `outputs` asked for, or the usual ones.
pub(crate) fn described_and_inferred(
    server: &Server,
    model: &str,
    input: (&str, [i64; 3], Vec<u8>),
    outputs: &[&str],
) -> (ModelMetadataResponse, ModelInferResponse) {
    let (datatype, shape, tensor) = input;
    let output = |name: &&str| InferRequestedOutputTensor { name: (*name).into(), ..Default::default() };
    let request = ModelInferRequest {
        model_name: model.into(),
        inputs: vec![InferInputTensor {
            name: "series".into(),
            datatype: datatype.into(),
            shape: shape.to_vec(),
            ..InferInputTensor::default()
        }],
        outputs: outputs.iter().map(output).collect(),
        raw_input_contents: vec![tensor.into()],
        ..ModelInferRequest::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = grpc_client(server).await;
        let asked = ModelMetadataRequest { name: model.to_owned(), version: String::new() };
        let described = client.model_metadata(asked).await.unwrap().into_inner();
        (described, client.model_infer(request).await.unwrap().into_inner())
    })
}

fn over_grpc(server: &Server, request: ModelInferRequest) -> Vec<f32> {
    grpc_answer(server, request).raw_output_contents.iter().flat_map(|raw| floats(raw)).collect()
}

fn grpc_answer(server: &Server, request: ModelInferRequest) -> ModelInferResponse {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { grpc_client(server).await.model_infer(request).await.unwrap().into_inner() })
}

#[test]
fn every_wire_gives_the_same_bits() {
    let server = Server::start(models(), &[]);
    let shape = [2, ROWS, 1];
    let data = [window(ROWS, 0.0), window(ROWS, 1.0)].concat();
    let wanted = over_json(&server, shape, &data);
    assert_eq!(wanted.len(), 3 * 2 * 3);
    assert!(wanted.iter().all(|value| value.is_finite()));
    let (forecast, rest) = wanted.split_at(6);
    let (lower, upper) = rest.split_at(6);
    assert!((0..6).all(|i| lower[i] <= forecast[i] && forecast[i] <= upper[i]), "{wanted:?}");

    assert_eq!(over_binary(&server, shape, "FP32", &little_endian(&data)), wanted, "binary");
    let doubles: Vec<u8> = data.iter().flat_map(|value| f64::from(*value).to_le_bytes()).collect();
    assert_eq!(over_binary(&server, shape, "FP64", &doubles), wanted, "FP64");
    let mut raw = grpc_request(shape);
    raw.raw_input_contents = vec![little_endian(&data).into()];
    assert_eq!(over_grpc(&server, raw), wanted, "gRPC, raw");
    let mut typed = grpc_request(shape);
    typed.inputs[0].contents =
        Some(InferTensorContents { fp32_contents: data.clone(), ..InferTensorContents::default() });
    assert_eq!(over_grpc(&server, typed), wanted, "gRPC, typed");

    let nested: Vec<Value> =
        data.chunks(ROWS).map(|window| window.iter().map(|value| json!([value])).collect()).collect();
    let mut request = json_request(shape, &[]);
    request["inputs"][0]["data"] = nested.into();
    let answer = server.infer("wave", &request);
    assert_eq!(answer.numbers("forecast"), forecast, "nested JSON");
}

/// The outputs that are answered where they are named.
const ON_REQUEST: [&str; 2] = ["direction", "confidence"];

#[test]
fn directions_and_their_confidence_come_on_request_and_alike_on_every_wire() {
    let server = Server::start(models(), &[]);
    let shape = [2, ROWS, 1];
    let data = [window(ROWS, 0.0), window(ROWS, 1.0)].concat();
    let mut request = json_request(shape, &data);
    request["outputs"] = json!(["forecast", "direction", "confidence"].map(|name| json!({"name": name})));
    let answer = server.infer("wave", &request);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let [forecast, direction, confidence] =
        ["forecast", "direction", "confidence"].map(|name| answer.numbers(name));
    assert_eq!(answer.json()["outputs"][1]["datatype"], "INT8");
    assert_eq!(answer.json()["outputs"][2]["shape"], json!([2, 3, 1]));
    for (at, forecast) in forecast.iter().enumerate() {
        let last = data[(at / 3 + 1) * ROWS - 1];
        assert_eq!(direction[at], if *forecast > last { 1.0 } else { -1.0 }, "{at}: {forecast} after {last}");
        assert!((0.0..=1.0).contains(&confidence[at]), "{confidence:?}");
    }
    let bytes: Vec<u8> = direction.iter().map(|&sign| (sign as i8).to_le_bytes()[0]).collect();

    let json = json!({"outputs": ON_REQUEST.map(|name| json!({"name": name, "parameters": {"binary_data": true}})),
        "inputs": [{"name": "series", "shape": shape, "datatype": "FP32",
            "parameters": {"binary_data_size": data.len() * 4}}]});
    let tensor = little_endian(&data);
    let answer = send(server.http, &Request::post_binary("/v2/models/wave/infer", &json, &tensor));
    assert_eq!(
        answer.body[answer.json_bytes()..],
        [&bytes[..], &little_endian(&confidence)].concat(),
        "binary"
    );

    let mut raw = grpc_request(shape);
    raw.raw_input_contents = vec![tensor.into()];
    let output = |name: &str| InferRequestedOutputTensor { name: name.into(), ..Default::default() };
    raw.outputs = ON_REQUEST.map(output).to_vec();
    let mut typed = raw.clone();
    let no = InferParameter { parameter_choice: Some(ParameterChoice::BoolParam(false)) };
    typed.parameters.insert("binary_data_output".into(), no);
    let answer = grpc_answer(&server, raw);
    assert_eq!(answer.outputs[0].datatype, "INT8");
    assert_eq!(answer.raw_output_contents, [bytes, little_endian(&confidence)], "gRPC, raw");
    let [signs, probabilities] = grpc_answer(&server, typed).outputs.try_into().unwrap();
    let signs: Vec<f32> = signs.contents.unwrap().int_contents.iter().map(|&sign| sign as f32).collect();
    assert_eq!(
        (signs, probabilities.contents.unwrap().fp32_contents),
        (direction, confidence),
        "gRPC, typed"
    );
}

#[test]
fn a_model_that_hears_its_inputs_alone_takes_and_shows_the_inputs_alone() {
    let folder = tempfile::tempdir().unwrap();
    let deaf = ["--target", "value", "--inputs", "other", "--inputs-only"];
    support::train_small_model(folder.path(), "deaf", &deaf);
    let server = Server::start(folder.path(), &[]);
    let metadata = server.get("/v2/models/deaf").json();
    assert_eq!(metadata["inputs"][0]["shape"], json!([-1, -1, 1]));
    assert_eq!(
        (&metadata["properties"]["channels"], &metadata["properties"]["targets"]),
        (&json!("other"), &json!("value"))
    );
    let two =
        server.infer("deaf", &json_request([1, ROWS, 2], &[window(ROWS, 0.0), window(ROWS, 1.0)].concat()));
    assert_eq!((two.status, two.code().as_str()), (400, "SPW-TENSOR-SHAPE"), "{}", two.text());
    assert!(two.text().contains("other"), "{}", two.text());

    let predict = |data: &Path, name: &str, url: bool| -> (Value, String) {
        let plot = folder.path().join(name);
        let mut command = support::spinwell();
        command.args(["predict", "deaf", data.to_str().unwrap(), "--json", "--plot", plot.to_str().unwrap()]);
        if url {
            command.args(["--url", &format!("http://{}", server.http)]);
        } else {
            command.arg("--models").arg(folder.path());
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (serde_json::from_slice(&output.stdout).unwrap(), std::fs::read_to_string(plot).unwrap())
    };
    let whole = folder.path().join("deaf.csv");
    let text = std::fs::read_to_string(&whole).unwrap();
    let inputs: Vec<&str> = text.lines().map(|line| line.split_once(',').unwrap().1).collect();
    let inputs_alone = folder.path().join("inputs.csv");
    std::fs::write(&inputs_alone, inputs.join("\n")).unwrap();
    let (here, picture) = predict(&whole, "here.svg", false);
    let (there, _) = predict(&whole, "there.svg", true);
    let (without, bare_picture) = predict(&inputs_alone, "without.svg", false);
    assert_eq!(here["forecast"], there["forecast"]);
    assert_eq!(here["forecast"], without["forecast"]);
    let first = &here["forecast"][0]["targets"]["value"];
    assert!(first["direction"].is_i64() && first["confidence"].is_f64(), "{first}");
    for picture in [&picture, &bare_picture] {
        assert!(picture.contains("rows of value") && !picture.contains("rows of other"));
        assert!(!picture.contains("NaN"));
    }
    // The past of the target is drawn where the file holds it; the input's never stands in for it.
    assert!(!picture.contains("points=\"\"") && bare_picture.contains("points=\"\""));
}

#[test]
fn a_window_s_answer_does_not_depend_on_its_batch() {
    let server = Server::start(models(), &[]);
    let windows: Vec<Vec<f32>> = (0..7).map(|k| window(ROWS, f64::from(k))).collect();
    let whole = server.infer("wave", &json_request([7, ROWS, 1], &windows.concat())).numbers("forecast");
    for (number, window) in windows.iter().enumerate() {
        let alone = server.infer("wave", &json_request([1, ROWS, 1], window)).numbers("forecast");
        assert_eq!(alone, whole[number * 3..number * 3 + 3], "window {number}");
    }
}

#[test]
fn a_body_that_is_decoded_apart_gets_the_same_answer() {
    let server = Server::start(models(), &[]);
    let windows: Vec<Vec<f32>> = (0..200).map(|k| window(200, f64::from(k))).collect();
    let request = json_request([200, 200, 1], &windows.concat());
    assert!(request.to_string().len() > 300_000);
    let whole = server.infer("wave", &request).numbers("forecast");
    let alone = server.infer("wave", &json_request([1, 200, 1], &windows[17])).numbers("forecast");
    assert_eq!(alone, whole[17 * 3..17 * 3 + 3]);
}

#[test]
fn metadata_config_and_grpc_agree() {
    let server = Server::start(models(), &[]);
    let (metadata, config) =
        (server.get("/v2/models/pair").json(), server.get("/v2/models/pair/config").json());
    let names =
        |list: &Value| -> Vec<Value> { list.as_array().unwrap().iter().map(|t| t["name"].clone()).collect() };
    assert_eq!(names(&metadata["inputs"]), names(&config["input"]));
    assert_eq!(names(&metadata["outputs"]), names(&config["output"]));
    assert_eq!(metadata["inputs"][0]["shape"], json!([-1, -1, 2]));
    assert_eq!(metadata["outputs"][0]["shape"], json!([-1, 3, 2]));
    assert_eq!(
        names(&metadata["outputs"]),
        ["forecast", "lower", "upper", "direction", "confidence"],
        "also those that are answered on request"
    );
    assert_eq!(metadata["properties"]["targets"], "value,other");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (over_grpc, grpc_config) = runtime.block_on(async {
        let mut client = grpc_client(&server).await;
        let (name, version) = ("pair".to_owned(), String::new());
        let request = ModelMetadataRequest { name: name.clone(), version: version.clone() };
        let metadata = client.model_metadata(request).await.unwrap().into_inner();
        let config = client.model_config(ModelConfigRequest { name, version }).await.unwrap().into_inner();
        (metadata, config.config.unwrap())
    });
    assert_eq!(over_grpc.properties["model_hash"], metadata["properties"]["model_hash"]);
    assert_eq!(over_grpc.platform, metadata["platform"]);
    assert_eq!(over_grpc.inputs[0].name, grpc_config.input[0].name);
    assert_eq!(json!(grpc_config.max_batch_size), config["max_batch_size"]);
}

#[test]
fn only_the_requested_outputs_return_and_the_answer_says_who_answered() {
    let server = Server::start(models(), &[]);
    let mut request = json_request([1, ROWS, 1], &window(ROWS, 0.0));
    request["outputs"] = json!([{"name": "upper"}]);
    let answer = server.infer("wave", &request).json();
    assert_eq!(answer["outputs"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&answer["id"], &answer["model_name"], &answer["model_version"]),
        (&json!("t"), &json!("wave"), &json!("1"))
    );
    let properties = server.get("/v2/models/wave").json()["properties"].clone();
    // The precision is chosen in training.
    for key in ["profile", "model_hash"] {
        assert_eq!(answer["parameters"][key], properties[key], "{key}");
    }
}

#[test]
fn the_highest_version_answers_and_every_version_can_be_asked() {
    let folder = tempfile::tempdir().unwrap();
    support::train_small_model(folder.path(), "wave", &["--target", "value"]);
    support::train_small_model(folder.path(), "wave", &["--target", "value", "--coverage", "0.8"]);
    let server = Server::start(folder.path(), &[]);
    let version = |path: &str| {
        let answer = send(
            server.http,
            &Request::post(path, json_request([1, ROWS, 1], &window(ROWS, 0.0)).to_string()),
        );
        answer.json()["model_version"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(version("/v2/models/wave/infer"), "2");
    assert_eq!(version("/v2/models/wave/versions/1/infer"), "1");
    assert_eq!(server.get("/v2/models/wave").json()["versions"], json!(["1", "2"]));
}

#[test]
fn every_request_leaves_exactly_one_outcome() {
    let server = Server::start(models(), &[]);
    let good = json_request([2, ROWS, 1], &[window(ROWS, 0.0), window(ROWS, 1.0)].concat());
    for _ in 0..5 {
        assert_eq!(server.infer("wave", &good).status, 200);
    }
    let mut raw = grpc_request([1, ROWS, 1]);
    raw.raw_input_contents = vec![little_endian(&window(ROWS, 0.0)).into()];
    over_grpc(&server, raw);
    for name in ["none", "made-up-1", "made-up-2"] {
        assert_eq!(server.infer(name, &good).status, 404);
    }
    assert_eq!(server.infer("wave", &json!({})).status, 400);
    let count = |labels: &[&str]| server.metric("spinwell_requests_total", labels);
    assert_eq!(count(&[]), 10.0);
    assert_eq!(count(&["model=\"wave\"", "protocol=\"http_json\"", "code=\"ok\""]), 5.0);
    assert_eq!(count(&["protocol=\"grpc\"", "code=\"ok\""]), 1.0);
    assert_eq!(count(&["model=\"-\"", "code=\"SPW-MODEL-NOT-FOUND\""]), 3.0);
    assert_eq!(count(&["model=\"wave\"", "code=\"SPW-REQUEST-INVALID\""]), 1.0);
    assert_eq!(server.metric("spinwell_predictions_total", &[]), 11.0);
    assert_eq!(server.metric("spinwell_request_duration_seconds_count", &[]), 6.0);
    assert_eq!(server.metric("nv_inference_request_success", &["model=\"wave\""]), 6.0);
    assert_eq!(server.metric("nv_inference_request_failure", &["model=\"wave\""]), 1.0);
    assert_eq!(server.metric("nv_inference_count", &[]), 11.0);
    assert_eq!(server.metric("nv_inference_exec_count", &[]), server.metric("spinwell_batches_total", &[]));
}

#[test]
fn sigterm_answers_what_is_in_flight_and_exits_with_0() {
    let server = Server::start(models(), &[]);
    let body = json_request([1, ROWS, 1], &window(ROWS, 0.0)).to_string();
    let request = Request::post("/v2/models/wave/infer", body);
    let (first, second) = request.body.split_at(request.body.len() / 2);
    let mut stream = connect(server.http);
    write!(stream, "{}\r\n\r\n", request.head).unwrap();
    stream.write_all(first).unwrap();
    // Another request's answer shows that the server has read on.
    assert_eq!(server.get("/v2").status, 200);
    server.terminate();
    let since = Instant::now();
    while TcpStream::connect(server.http).is_ok() {
        assert!(since.elapsed() < support::BOUND, "new connections are still accepted");
    }
    assert_eq!(send(server.ops, &Request::new("GET", "/readyz")).status, 503);
    assert_eq!(send(server.ops, &Request::new("GET", "/livez")).status, 200);
    stream.write_all(second).unwrap();
    let answer: Answer = read_answer(stream);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn callers_who_keep_their_connections_lose_no_request_to_a_stop() {
    let server = Server::start_noticed(models(), &[], "1500");
    let (http, answered) = (server.http, AtomicUsize::new(0));
    let body = json_request([1, ROWS, 1], &window(ROWS, 0.0)).to_string();
    let head = "POST /v2/models/wave/infer HTTP/1.1\r\nHost: test";
    let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    // Goes on until a new connection is not served any more, and gives how many ended with a notice.
    let call = || {
        let mut noticed = 0;
        while let Ok(mut stream) = TcpStream::connect(http) {
            for used in 0.. {
                let sent = stream.write_all(request.as_bytes());
                let answer = sent.ok().and_then(|()| read_kept(&mut stream));
                let Some(answer) = answer else {
                    assert_eq!(used, 0, "a connection in use was closed without a word");
                    return noticed;
                };
                assert!(answer.starts_with("http/1.1 200"), "{answer}");
                answered.fetch_add(1, Ordering::Relaxed);
                if answer.contains("connection: close") {
                    noticed += 1;
                    break;
                }
            }
        }
        noticed
    };
    let noticed: Vec<usize> = thread::scope(|scope| {
        let callers: Vec<_> = (0..4).map(|_| scope.spawn(call)).collect();
        while answered.load(Ordering::Relaxed) < 40 {
            thread::yield_now();
        }
        server.terminate();
        let since = Instant::now();
        while send(server.ops, &Request::new("GET", "/readyz")).status != 503 {
            assert!(since.elapsed() < support::BOUND, "nobody is told of the stop");
        }
        assert!(TcpStream::connect(http).is_ok(), "readiness goes first");
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    assert!(noticed.iter().all(|noticed| *noticed > 0), "{noticed:?}");
    assert_eq!(server.wait().code(), Some(0));
}

/// Head and body of an answer on a connection that goes on, in lower case; nothing where there is none.
fn read_kept(stream: &mut TcpStream) -> Option<String> {
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        answer.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&answer).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
        if body.len() >= length.trim().parse::<usize>().ok()? {
            return Some(text);
        }
    }
}

#[test]
fn connections_without_a_request_do_not_hold_up_a_stop() {
    let server = Server::start(models(), &[]);
    let silent = connect(server.grpc);
    let mut half = connect(server.http);
    half.write_all(b"POST /v2/models/wave/infer HTTP/1.1\r\nHost: x\r\nContent-").unwrap();
    assert_eq!(server.get("/v2").status, 200);
    server.terminate();
    assert_eq!(server.wait().code(), Some(0), "nothing was abandoned");
    drop((silent, half));
}

#[test]
fn a_stop_that_takes_too_long_ends_with_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("spinwell.toml");
    std::fs::write(&file, "[drain]\ntimeout_ms = 50\n[limits]\nbody_timeout_ms = 600000\n").unwrap();
    let server = Server::start(models(), &["--config", file.to_str().unwrap()]);
    let mut stream = connect(server.http);
    let request = Request::post("/v2/models/wave/infer", vec![b' '; 100]);
    write!(stream, "{}\r\n\r\n", request.head).unwrap();
    // Another request's answer shows that the server has read on.
    assert_eq!(server.get("/v2").status, 200);
    server.terminate();
    assert_eq!(server.wait().code(), Some(1));
}

#[test]
fn a_request_of_too_many_rows_is_refused_and_its_neighbours_answered() {
    let server = Server::start(models(), &[]);
    let tensor = vec![0x48; 256 * 16_384 * 2];
    let json = json!({"inputs": [{"name": "series", "shape": [256, 16_384, 1], "datatype": "FP16",
        "parameters": {"binary_data_size": tensor.len()}}]});
    let request = Request::post_binary("/v2/models/wave/infer", &json, &tensor);
    let small = json_request([1, ROWS, 1], &window(ROWS, 0.0));
    for _ in 0..4 {
        let refused = send(server.http, &request);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, "SPW-TENSOR-SHAPE"),
            "{}",
            refused.text()
        );
        assert!(refused.text().contains("262144 rows"), "{}", refused.text());
        assert_eq!(server.infer("wave", &small).status, 200);
    }
}

#[test]
fn the_operations_plane_is_apart_from_inference() {
    let server = Server::start(models(), &[]);
    for (address, path, status) in [
        (server.ops, "/livez", 200),
        (server.ops, "/readyz", 200),
        (server.ops, "/metrics", 200),
        (server.ops, "/openapi.json", 200),
        (server.ops, "/docs", 200),
        (server.ops, "/v2", 404),
        (server.http, "/openapi.json", 200),
        (server.http, "/docs", 404),
        (server.http, "/metrics", 404),
        (server.http, "/v2/health/ready", 200),
    ] {
        assert_eq!(send(address, &Request::new("GET", path)).status, status, "{address} {path}");
    }
}

#[test]
fn options_that_cannot_be_are_told_with_code_and_source() {
    let check = |exit: i32, extra: &[&str], words: &[&str]| {
        let output = Server::fails(models(), extra);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(exit), "{error}");
        for word in words {
            assert!(error.contains(word), "{word} is missing in: {error}");
        }
    };
    check(1, &["--http", "0.0.0.0:0"], &["SPW-LISTEN-REFUSED", "--insecure"]);
    for flag in ["--http", "--grpc", "--ops"] {
        check(2, &[flag, "nowhere"], &[flag, "nowhere", "127.0.0.1:8000"]);
    }
    let wrong = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(wrong.path(), "[node]\nid = \"a b\"\n").unwrap();
    check(1, &["--config", wrong.path().to_str().unwrap()], &["node.id"]);
    check(
        1,
        &["--models", "/nonexistent/models"],
        &["SPW-IO", "/nonexistent/models", "`spinwell train --models /nonexistent/models`"],
    );
    check(
        1,
        &["--config", "/nonexistent/spinwell.toml"],
        &["SPW-CONFIG-INVALID", "/nonexistent/spinwell.toml"],
    );
}

#[test]
fn print_config_shows_values_and_sources() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("spinwell.toml");
    std::fs::write(&file, "[limits]\ndeadline_ms = 250\n").unwrap();
    let output = support::spinwell()
        .args(["serve", "--print-config", "--grpc", "127.0.0.1:9", "--config"])
        .arg(&file)
        .env("SPINWELL_NODE_ID", "n7")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for line in [
        "address = \"127.0.0.1:9\"  # command line --grpc",
        "id = \"n7\"  # environment SPINWELL_NODE_ID",
        "body_bytes = 16777216  # default",
        "bodies_bytes_max = 536870912  # default",
        "head_timeout_ms = 10000  # default",
        "batch_rows_max = 262144  # default",
        &format!("deadline_ms = 250  # {}", file.display()),
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line:?} is missing in\n{text}");
    }
    let output = support::spinwell()
        .args(["serve", "--print-config", "--json", "--grpc", "127.0.0.1:9"])
        .env("SPINWELL_NODE_ID", "n7")
        .env("SPINWELL_LIMITS_DEADLINE_MS", "250")
        .env("SPINWELL_LIMITS_ROW_MAX", "9")
        .output()
        .unwrap();
    let warned = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        warned.contains("SPINWELL_LIMITS_ROW_MAX sets no key; did you mean SPINWELL_LIMITS_ROWS_MAX?"),
        "{warned}"
    );
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (key, value, source) in [
        ("grpc.address", json!("127.0.0.1:9"), "command line --grpc"),
        ("node.id", json!("n7"), "environment SPINWELL_NODE_ID"),
        ("limits.deadline_ms", json!(250), "environment SPINWELL_LIMITS_DEADLINE_MS"),
        ("insecure", json!(false), "default"),
    ] {
        assert_eq!(all[key], json!({"value": value, "source": source}), "{key}");
    }
    let alone = support::run(&["serve", "--json"]);
    assert_eq!(alone.status.code(), Some(2), "--json says how something is printed");
}
