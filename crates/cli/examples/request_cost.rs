//! What a request costs, stage by stage, in microseconds and allocations.
//!
//! ```text
//! request_cost MODELS_FOLDER NAME [SECONDS]
//! ```
//!
//! One request at a time, of one window of 64 rows, goes through ever more of the server: the model's own work; with the
//! queue and an executor; with decoding, checking, encoding and the outcome; with a connection over loopback. A stage costs
//! what the next larger whole costs more. Allocations are those of all threads; the caller's own, over a connection, are
//! counted too, and are none. Prints a Markdown table. The time is that
//! of the lowest tenth of all runs: of wholes that were disturbed, differences would say nothing.

use anyhow::{Context, Result};
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use spinwell_core::{Priority, TenantId};
use spinwell_engine::{AnyModel, Window};
use spinwell_gateway::{
    Addresses, ConnectionCounts, Gateway, Listening, LiveAccuracy, Metrics, Parts, Readers, http_router,
    serve_http,
};
use spinwell_node::Node;
use spinwell_protocol::grpc::wire::{ModelInferRequest, ModelInferResponse};
use spinwell_protocol::rest::{self, Framing};
use spinwell_protocol::{Call, InferReply, InferRequest, ModelDescription, NodeLink, grpc};
use spinwell_registry::CapacityOptions;
use spinwell_runtime::health::{Health, Phase};
use spinwell_runtime::options::{Options, Override, Sources};
use spinwell_runtime::{clock, shutdown};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Rows of the window that is asked for.
const ROWS: usize = 64;

/// What something costs each time.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    microseconds: f64,
    allocations: f64,
    bytes: f64,
}

impl Cost {
    fn less(self, other: Self) -> Self {
        Self {
            microseconds: self.microseconds - other.microseconds,
            allocations: self.allocations - other.allocations,
            bytes: self.bytes - other.bytes,
        }
    }
}

/// Does something over and over, and says what a time costs.
fn cost(seconds: f64, mut once: impl FnMut() -> Result<()>) -> Result<Cost> {
    let runs = |until: f64, once: &mut dyn FnMut() -> Result<()>| -> Result<Vec<f64>> {
        let began = clock::now();
        let mut took = Vec::with_capacity(1 << 20);
        while took.len() < 20 || began.elapsed().as_secs_f64() < until {
            let started = clock::now();
            once()?;
            took.push(started.elapsed().as_secs_f64() * 1e6);
        }
        Ok(took)
    };
    runs(seconds / 5.0, &mut once)?;
    let mut took = runs(seconds, &mut once)?;
    took.sort_by(f64::total_cmp);
    let microseconds = took[took.len() / 10];
    const TIMES: usize = 500;
    let region = Region::new(ALLOCATOR);
    for _ in 0..TIMES {
        once()?;
    }
    let change = region.change();
    let each = |count: usize| count as f64 / TIMES as f64;
    Ok(Cost {
        microseconds,
        allocations: each(change.allocations + change.reallocations),
        bytes: each(change.bytes_allocated),
    })
}

/// A server in this process, on one runtime.
struct Served {
    runtime: tokio::runtime::Runtime,
    node: Arc<Node>,
    gateway: Gateway,
    limits: spinwell_runtime::options::Limits,
    model: Arc<ModelDescription>,
    _data: tempfile::TempDir,
}

fn start(models: &str, name: &str) -> Result<Served> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let data = tempfile::tempdir()?;
    let given = [
        ("data.dir", data.path().display().to_string()),
        ("models.dir", models.to_owned()),
        ("node.executors", "1".to_owned()),
        ("node.device", "cpu".to_owned()),
    ];
    let given = given.into_iter().map(|(key, value)| Override { key, value, flag: "here" }).collect();
    let options = Sources::of_this_process(None, given).and_then(|sources| Options::load(&sources))?.options;
    let node = spinwell_node::Options::of(&options);
    let _inside = runtime.enter();
    let node = Arc::new(Node::start(Path::new(models), &node)?);
    let model = node.models().find(name, None).map_err(anyhow::Error::new)?.clone();
    let metrics = Arc::new(Metrics::new(&node.models()));
    let health = Health::default();
    health.advance(Phase::Ready);
    let nowhere = "127.0.0.1:0".parse()?;
    let gateway = Gateway::new(Parts {
        link: node.clone(),
        limits: options.limits.clone(),
        health,
        reader: Arc::new(Readers::start(&options.readers, metrics.clone(), &options.node_id)?),
        traces: None,
        statistics: metrics.statistics(),
        addresses: Addresses { http: nowhere, ops: nowhere, is_https: false },
        accuracy: Arc::new(LiveAccuracy::new(options.accuracy)),
        capacity: CapacityOptions {
            predictions_per_node: options.region.capacity.predictions_per_node,
            target_utilization: options.region.capacity.target_utilization,
            processing_clusters: Vec::new(),
        },
        load_reporting: options.load_reporting,
        audit: None,
        door: Arc::new(spinwell_gateway::Door::open()),
    });
    Ok(Served { node, gateway, limits: options.limits, model, _data: data, runtime })
}

