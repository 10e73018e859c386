//! The answer to a request for forecasts.
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

    fn shape(&self) -> Option<[usize; 3]> {
        let extents: Option<Vec<usize>> =
            self.description["shape"].as_array()?.iter().map(as_usize).collect();
        extents?.try_into().ok()
    }
}

/// Reads an answer of which `json_bytes` are JSON. `None` where it lacks something or contradicts itself.
pub(super) fn decode(body: &[u8], json_bytes: usize) -> Option<RemoteForecast> {
    let (json, mut binary) = body.split_at_checked(json_bytes)?;
    let document: Value = serde_json::from_slice(json).ok()?;
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
        version: document["model_version"].as_str().unwrap_or_default().to_owned(),
        model_hash: document["parameters"]["model_hash"].as_str().map(str::to_owned),
        shape,
        forecast: Forecast { forecast, lower, upper, direction, confidence },
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
        let from_json = decode(json.as_bytes(), json.len()).unwrap();
        let wanted = Forecast {
            forecast: vec![2.5],
            lower: vec![2.0],
            upper: vec![3.0],
            direction: vec![-1],
            confidence: vec![0.75],
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
        assert_eq!(decode(&body, head.len()), Some(from_json));
        assert_eq!(decode(&body[..body.len() - 1], head.len()), None);
        assert_eq!(decode(b"{}", 2), None);
        assert_eq!(decode(b"{}", 9), None);
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
            decode(json.as_bytes(), json.len()).map(|answer| answer.forecast)
        };
        assert!(read(&bare).unwrap().direction.is_empty());
        assert_eq!(read(&bare[..2]), None);
        let of_another_type = ("direction", "FP32", r#""data":[1]"#);
        assert_eq!(read(&[bare[0], bare[1], bare[2], of_another_type]), None);
    }
}
