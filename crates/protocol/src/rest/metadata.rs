//! What the server and its models are, as JSON.

use crate::tensor::INPUT_NAME;
use crate::{Catalogue, EXTENSIONS, ModelDescription, OutputName, SERVER_NAME};
use serde_json::{Value, json};

/// The answer to `GET /v2`.
#[must_use]
pub fn server(version: &str) -> Value {
    json!({"name": SERVER_NAME, "version": version, "extensions": EXTENSIONS})
}

/// The answer to `GET /v2/models/{name}`.
#[must_use]
pub fn model(model: &ModelDescription, catalogue: &Catalogue) -> Value {
    let outputs: Vec<Value> = OutputName::ALL
        .iter()
        .map(|name| json!({"name": name.as_str(), "datatype": "FP32", "shape": [-1, model.horizon, model.targets.len()]}))
        .collect();
    json!({
        "name": model.name.as_str(),
        "versions": catalogue.versions(model.name.as_str()),
        "platform": model.platform(),
        "inputs": [{"name": INPUT_NAME, "datatype": "FP32", "shape": [-1, -1, model.channels.len()]}],
        "outputs": outputs,
        "properties": model.properties(),
    })
}

/// The answer to `GET /v2/models/{name}/config`: the part of Triton's configuration that is true here.
#[must_use]
pub fn config(model: &ModelDescription) -> Value {
    let outputs: Vec<Value> = OutputName::ALL
        .iter()
        .map(|name| json!({"name": name.as_str(), "data_type": "TYPE_FP32", "dims": [model.horizon, model.targets.len()]}))
        .collect();
    let parameters: serde_json::Map<String, Value> =
        model.properties().into_iter().map(|(key, value)| (key, json!({"string_value": value}))).collect();
    json!({
        "name": model.name.as_str(),
        "platform": model.platform(),
        "backend": SERVER_NAME,
        "max_batch_size": model.max_batch_size,
        "input": [{"name": INPUT_NAME, "data_type": "TYPE_FP32", "dims": [-1, model.channels.len()]}],
        "output": outputs,
        "dynamic_batching": {},
        "parameters": parameters,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::tests::model as example;

    #[test]
    fn config_and_metadata_name_the_same_tensors() {
        let (description, catalogue) = (example("taxi", 1, 2), Catalogue::default());
        let (metadata, config) = (model(&description, &catalogue), config(&description));
        let names = |list: &Value| -> Vec<String> {
            list.as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(&metadata["inputs"]), names(&config["input"]));
        assert_eq!(names(&metadata["outputs"]), names(&config["output"]));
        assert_eq!(metadata["inputs"][0]["shape"], json!([-1, -1, 2]));
        assert_eq!(metadata["platform"], "spinwell_linear");
        assert_eq!(metadata["properties"]["window_min"], "4");
    }
}
