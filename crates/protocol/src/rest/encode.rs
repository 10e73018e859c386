//! An answer over REST: JSON, or JSON with binary tensors behind it.

use crate::predictions::Answered;
use crate::{InferReply, Outputs, Packing, Values};
use serde::{Serialize, Serializer};

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
    outputs: Vec<Tensor<'a>>,
}

/// Where an answer comes from.
#[derive(Serialize)]
pub(super) struct AnswerParameters<'a> {
    model_hash: &'a str,
    profile: &'a str,
    node: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<&'a str>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    sequence: Option<OfSequence>,
}

/// What became of its sequence.
#[derive(Serialize)]
struct OfSequence {
    sequence_step: u64,
    state_source: &'static str,
    durable: bool,
    warming_up: bool,
}

impl<'a> AnswerParameters<'a> {
    pub(super) fn of(reply: &'a InferReply) -> Self {
        let sequence = reply.sequence.map(|sequence| OfSequence {
            sequence_step: sequence.step,
            state_source: sequence.source.as_str(),
            durable: sequence.durable,
            warming_up: sequence.warming_up,
        });
        Self {
            model_hash: reply.model.hash_text(),
            profile: reply.profile.as_str(),
            node: &reply.node.0,
            receipt: reply.receipt.as_deref(),
            sequence,
        }
    }
}

#[derive(Serialize)]
struct Tensor<'a> {
    name: &'static str,
    datatype: &'static str,
    shape: Shape<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<BinarySize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
}

#[derive(Serialize)]
struct BinarySize {
    binary_data_size: usize,
}

struct Shape<'a> {
    batch: usize,
    extents: &'a [usize],
}

impl Serialize for Shape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(std::iter::once(&self.batch).chain(self.extents))
    }
}

/// Values as JSON.
struct Data<'a>(&'a Values);

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Values::Bool(values) => values.serialize(serializer),
            Values::Int8(values) => values.serialize(serializer),
            Values::Fp32(values) => values.serialize(serializer),
            Values::Text(texts) => texts.serialize(serializer),
        }
    }
}

/// Encodes the outputs that the caller asked for, under the `id` that he gave.
#[must_use]
pub fn encode(id: &str, outputs: &Outputs, reply: &InferReply) -> Encoded {
    let model = &reply.model;
    // Room for the fixed part and all values: growing later would copy the body.
    let mut room = 512 + id.len();
    let tensors = reply.answered(outputs).map(|answered| {
        room += room_for(answered);
        tensor(answered, reply.predictions.batch)
    });
    let answer = InferAnswer {
        model_name: model.name.as_str(),
        model_version: model.version_text(),
        id,
        parameters: AnswerParameters::of(reply),
        outputs: tensors.collect(),
    };
    let mut body = Vec::with_capacity(room);
    // Writing plain structs to memory cannot fail; an empty body would be noticed by every client.
    let written = serde_json::to_writer(&mut body, &answer);
    debug_assert!(written.is_ok(), "encoding an answer failed: {written:?}");
    if !outputs.any_binary() {
        return Encoded { body, json_bytes: None };
    }
    let json_bytes = body.len();
    for answered in reply.answered(outputs).filter(|answered| answered.packing == Packing::Binary) {
        answered.values.write_bytes(&mut body);
    }
    Encoded { body, json_bytes: Some(json_bytes) }
}

