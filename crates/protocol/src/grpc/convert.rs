//! Inference over gRPC: raw or typed tensors in, raw tensors out, or typed ones where the caller asks for them.
//!
//! Answers are raw where nothing is said, because the official Python client reads nothing else. A caller who sends
//! `binary_data_output: false` gets typed contents; the protocol allows no mixture, so one output that is asked for as
//! bytes makes all of them raw.

use super::wire::infer_parameter::ParameterChoice;
use super::wire::model_infer_request::InferInputTensor;
use super::wire::model_infer_response::InferOutputTensor;
use super::wire::{
    InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse, ModelStreamInferResponse,
};
use crate::call::checked_id;
use crate::outputs::Outputs;
use crate::parameters::{RequestParameters, input_binary_size, output_packing};
use crate::predictions::Answered;
use crate::sequence::{self, Feeds};
use crate::tensor::{self, Datatype, INPUT_NAME, Shape};
use crate::{Call, InferReply, ModelDescription, Packing, ParameterValue, Parameters, Values};
use bytes::Bytes;
use spinwell_core::{Code, Fault, Samples, Series};
use std::collections::HashMap;

/// Decodes a message into a request that the model can answer.
///
/// # Errors
/// A fault that blames the caller and says what would have been right.
pub fn decode(request: ModelInferRequest, model: &ModelDescription) -> Result<Call, Fault> {
    let inputs = request.inputs.len();
    let input = tensor::one_input(request.inputs)?;
    let raw = match request.raw_input_contents.len() {
        0 => None,
        count if count == inputs => request.raw_input_contents.into_iter().next(),
        count => {
            let message =
                format!("raw_input_contents has {count} entries for {inputs} inputs; send one for each");
            return Err(Fault::new(Code::FramingInvalid, message));
        }
    };
    let parameters = RequestParameters::read(from_wire(request.parameters)?)?;
    let feeds = Feeds::of(parameters.sequence.as_ref(), model)?;
    let series = decode_input(input, raw.as_deref(), model, feeds)?;
    let mut wanted = Vec::with_capacity(request.outputs.len());
    for output in &mut request.outputs.into_iter() {
        let packing = output_packing(&output.name, &from_wire(output.parameters)?)?;
        wanted.push((output.name, packing));
    }
    let names = wanted.iter().map(|(name, packing)| (name.as_str(), *packing));
    Ok(Call {
        id: checked_id(&request.id)?,
        series,
        outputs: Outputs::requested(names, parameters.packing.unwrap_or(Packing::Binary), model)?,
        parameters,
    })
}

/// Encodes the outputs that the caller asked for, under the `id` that he gave.
#[must_use]
pub fn encode(id: &str, outputs: &Outputs, reply: &InferReply) -> ModelInferResponse {
    let model = &reply.model;
    let is_raw = outputs.any_binary();
    let mut raw_output_contents = Vec::new();
    let mut tensors = Vec::new();
    for Answered { name, values, extents, .. } in reply.answered(outputs) {
        if is_raw {
            let mut raw = Vec::new();
            values.write_bytes(&mut raw);
            raw_output_contents.push(Bytes::from(raw));
        }
        let shape = std::iter::once(reply.predictions.batch).chain(extents.iter().copied());
        tensors.push(InferOutputTensor {
            name: name.as_str().to_owned(),
            datatype: values.datatype().as_str().to_owned(),
            shape: shape.map(|dimension| dimension as i64).collect(),
            parameters: HashMap::new(),
            contents: (!is_raw).then(|| contents(values)),
        });
    }
    let text = |value: &str| to_wire(ParameterValue::Text(value.to_owned()));
    let mut parameters = HashMap::from([
        ("model_hash".to_owned(), text(model.hash_text())),
        ("profile".to_owned(), text(reply.profile.as_str())),
        ("node".to_owned(), text(&reply.node.0)),
    ]);
    parameters.extend(reply.receipt.as_deref().map(|receipt| ("receipt".to_owned(), text(receipt))));
    let of_sequence = reply.sequence.as_ref().map(sequence::parameters).unwrap_or_default();
    parameters.extend(of_sequence.0.into_iter().map(|(key, value)| (key, to_wire(value))));
    ModelInferResponse {
        model_name: model.name.as_str().to_owned(),
        model_version: model.version_text().to_owned(),
        id: id.to_owned(),
        parameters,
        outputs: tensors,
        raw_output_contents,
    }
}

