//! The answer to a request for forecasts, classes or verdicts.
//!
//! It may come as JSON, as bytes, or mixed, whatever was asked for: a server chooses. Nothing in it is believed before
//! sizes, shapes and datatypes agree.

use serde_json::Value;
use spinwell_engine::Forecast;
use std::collections::BTreeMap;

/// Forecasts for each window, each a row-major `[batch, horizon, targets]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RemoteForecast {
    /// The version that answered.
    pub(crate) version: String,
    /// The hash of the model that answered, where the server says it.
    pub(crate) model_hash: Option<String>,
    /// The shape of each output.
    pub(crate) shape: [usize; 3],
    /// The outputs. Direction and confidence are empty where they were not asked for.
    pub(crate) forecast: Forecast,
}

/// The class of one window.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RemoteClass {
    /// The version that answered.
    pub(crate) version: String,
    /// The hash of the model that answered, where the server says it.
    pub(crate) model_hash: Option<String>,
    /// The most probable label.
    pub(crate) label: String,
    /// The probability of each label, in the model's order.
    pub(crate) probabilities: Vec<f32>,
}

/// What is said of the last row of one window.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RemoteVerdict {
    /// The version that answered.
    pub(crate) version: String,
    /// The hash of the model that answered, where the server says it.
    pub(crate) model_hash: Option<String>,
    /// Minus the logarithm of its p-value.
    pub(crate) score: f32,
    /// Whether it is called an anomaly.
    pub(crate) is_anomaly: bool,
}

/// An output of an answer, with its bytes where it is not JSON.
struct Tensor<'a> {
    description: &'a Value,
    bytes: Option<&'a [u8]>,
}

impl Tensor<'_> {
    /// The values: of JSON numbers, or of as many bytes each. `None` where they are not of this datatype.
    fn values<T, const BYTES: usize>(
        &self,
        datatype: &str,
        of_bytes: fn([u8; BYTES]) -> T,
        of_number: fn(f64) -> T,
    ) -> Option<Vec<T>> {
        if self.description["datatype"] != datatype {
            return None;
        }
        match self.bytes {
            Some(bytes) => {
                let (values, rest) = bytes.as_chunks::<BYTES>();
                rest.is_empty().then(|| values.iter().copied().map(of_bytes).collect())
            }
            None => self.description["data"].as_array()?.iter().map(|v| v.as_f64().map(of_number)).collect(),
        }
    }

    /// The texts: of JSON, or each behind its length in four bytes. `None` where they are none.
    fn texts(&self) -> Option<Vec<String>> {
        if self.description["datatype"] != "BYTES" {
            return None;
        }
        let Some(mut bytes) = self.bytes else {
            let texts = self.description["data"].as_array()?.iter();
            return texts.map(|text| text.as_str().map(str::to_owned)).collect();
        };
        let mut texts = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_first_chunk::<4>()?;
            let (text, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
            texts.push(String::from_utf8(text.to_vec()).ok()?);
            bytes = rest;
        }
        Some(texts)
    }

    /// The truth values: of JSON, or of one byte each. `None` where they are none.
    fn truths(&self) -> Option<Vec<bool>> {
        if self.description["datatype"] != "BOOL" {
            return None;
        }
        match self.bytes {
            Some(bytes) => Some(bytes.iter().map(|&byte| byte != 0).collect()),
            None => self.description["data"].as_array()?.iter().map(Value::as_bool).collect(),
        }
    }

    fn shape(&self) -> Option<[usize; 3]> {
        let extents: Option<Vec<usize>> =
            self.description["shape"].as_array()?.iter().map(as_usize).collect();
        extents?.try_into().ok()
    }
}

/// The outputs of an answer by name, their bytes taken from `binary` one after the other.
fn tensors<'a>(document: &'a Value, mut binary: &'a [u8]) -> Option<BTreeMap<&'a str, Tensor<'a>>> {
    let mut tensors = BTreeMap::new();
    for description in document["outputs"].as_array()? {
        let bytes = match as_usize(&description["parameters"]["binary_data_size"]) {
            Some(size) => {
                let (own, rest) = binary.split_at_checked(size)?;
                binary = rest;
                Some(own)
            }
            None => None,
        };
        tensors.insert(description["name"].as_str()?, Tensor { description, bytes });
    }
    Some(tensors)
}

fn version(document: &Value) -> String {
    document["model_version"].as_str().unwrap_or_default().to_owned()
}

