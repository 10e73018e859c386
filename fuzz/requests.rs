//! Requests that can be answered, and words that strangers may put into them: what fuzzers and tests start from.

use prost::Message;
use spinwell_protocol::grpc::wire::infer_parameter::ParameterChoice;
use spinwell_protocol::grpc::wire::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use spinwell_protocol::grpc::wire::{InferParameter, InferTensorContents, ModelInferRequest};

/// JSON bodies, of models with one channel and with two.
pub(crate) const JSON: [&str; 5] = [
    r#"{"id":"a","inputs":[{"name":"series","shape":[1,4,1],"datatype":"FP32","data":[1,2.5,-3e1,4]}]}"#,
    r#"{"inputs":[{"data":[[[1,2],[3,4],[5,6],[7,8]]],"datatype":"FP64","shape":[1,4,2],"name":"ser\u0069es"}],"outputs":[{"name":"lower"},{"name":"forecast","parameters":{"binary_data":true}}]}"#,
    r#"{"parameters":{"sequence_id":"größe","sequence_start":true,"sequence_step":1,"priority":2,"timeout":5000,"subject":"s","purpose":"p"},"inputs":[{"name":"series","shape":[1,1,1],"datatype":"FP32","data":[7]}]}"#,
    r#"{"id":null,"parameters":{"binary_data_output":true,"later":"x"},"more":[1,{}],"inputs":[{"name":"series","shape":[2,4,1],"datatype":"FP16","data":[1,2,3,4,5,6,7,8]}]}"#,
    r#"{"inputs":[{"name":"series","shape":[1,5,1],"datatype":"FP64","data":[0,1e-300,1e300,18446744073709551615,-9223372036854775808]}],"outputs":[{"name":"score"},{"name":"anomaly"}]}"#,
];

/// Batch calls.
pub(crate) const BATCH: [&str; 3] = [
    r#"{"priority":"high","requests":[{"id":"a","model":"m","version":1,"series":[[1],[2],[3],[4.5]],"deadline_ms":20,"outputs":["lower"],"subject":"s"},{"model":"m","series":[1,2,3,4,5]}]}"#,
    r#"{"requests":[{"id":"b","model":"m","version":"1","series":[[1,2],[3,4],[5,6],[7,8]],"purpose":"p"},7,null,{"id":7}]}"#,
    r#"{"requests":[{"id":"c","model":"m","series":[1],"sequence_id":"x","sequence_start":true,"sequence_end":true,"sequence_step":3},{"model":"m","series":[[[1]]],"sequence_id":9}]}"#,
];

/// Bodies with truths for earlier forecasts.
pub(crate) const OBSERVATIONS: [&str; 4] = [
    r#"{"observations":[{"request_id":"a","values":[[1.5],[-2e1]]},{"request_id":"gr\u00f6\u00dfe","window":3,"from_step":2,"values":[1,2,3]}]}"#,
    r#"{"observations":[{"sequence_id":"x","sequence_step":12,"values":[[1,2],[3,4]]},7,null,{"values":[]}],"more":1}"#,
    r#"{"observations":[{"values":[[0]],"sequence_step":18446744073709551615,"sequence_id":9,"from_step":18446744073709551615}]}"#,
    r#"{"observations":[{"request_id":null,"sequence_id":"s","sequence_step":1,"values":[1e-300,3.4e38]},{"request_id":"a","values":[1e39]}]}"#,
];

/// Headers that name a caller's trace.
pub(crate) const TRACEPARENTS: [&str; 3] = [
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "00-00000000000000000000000000000001-0000000000000001-00",
    "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff-what-comes-later",
];

/// Words of JSON and of the protocol.
pub(crate) const WORDS: [&[u8]; 27] = [
    b"NaN",
    b"-Infinity",
    b"1e400",
    b"1e39",
    b"-0",
    b"null",
    b"true",
    b"[[[[",
    b"]",
    b"{",
    b"}",
    b"\"",
    b"\\u0000",
    b"\\",
    b"\xff",
    b",",
    b"1152921504606846976",
    b"\"sequence_id\":0,",
    b"\"data\":[],",
    b"\"parameters\":{\"shared_memory_region\":1},",
    b"{\"name\":\"series\",\"shape\":[],\"datatype\":\"\"},",
    b"1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,",
    b"0\n",
    b"\n",
    b"\"request_id\":\"a\",",
    b"\"sequence_step\":1,",
    b"\"values\":[[1]],",
];

/// Bodies with binary tensors, behind a line with the length of their JSON; the last is raw.
pub(crate) fn binary() -> Vec<Vec<u8>> {
    let floats: Vec<u8> = [1.0f32, 2.0, 3.0, 4.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let doubles: Vec<u8> = [1.0f64, 2.0, 3.0, 4.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let framed = |datatype: &str, shape: &str, tensor: &[u8]| {
        let head = format!(
            r#"{{"parameters":{{"binary_data_output":true}},"inputs":[{{"name":"series","shape":{shape},"datatype":"{datatype}","parameters":{{"binary_data_size":{}}}}}]}}"#,
            tensor.len()
        );
        [format!("{}\n{head}", head.len()).as_bytes(), tensor].concat()
    };
    vec![
        framed("FP32", "[1,4,1]", &floats),
        framed("FP64", "[1,4,1]", &doubles),
        framed("FP16", "[1,4,2]", &floats),
        [b"0\n", &floats[..], &floats].concat(),
    ]
}

/// Messages over gRPC: raw, typed, and a step of a sequence.
pub(crate) fn messages() -> Vec<Vec<u8>> {
    let choice = |choice| InferParameter { parameter_choice: Some(choice) };
    let input = |shape: [i64; 3], datatype: &str| InferInputTensor {
        name: "series".into(),
        datatype: datatype.into(),
        shape: shape.into(),
        ..InferInputTensor::default()
    };
    let fp32_contents = vec![1.0, 2.0, 3.0, 4.0, 5.0];
    let typed = InferTensorContents { fp32_contents, ..InferTensorContents::default() };
    let output =
        InferRequestedOutputTensor { name: "forecast".into(), ..InferRequestedOutputTensor::default() };
    let raw = ModelInferRequest {
        model_name: "m".into(),
        id: "a".into(),
        inputs: vec![input([1, 4, 1], "FP32")],
        outputs: vec![output],
        raw_input_contents: vec![[[0, 0, 128, 63]; 4].concat().into()],
        ..ModelInferRequest::default()
    };
    let steps = [
        ("sequence_id", ParameterChoice::StringParam("x".into())),
        ("sequence_start", ParameterChoice::BoolParam(true)),
        ("sequence_step", ParameterChoice::Int64Param(1)),
        ("priority", ParameterChoice::Uint64Param(2)),
    ];
    let parameters = steps.into_iter().map(|(key, value)| (key.to_owned(), choice(value))).collect();
    let typed = ModelInferRequest {
        inputs: vec![InferInputTensor { contents: Some(typed), ..input([1, 5, 1], "FP32") }],
        ..ModelInferRequest::default()
    };
    let step = ModelInferRequest {
        parameters,
        inputs: vec![input([1, 2, 1], "FP64")],
        raw_input_contents: vec![vec![0; 16].into()],
        ..ModelInferRequest::default()
    };
    [raw, typed, step].iter().map(Message::encode_to_vec).collect()
}
