//! What the server and its models are, as protobuf.

use super::wire::model_metadata_response::TensorMetadata;
use super::wire::{
    DataType, ModelConfig, ModelDynamicBatching, ModelInput, ModelMetadataResponse, ModelOutput,
    ModelParameter, ServerMetadataResponse,
};
use crate::tensor::INPUT_NAME;
use crate::{Catalogue, EXTENSIONS, ModelDescription, OutputName, SERVER_NAME};

/// The answer to `ServerMetadata`.
#[must_use]
pub fn server(version: &str) -> ServerMetadataResponse {
    ServerMetadataResponse {
        name: SERVER_NAME.to_owned(),
        version: version.to_owned(),
        extensions: EXTENSIONS.iter().map(|&extension| extension.to_owned()).collect(),
    }
}

/// The answer to `ModelMetadata`.
#[must_use]
pub fn model(model: &ModelDescription, catalogue: &Catalogue) -> ModelMetadataResponse {
    let tensor = |name: &str, shape: [i64; 3]| TensorMetadata {
        name: name.to_owned(),
        datatype: "FP32".to_owned(),
        shape: shape.to_vec(),
    };
    let (horizon, targets) = (signed(model.horizon), signed(model.targets.len()));
    ModelMetadataResponse {
        name: model.name.as_str().to_owned(),
        versions: catalogue.versions(model.name.as_str()),
        platform: model.platform(),
        inputs: vec![tensor(INPUT_NAME, [-1, -1, signed(model.channels.len())])],
        outputs: OutputName::ALL.iter().map(|name| tensor(name.as_str(), [-1, horizon, targets])).collect(),
        properties: model.properties().into_iter().collect(),
    }
}

/// The answer to `ModelConfig`.
#[must_use]
pub fn config(model: &ModelDescription) -> ModelConfig {
    let output = |name: &OutputName| ModelOutput {
        name: name.as_str().to_owned(),
        data_type: DataType::TypeFp32.into(),
        dims: vec![signed(model.horizon), signed(model.targets.len())],
    };
    ModelConfig {
        name: model.name.as_str().to_owned(),
        platform: model.platform(),
        backend: SERVER_NAME.to_owned(),
        max_batch_size: i32::try_from(model.max_batch_size).unwrap_or(i32::MAX),
        input: vec![ModelInput {
            name: INPUT_NAME.to_owned(),
            data_type: DataType::TypeFp32.into(),
            dims: vec![-1, signed(model.channels.len())],
        }],
        output: OutputName::ALL.iter().map(output).collect(),
        dynamic_batching: Some(ModelDynamicBatching {}),
        parameters: model
            .properties()
            .into_iter()
            .map(|(key, string_value)| (key, ModelParameter { string_value }))
            .collect(),
    }
}

fn signed(dimension: usize) -> i64 {
    i64::try_from(dimension).unwrap_or(i64::MAX)
}
