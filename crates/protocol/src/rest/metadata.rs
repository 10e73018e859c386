//! What the server and its models are, as JSON.

use super::body::may_be_object;
use crate::link::checked_repository_parameter;
use crate::statistics::{Durations, ModelStatistics};
use crate::tensor::INPUT_NAME;
use crate::{
    Catalogue, EXTENSIONS, IndexEntry, ModelDescription, OutputDatatype, OutputFacts, SERVER_NAME, reason,
};
use serde_json::{Value, json};
use spinwell_core::{Code, Fault};

/// The answer to `GET /v2`.
#[must_use]
pub fn server(version: &str) -> Value {
    json!({"name": SERVER_NAME, "version": version, "extensions": EXTENSIONS})
}

/// The answer to `GET /v2/models/{name}`.
#[must_use]
pub fn model(model: &ModelDescription, catalogue: &Catalogue) -> Value {
    let outputs: Vec<Value> = model
        .outputs()
        .iter()
        .map(|OutputFacts { name, extents }| {
            let shape: Vec<Value> =
                std::iter::once(json!(-1)).chain(extents.iter().map(|e| json!(e))).collect();
            json!({"name": name.as_str(), "datatype": name.datatype().as_str(), "shape": shape})
        })
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
    let outputs: Vec<Value> = model
        .outputs()
        .iter()
        .map(|OutputFacts { name, extents }| {
            json!({"name": name.as_str(), "data_type": config_type(name.datatype()), "dims": extents})
        })
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

/// The answer to `GET /v2/models[/{name}[/versions/{version}]]/stats`.
#[must_use]
pub fn statistics(all: &[ModelStatistics]) -> Value {
    let of = |durations: Durations| json!({"count": durations.count, "ns": durations.ns()});
    let none = || of(Durations::default());
    let one = |ModelStatistics { name, version, counts }: &ModelStatistics| {
        let batch = |(size, infer): (&usize, &Durations)| {
            let (input, output) = (none(), none());
            json!({"batch_size": size, "compute_input": input, "compute_infer": of(*infer), "compute_output": output})
        };
        json!({
            "name": name.as_str(),
            "version": version.to_string(),
            "last_inference": counts.last_inference.0,
            "inference_count": counts.inferences,
            "execution_count": counts.executions,
            "inference_stats": {
                "success": of(counts.success),
                "fail": of(counts.fail),
                "queue": of(counts.queue),
                "compute_input": of(counts.compute_input),
                "compute_infer": of(counts.compute_infer),
                "compute_output": of(counts.compute_output),
                "cache_hit": none(),
                "cache_miss": none(),
            },
            "response_stats": {},
            "batch_stats": counts.batches.iter().map(batch).collect::<Vec<_>>(),
            "memory_usage": [],
        })
    };
    json!({"model_stats": all.iter().map(one).collect::<Vec<_>>()})
}

/// The answer to `POST /v2/repository/index`.
#[must_use]
pub fn index(entries: &[IndexEntry]) -> Value {
    let one = |entry: &IndexEntry| {
        let IndexEntry { name, version, reason, .. } = entry;
        json!({"name": name.as_str(), "version": version.to_string(), "state": entry.state(), "reason": reason})
    };
    Value::Array(entries.iter().map(one).collect())
}

/// The answer to `POST /v2/repository/models/{name}/load`: the versions that could not be loaded beside those that were. The
/// protocol's own answer is empty, and its clients look at nothing but the status.
#[must_use]
pub fn loaded(left_out: &[IndexEntry]) -> Value {
    json!({"not_loaded": index(left_out)})
}

/// What a caller says with `POST /v2/repository/index`: whether he wants only what answers.
///
/// # Errors
/// [`Code::RequestInvalid`] where the body is not empty and no object with `ready`.
pub fn read_index_request(body: &[u8]) -> Result<bool, Fault> {
    #[derive(Default, serde::Deserialize)]
    #[serde(expecting = "a JSON object")]
    struct Asked {
        #[serde(default)]
        ready: bool,
    }
    read_or_default(body, r#"{"ready": true|false}"#).map(|asked: Asked| asked.ready)
}

/// Checks what a caller says with a load or unload: options may stand there, a model's files or configuration may not.
///
/// # Errors
/// [`Code::RequestInvalid`] where the body is no JSON object, [`Code::NotOffered`] where it brings a model along.
pub fn read_repository_request(body: &[u8]) -> Result<(), Fault> {
    #[derive(Default, serde::Deserialize)]
    #[serde(expecting = "a JSON object")]
    struct Asked {
        #[serde(default)]
        parameters: serde_json::Map<String, Value>,
    }
    let asked: Asked = read_or_default(body, r#"{"parameters": {..}}"#)?;
    asked.parameters.iter().try_for_each(|(name, value)| {
        checked_repository_parameter(name, || (!value.is_boolean()).then(|| value.to_string()))
    })
}

/// What a body holds that may be left out.
fn read_or_default<T: Default + serde::de::DeserializeOwned>(body: &[u8], form: &str) -> Result<T, Fault> {
    if body.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    let wrong =
        |why: &str| Fault::new(Code::RequestInvalid, format!("the body must be empty or {form}: {why}"));
    if !may_be_object(body) {
        return Err(wrong("it is no JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| wrong(&reason(&error)))
}

/// A datatype as Triton's configuration names it.
const fn config_type(datatype: OutputDatatype) -> &'static str {
    match datatype {
        OutputDatatype::Bool => "TYPE_BOOL",
        OutputDatatype::Int8 => "TYPE_INT8",
        OutputDatatype::Fp32 => "TYPE_FP32",
        OutputDatatype::Bytes => "TYPE_STRING",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::tests::{classifier, detector, model as example};

    #[test]
    fn what_is_asked_of_the_repository_is_an_object_or_nothing() {
        let index = |body: &str| read_index_request(body.as_bytes()).map_err(|fault| fault.code());
        let change = |body: &str| read_repository_request(body.as_bytes()).map_err(|fault| fault.code());
        assert_eq!((index(""), index("{}"), index(r#"{"ready": true}"#)), (Ok(false), Ok(false), Ok(true)));
        for wrong in ["[]", "[true]", "7", "\"x\"", "null", "{", r#"{"ready": 1}"#] {
            assert_eq!(index(wrong), Err(Code::RequestInvalid), "{wrong}");
        }
        let with = |value: &str| change(&format!(r#"{{"parameters": {{"unload_dependents": {value}}}}}"#));
        assert_eq!(
            (change(" "), change("{}"), with("true"), with("false")),
            (Ok(()), Ok(()), Ok(()), Ok(()))
        );
        for wrong in ["\"x\"", "1", "null"] {
            assert_eq!(with(wrong), Err(Code::RequestInvalid), "{wrong}");
        }
        assert_eq!((change("[]"), change("[{}]")), (Err(Code::RequestInvalid), Err(Code::RequestInvalid)));
        assert_eq!(change(r#"{"parameters": {"config": "x"}}"#), Err(Code::NotOffered));
    }

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
    #[test]
    fn outputs_are_listed_with_datatype_and_shape() {
        let check = |description: &ModelDescription, wanted: Value, data_types: &[&str]| {
            let metadata = model(description, &Catalogue::default());
            assert_eq!(metadata["outputs"], wanted);
            let config = config(description);
            let list = config["output"].as_array().unwrap();
            assert_eq!(list.iter().map(|t| t["data_type"].as_str().unwrap()).collect::<Vec<_>>(), data_types);
            for (of_config, of_metadata) in list.iter().zip(wanted.as_array().unwrap()) {
                let shape = &of_metadata["shape"].as_array().unwrap()[1..];
                assert_eq!(of_config["dims"].as_array().unwrap(), shape);
            }
        };
        let output = |name: &str, datatype: &str, shape: Value| json!({"name": name, "datatype": datatype, "shape": shape});
        let shape = json!([-1, 3, 1]);
        check(
            &example("taxi", 1, 2),
            json!([
                output("forecast", "FP32", shape.clone()),
                output("lower", "FP32", shape.clone()),
                output("upper", "FP32", shape.clone()),
                output("direction", "INT8", shape.clone()),
                output("confidence", "FP32", shape),
            ]),
            &["TYPE_FP32", "TYPE_FP32", "TYPE_FP32", "TYPE_INT8", "TYPE_FP32"],
        );
        check(
            &classifier("shaken"),
            json!([output("label", "BYTES", json!([-1])), output("probabilities", "FP32", json!([-1, 2]))]),
            &["TYPE_STRING", "TYPE_FP32"],
        );
        check(
            &detector("pump"),
            json!([output("score", "FP32", json!([-1])), output("anomaly", "BOOL", json!([-1]))]),
            &["TYPE_FP32", "TYPE_BOOL"],
        );
    }
}