/// The message of a stream that says why a request was not answered, under the request's id. Its text begins with the code.
#[must_use]
pub fn streamed_error(id: &str, fault: &Fault) -> ModelStreamInferResponse {
    let mut parameters = HashMap::from([
        ("code".to_owned(), to_wire(ParameterValue::Text(fault.code().as_str().to_owned()))),
        ("retryable".to_owned(), to_wire(ParameterValue::Bool(fault.code().retryable()))),
    ]);
    if let Some(after) = fault.retry_after_hint() {
        parameters.insert("retry_after_ms".to_owned(), to_wire(ParameterValue::Whole(after.0)));
    }
    if let Some(step) = fault.expected_step_hint() {
        parameters.insert("expected_step".to_owned(), to_wire(ParameterValue::Whole(step)));
    }
    let response = ModelInferResponse { id: id.to_owned(), parameters, ..ModelInferResponse::default() };
    let error_message = format!("{}: {}", fault.code(), fault.message());
    ModelStreamInferResponse { error_message, infer_response: Some(last(response)) }
}

/// An answer as a message of a stream.
#[must_use]
pub fn streamed(response: ModelInferResponse) -> ModelStreamInferResponse {
    ModelStreamInferResponse { error_message: String::new(), infer_response: Some(last(response)) }
}

/// Says that no other message answers the same request. Clients that have been told that a request may have several answers, or
/// ask for an empty last one (`enable_empty_final_response`), wait for it.
fn last(mut response: ModelInferResponse) -> ModelInferResponse {
    response.parameters.insert("triton_final_response".to_owned(), to_wire(ParameterValue::Bool(true)));
    response
}

/// Values in the list of their datatype. The protocol has none for 8 bits, so they take the one for 32.
fn contents(values: &Values) -> InferTensorContents {
    let mut contents = InferTensorContents::default();
    match values {
        Values::Bool(values) => contents.bool_contents.clone_from(values),
        Values::Int8(values) => contents.int_contents = values.iter().copied().map(i32::from).collect(),
        Values::Fp32(values) => contents.fp32_contents.clone_from(values),
        Values::Text(texts) => {
            contents.bytes_contents = texts.iter().map(|text| text.clone().into_bytes()).collect();
        }
    }
    contents
}

fn decode_input(
    input: InferInputTensor,
    raw: Option<&[u8]>,
    model: &ModelDescription,
    feeds: Feeds,
) -> Result<Series, Fault> {
    tensor::checked_name(&input.name)?;
    let datatype = Datatype::parse(&input.datatype)?;
    input_binary_size(&input.name, &from_wire(input.parameters)?)?;
    let shape = Shape::checked(&input.shape, model, feeds)?;
    match (raw, input.contents) {
        (Some(bytes), None) => tensor::from_bytes(shape, datatype, bytes),
        (None, Some(contents)) => tensor::from_samples(shape, typed(datatype, contents)?),
        (Some(_), Some(_)) => Err(Fault::new(
            Code::RequestInvalid,
            format!("input {INPUT_NAME} has both contents and raw_input_contents; send one of them"),
        )),
        (None, None) => Err(Fault::new(
            Code::RequestInvalid,
            format!("input {INPUT_NAME} has no data; send raw_input_contents or contents"),
        )),
    }
}

