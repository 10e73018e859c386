//! The batch call: many requests in one body, each with an answer of its own.
//!
//! The body is read in two steps. First the frame, whose faults are the caller's of the whole call; then each request by
//! itself, so that what is wrong with one is told in its place and costs the others nothing.

use super::body::{bounded, bounded_by, read_entry, read_frame};
use super::encode::AnswerParameters;
use super::numbers::{Numbers, NumbersSeed};
use crate::call::checked_id;
use crate::parameters::{LABEL_BYTES_MAX, label_fault, step};
use crate::sequence::{self, Feeds, Gathered};
use crate::tensor::{self, Datatype, INPUT_NAME, Shape};
use crate::{Call, InferReply, ModelDescription, Outputs, Packing, ParameterValue, RequestParameters};
use crate::{Values, status};
use serde::de::{self, DeserializeSeed, Deserializer, Unexpected, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use spinwell_core::{BatchPart, BatchPlan, Code, Fault, Micros, Priority};
use std::borrow::Cow;
use std::fmt;

/// Requests of one call, whatever the server's limit: a list of nothing is a cheap way to ask for memory.
const REQUESTS_MAX: usize = 1 << 16;

/// What callers write in a request and where it belongs, or what stands in its place.
const ELSEWHERE: [(&str, &str); 4] = [
    ("priority", "it stands beside requests, for all of them"),
    ("parameters", "what would stand in it, such as sequence_id, is a field of the request itself"),
    ("timeout", "send deadline_ms, in milliseconds"),
    ("inputs", "send series, rows of channels"),
];

/// How urgent the requests of a batch call are, in words. By hand: the reader of JSON calls a value that is no word for an
/// enum a fault of the syntax.
fn priority<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Priority, D::Error> {
    struct Word;

    impl Visitor<'_> for Word {
        type Value = Priority;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("the priority \"critical\", \"high\", \"normal\" or \"low\"")
        }

        fn visit_str<E: de::Error>(self, word: &str) -> Result<Priority, E> {
            match word {
                "critical" => Ok(Priority::Critical),
                "high" => Ok(Priority::High),
                "normal" => Ok(Priority::Normal),
                "low" => Ok(Priority::Low),
                _ => Err(E::invalid_value(Unexpected::Str(word), &self)),
            }
        }
    }

    deserializer.deserialize_any(Word)
}

/// A batch call whose requests have not been looked at yet.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
pub struct BatchCall<'b> {
    /// How urgent its requests are.
    #[serde(default, deserialize_with = "priority")]
    pub priority: Priority,
    /// Its requests, as they stand in the body.
    #[serde(borrow, deserialize_with = "bounded_by::<REQUESTS_MAX, _, _>")]
    pub requests: Vec<&'b RawValue>,
}

impl<'b> BatchCall<'b> {
    /// Reads the frame of a batch call.
    ///
    /// # Errors
    /// Where the body is no batch call, or has no request or more than `requests_max`.
    pub fn read(body: &'b [u8], requests_max: usize) -> Result<Self, Fault> {
        read_frame(body, "requests", requests_max, |call: &Self| call.requests.len())
    }
}

/// One request of a batch call, before its model is known.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
struct Body<'b> {
    #[serde(borrow, default)]
    id: Cow<'b, str>,
    #[serde(borrow)]
    model: Cow<'b, str>,
    #[serde(borrow, default)]
    version: Option<NumberOrText<'b>>,
    series: Series,
    #[serde(borrow, default)]
    sequence_id: Option<NumberOrText<'b>>,
    #[serde(default)]
    sequence_start: bool,
    #[serde(default)]
    sequence_end: bool,
    #[serde(default)]
    sequence_step: Option<u64>,
    #[serde(default)]
    deadline_ms: Option<u64>,
    #[serde(borrow, default, deserialize_with = "bounded")]
    outputs: Vec<Cow<'b, str>>,
    #[serde(borrow, default)]
    subject: Option<Cow<'b, str>>,
    #[serde(borrow, default)]
    purpose: Option<Cow<'b, str>>,
}

/// A version or a sequence's id, as a number or as text.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a whole number from 0 or a string")]
pub(super) enum NumberOrText<'b> {
    Number(u64),
    Text(#[serde(borrow)] Cow<'b, str>),
}

/// The rows of a series, in 64 bits.
struct Series(Numbers);

impl<'de> Deserialize<'de> for Series {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        NumbersSeed(Some(Datatype::Fp64)).deserialize(deserializer).map(Self)
    }
}

