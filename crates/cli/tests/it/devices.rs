//! `--device`: the software card of Mesa's drivers answers as the CPU does, and says that it does.

use crate::support::{self, Server, run, spinwell, text, train_small_model, window};
use serde_json::{Value, json};
use std::path::Path;

/// Set to `required` where a machine must have a Vulkan driver, so that these tests cannot pass by not running.
const VARIABLE: &str = "SPINWELL_TEST_VULKAN";
const ROWS: usize = 64;
/// A reservoir and no lags, so that what the card computes is the forecast.
const ECHO: [&str; 4] = ["--family", "echo", "--set", "units=60,density=0.3,skip=off"];

/// Trains with `--device gpu` and returns what the document says of devices.
fn train(models: &Path, environment: &[(&str, &str)]) -> Vec<String> {
    // The file's columns and horizon are those of the shared small models.
    train_small_model(models, "base", &["--target", "value"]);
    let csv = models.join("base.csv");
    let output = spinwell()
        .args(["train", text(&csv), "--target", "value", "--season", "12", "--horizon", "3", "--trials", "1"])
        .args(ECHO)
        .args(["--device", "gpu", "--json", "--name", "echo", "--models", text(models)])
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["profile"], "cpu-f32", "training is the CPU's");
    let lines = document["devices"].as_array().unwrap();
    lines.iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

fn infer(server: &Server) -> Value {
    let shape = [1, ROWS, 1];
    let body = json!({"inputs": [
        {"name": "series", "shape": shape, "datatype": "FP32", "data": window(ROWS, 0.4)}]});
    let answer = server.infer("echo", &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn numbers(answer: &Value) -> Vec<f64> {
    let outputs = answer["outputs"].as_array().unwrap();
    outputs.iter().flat_map(|output| output["data"].as_array().unwrap()).filter_map(Value::as_f64).collect()
}

#[test]
fn a_card_answers_as_the_cpu_does_under_its_own_profile() {
    let folder = tempfile::tempdir().unwrap();
    let lines = train(folder.path(), &[]);
    if lines.len() < 2 {
        let required = std::env::var(VARIABLE).is_ok_and(|value| value == "required");
        assert!(!required, "{VARIABLE}=required and there is no Vulkan driver: {lines:?}");
        return;
    }
    assert!(lines[0].starts_with("gpu:0 "), "{lines:?}");
    assert!(lines[1].starts_with("gpu:0: within ") && lines[1].ends_with("gpu-f32"), "{lines:?}");
    let on_card = Server::start(folder.path(), &["--device", "gpu:0"]);
    assert!(on_card.said.contains(&format!("device  {}", lines[0])), "{:?}", on_card.said);
    let by_card = infer(&on_card);
    assert_eq!(by_card["parameters"]["profile"], "gpu-f32");
    let metadata = on_card.get("/v2/models/echo").json();
    let device = metadata["properties"]["device"].as_str().unwrap();
    assert!(device.starts_with(&lines[0]) && device.contains(", shaders "), "{metadata}");
    // A model without a reservoir stays where it is.
    assert_eq!(on_card.get("/v2/models/base").json()["properties"]["device"], "cpu");
    let on_cpu = Server::start(folder.path(), &["--device", "cpu"]);
    let by_cpu = infer(&on_cpu);
    assert_eq!(by_cpu["parameters"]["profile"], "cpu-f32");
    let (by_card, by_cpu) = (numbers(&by_card), numbers(&by_cpu));
    assert_eq!(by_card.len(), by_cpu.len());
    for (card, cpu) in by_card.iter().zip(&by_cpu) {
        // The wave's standard deviation is about 2.
        assert!((card - cpu).abs() < 2e-4, "{card} {cpu}");
    }
    let output = Server::fails(folder.path(), &["--device", "gpu:9"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("SPW-CONFIG-INVALID") && said.contains("there is no graphics card 9"), "{said}");
}

#[test]
fn without_a_driver_a_line_says_so_and_the_cpu_takes_over() {
    let folder = tempfile::tempdir().unwrap();
    let lines =
        train(folder.path(), &[("VK_ICD_FILENAMES", "/nonexistent"), ("VK_DRIVER_FILES", "/nonexistent")]);
    assert_eq!(lines, ["no Vulkan driver offers a graphics card: reservoirs step on the CPU"]);
}

#[test]
fn a_device_that_is_none_is_refused_with_what_there_is() {
    let output = run(&["serve", "--device", "cuda"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("auto, cpu, gpu or gpu:I"), "{said}");
    let printed = support::said(&["serve", "--device", "gpu:1", "--print-config"]);
    assert!(printed.contains("device = \"gpu:1\"  # command line --device"), "{printed}");
}