fn model_hash(document: &Value) -> Option<String> {
    document["parameters"]["model_hash"].as_str().map(str::to_owned)
}

/// Reads the class of one window from an answer of which `json_bytes` are JSON. `None` where it lacks something or
/// contradicts itself.
pub(super) fn decode_class(body: &[u8], json_bytes: usize) -> Option<RemoteClass> {
    let (json, binary) = body.split_at_checked(json_bytes)?;
    let document: Value = serde_json::from_slice(json).ok()?;
    let tensors = tensors(&document, binary)?;
    let [label] = <[String; 1]>::try_from(tensors.get("label")?.texts()?).ok()?;
    let probabilities = tensors.get("probabilities")?.values("FP32", f32::from_le_bytes, |v| v as f32)?;
    Some(RemoteClass { version: version(&document), model_hash: model_hash(&document), label, probabilities })
}

/// Reads the verdict on one window from an answer of which `json_bytes` are JSON. `None` where it lacks something or
/// contradicts itself.
pub(super) fn decode_verdict(body: &[u8], json_bytes: usize) -> Option<RemoteVerdict> {
    let (json, binary) = body.split_at_checked(json_bytes)?;
    let document: Value = serde_json::from_slice(json).ok()?;
    let tensors = tensors(&document, binary)?;
    let scores = tensors.get("score")?.values("FP32", f32::from_le_bytes, |v| v as f32)?;
    let [score] = <[f32; 1]>::try_from(scores).ok()?;
    let [is_anomaly] = <[bool; 1]>::try_from(tensors.get("anomaly")?.truths()?).ok()?;
    Some(RemoteVerdict { version: version(&document), model_hash: model_hash(&document), score, is_anomaly })
}

/// Reads forecasts from an answer of which `json_bytes` are JSON. `None` where it lacks something or contradicts
/// itself.
pub(super) fn decode_forecast(body: &[u8], json_bytes: usize) -> Option<RemoteForecast> {
    let (json, binary) = body.split_at_checked(json_bytes)?;
    let document: Value = serde_json::from_slice(json).ok()?;
    let tensors = tensors(&document, binary)?;
    let shape = tensors.get("forecast")?.shape()?;
    let count = shape.iter().try_fold(1_usize, |n, extent| n.checked_mul(*extent))?;
    let floats = |name: &str| -> Option<Vec<f32>> {
        let tensor = tensors.get(name).filter(|tensor| tensor.shape() == Some(shape))?;
        tensor.values("FP32", f32::from_le_bytes, |v| v as f32).filter(|values| values.len() == count)
    };
    let (forecast, lower, upper) = (floats("forecast")?, floats("lower")?, floats("upper")?);
    let direction = match tensors.get("direction") {
        Some(tensor) => tensor.values("INT8", i8::from_le_bytes, |v| v as i8).filter(|v| v.len() == count)?,
        None => Vec::new(),
    };
    let confidence = if tensors.contains_key("confidence") { floats("confidence")? } else { Vec::new() };
    Some(RemoteForecast {
        version: version(&document),
        model_hash: model_hash(&document),
        shape,
        forecast: Forecast { forecast, lower, upper, direction, confidence, activity: None },
    })
}