/// A wire: its body, and the head that goes with it.
struct Wire {
    name: &'static str,
    body: Vec<u8>,
    json_bytes: Option<usize>,
}

fn wires() -> Vec<Wire> {
    let values: Vec<f32> = (0..ROWS).map(|row| 15000.0 + 100.0 * row as f32).collect();
    let tensor = |data: String| {
        format!(r#"{{"inputs":[{{"name":"series","datatype":"FP32","shape":[1,{ROWS},1],{data}}}]"#)
    };
    let texts: Vec<String> = values.iter().map(|value| format!("{value:.1}")).collect();
    let json = tensor(format!(r#""data":[{}]"#, texts.join(","))) + "}";
    let mut binary = tensor(format!(r#""parameters":{{"binary_data_size":{}}}"#, ROWS * 4))
        + r#","parameters":{"binary_data_output":true}}"#;
    let json_bytes = binary.len();
    let mut bytes = std::mem::take(&mut binary).into_bytes();
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    vec![
        Wire { name: "JSON", body: json.into_bytes(), json_bytes: None },
        Wire { name: "binary tensors", body: bytes, json_bytes: Some(json_bytes) },
    ]
}

/// Sends a request over and over on one connection and reads each answer to its end, without allocating.
struct Caller {
    stream: std::net::TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
    /// Dropped, it ends the server.
    _stop: shutdown::Trigger,
}

impl Caller {
    fn once(&mut self) -> Result<()> {
        self.stream.write_all(&self.request)?;
        let mut read = 0;
        loop {
            let more = self.stream.read(&mut self.answer[read..])?;
            anyhow::ensure!(more > 0, "the server closed the connection");
            read += more;
            let text = &self.answer[..read];
            let Some(head) = text.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            anyhow::ensure!(text.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(text));
            let name = b"content-length: ";
            let at = text.windows(name.len()).position(|part| part == name).context("no length")?;
            let digits = text[at + name.len()..].iter().take_while(|byte| byte.is_ascii_digit());
            let length = digits.fold(0_usize, |sum, digit| sum * 10 + usize::from(digit - b'0'));
            if read >= head + 4 + length {
                return Ok(());
            }
        }
    }
}

impl Served {
    fn caller(&self, head: &str, body: &[u8]) -> Result<Caller> {
        let listener = self.runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let (stop, never) = shutdown::channel();
        let listening = Listening {
            listener,
            limits: self.limits.clone(),
            counts: ConnectionCounts::default(),
            tls: None,
        };
        self.runtime.spawn(serve_http(
            listening,
            http_router(self.gateway.clone()),
            Health::default(),
            never,
        ));
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut request = format!("{head} HTTP/1.1\r\nHost: here\r\nContent-Length: {}\r\n", body.len());
        if head.starts_with("POST") {
            request += "Content-Type: application/json\r\n";
        }
        Ok(Caller { stream, request: request.into_bytes(), answer: vec![0; 1 << 16], _stop: stop })
    }

    fn request(&self, call: &Call) -> InferRequest {
        InferRequest {
            model: self.model.clone(),
            series: call.series.clone(),
            outputs: call.outputs,
            deadline: clock::now() + Duration::from_secs(10),
            priority: Priority::Normal,
            is_spare: false,
            tenant: TenantId("default".into()),
            sequence: None,
        }
    }
}

/// What the parts cost that do not depend on the wire.
struct Inner {
    engine: Cost,
    node: Cost,
    reply: InferReply,
}

fn inner(served: &Served, model: &AnyModel, call: &Call, seconds: f64) -> Result<Inner> {
    let AnyModel::Forecaster(model) = model else { anyhow::bail!("a forecaster is needed") };
    let window = [Window { series: &call.series, index: 0 }];
    let engine = cost(seconds, || {
        let answers = model.forecast_windows(&window);
        std::hint::black_box(answers).remove(0)?;
        Ok(())
    })?;
    let ask = || served.runtime.block_on(served.node.infer(served.request(call)));
    let reply = ask()?;
    let made = cost(seconds, || {
        std::hint::black_box(served.request(call));
        Ok(())
    })?;
    let node = cost(seconds, || {
        ask()?;
        Ok(())
    })?;
    Ok(Inner { engine, node: node.less(made), reply })
}

#[expect(clippy::print_stdout, reason = "printing is what the program is for")]
fn row(wire: &str, stage: &str, cost: Cost) {
    let Cost { microseconds, allocations, bytes } = cost;
    println!("| {wire} | {stage} | {microseconds:.1} | {allocations:.1} | {bytes:.0} |");
}

fn over_http(served: &Served, wire: &Wire, inner: &Inner, seconds: f64) -> Result<()> {
    let framing =
        Framing::from_header(wire.json_bytes.map(|bytes| bytes.to_string()).as_ref().map(String::as_bytes))?;
    let decode = cost(seconds, || {
        std::hint::black_box(rest::decode(&wire.body, framing, &served.model)?);
        Ok(())
    })?;
    let call = rest::decode(&wire.body, framing, &served.model)?;
    let encode = cost(seconds, || {
        std::hint::black_box(rest::encode(&call.id, &call.outputs, &inner.reply));
        Ok(())
    })?;
    let path = format!("/v2/models/{}/infer", served.model.name);
    let router = http_router(served.gateway.clone());
    let request = || {
        let mut request = Request::post(&path).header("content-type", "application/json");
        if let Some(bytes) = wire.json_bytes {
            request = request.header(rest::HEADER_LENGTH, bytes);
        }
        request.body(Body::from(axum::body::Bytes::from_static(b""))).context("a request")
    };
    let body = axum::body::Bytes::from(wire.body.clone());
    let made = cost(seconds, || {
        std::hint::black_box(request()?);
        Ok(())
    })?;
    let gateway = cost(seconds, || {
        let request = request()?.map(|_| Body::from(body.clone()));
        let answer = served.runtime.block_on(router.clone().oneshot(request))?;
        anyhow::ensure!(answer.status().is_success(), "{}", answer.status());
        served.runtime.block_on(answer.into_body().collect())?;
        Ok(())
    })?;
    let mut caller = served.caller(&format!("POST {path}"), &wire.body)?;
    if let Some(bytes) = wire.json_bytes {
        caller.request.extend_from_slice(format!("{}: {bytes}\r\n", rest::HEADER_LENGTH).as_bytes());
    }
    caller.request.extend_from_slice(b"\r\n");
    caller.request.extend_from_slice(&wire.body);
    let whole = cost(seconds, || caller.once())?;
    let rest = gateway.less(made).less(inner.node).less(decode).less(encode);
    row(wire.name, "model", inner.engine);
    row(wire.name, "queue, executor, gathering", inner.node.less(inner.engine));
    row(wire.name, "decoding", decode);
    row(wire.name, "encoding", encode);
    row(wire.name, "routing, checks, outcome", rest);
    row(wire.name, "connection, HTTP", whole.less(gateway.less(made)));
    row(wire.name, "**whole**", whole);
    Ok(())
}

fn over_grpc(served: &Served, call: &Call, inner: &Inner, seconds: f64) -> Result<()> {
    use prost::Message;
    let values: Vec<f32> = (0..ROWS).map(|row| 15000.0 + 100.0 * row as f32).collect();
    let message = ModelInferRequest {
        model_name: served.model.name.to_string(),
        inputs: vec![grpc::wire::model_infer_request::InferInputTensor {
            name: "series".to_owned(),
            datatype: "FP32".to_owned(),
            shape: vec![1, ROWS as i64, 1],
            ..Default::default()
        }],
        raw_input_contents: vec![
            values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into(),
        ],
        ..Default::default()
    };
    let bytes = message.encode_to_vec();
    let decode = cost(seconds, || {
        let message = ModelInferRequest::decode(&bytes[..])?;
        std::hint::black_box(grpc::decode(message, &served.model)?);
        Ok(())
    })?;
    let encode = cost(seconds, || {
        let response: ModelInferResponse = grpc::encode(&call.id, &call.outputs, &inner.reply);
        std::hint::black_box(response.encode_to_vec());
        Ok(())
    })?;
    row("gRPC", "decoding", decode);
    row("gRPC", "encoding", encode);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "printing is what the program is for")]
fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let models = arguments.next().context("request_cost MODELS_FOLDER NAME [SECONDS]")?;
    let name = arguments.next().context("request_cost MODELS_FOLDER NAME [SECONDS]")?;
    let seconds: f64 = arguments.next().map_or(Ok(1.0), |text| text.parse())?;
    let served = start(&models, &name)?;
    let file = format!("{models}/{name}/{}/model.spinwell", served.model.version);
    let bytes = fs::read(&file).with_context(|| file.clone())?;
    let model = AnyModel::from_bytes(&bytes)?;
    let wires = wires();
    let call = rest::decode(&wires[0].body, Framing::from_header(None)?, &served.model)?;
    let inner = inner(&served, &model, &call, seconds)?;
    println!("| over | stage | us | allocations | bytes |\n|---|---|---|---|---|");
    for wire in &wires {
        over_http(&served, wire, &inner, seconds)?;
    }
    over_grpc(&served, &call, &inner, seconds)?;
    let node = served.node.clone();
    served.runtime.block_on(async { tokio::task::spawn_blocking(move || node.stop()).await })?;
    Ok(())
}
