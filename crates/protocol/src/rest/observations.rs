//! Truths for earlier forecasts, and how right these turned out to be.
//!
//! The body is read like a batch call's: first the frame, then each observation by itself, so that what is wrong with one is
//! told in its place.

use super::body::{bounded_by, read_entry, read_frame};
use super::numbers::{Numbers, NumbersSeed, Trouble};
use super::predictions::NumberOrText;
use crate::call::checked_id;
use crate::tensor::Datatype;
use crate::{ModelDescription, ParameterValue, sequence, status};
use serde::de::{DeserializeSeed, Deserializer};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use spinwell_core::{Code, Fault, Samples, SequenceId};
use std::borrow::Cow;

/// Observations of one call, whatever the server's limit.
const OBSERVATIONS_MAX: usize = 1 << 16;

/// A call whose observations have not been looked at yet.
#[derive(Deserialize)]
#[serde(expecting = "a JSON object")]
pub struct ObservationCall<'b> {
    /// Its observations, as they stand in the body.
    #[serde(borrow, deserialize_with = "bounded_by::<OBSERVATIONS_MAX, _, _>")]
    pub observations: Vec<&'b RawValue>,
}

impl<'b> ObservationCall<'b> {
    /// Reads the frame of a call.
    ///
    /// # Errors
    /// Where the body is no such call, or has no observation or more than `observations_max`.
    pub fn read(body: &'b [u8], observations_max: usize) -> Result<Self, Fault> {
        read_frame(body, "observations", observations_max, |call: &Self| call.observations.len())
    }
}

/// Which forecast a truth is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObservedPlace {
    /// A window of a request.
    Request {
        /// The caller's id.
        id: String,
        /// Which window, from 0.
        window: usize,
    },
    /// A step of a sequence.
    Step {
        /// The sequence.
        sequence: SequenceId,
        /// The step's number, from 1.
        step: u64,
    },
}

/// The truth for some steps of one forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// Which forecast.
    pub place: ObservedPlace,
    /// How far ahead of the forecast's window the first row lies; 1 is the next row.
    pub from_step: usize,
    /// The values of each row.
    pub targets: usize,
    /// The true values, `[rows, targets]`: at least one row, finite.
    pub values: Vec<f32>,
}

#[derive(Deserialize)]
#[serde(expecting = "a JSON object")]
struct Body<'b> {
    #[serde(borrow, default)]
    request_id: Option<Cow<'b, str>>,
    #[serde(default)]
    window: usize,
    #[serde(borrow, default)]
    sequence_id: Option<NumberOrText<'b>>,
    #[serde(default)]
    sequence_step: Option<u64>,
    #[serde(default = "first")]
    from_step: usize,
    values: Rows,
}

fn first() -> usize {
    1
}

struct Rows(Numbers);

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        NumbersSeed(Some(Datatype::Fp64)).deserialize(deserializer).map(Self)
    }
}

impl Observation {
    /// Reads an observation.
    ///
    /// # Errors
    /// A fault that says what would have been right.
    pub fn read(raw: &RawValue) -> Result<Self, Fault> {
        let body: Body<'_> = read_entry(raw, |why| format!("this is no observation: {why}"))?;
        if body.from_step == 0 {
            let message = "from_step is 0; the first row that was forecast is step 1";
            return Err(Fault::new(Code::RequestInvalid, message));
        }
        let (targets, values) = rows(body.values.0)?;
        let place = place(body.request_id, body.window, body.sequence_id, body.sequence_step)?;
        Ok(Self { place, from_step: body.from_step, targets, values })
    }
}

fn place(
    request: Option<Cow<'_, str>>,
    window: usize,
    sequence: Option<NumberOrText<'_>>,
    step: Option<u64>,
) -> Result<ObservedPlace, Fault> {
    let sequence = match sequence {
        Some(NumberOrText::Number(number)) => sequence::id(&ParameterValue::Whole(number))?,
        Some(NumberOrText::Text(text)) => sequence::id(&ParameterValue::Text(text.into_owned()))?,
        None => None,
    };
    match (request, sequence, step) {
        (Some(id), None, None) if !id.is_empty() => {
            Ok(ObservedPlace::Request { id: checked_id(&id)?, window })
        }
        (None, Some(sequence), Some(step)) if step > 0 => Ok(ObservedPlace::Step { sequence, step }),
        _ => Err(Fault::new(
            Code::RequestInvalid,
            "an observation names its forecast by request_id, or by sequence_id and sequence_step, from 1",
        )),
    }
}

