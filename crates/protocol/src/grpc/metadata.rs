//! What the server and its models are, as protobuf.

use super::wire::model_metadata_response::TensorMetadata;
use super::wire::model_repository_parameter::ParameterChoice;
use super::wire::repository_index_response::ModelIndex;
use super::wire::{
    self, DataType, InferBatchStatistics, InferStatistics, ModelConfig, ModelDynamicBatching, ModelInput,
    ModelMetadataResponse, ModelOutput, ModelParameter, ModelRepositoryParameter, ModelStatisticsResponse,
    RepositoryIndexResponse, ServerMetadataResponse, StatisticDuration,
};
use crate::link::checked_repository_parameter;
use crate::statistics::{Durations, ModelStatistics};
use crate::tensor::INPUT_NAME;
use crate::{Catalogue, EXTENSIONS, IndexEntry, ModelDescription, OutputDatatype, OutputFacts, SERVER_NAME};
use spinwell_core::Fault;
use std::collections::HashMap;
use tonic::metadata::AsciiMetadataValue;

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
    let input = TensorMetadata {
        name: INPUT_NAME.to_owned(),
        datatype: "FP32".to_owned(),
        shape: vec![-1, -1, signed(model.channels.len())],
    };
    let output = |OutputFacts { name, extents }: &OutputFacts| TensorMetadata {
        name: name.as_str().to_owned(),
        datatype: name.datatype().as_str().to_owned(),
        shape: std::iter::once(-1).chain(extents.iter().copied().map(signed)).collect(),
    };
    ModelMetadataResponse {
        name: model.name.as_str().to_owned(),
        versions: catalogue.versions(model.name.as_str()),
        platform: model.platform(),
        inputs: vec![input],
        outputs: model.outputs().iter().map(output).collect(),
        properties: model.properties().into_iter().collect(),
    }
}

/// The answer to `ModelConfig`.
#[must_use]
pub fn config(model: &ModelDescription) -> ModelConfig {
    let output = |OutputFacts { name, extents }: &OutputFacts| ModelOutput {
        name: name.as_str().to_owned(),
        data_type: config_type(name.datatype()).into(),
        dims: extents.iter().copied().map(signed).collect(),
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
        output: model.outputs().iter().map(output).collect(),
        dynamic_batching: Some(ModelDynamicBatching {}),
        parameters: model
            .properties()
            .into_iter()
            .map(|(key, string_value)| (key, ModelParameter { string_value }))
            .collect(),
    }
}

/// The answer to `ModelStatistics`.
#[must_use]
pub fn statistics(all: &[ModelStatistics]) -> ModelStatisticsResponse {
    let of = |durations: Durations| Some(StatisticDuration { count: durations.count, ns: durations.ns() });
    let none = || of(Durations::default());
    let batch = |(size, infer): (&usize, &Durations)| InferBatchStatistics {
        batch_size: *size as u64,
        compute_input: none(),
        compute_infer: of(*infer),
        compute_output: none(),
    };
    let one = |ModelStatistics { name, version, counts }: &ModelStatistics| wire::ModelStatistics {
        name: name.as_str().to_owned(),
        version: version.to_string(),
        last_inference: counts.last_inference.0,
        inference_count: counts.inferences,
        execution_count: counts.executions,
        inference_stats: Some(InferStatistics {
            success: of(counts.success),
            fail: of(counts.fail),
            queue: of(counts.queue),
            compute_input: of(counts.compute_input),
            compute_infer: of(counts.compute_infer),
            compute_output: of(counts.compute_output),
            cache_hit: none(),
            cache_miss: none(),
        }),
        batch_stats: counts.batches.iter().map(batch).collect(),
    };
    ModelStatisticsResponse { model_stats: all.iter().map(one).collect() }
}

/// The answer to `RepositoryIndex`.
#[must_use]
pub fn index(entries: Vec<IndexEntry>) -> RepositoryIndexResponse {
    let one = |entry: IndexEntry| ModelIndex {
        name: entry.name.as_str().to_owned(),
        version: entry.version.to_string(),
        state: entry.state().to_owned(),
        reason: entry.reason,
    };
    RepositoryIndexResponse { models: entries.into_iter().map(one).collect() }
}

/// The metadata of the answer to `RepositoryModelLoad` that names the versions that could not be loaded beside those that
/// were: its message has no place for them. Why they could not stands in the index.
pub const NOT_LOADED_KEY: &str = "spinwell-not-loaded";

/// The value of [`NOT_LOADED_KEY`], where there is anything to say: numbers of versions with a comma between them.
#[must_use]
pub fn not_loaded(left_out: &[IndexEntry]) -> Option<AsciiMetadataValue> {
    let versions: Vec<String> = left_out.iter().map(|entry| entry.version.to_string()).collect();
    (!versions.is_empty()).then(|| versions.join(", ").parse().ok())?
}

/// Checks the parameters of `RepositoryModelLoad` and `RepositoryModelUnload`.
///
/// # Errors
/// [`Code::NotOffered`](spinwell_core::Code::NotOffered) where they bring a model's files or configuration along,
/// [`Code::RequestInvalid`](spinwell_core::Code::RequestInvalid) where a value is of the wrong kind.
pub fn checked_repository_parameters(
    parameters: &HashMap<String, ModelRepositoryParameter>,
) -> Result<(), Fault> {
    parameters.iter().try_for_each(|(name, value)| checked_repository_parameter(name, || untrue(value)))
}

/// The value of a parameter as text, where it is neither true nor false.
fn untrue(value: &ModelRepositoryParameter) -> Option<String> {
    match &value.parameter_choice {
        Some(ParameterChoice::BoolParam(_)) => None,
        Some(ParameterChoice::Int64Param(number)) => Some(number.to_string()),
        Some(ParameterChoice::StringParam(text)) => Some(text.clone()),
        Some(ParameterChoice::BytesParam(bytes)) => Some(format!("{} bytes", bytes.len())),
        None => Some("nothing".to_owned()),
    }
}

const fn config_type(datatype: OutputDatatype) -> DataType {
    match datatype {
        OutputDatatype::Bool => DataType::TypeBool,
        OutputDatatype::Int8 => DataType::TypeInt8,
        OutputDatatype::Fp32 => DataType::TypeFp32,
        OutputDatatype::Bytes => DataType::TypeString,
    }
}

fn signed(dimension: usize) -> i64 {
    i64::try_from(dimension).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::Code;

    #[test]
    fn parameters_of_a_load_or_unload_are_checked_as_over_http() {
        let check = |name: &str, choice: Option<ParameterChoice>, wanted: Result<(), Code>| {
            let value = ModelRepositoryParameter { parameter_choice: choice.clone() };
            let checked = checked_repository_parameters(&HashMap::from([(name.to_owned(), value)]));
            assert_eq!(checked.map_err(|fault| fault.code()), wanted, "{name} {choice:?}");
        };
        use ParameterChoice::{BoolParam, BytesParam, Int64Param, StringParam};
        check("unload_dependents", Some(BoolParam(true)), Ok(()));
        let wrong = [Int64Param(1), StringParam("true".into()), BytesParam(vec![1])].map(Some);
        for wrong in wrong.into_iter().chain([None]) {
            check("unload_dependents", wrong, Err(Code::RequestInvalid));
        }
        check("config", Some(StringParam("{}".into())), Err(Code::NotOffered));
        check("file:1/model.spinwell", Some(BytesParam(vec![0; 9])), Err(Code::NotOffered));
        check("nobody_has_heard_of_it", Some(Int64Param(1)), Ok(()));
    }
}
