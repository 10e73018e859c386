//! What a model's spiking neurons have been doing, as outputs that come on request.

use crate::serving::described_and_inferred;
use crate::support::{Request, Server, models, said, send, text, window};
use serde_json::{Value, json};

const NAMED: [&str; 3] = ["synchrony", "burst_rate", "dominant_frequency"];
const ROWS: usize = 120;

fn requested() -> Value {
    NAMED.iter().map(|name| json!({"name": name})).collect()
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
    let (described, inferred) =
        described_and_inferred(&server, "liquid", ("FP32", [2, ROWS as i64, 1], tensor), &NAMED);
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