fn typed(datatype: Datatype, contents: InferTensorContents) -> Result<Samples, Fault> {
    let others = contents.bool_contents.len()
        + contents.int_contents.len()
        + contents.int64_contents.len()
        + contents.uint_contents.len()
        + contents.uint64_contents.len()
        + contents.bytes_contents.len();
    let (single, double) = (contents.fp32_contents, contents.fp64_contents);
    match datatype {
        Datatype::Fp32 if others == 0 && double.is_empty() => Ok(Samples::F32(single)),
        Datatype::Fp64 if others == 0 && single.is_empty() => Ok(Samples::F64(double)),
        Datatype::Fp16 => Err(Fault::new(
            Code::TensorData,
            format!("input {INPUT_NAME} is FP16, which has no typed contents; send raw_input_contents"),
        )),
        Datatype::Fp32 | Datatype::Fp64 => Err(Fault::new(
            Code::TensorData,
            format!(
                "input {INPUT_NAME} has contents of another datatype; fill fp32_contents or fp64_contents"
            ),
        )),
    }
}

fn to_wire(value: ParameterValue) -> InferParameter {
    let choice = match value {
        ParameterValue::Bool(value) => ParameterChoice::BoolParam(value),
        ParameterValue::Negative(value) => ParameterChoice::Int64Param(value),
        // Clients read whole numbers from the signed field.
        ParameterValue::Whole(value) => ParameterChoice::Int64Param(value.cast_signed()),
        ParameterValue::Fraction(value) => ParameterChoice::DoubleParam(value),
        ParameterValue::Text(value) => ParameterChoice::StringParam(value),
    };
    InferParameter { parameter_choice: Some(choice) }
}