/// The id alone, of a request that may be wrong in everything else.
#[derive(Deserialize)]
struct Id<'b> {
    #[serde(borrow, default)]
    id: Cow<'b, str>,
}

/// One request of a batch call.
pub struct BatchedRequest<'b>(Body<'b>);

impl<'b> BatchedRequest<'b> {
    /// The caller's id of a request, empty where it has none that can be read.
    #[must_use]
    pub fn id(raw: &RawValue) -> String {
        let id = serde_json::from_str::<Id<'_>>(raw.get()).ok();
        id.and_then(|id| checked_id(&id.id).ok()).unwrap_or_default()
    }

    /// Reads a request.
    ///
    /// # Errors
    /// [`Code::RequestInvalid`] where it is none.
    pub fn read(raw: &'b RawValue) -> Result<Self, Fault> {
        read_entry(raw, |why| {
            let known =
                ELSEWHERE.iter().find(|(field, _)| why.starts_with(&format!("unknown field `{field}`")));
            known.map_or_else(
                || format!("this is no request of a batch call: {why}"),
                |(field, place)| format!("a request of a batch call has no field {field}: {place}"),
            )
        })
        .map(Self)
    }

    /// The model that it asks for.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.0.model
    }

    /// The version that it asks for, where it names one.
    #[must_use]
    pub fn version(&self) -> Option<String> {
        self.0.version.as_ref().map(|version| match version {
            NumberOrText::Number(number) => number.to_string(),
            NumberOrText::Text(text) => text.clone().into_owned(),
        })
    }

    /// Checks it against its model.
    ///
    /// # Errors
    /// A fault that says what would have been right.
    pub fn into_call(self, priority: Priority, model: &ModelDescription) -> Result<Call, Fault> {
        let body = self.0;
        let id = match &body.sequence_id {
            Some(NumberOrText::Number(number)) => sequence::id(&ParameterValue::Whole(*number))?,
            Some(NumberOrText::Text(text)) => sequence::id(&ParameterValue::Text(text.clone().into_owned()))?,
            None => None,
        };
        let (starts, ends) = (body.sequence_start, body.sequence_end);
        let step = body.sequence_step.map(|number| step(&ParameterValue::Whole(number))).transpose()?;
        let sequence = Gathered { id, starts, ends, step }.call()?;
        let feeds = Feeds::of(sequence.as_ref(), model)?;
        let label = |key: &str, text: Option<Cow<'_, str>>| match text {
            Some(text) if text.len() > LABEL_BYTES_MAX => Err(label_fault(key, &text)),
            text => Ok(text.map(Cow::into_owned)),
        };
        let names = body.outputs.iter().map(|name| (name.as_ref(), None));
        let parameters = RequestParameters {
            priority,
            timeout: deadline(body.deadline_ms)?,
            subject: label("subject", body.subject)?,
            purpose: label("purpose", body.purpose)?,
            sequence,
            ..RequestParameters::default()
        };
        Ok(Call {
            id: checked_id(&body.id)?,
            series: series(body.series.0, model, feeds)?,
            outputs: Outputs::requested(names, Packing::Json, model)?,
            parameters,
        })
    }
}

fn deadline(ms: Option<u64>) -> Result<Option<Micros>, Fault> {
    match ms {
        Some(0) => Err(Fault::new(Code::RequestInvalid, "deadline_ms is 0; leave it out or allow some time")),
        ms => Ok(ms.map(|ms| Micros(ms.saturating_mul(1000)))),
    }
}

/// One window, rows of channels; of one channel it may be flat.
fn series(
    mut numbers: Numbers,
    model: &ModelDescription,
    feeds: Feeds,
) -> Result<spinwell_core::Series, Fault> {
    tensor::check_numbers(&numbers)?;
    let (rows, channels) = match numbers.extents[..] {
        [rows] if model.channels.len() == 1 || rows == 0 => (rows, model.channels.len()),
        [rows, channels] => (rows, channels),
        _ => {
            let message = format!(
                "{INPUT_NAME} is nested {} deep; send rows of {} values, [[..],..]",
                numbers.extents.len(),
                model.channels.len()
            );
            return Err(Fault::new(Code::TensorShape, message));
        }
    };
    let extent = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
    let shape = Shape::checked(&[1, extent(rows), extent(channels)], model, feeds)?;
    numbers.extents = vec![rows * channels];
    tensor::from_numbers(shape, Datatype::Fp64, numbers)
}

