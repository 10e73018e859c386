//! What a model's spiking neurons have been doing, as outputs that come on request.

use crate::serving::grpc_client;
use crate::support::{Request, Server, models, said, send, text, window};
use serde_json::{Value, json};
use spinwell_protocol::grpc::wire::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use spinwell_protocol::grpc::wire::{
    ModelInferRequest, ModelInferResponse, ModelMetadataRequest, ModelMetadataResponse,
};

const NAMED: [&str; 3] = ["synchrony", "burst_rate", "dominant_frequency"];
const ROWS: usize = 120;

fn requested() -> Value {
    NAMED.iter().map(|name| json!({"name": name})).collect()
}

fn over_grpc(server: &Server, tensor: Vec<u8>) -> (ModelMetadataResponse, ModelInferResponse) {
    let input = InferInputTensor {
        name: "series".into(),
        datatype: "FP32".into(),
        shape: vec![2, ROWS as i64, 1],
        ..InferInputTensor::default()
    };
    let output = |name: &str| InferRequestedOutputTensor { name: name.into(), ..Default::default() };
    let request = ModelInferRequest {
        model_name: "liquid".into(),
        inputs: vec![input],
        outputs: NAMED.map(output).to_vec(),
        raw_input_contents: vec![tensor.into()],
        ..ModelInferRequest::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = grpc_client(server).await;
        let asked = ModelMetadataRequest { name: "liquid".to_owned(), version: String::new() };
        let described = client.model_metadata(asked).await.unwrap().into_inner();
        (described, client.model_infer(request).await.unwrap().into_inner())
    })
}

#[test]
fn spiking_models_tell_their_activity_on_request_over_every_wire() {
    let folder = tempfile::tempdir().unwrap();
    let data = models().join("wave.csv");
    let fixed =
        ["train", text(&data), "--target", "value", "--season", "12", "--models", text(folder.path())];
    let spiking =
        ["--family", "spiking", "--set", "neurons=16,substeps=4", "--trials", "4", "--name", "liquid"];
    said(&[&fixed[..], &spiking].concat());
    let server = Server::start(folder.path(), &[]);
    let metadata = server.get("/v2/models/liquid").json();
    let outputs = metadata["outputs"].as_array().unwrap();
    assert_eq!(outputs.len(), 8);
    for (output, name) in outputs[5..].iter().zip(NAMED) {
        assert_eq!(output, &json!({"name": name, "datatype": "FP32", "shape": [-1]}));
    }

    // Two windows at once, and each alone: a window does not hear the other.
    let windows = [window(ROWS, 0.0), window(ROWS, 1.0).iter().map(|value| value * 1.5 - 5.0).collect()];
    let infer = |windows: &[Vec<f32>], outputs: Value| {
        let mut request = json!({"inputs": [{"name": "series", "shape": [windows.len(), ROWS, 1],
            "datatype": "FP32", "data": windows.concat()}]});
        if outputs.is_array() {
            request["outputs"] = outputs;
        }
        let answer = server.infer("liquid", &request);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer
    };
    let both = infer(&windows, requested());
    for (place, name) in NAMED.into_iter().enumerate() {
        let values = both.numbers(name);
        assert_eq!(both.json()["outputs"][place]["shape"], json!([2]), "{name}");
        let alone =
            windows.each_ref().map(|window| infer(std::slice::from_ref(window), requested()).numbers(name));
        assert_eq!(values, alone.concat(), "{name}");
        assert!(values.iter().all(|value| value.is_finite() && *value >= 0.0), "{name}: {values:?}");
    }
    assert!(both.numbers("synchrony").iter().all(|&value| value > 0.0 && value <= 1.0));
    assert!(both.numbers("dominant_frequency").iter().all(|&value| value > 0.0));
    let usual = infer(&windows, Value::Null).json();
    assert_eq!(usual["outputs"].as_array().unwrap().len(), 3);

    let tensor: Vec<u8> = windows.concat().iter().flat_map(|value| value.to_le_bytes()).collect();
    let bytes =
        NAMED.map(|name| both.numbers(name).iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
    let head = json!({"parameters": {"binary_data_output": true}, "outputs": requested(), "inputs": [
        {"name": "series", "shape": [2, ROWS, 1], "datatype": "FP32",
            "parameters": {"binary_data_size": tensor.len()}}]});
    let answer = send(server.http, &Request::post_binary("/v2/models/liquid/infer", &head, &tensor));
    assert_eq!(answer.body[answer.json_bytes()..], bytes.concat());
    let (described, inferred) = over_grpc(&server, tensor);
    let names: Vec<&str> = described.outputs[5..].iter().map(|output| &output.name[..]).collect();
    assert_eq!(names, NAMED);
    assert!(inferred.outputs.iter().all(|output| output.shape == [2] && output.datatype == "FP32"));
    assert_eq!(inferred.raw_output_contents, bytes);
}

#[test]
fn other_models_have_no_activity() {
    let server = Server::start(models(), &[]);
    let metadata = server.get("/v2/models/wave").json();
    assert_eq!(metadata["outputs"].as_array().unwrap().len(), 5);
    for name in NAMED {
        let request = json!({"outputs": [{"name": name}], "inputs": [
            {"name": "series", "shape": [1, 36, 1], "datatype": "FP32", "data": window(36, 0.0)}]});
        let answer = server.infer("wave", &request);
        assert_eq!((answer.status, answer.code().as_str()), (400, "SPW-OUTPUT-UNKNOWN"), "{}", answer.text());
    }
}