/// Rows, and how many values stand in each; of one value they may be flat.
fn rows(numbers: Numbers) -> Result<(usize, Vec<f32>), Fault> {
    let shape = || {
        let message = "values must be rows of one value for each target, [[..],..], at least one";
        Fault::new(Code::TensorShape, message)
    };
    match &numbers.trouble {
        None => {}
        Some(Trouble::NotANumber { index, found }) => {
            let message = format!("number {index} of values is {found}; send finite numbers");
            return Err(Fault::new(Code::TensorData, message));
        }
        Some(_) => return Err(shape()),
    }
    let targets = match numbers.extents[..] {
        [rows] if rows > 0 => 1,
        [rows, targets] if rows > 0 && targets > 0 => targets,
        _ => return Err(shape()),
    };
    let values = match numbers.into_samples(Datatype::Fp32) {
        Samples::F32(values) => values,
        Samples::F64(values) => values.iter().map(|value| *value as f32).collect(),
    };
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok((targets, values)),
        Some(index) => {
            let message = format!("number {index} of values is not finite in 32 bits; send finite numbers");
            Err(Fault::new(Code::TensorNotFinite, message))
        }
    }
}

/// What became of an observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Steps whose truth it was.
    pub matched: usize,
    /// Steps whose truth had been the same already.
    pub repeated: usize,
}

/// Encodes what became of the observations of a call, in order.
#[must_use]
pub fn encode_observed(results: Vec<Result<Observed, Fault>>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Document {
        results: Vec<Answer>,
    }
    let document = Document { results: results.into_iter().map(Answer).collect() };
    // Writing plain structs to memory cannot fail; an empty body would be noticed by every client.
    serde_json::to_vec(&document).unwrap_or_default()
}

struct Answer(Result<Observed, Fault>);

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.0 {
            Ok(observed) => {
                map.serialize_entry("status", &200)?;
                map.serialize_entry("matched", &observed.matched)?;
                map.serialize_entry("repeated", &observed.repeated)?;
            }
            Err(fault) => {
                map.serialize_entry("status", &status::http(fault.code()))?;
                map.serialize_entry("error", fault.message())?;
                map.serialize_entry("code", fault.code().as_str())?;
                map.serialize_entry("retryable", &fault.code().retryable())?;
            }
        }
        map.end()
    }
}

/// How right the forecasts of one version turned out to be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LiveVersion {
    /// The version.
    pub version: String,
    /// Values whose truth has become known since the server's start.
    pub matured_total: u64,
    /// Those of them that are so far from the forecast, or whose interval is so wide, that no figure is made of them.
    pub off_scale_total: u64,
    /// The newest of the others, which the figures are made of.
    pub values: usize,
    /// Mean absolute error, in the data's units.
    pub mae: Option<f64>,
    /// Root of the mean squared error, in the data's units.
    pub rmse: Option<f64>,
    /// Values that had an interval.
    pub intervals: usize,
    /// The share of those whose interval held the truth.
    pub coverage: Option<f64>,
    /// The share that it should hold, where the version is served.
    pub coverage_wanted: Option<f64>,
    /// Mean width of the intervals, in the data's units.
    pub interval_width: Option<f64>,
    /// Mean interval score, in the data's units.
    pub interval_score: Option<f64>,
    /// 1 − the errors ÷ those of the naive forecast.
    pub skill: Option<f64>,
    /// Forecasts of which some truth is missing.
    pub awaiting: u64,
    /// Forecasts that were forgotten before all of their truth was known.
    pub forgotten_total: u64,
    /// Requests that the version failed, so that there is no forecast to judge.
    pub failed_total: u64,
}

/// A version beside an older one, on the requests that both have forecast.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LiveComparison {
    /// Which is judged.
    pub version: String,
    /// What it is judged against.
    pub against: String,
    /// Requests that both have forecast and whose truth is known, the newest.
    pub requests: usize,
    /// Requests from which there is a verdict.
    pub requests_min: usize,
    /// Mean difference of the absolute errors, below zero where `version` has the smaller ones.
    pub mean_difference: Option<f64>,
    /// The 99 % interval of that mean.
    pub interval: Option<[f64; 2]>,
    /// `better`, `worse`, `no difference yet` or `not enough data`.
    pub verdict: &'static str,
    /// Requests that `version` failed: they are in no difference.
    pub failed_total: u64,
    /// Those that `against` failed.
    pub against_failed_total: u64,
}