/// What became of one request.
pub struct BatchedAnswer {
    /// The caller's id.
    pub id: String,
    /// The answer with the outputs asked for, or why there is none.
    pub result: Result<(Outputs, InferReply), Fault>,
}

/// Encodes the answers to a batch call, in order, and how it was divided over nodes.
#[must_use]
pub fn encode_answers(batch_id: &str, plan: Option<&BatchPlan>, answers: &[BatchedAnswer]) -> Vec<u8> {
    let document = Answers { batch_id, plan: plan.map(Planned::of), results: answers };
    // Writing plain structs to memory cannot fail; an empty body would be noticed by every client.
    serde_json::to_vec(&document).unwrap_or_default()
}

#[derive(Serialize)]
struct Answers<'a> {
    batch_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Planned<'a>>,
    results: &'a [BatchedAnswer],
}

#[derive(Serialize)]
struct Planned<'a> {
    strategy_used: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_completion_time_ms: Option<f64>,
    parts: Vec<PlannedPart<'a>>,
}

#[derive(Serialize)]
struct PlannedPart<'a> {
    node: &'a str,
    requests: usize,
}

impl<'a> Planned<'a> {
    fn of(plan: &'a BatchPlan) -> Self {
        let part = |part: &'a BatchPart| PlannedPart { node: &part.node.0, requests: part.requests };
        Self {
            strategy_used: &plan.strategy_used,
            estimated_completion_time_ms: plan.estimated_completion_time.map(|time| time.0 as f64 / 1e3),
            parts: plan.parts.iter().map(part).collect(),
        }
    }
}

impl Serialize for BatchedAnswer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        match &self.result {
            Ok((outputs, reply)) => {
                map.serialize_entry("status", &200)?;
                map.serialize_entry("model", reply.model.name.as_str())?;
                map.serialize_entry("version", reply.model.version_text())?;
                for answered in reply.answered(outputs) {
                    let nested = Nested { values: answered.values, first: 0, extents: answered.extents };
                    map.serialize_entry(answered.name.as_str(), &nested)?;
                }
                map.serialize_entry("parameters", &AnswerParameters::of(reply))?;
            }
            Err(fault) => {
                map.serialize_entry("status", &status::http(fault.code()))?;
                map.serialize_entry("error", fault.message())?;
                map.serialize_entry("code", fault.code().as_str())?;
                map.serialize_entry("retryable", &fault.code().retryable())?;
                if let Some(ms) = fault.retry_after_hint() {
                    map.serialize_entry("retry_after_ms", &ms.0)?;
                }
                if let Some(step) = fault.expected_step_hint() {
                    map.serialize_entry("expected_step", &step)?;
                }
            }
        }
        map.end()
    }
}

/// Values of one window, nested by their shape; a single value where there is none.
struct Nested<'v> {
    values: &'v Values,
    /// Where these begin.
    first: usize,
    extents: &'v [usize],
}