fn from_wire(parameters: HashMap<String, InferParameter>) -> Result<Parameters, Fault> {
    parameters
        .into_iter()
        .map(|(key, value)| {
            let value = match value.parameter_choice {
                Some(ParameterChoice::BoolParam(value)) => ParameterValue::Bool(value),
                Some(ParameterChoice::Int64Param(value)) => {
                    u64::try_from(value).map_or(ParameterValue::Negative(value), ParameterValue::Whole)
                }
                Some(ParameterChoice::Uint64Param(value)) => ParameterValue::Whole(value),
                Some(ParameterChoice::DoubleParam(value)) => ParameterValue::Fraction(value),
                Some(ParameterChoice::StringParam(value)) => ParameterValue::Text(value),
                None => {
                    let message = format!("parameter {} has no value", crate::quoted(&key));
                    return Err(Fault::new(Code::RequestInvalid, message));
                }
            };
            Ok((key, value))
        })
        .collect::<Result<Vec<_>, _>>()
        .map(Parameters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::tests::model;
    use crate::rest::{asked, reply};

    fn request(change: impl FnOnce(&mut ModelInferRequest)) -> ModelInferRequest {
        let mut request = ModelInferRequest {
            model_name: "m".into(),
            id: "a".into(),
            inputs: vec![InferInputTensor {
                name: "series".into(),
                datatype: "FP32".into(),
                shape: vec![1, 4, 1],
                ..InferInputTensor::default()
            }],
            raw_input_contents: vec![Bytes::from_static(&[0; 16])],
            ..ModelInferRequest::default()
        };
        change(&mut request);
        request
    }

    #[test]
    fn each_message_of_a_stream_is_the_last_for_its_request() {
        let answered = streamed(ModelInferResponse { id: "a".into(), ..ModelInferResponse::default() });
        let refused = streamed_error("a", &Fault::new(Code::QueueFull, "full"));
        for message in [answered, refused] {
            let response = message.infer_response.unwrap();
            let last = response.parameters["triton_final_response"].clone();
            assert_eq!((response.id.as_str(), last), ("a", to_wire(ParameterValue::Bool(true))));
        }
    }

    #[test]
    fn each_message_gets_its_answer() {
        let check = |name: &str, change: fn(&mut ModelInferRequest), wanted: Result<(), Code>| {
            let got = decode(request(change), &model("m", 1, 1));
            assert_eq!(got.map(|_| ()).map_err(|fault| fault.code()), wanted, "{name}");
        };
        check("good", |_| {}, Ok(()));
        check("no input", |r| r.inputs.clear(), Err(Code::RequestInvalid));
        check("two raw", |r| r.raw_input_contents.push(Bytes::new()), Err(Code::FramingInvalid));
        check("no data", |r| r.raw_input_contents.clear(), Err(Code::RequestInvalid));
        check("short", |r| r.raw_input_contents[0] = Bytes::from_static(&[0; 15]), Err(Code::FramingInvalid));
        check("name", |r| r.inputs[0].name = "x".into(), Err(Code::TensorUnknown));
        check("datatype", |r| r.inputs[0].datatype = "BYTES".into(), Err(Code::TensorDatatype));
        check("shape", |r| r.inputs[0].shape = vec![1 << 60, 4, 1], Err(Code::TensorShape));
        check("empty", |r| r.inputs[0].shape[0] = 0, Err(Code::TensorEmpty));
        check(
            "both",
            |r| r.inputs[0].contents = Some(InferTensorContents::default()),
            Err(Code::RequestInvalid),
        );
    }

    #[test]
    fn typed_contents_are_taken_where_they_match_the_datatype() {
        let typed = |change: fn(&mut ModelInferRequest)| {
            let request = request(|r| {
                r.raw_input_contents.clear();
                let contents =
                    InferTensorContents { fp32_contents: vec![1.0; 4], ..InferTensorContents::default() };
                r.inputs[0].contents = Some(contents);
                change(r);
            });
            decode(request, &model("m", 1, 1)).map(|call| call.series.value(0, 3, 0)).map_err(|f| f.code())
        };
        assert_eq!(typed(|_| {}), Ok(1.0));
        assert_eq!(typed(|r| r.inputs[0].datatype = "FP64".into()), Err(Code::TensorData));
        assert_eq!(typed(|r| r.inputs[0].datatype = "FP16".into()), Err(Code::TensorData));
        assert_eq!(typed(|r| r.inputs[0].shape[1] = 5), Err(Code::TensorShape));
    }

    #[test]
    fn answers_are_raw_and_in_the_order_asked_for() {
        let reply = reply();
        let outputs = asked(&[("lower", None), ("forecast", Some(Packing::Binary))], &reply);
        let response = encode("q", &outputs, &reply);
        assert_eq!(
            response.outputs.iter().map(|o| o.name.as_str()).collect::<Vec<_>>(),
            ["lower", "forecast"]
        );
        assert_eq!(response.outputs[0].shape, [1, 3, 1]);
        assert!(response.outputs.iter().all(|output| output.contents.is_none()));
        let wanted: Vec<u8> = [0.5_f32, 1.5, 2.5].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(response.raw_output_contents[0], wanted);
        assert_eq!((response.id.as_str(), response.model_version.as_str()), ("q", "2"));
    }

    #[test]
    fn raw_is_the_default_and_typed_contents_come_where_bytes_are_declined() {
        let packed = |change: fn(&mut ModelInferRequest)| {
            decode(request(change), &model("m", 1, 1)).unwrap().outputs.any_binary()
        };
        assert!(packed(|_| {}));
        assert!(!packed(|r| {
            let declined = InferParameter { parameter_choice: Some(ParameterChoice::BoolParam(false)) };
            r.parameters.insert("binary_data_output".into(), declined);
        }));
    }

    #[test]
    fn typed_contents_stand_in_the_list_of_their_datatype() {
        let reply = reply();
        let outputs = asked(&[("direction", None), ("confidence", None)], &reply);
        let response = encode("q", &outputs, &reply);
        assert!(response.raw_output_contents.is_empty());
        let [direction, confidence] = response.outputs.try_into().unwrap();
        assert_eq!((direction.datatype.as_str(), direction.shape), ("INT8", vec![1, 3, 1]));
        let wanted = InferTensorContents { int_contents: vec![-1, 0, 1], ..InferTensorContents::default() };
        assert_eq!(direction.contents, Some(wanted));
        assert_eq!(confidence.contents.unwrap().fp32_contents, [0.75, 0.5, 1.0]);
        assert_eq!(contents(&Values::Bool(vec![true])).bool_contents, [true]);
        assert_eq!(contents(&Values::Text(vec!["ab".into()])).bytes_contents, [Bytes::from_static(b"ab")]);
    }
}