fn tensor(Answered { name, packing, values, extents }: Answered<'_>, batch: usize) -> Tensor<'_> {
    let (parameters, data) = match packing {
        Packing::Json => (None, Some(Data(values))),
        Packing::Binary => (Some(BinarySize { binary_data_size: values.bytes_len() }), None),
    };
    let datatype = values.datatype().as_str();
    Tensor { name: name.as_str(), datatype, shape: Shape { batch, extents }, parameters, data }
}

/// About as many bytes as the values take: a dozen digits a float, and what stands around a text.
fn room_for(answered: Answered<'_>) -> usize {
    match (answered.packing, answered.values) {
        (Packing::Binary, values) => values.bytes_len(),
        (Packing::Json, Values::Fp32(values)) => values.len() * 12,
        (Packing::Json, Values::Bool(values)) => values.len() * 6,
        (Packing::Json, Values::Int8(values)) => values.len() * 5,
        (Packing::Json, values @ Values::Text(_)) => values.bytes_len(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::catalogue::tests::{classifier, detector, model};
    use crate::{ModelDescription, OutputName, OutputTensor, Predictions};
    use spinwell_core::{BatchShare, Micros, NodeId};
    use std::sync::Arc;

    /// The outputs `names` of the model of a reply, JSON where nothing else is said.
    pub(crate) fn asked(names: &[(&str, Option<Packing>)], reply: &InferReply) -> Outputs {
        Outputs::requested(names.iter().copied(), Packing::Json, &reply.model).unwrap()
    }

    /// A model's answer to one window.
    fn reply_of(model: ModelDescription, tensors: Vec<(OutputName, Values)>) -> InferReply {
        let tensors = tensors.into_iter().map(|(name, values)| OutputTensor { name, values }).collect();
        InferReply {
            model: Arc::new(model),
            node: NodeId("n1".into()),
            profile: spinwell_core::NumericProfile::CpuF32,
            predictions: Predictions { batch: 1, tensors },
            queue: Micros(1),
            compute: Micros(2),
            batch: BatchShare { windows: 1, counts: true },
            sequence: None,
            receipt: None,
        }
    }

    /// The answer of a model that gives [1, 2, 3] with an interval of 0.5.
    pub(crate) fn reply() -> InferReply {
        let around = |by: f32| Values::Fp32([1.0, 2.0, 3.0].map(|v: f32| v + by).to_vec());
        reply_of(
            model("taxi", 2, 1),
            vec![
                (OutputName::Forecast, around(0.0)),
                (OutputName::Lower, around(-0.5)),
                (OutputName::Upper, around(0.5)),
                (OutputName::Direction, Values::Int8(vec![-1, 0, 1])),
                (OutputName::Confidence, Values::Fp32(vec![0.75, 0.5, 1.0])),
            ],
        )
    }

    fn check_json(reply: &InferReply, names: &[(&str, Option<Packing>)], model: &str, outputs: &str) {
        let encoded = encode("q", &asked(names, reply), reply);
        let hash = "07".repeat(32);
        assert_eq!(encoded.json_bytes, None);
        assert_eq!(
            String::from_utf8(encoded.body).unwrap(),
            format!(
                r#"{{{model},"id":"q","parameters":{{"model_hash":"{hash}","profile":"cpu-f32","node":"n1"}},"outputs":[{outputs}]}}"#
            )
        );
    }

    #[test]
    fn json_answers_hold_everything_in_one_document() {
        let taxi = r#""model_name":"taxi","model_version":"2""#;
        let upper = r#"{"name":"upper","datatype":"FP32","shape":[1,3,1],"data":[1.5,2.5,3.5]}"#;
        let direction = r#"{"name":"direction","datatype":"INT8","shape":[1,3,1],"data":[-1,0,1]}"#;
        check_json(&reply(), &[("upper", None)], taxi, upper);
        check_json(&reply(), &[("direction", None), ("upper", None)], taxi, &format!("{direction},{upper}"));
    }

    #[test]
    fn texts_and_truths_are_json_s_own() {
        let shaken = reply_of(
            classifier("shaken"),
            vec![
                (OutputName::Label, Values::Text(vec!["a \"b\"".into()])),
                (OutputName::Probabilities, Values::Fp32(vec![0.25, 0.75])),
            ],
        );
        check_json(
            &shaken,
            &[],
            r#""model_name":"shaken","model_version":"1""#,
            r#"{"name":"label","datatype":"BYTES","shape":[1],"data":["a \"b\""]},{"name":"probabilities","datatype":"FP32","shape":[1,2],"data":[0.25,0.75]}"#,
        );
        let pump = reply_of(
            detector("pump"),
            vec![
                (OutputName::Score, Values::Fp32(vec![9.5])),
                (OutputName::Anomaly, Values::Bool(vec![true])),
            ],
        );
        check_json(
            &pump,
            &[],
            r#""model_name":"pump","model_version":"1""#,
            r#"{"name":"score","datatype":"FP32","shape":[1],"data":[9.5]},{"name":"anomaly","datatype":"BOOL","shape":[1],"data":[true]}"#,
        );
    }

    #[test]
    fn binary_outputs_follow_the_json_in_their_order() {
        let reply = reply();
        let outputs = asked(
            &[
                ("upper", Some(Packing::Binary)),
                ("forecast", None),
                ("direction", Some(Packing::Binary)),
                ("lower", Some(Packing::Binary)),
            ],
            &reply,
        );
        let encoded = encode("q", &outputs, &reply);
        let (json, bytes) = encoded.body.split_at(encoded.json_bytes.unwrap());
        let json: serde_json::Value = serde_json::from_slice(json).unwrap();
        assert_eq!(json["outputs"][0]["parameters"]["binary_data_size"], 12);
        assert_eq!(json["outputs"][1]["data"], serde_json::json!([1.0, 2.0, 3.0]));
        assert_eq!(json["outputs"][2]["parameters"]["binary_data_size"], 3);
        let floats = |values: [f32; 3]| values.map(f32::to_le_bytes).concat();
        let wanted = [floats([1.5, 2.5, 3.5]), vec![255, 0, 1], floats([0.5, 1.5, 2.5])].concat();
        assert_eq!(bytes, wanted);
    }
}
