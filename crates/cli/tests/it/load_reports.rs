//! Reports of the load (ORCA), as a balancer's clients read them.

use crate::serving::grpc_client;
use crate::support::{Server, models, text, window};
use prost::Message;
use serde_json::{Value, json};
use spinwell_protocol::grpc::wire::ModelInferRequest;
use spinwell_protocol::grpc::wire::model_infer_request::InferInputTensor;
use std::collections::HashMap;

/// The report as everybody else has it, so that a wrong number of ours is noticed.
#[derive(Clone, PartialEq, Message)]
struct OrcaLoadReport {
    #[prost(double, tag = "1")]
    cpu_utilization: f64,
    #[prost(double, tag = "2")]
    mem_utilization: f64,
    #[prost(double, tag = "6")]
    rps_fractional: f64,
    #[prost(double, tag = "7")]
    eps: f64,
    #[prost(map = "string, double", tag = "8")]
    named_metrics: HashMap<String, f64>,
    #[prost(double, tag = "9")]
    application_utilization: f64,
}

const FORMAT: &str = "endpoint-load-metrics-format";
const ROWS: usize = 64;

fn body() -> Value {
    json!({"inputs": [
        {"name": "series", "shape": [1, ROWS, 1], "datatype": "FP32", "data": window(ROWS, 0.0)}]})
}

/// What the header of an answer says; nothing where there is none.
async fn over_http(server: &Server, model: &str, format: Option<&str>) -> (u16, Option<String>) {
    let client = reqwest::Client::new();
    let mut request = client.post(format!("http://{}/v2/models/{model}/infer", server.http)).json(&body());
    if let Some(format) = format {
        request = request.header(FORMAT, format);
    }
    let answer = request.send().await.unwrap();
    let report =
        answer.headers().get("endpoint-load-metrics").map(|value| value.to_str().unwrap().to_owned());
    (answer.status().as_u16(), report)
}

async fn over_grpc(server: &Server) -> OrcaLoadReport {
    let bytes: Vec<u8> = window(ROWS, 0.0).iter().flat_map(|value| value.to_le_bytes()).collect();
    let input = InferInputTensor {
        name: "series".into(),
        datatype: "FP32".into(),
        shape: vec![1, ROWS as i64, 1],
        ..InferInputTensor::default()
    };
    let mut request = tonic::Request::new(ModelInferRequest {
        model_name: "wave".into(),
        inputs: vec![input],
        raw_input_contents: vec![bytes.into()],
        ..ModelInferRequest::default()
    });
    request.metadata_mut().insert(FORMAT, "BIN".parse().unwrap());
    let answer = grpc_client(server).await.model_infer(request).await.unwrap();
    let report = answer.metadata().get_bin("endpoint-load-metrics-bin").unwrap().to_bytes().unwrap();
    OrcaLoadReport::decode(report).unwrap()
}

fn assert_is_told(server: &Server) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        assert_eq!(over_http(server, "wave", None).await, (200, None));
        let (status, told) = over_http(server, "wave", Some("TEXT")).await;
        let told = told.unwrap();
        let figures: HashMap<_, _> = told
            .strip_prefix("TEXT ")
            .unwrap()
            .split(", ")
            .map(|pair| pair.split_once('=').unwrap())
            .collect();
        assert_eq!((status, figures["named_metrics.queue_len"]), (200, "0"), "{told}");
        let executors: f64 = figures["named_metrics.executors"].parse().unwrap();
        assert!(executors >= 1.0, "{told}");
        let memory: f64 = figures["mem_utilization"].parse().unwrap();
        assert!(memory > 0.0 && memory < 1.0, "{told}");
        let (status, told) = over_http(server, "nobody", Some("json")).await;
        let told: Value = serde_json::from_str(told.unwrap().strip_prefix("JSON ").unwrap()).unwrap();
        assert_eq!((status, told["named_metrics"]["queue_len"].as_f64()), (404, Some(0.0)), "{told}");
        let told = over_grpc(server).await;
        assert!(told.rps_fractional > 0.0 && told.mem_utilization > 0.0, "{told:?}");
        assert_eq!(told.named_metrics["executors"], executors);
    });
}

#[test]
fn a_server_reports_its_load_to_who_asks() {
    assert_is_told(&Server::start(models(), &[]));
}

#[test]
fn a_gateway_reports_the_load_of_its_nodes() {
    let data = tempfile::tempdir().unwrap();
    assert_is_told(&Server::start(models(), &["--nodes", "2", "--data", text(data.path())]));
}

#[test]
fn reports_may_go_to_everybody_or_to_nobody() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = tempfile::tempdir().unwrap();
    for (value, is_told) in [("always", true), ("never", false)] {
        let file = config.path().join(format!("{value}.toml"));
        std::fs::write(&file, format!("[gateway]\nload_reports = \"{value}\"\n")).unwrap();
        let server = Server::start(models(), &["--config", text(&file)]);
        for format in [None, Some("JSON")] {
            let (status, told) = runtime.block_on(over_http(&server, "wave", format));
            assert_eq!(
                (status, told.is_some_and(|told| told.starts_with("JSON {"))),
                (200, is_told),
                "{value}"
            );
        }
    }
}