/// The live figures of a model as JSON.
#[must_use]
pub fn live_accuracy(
    model: &ModelDescription,
    versions: &[LiveVersion],
    comparisons: &[LiveComparison],
) -> serde_json::Value {
    serde_json::json!({"model": model.name.as_str(), "versions": versions, "comparisons": comparisons})
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Observation, Code> {
        Observation::read(serde_json::from_str(text).unwrap()).map_err(|fault| fault.code())
    }

    #[test]
    fn an_observation_names_a_forecast_and_its_truth() {
        let request = |id: &str, window| ObservedPlace::Request { id: id.to_owned(), window };
        let check = |text: &str, targets, wanted: (ObservedPlace, usize, &[f32])| {
            let found = read(text).unwrap();
            assert_eq!(found.targets, targets);
            assert_eq!((found.place, found.from_step, found.values.as_slice()), wanted, "{text}");
        };
        check(r#"{"request_id": "a", "values": [[1.5], [2]]}"#, 1, (request("a", 0), 1, &[1.5, 2.0]));
        check(r#"{"values": [1, 2], "window": 3, "request_id": "a"}"#, 1, (request("a", 3), 1, &[1.0, 2.0]));
        let step = |step| ObservedPlace::Step { sequence: SequenceId::of_number(7), step };
        let text = r#"{"sequence_id": 7, "sequence_step": 12, "from_step": 2, "values": [[1, 2]]}"#;
        check(text, 2, (step(12), 2, &[1.0, 2.0]));
    }

    #[test]
    fn each_wrong_observation_gets_its_code() {
        let check = |text: &str, wanted: Code| {
            assert_eq!(read(text).map(|_| ()), Err(wanted), "{text}");
        };
        check("7", Code::RequestInvalid);
        let long =
            format!(r#"{{"request_id": "a", "from_step": "{}", "values": [1]}}"#, "x at line 1".repeat(9999));
        let fault = Observation::read(serde_json::from_str(&long).unwrap()).unwrap_err();
        assert!(fault.message().len() < 400 && fault.message().contains("x at line 1x"), "{fault}");
        check(r#"{"request_id": "a"}"#, Code::RequestInvalid);
        check(r#"{"values": [1]}"#, Code::RequestInvalid);
        check(r#"{"request_id": "", "values": [1]}"#, Code::RequestInvalid);
        check(
            r#"{"request_id": "a", "sequence_id": 1, "sequence_step": 1, "values": [1]}"#,
            Code::RequestInvalid,
        );
        check(r#"{"sequence_id": "s", "values": [1]}"#, Code::RequestInvalid);
        check(r#"{"sequence_id": "s", "sequence_step": 0, "values": [1]}"#, Code::RequestInvalid);
        check(r#"{"request_id": "a", "from_step": 0, "values": [1]}"#, Code::RequestInvalid);
        check(r#"{"request_id": "a", "from_step": -1, "values": [1]}"#, Code::RequestInvalid);
        check(r#"{"request_id": "a", "values": []}"#, Code::TensorShape);
        check(r#"{"request_id": "a", "values": [[]]}"#, Code::TensorShape);
        check(r#"{"request_id": "a", "values": 5}"#, Code::TensorShape);
        check(r#"{"request_id": "a", "values": [[1, 2], [3]]}"#, Code::TensorShape);
        check(r#"{"request_id": "a", "values": [null]}"#, Code::TensorData);
        check(r#"{"request_id": "a", "values": [1e300]}"#, Code::TensorNotFinite);
        let long = format!(r#"{{"request_id": "{}", "values": [1]}}"#, "x".repeat(2_000));
        check(&long, Code::RequestInvalid);
    }

    #[test]
    fn the_frame_is_bounded() {
        let check = |text: &str, wanted: Result<usize, Code>| {
            let call = ObservationCall::read(text.as_bytes(), 2);
            assert_eq!(
                call.map(|call| call.observations.len()).map_err(|fault| fault.code()),
                wanted,
                "{text}"
            );
        };
        check(r#"{"observations": [1, {}]}"#, Ok(2));
        check(r#"{"observations": [1, 2, 3]}"#, Err(Code::RequestInvalid));
        check(r#"{"observations": []}"#, Err(Code::RequestInvalid));
        check("{}", Err(Code::RequestInvalid));
        check("", Err(Code::JsonMalformed));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in r#"(\{|\}|\[|\]|"request_id"|"values"|:|,|1|"m"){0,30}"#) {
            let _ = ObservationCall::read(text.as_bytes(), 10);
            if let Ok(raw) = serde_json::from_str::<&RawValue>(&text) {
                let _ = Observation::read(raw);
            }
        }
    }
}
