//! An answer over REST: JSON, or JSON with binary tensors behind it.

use crate::{Forecasts, InferReply, OutputName, Outputs, Packing};
use serde::Serialize;

/// An encoded answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The whole body.
    pub body: Vec<u8>,
    /// How much of it is JSON, where binary tensors follow.
    pub json_bytes: Option<usize>,
}

#[derive(Serialize)]
struct InferAnswer<'a> {
    model_name: &'a str,
    model_version: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    parameters: AnswerParameters<'a>,
    outputs: Vec<OutputTensor<'a>>,
}

#[derive(Serialize)]
struct AnswerParameters<'a> {
    model_hash: &'a str,
    profile: &'a str,
    node: &'a str,
}

#[derive(Serialize)]
struct OutputTensor<'a> {
    name: &'static str,
    datatype: &'static str,
    shape: [usize; 3],
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<BinarySize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a [f32]>,
}

#[derive(Serialize)]
struct BinarySize {
    binary_data_size: usize,
}

/// Encodes the outputs that the caller asked for, under the `id` that he gave.
#[must_use]
pub fn encode(id: &str, outputs: &Outputs, reply: &InferReply) -> Encoded {
    let model = &reply.model;
    let shape = [reply.forecasts.batch, model.horizon, model.targets.len()];
    let tensors = outputs
        .iter()
        .map(|output| {
            let values = values(&reply.forecasts, output.name);
            let (parameters, data) = match output.packing {
                Packing::Json => (None, Some(values)),
                Packing::Binary => (Some(BinarySize { binary_data_size: size_of_val(values) }), None),
            };
            OutputTensor { name: output.name.as_str(), datatype: "FP32", shape, parameters, data }
        })
        .collect();
    let answer = InferAnswer {
        model_name: model.name.as_str(),
        model_version: model.version_text(),
        id,
        parameters: AnswerParameters {
            model_hash: model.hash_text(),
            profile: model.profile.as_str(),
            node: &reply.node.0,
        },
        outputs: tensors,
    };
    // Room for the fixed part and a dozen digits a number: growing later would copy the body.
    let numbers = shape.iter().product::<usize>() * 3;
    let mut body = Vec::with_capacity(512 + id.len() + numbers * 12);
    // Writing plain structs to memory cannot fail; an empty body would be noticed by every client.
    let written = serde_json::to_writer(&mut body, &answer);
    debug_assert!(written.is_ok(), "encoding an answer failed: {written:?}");
    if !outputs.any_binary() {
        return Encoded { body, json_bytes: None };
    }
    let json_bytes = body.len();
    for output in outputs.iter().filter(|output| output.packing == Packing::Binary) {
        extend_little_endian(&mut body, values(&reply.forecasts, output.name));
    }
    Encoded { body, json_bytes: Some(json_bytes) }
}

/// The values of one output.
pub(crate) fn values(forecasts: &Forecasts, name: OutputName) -> &[f32] {
    match name {
        OutputName::Forecast => &forecasts.forecast,
        OutputName::Lower => &forecasts.lower,
        OutputName::Upper => &forecasts.upper,
    }
}

/// Appends the values' bytes, little-endian.
pub(crate) fn extend_little_endian(body: &mut Vec<u8>, values: &[f32]) {
    body.reserve(size_of_val(values));
    for value in values {
        body.extend_from_slice(&value.to_le_bytes());
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::catalogue::tests::model;
    use spinwell_core::{BatchShare, Micros, NodeId};
    use std::sync::Arc;

    /// The outputs `names` and the answer of a model that gives [1, 2, 3] with an interval of 0.5.
    pub(crate) fn outputs_and_reply(names: &[(&str, Option<Packing>)]) -> (Outputs, InferReply) {
        let outputs = Outputs::requested(names.iter().copied(), Packing::Json).unwrap();
        let around = |by: f32| [1.0, 2.0, 3.0].map(|v: f32| v + by).to_vec();
        let reply = InferReply {
            model: Arc::new(model("taxi", 2, 1)),
            node: NodeId("n1".into()),
            forecasts: Forecasts { batch: 1, forecast: around(0.0), lower: around(-0.5), upper: around(0.5) },
            queue: Micros(1),
            compute: Micros(2),
            batch: BatchShare { windows: 1, counts: true },
        };
        (outputs, reply)
    }

    #[test]
    fn json_answers_hold_everything_in_one_document() {
        let (outputs, reply) = outputs_and_reply(&[("upper", None)]);
        let encoded = encode("q", &outputs, &reply);
        let hash = "07".repeat(32);
        assert_eq!(encoded.json_bytes, None);
        assert_eq!(
            String::from_utf8(encoded.body).unwrap(),
            format!(
                r#"{{"model_name":"taxi","model_version":"2","id":"q","parameters":{{"model_hash":"{hash}","profile":"cpu-f32","node":"n1"}},"outputs":[{{"name":"upper","datatype":"FP32","shape":[1,3,1],"data":[1.5,2.5,3.5]}}]}}"#
            )
        );
    }

    #[test]
    fn binary_outputs_follow_the_json_in_their_order() {
        let (outputs, reply) = outputs_and_reply(&[
            ("upper", Some(Packing::Binary)),
            ("forecast", None),
            ("lower", Some(Packing::Binary)),
        ]);
        let encoded = encode("q", &outputs, &reply);
        let (json, bytes) = encoded.body.split_at(encoded.json_bytes.unwrap());
        let json: serde_json::Value = serde_json::from_slice(json).unwrap();
        assert_eq!(json["outputs"][0]["parameters"]["binary_data_size"], 12);
        assert_eq!(json["outputs"][1]["data"], serde_json::json!([1.0, 2.0, 3.0]));
        let wanted: Vec<u8> =
            [1.5_f32, 2.5, 3.5, 0.5, 1.5, 2.5].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(bytes, wanted);
    }
}