impl Serialize for Nested<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some((&length, inner)) = self.extents.split_first() else {
            return match self.values {
                Values::Bool(values) => values[self.first].serialize(serializer),
                Values::Int8(values) => values[self.first].serialize(serializer),
                Values::Fp32(values) => values[self.first].serialize(serializer),
                Values::Text(texts) => texts[self.first].serialize(serializer),
            };
        };
        let each: usize = inner.iter().product();
        let mut array = serializer.serialize_seq(Some(length))?;
        for index in 0..length {
            let first = self.first + index * each;
            array.serialize_element(&Nested { values: self.values, first, extents: inner })?;
        }
        array.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::tests::model;
    use crate::rest::{asked, reply};
    use proptest::prelude::*;
    use spinwell_core::{Millis, NodeId, Samples};

    fn call(text: &str, channels: usize) -> Result<Call, Code> {
        let raw: &RawValue = serde_json::from_str(text).unwrap();
        let request = BatchedRequest::read(raw).map_err(|fault| fault.code())?;
        request.into_call(Priority::High, &model("m", 1, channels)).map_err(|fault| fault.code())
    }

    #[test]
    fn the_frame_is_read_before_any_request() {
        let check = |text: &str, wanted: Result<(Priority, usize), Code>| {
            let call = BatchCall::read(text.as_bytes(), 3);
            let got = call.map(|call| (call.priority, call.requests.len())).map_err(|fault| fault.code());
            assert_eq!(got, wanted, "{text}");
        };
        check(r#"{"requests": [1, {}, "x"]}"#, Ok((Priority::Normal, 3)));
        check(r#"{"priority": "critical", "requests": [{}]}"#, Ok((Priority::Critical, 1)));
        check(r#"{"priority": "critical", "requests": [{}], "other": 1}"#, Err(Code::RequestInvalid));
        check(r#"["critical", [{}]]"#, Err(Code::RequestInvalid));
        check(r#"{"requests": [1, 2, 3, 4]}"#, Err(Code::RequestInvalid));
        check(r#"{"requests": []}"#, Err(Code::RequestInvalid));
        check(r#"{"priority": "urgent", "requests": [1]}"#, Err(Code::RequestInvalid));
        check("{}", Err(Code::RequestInvalid));
        check("[]", Err(Code::RequestInvalid));
        check(&format!(r#"{{"requests": [{}1]}}"#, "1,".repeat(REQUESTS_MAX)), Err(Code::RequestInvalid));
        check(r#"{"requests": [NaN]}"#, Err(Code::JsonMalformed));
        check("", Err(Code::JsonMalformed));
    }

    #[test]
    fn a_priority_that_is_no_word_is_told_the_words() {
        for priority in ["1", "true", "null", "[\"high\"]", "{}", "1.5", "\"urgent\"", "\"High\""] {
            let text = format!(r#"{{"requests": [{{}}], "priority": {priority}}}"#);
            let Err(fault) = BatchCall::read(text.as_bytes(), 3) else { panic!("{text}") };
            assert_eq!(fault.code(), Code::RequestInvalid, "{fault}");
            let words = "\"critical\", \"high\", \"normal\" or \"low\"";
            assert!(fault.message().contains(words), "{fault}");
        }
    }

    #[test]
    fn a_field_that_nobody_reads_is_refused_and_told_its_place() {
        let message = |text: &str| {
            let fault = BatchedRequest::read(serde_json::from_str(text).unwrap()).err().unwrap();
            assert_eq!(fault.code(), Code::RequestInvalid);
            fault.message().to_owned()
        };
        let with = |field: &str| message(&format!(r#"{{"model": "m", "series": [1, 2, 3, 4], {field}}}"#));
        let wanted =
            "a request of a batch call has no field priority: it stands beside requests, for all of them";
        assert_eq!(with(r#""priority": "high""#), wanted);
        assert!(
            with(r#""parameters": {"sequence_id": 7}"#)
                .contains("sequence_id, is a field of the request itself")
        );
        assert!(with(r#""timeout": 7"#).contains("deadline_ms"));
        assert!(with(r#""serie": 7"#).contains("unknown field `serie`, expected one of `id`, `model`"));
        assert!(with(r#""version": 1.5"#).ends_with("expected a whole number from 0 or a string"));
        assert!(message("7").ends_with("send a JSON object"));
        assert!(
            message(r#"["a", "m", 1, [1, 2, 3, 4], 0, false, false, 0, 5, [], "", ""]"#)
                .ends_with("send a JSON object")
        );
    }

    #[test]
    fn a_request_becomes_a_call_of_one_window() {
        let text = r#"{"id": "a", "model": "m", "version": 1, "series": [[1], [2], [3], [4.5]],
            "deadline_ms": 20, "outputs": ["lower"], "subject": "s"}"#;
        let found = call(text, 1).unwrap();
        assert_eq!(found.series.samples(), &Samples::F64(vec![1.0, 2.0, 3.0, 4.5]));
        assert_eq!((found.series.batch(), found.series.rows()), (1, 4));
        assert_eq!((found.id.as_str(), found.parameters.priority), ("a", Priority::High));
        assert_eq!(found.parameters.timeout, Some(Micros(20_000)));
        assert_eq!(found.parameters.subject.as_deref(), Some("s"));
        assert_eq!(found.outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>(), ["lower"]);
        let flat = call(r#"{"model": "m", "series": [1, 2, 3, 4]}"#, 1).unwrap();
        assert_eq!(flat.series.rows(), 4);
        let two = call(r#"{"model": "m", "series": [[1, 2], [3, 4], [5, 6], [7, 8]]}"#, 2).unwrap();
        assert_eq!((two.series.rows(), two.series.channels()), (4, 2));
    }

    #[test]
    fn each_wrong_request_gets_its_code() {
        let check = |fields: &str, channels: usize, wanted: Code| {
            let text = format!(r#"{{"model": "m", {fields}}}"#);
            assert_eq!(call(&text, channels).map(|_| ()), Err(wanted), "{text}");
        };
        assert_eq!(call("7", 1).map(|_| ()), Err(Code::RequestInvalid));
        assert_eq!(call("{\"model\": 1, \"series\": []}", 1).map(|_| ()), Err(Code::RequestInvalid));
        check(r#""id": "a""#, 1, Code::RequestInvalid);
        check(r#""series": "x""#, 1, Code::TensorData);
        check(r#""series": [1, null, 3, 4]"#, 1, Code::TensorData);
        check(r#""series": [[1], [2, 3]]"#, 1, Code::TensorShape);
        check(r#""series": [[[1]], [[2]]]"#, 1, Code::TensorShape);
        check(r#""series": [1, 2, 3, 4]"#, 2, Code::TensorShape);
        check(r#""series": [[1, 2], [3, 4]]"#, 1, Code::TensorShape);
        check(r#""series": [1, 2]"#, 1, Code::WindowTooShort);
        check(r#""series": []"#, 1, Code::TensorEmpty);
        check(r#""series": [1, 2, 3, 4], "outputs": ["x"]"#, 1, Code::OutputUnknown);
        check(r#""series": [1, 2, 3, 4], "sequence_start": true"#, 1, Code::RequestInvalid);
        check(r#""series": [1, 2, 3, 4], "deadline_ms": 0"#, 1, Code::RequestInvalid);
        check(r#""series": [1, 2, 3, 4], "deadline_ms": -1"#, 1, Code::RequestInvalid);
        check(
            &format!(r#""series": [1, 2, 3, 4], "purpose": "{}""#, "x".repeat(129)),
            1,
            Code::RequestInvalid,
        );
    }

    #[test]
    fn an_id_is_found_in_a_request_that_is_wrong_otherwise() {
        let id = |text: &str| BatchedRequest::id(serde_json::from_str(text).unwrap());
        assert_eq!(id(r#"{"series": "x", "id": "a\u0062"}"#), "ab");
        assert_eq!(id(r#"{"id": 7}"#), "");
        assert_eq!(id("[]"), "");
        assert_eq!(id(&format!(r#"{{"id": "{}"}}"#, "x".repeat(5000))), "");
    }

    #[test]
    fn answers_stand_in_order_each_with_its_status() {
        let reply = reply();
        let outputs = asked(&[("forecast", None), ("direction", None)], &reply);
        let full = Fault::new(Code::QueueFull, "the queue is full").retry_after(Millis(100));
        let answers = [
            BatchedAnswer { id: "a".into(), result: Err(full) },
            BatchedAnswer { id: String::new(), result: Ok((outputs, reply)) },
        ];
        let encoded = |plan: Option<&BatchPlan>| -> serde_json::Value {
            serde_json::from_slice(&encode_answers("b1", plan, &answers)).unwrap()
        };
        let document = encoded(None);
        let wanted = serde_json::json!({"batch_id": "b1", "results": [
            {"id": "a", "status": 503, "error": "the queue is full", "code": "SPW-QUEUE-FULL", "retryable": true,
                "retry_after_ms": 100},
            {"id": "", "status": 200, "model": "taxi", "version": "2", "forecast": [[1.0], [2.0], [3.0]],
                "direction": [[-1], [0], [1]],
                "parameters": {"model_hash": "07".repeat(32), "profile": "cpu-f32", "node": "n1"}}]});
        assert_eq!(document, wanted);
        let part = |node: &str, requests| BatchPart { node: NodeId(node.into()), requests };
        let mut plan = BatchPlan {
            strategy_used: "predictive".to_owned(),
            estimated_completion_time: Some(Micros(12_500)),
            parts: vec![part("n1", 1), part("n2", 3)],
        };
        let mut planned = serde_json::json!({"strategy_used": "predictive", "estimated_completion_time_ms": 12.5,
            "parts": [{"node": "n1", "requests": 1}, {"node": "n2", "requests": 3}]});
        assert_eq!(encoded(Some(&plan))["plan"], planned);
        plan.estimated_completion_time = None;
        planned.as_object_mut().unwrap().remove("estimated_completion_time_ms");
        assert_eq!(encoded(Some(&plan))["plan"], planned);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,80}", json in r#"(\{|\}|\[|\]|"id"|"series"|:|,|1|"m"){0,30}"#) {
            for text in [text, json] {
                if let Ok(call) = BatchCall::read(text.as_bytes(), 10) {
                    for raw in call.requests {
                        let _ = BatchedRequest::id(raw);
                        let _ = BatchedRequest::read(raw);
                    }
                }
                if let Ok(raw) = serde_json::from_str::<&RawValue>(&text) {
                    let _ = BatchedRequest::read(raw);
                }
            }
        }
    }
}