fn as_usize(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer with these outputs: name, datatype, and what else stands in the description.
    fn document(outputs: &[(&str, &str, &str)]) -> String {
        let output = |(name, datatype, own): &(&str, &str, &str)| {
            format!(r#"{{"name":"{name}","datatype":"{datatype}","shape":[1,1,1],{own}}}"#)
        };
        format!(
            r#"{{"model_version":"2","parameters":{{"model_hash":"ab"}},"outputs":[{}]}}"#,
            outputs.iter().map(output).collect::<Vec<_>>().join(",")
        )
    }

    #[test]
    fn answers_are_read_from_either_packing() {
        let json = document(&[
            ("forecast", "FP32", r#""data":[2.5]"#),
            ("lower", "FP32", r#""data":[2]"#),
            ("upper", "FP32", r#""data":[3]"#),
            ("direction", "INT8", r#""data":[-1]"#),
            ("confidence", "FP32", r#""data":[0.75]"#),
        ]);
        let from_json = decode_forecast(json.as_bytes(), json.len()).unwrap();
        let wanted = Forecast {
            forecast: vec![2.5],
            lower: vec![2.0],
            upper: vec![3.0],
            direction: vec![-1],
            confidence: vec![0.75],
            activity: None,
        };
        assert_eq!(from_json.forecast, wanted);
        let (four, one) =
            (r#""parameters":{"binary_data_size":4}"#, r#""parameters":{"binary_data_size":1}"#);
        let head = document(&[
            ("forecast", "FP32", four),
            ("direction", "INT8", one),
            ("lower", "FP32", four),
            ("upper", "FP32", four),
            ("confidence", "FP32", four),
        ]);
        let float = f32::to_le_bytes;
        let bytes = [&float(2.5)[..], &[255], &float(2.0), &float(3.0), &float(0.75)].concat();
        let body = [head.as_bytes(), &bytes].concat();
        assert_eq!(decode_forecast(&body, head.len()), Some(from_json));
        assert_eq!(decode_forecast(&body[..body.len() - 1], head.len()), None);
        assert_eq!(decode_forecast(b"{}", 2), None);
        assert_eq!(decode_forecast(b"{}", 9), None);
    }

    #[test]
    fn an_answer_may_lack_what_is_on_request_and_nothing_else() {
        let bare = [
            ("forecast", "FP32", r#""data":[2.5]"#),
            ("lower", "FP32", r#""data":[2]"#),
            ("upper", "FP32", r#""data":[3]"#),
        ];
        let read = |outputs: &[(&str, &str, &str)]| {
            let json = document(outputs);
            decode_forecast(json.as_bytes(), json.len()).map(|answer| answer.forecast)
        };
        assert!(read(&bare).unwrap().direction.is_empty());
        assert_eq!(read(&bare[..2]), None);
        let of_another_type = ("direction", "FP32", r#""data":[1]"#);
        assert_eq!(read(&[bare[0], bare[1], bare[2], of_another_type]), None);
    }

    #[test]
    fn a_class_is_read_from_either_packing_and_refused_with_gaps() {
        let json = document(&[
            ("label", "BYTES", r#""data":["sp\u00e4t"]"#),
            ("probabilities", "FP32", r#""data":[0.25,0.75]"#),
        ]);
        let from_json = decode_class(json.as_bytes(), json.len()).unwrap();
        assert_eq!((from_json.label.as_str(), &from_json.probabilities[..]), ("spät", &[0.25, 0.75][..]));
        let eight = r#""parameters":{"binary_data_size":8}"#;
        let nine = r#""parameters":{"binary_data_size":9}"#;
        let head = document(&[("label", "BYTES", nine), ("probabilities", "FP32", eight)]);
        let bytes =
            [&5u32.to_le_bytes()[..], "spät".as_bytes(), &0.25f32.to_le_bytes(), &0.75f32.to_le_bytes()];
        let body = [head.as_bytes(), &bytes.concat()].concat();
        assert_eq!(decode_class(&body, head.len()), Some(from_json));
        for (at, byte) in [(0, 6), (0, 255), (0, 0), (4, 0xff)] {
            let mut wrong = body.clone();
            wrong[head.len() + at] = byte;
            assert_eq!(decode_class(&wrong, head.len()), None, "byte {at} as {byte}");
        }
        let two = json.replace(r#"["sp\u00e4t"]"#, r#"["a","b"]"#);
        assert_eq!(decode_class(two.as_bytes(), two.len()), None);
        let without = document(&[("label", "BYTES", r#""data":["a"]"#)]);
        assert_eq!(decode_class(without.as_bytes(), without.len()), None);
    }

    #[test]
    fn a_verdict_is_read_from_either_packing_and_refused_with_gaps() {
        let json = document(&[("score", "FP32", r#""data":[9.5]"#), ("anomaly", "BOOL", r#""data":[true]"#)]);
        let from_json = decode_verdict(json.as_bytes(), json.len()).unwrap();
        assert_eq!((from_json.score, from_json.is_anomaly), (9.5, true));
        let head = document(&[
            ("score", "FP32", r#""parameters":{"binary_data_size":4}"#),
            ("anomaly", "BOOL", r#""parameters":{"binary_data_size":1}"#),
        ]);
        let body = [head.as_bytes(), &9.5f32.to_le_bytes(), &[1]].concat();
        assert_eq!(decode_verdict(&body, head.len()), Some(from_json));
        assert_eq!(decode_verdict(&body[..body.len() - 1], head.len()), None);
        for (right, wrong) in [("true", "1"), ("BOOL", "INT8"), ("[9.5]", "[]"), ("anomaly", "other")] {
            let json = json.replace(right, wrong);
            assert_eq!(decode_verdict(json.as_bytes(), json.len()), None, "{wrong}");
        }
    }
}
