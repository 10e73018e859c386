//! What a fuzz target does with bytes that came over a wire: everything a gateway would, up to the call to a node. Shared by
//! `cargo fuzz` and by the protocol's tests, which run it on inputs that a seed makes.
//!
//! Beside not panicking, what was decoded must keep what the node relies on (names, shapes and values fit the model), and
//! decoding must hold no more memory than the input's length allows it.

use prost::Message;
use spinwell_core::{Blame, Fault, ModelHash, ModelVersion, NumericProfile, Priority, TraceParent};
use spinwell_protocol::grpc::{self, wire::InferParameter, wire::ModelInferRequest};
use spinwell_protocol::rest::{
    self, BatchCall, BatchedRequest, Framing, Observation, ObservationCall, Observed, ObservedPlace,
};
use spinwell_protocol::{Call, ForecastFacts, ModelDescription, ModelFacts, Task};
use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

/// Bytes that decoding may hold for each byte of the input. The worst honest case is a JSON array of one-digit numbers:
/// two bytes of text become eight in a list, and a list that grows holds its old place beside one twice as large.
const BYTES_HELD_A_BYTE: u64 = 32;
/// Bytes that decoding may hold whatever the input: for messages and lists that are bounded in number.
const BYTES_HELD: u64 = 128 * 1024;
/// Requests of one batch call, and observations of one call.
const REQUESTS_MAX: usize = 64;

/// Models of every task, of one channel and of two.
fn models() -> &'static [ModelDescription] {
    static MODELS: OnceLock<Vec<ModelDescription>> = OnceLock::new();
    MODELS.get_or_init(|| {
        let names = |count: usize| (0..count).map(|c| format!("c{c}")).collect::<Vec<_>>();
        let forecast = |targets: usize, is_spiking| {
            let facts =
                ForecastFacts { horizon: 3, season: 4, targets: names(targets), coverage: 0.95, is_spiking };
            Task::Forecast(facts)
        };
        let tasks = [
            (1, forecast(1, false)),
            (2, forecast(2, true)),
            (1, Task::Classify { labels: vec!["still".into(), "shaking, hard".into()] }),
            (1, Task::Detect { targets: names(1), alpha: 0.001 }),
        ];
        tasks
            .into_iter()
            .map(|(channels, task)| ModelDescription::new(facts(names(channels), task)))
            .collect()
    })
}

fn facts(channels: Vec<String>, task: Task) -> ModelFacts {
    ModelFacts {
        name: "m".parse().expect("a name"),
        version: ModelVersion(1),
        hash: ModelHash([7; 32]),
        family: "linear".into(),
        task,
        channels,
        window_min: 4,
        window_recommended: 8,
        window_max: 1000,
        time_column: None,
        profile: NumericProfile::CpuF32,
        device: "cpu".into(),
        max_batch_size: 16,
        request_rows_max: 4000,
    }
}

/// Runs it and refuses what holds more memory than `bytes` of input may cost.
fn bounded<T>(bytes: usize, run: impl FnOnce() -> T) -> T {
    let mut result = None;
    let held = allocation_counter::measure(|| result = Some(run())).bytes_max;
    let most = BYTES_HELD + BYTES_HELD_A_BYTE * bytes as u64;
    assert!(held <= most, "{held} bytes were held for {bytes} bytes of input, at most {most} may be");
    result.expect("it has run")
}

/// Checks the fault of what was not decoded.
fn refused(fault: &Fault) -> bool {
    assert_eq!(fault.code().blame(), Blame::Client, "{fault}");
    let length = fault.message().len();
    assert!(length < 2048, "a message of {length} bytes repeats its caller");
    false
}

/// Checks what was decoded, or why it was not. Says whether it was.
fn judge(decoded: Result<Call, Fault>, model: &ModelDescription) -> bool {
    let call = match decoded {
        Ok(call) => call,
        Err(fault) => return refused(&fault),
    };
    let (series, parameters) = (&call.series, &call.parameters);
    let least = if parameters.sequence.is_some() { 1 } else { model.window_min };
    assert!((least..=model.window_max).contains(&series.rows()), "{} rows", series.rows());
    assert!((1..=model.max_batch_size).contains(&series.batch()), "{} windows", series.batch());
    assert!(parameters.sequence.is_none() || series.batch() == 1);
    assert!(series.batch() * series.rows() <= model.request_rows_max);
    assert_eq!(series.channels(), model.channels.len());
    assert_eq!(series.samples().len(), series.batch() * series.rows() * series.channels());
    assert_eq!(series.samples().first_not_finite(), None);
    assert!(call.id.len() <= 1024);
    for label in [&parameters.subject, &parameters.purpose].into_iter().flatten() {
        assert!(label.len() <= 128);
    }
    let names: Vec<_> = call.outputs.iter().map(|output| output.name).collect();
    assert!(!names.is_empty() && names.iter().all(|name| model.output(*name).is_some()));
    assert!((1..names.len()).all(|at| !names[..at].contains(&names[at])), "an output stands twice");
    true
}

/// Reads bytes as the JSON body of an inference request, of each model. Says whether one of them could answer it.
pub(crate) fn json_body(bytes: &[u8]) -> bool {
    framed(bytes, Framing::Json)
}

/// Reads a line as the header that says how much of the rest is JSON, and the rest as a body with binary tensors.
pub(crate) fn binary_body(bytes: &[u8]) -> bool {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (header, body) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    match bounded(header.len(), || Framing::from_header(Some(header))) {
        Ok(framing) => framed(body, framing),
        Err(fault) => refused(&fault),
    }
}

fn framed(body: &[u8], framing: Framing) -> bool {
    // Each of them, also after one that could answer.
    let decoded =
        |model: &&ModelDescription| judge(bounded(body.len(), || rest::decode(body, framing, model)), model);
    models().iter().filter(decoded).count() > 0
}

/// Reads bytes as a batch call, each of its requests of each model. Says whether one of them could answer one.
pub(crate) fn batch_call(bytes: &[u8]) -> bool {
    let call = match bounded(bytes.len(), || BatchCall::read(bytes, REQUESTS_MAX)) {
        Ok(call) => call,
        Err(fault) => {
            return refused(&fault);
        }
    };
    assert!((1..=REQUESTS_MAX).contains(&call.requests.len()));
    let mut any = false;
    for raw in &call.requests {
        let id = BatchedRequest::id(raw);
        for model in models() {
            let decoded = bounded(raw.get().len(), || {
                let request = BatchedRequest::read(raw)?;
                let _ = (request.model().len(), request.version());
                request.into_call(Priority::Normal, model)
            });
            assert!(decoded.as_ref().map_or(true, |call| call.id == id), "an id is told in two ways");
            any |= judge(decoded, model);
        }
    }
    any
}

/// Reads bytes as the body of a call with truths for earlier forecasts. Says whether one of them could be counted.
pub(crate) fn observations(bytes: &[u8]) -> bool {
    let call = match bounded(bytes.len(), || ObservationCall::read(bytes, REQUESTS_MAX)) {
        Ok(call) => call,
        Err(fault) => return refused(&fault),
    };
    assert!((1..=REQUESTS_MAX).contains(&call.observations.len()));
    let one = |raw: &&serde_json::value::RawValue| {
        let observation = bounded(raw.get().len(), || Observation::read(raw))?;
        let Observation { place, from_step, targets, values } = observation;
        assert!(from_step > 0 && targets > 0 && !values.is_empty() && values.len() % targets == 0);
        assert!(values.iter().all(|value| value.is_finite()));
        match place {
            ObservedPlace::Request { id, .. } => assert!((1..=1024).contains(&id.len())),
            ObservedPlace::Step { sequence, step } => assert!(step > 0 && !sequence.as_str().is_empty()),
        }
        Ok(Observed { matched: values.len() / targets, repeated: 0 })
    };
    let results: Vec<Result<Observed, Fault>> = call.observations.iter().map(one).collect();
    let any = results.iter().filter(|result| result.as_ref().map_or_else(refused, |_| true)).count() > 0;
    let answer = rest::encode_observed(results);
    let answer: serde_json::Value = serde_json::from_slice(&answer).expect("an answer is JSON");
    assert_eq!(answer["results"].as_array().map(Vec::len), Some(call.observations.len()));
    any
}

/// Reads bytes as the header that names a caller's trace. Says whether it was one.
pub(crate) fn traceparent(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Ok(parent) = text.parse::<TraceParent>() else { return false };
    let written = format!("00-{}-{}-{:02x}", parent.id, parent.span, u8::from(parent.is_sampled));
    assert_eq!(written.parse(), Ok(parent), "{text}");
    assert_eq!(written[3..52], text[3..52], "a name is read as it does not stand there");
    true
}

/// What a message says, for comparison by bits: the entries of its maps in order, because maps are written in any, and the rest
/// as bytes, because NaN is not equal to itself.
pub(crate) fn values(mut message: ModelInferRequest) -> (Vec<BTreeMap<String, Vec<u8>>>, Vec<u8>) {
    let mut maps = Vec::new();
    let mut take = |parameters: &mut HashMap<String, InferParameter>| {
        let parameters = std::mem::take(parameters).into_iter();
        maps.push(parameters.map(|(key, value)| (key, value.encode_to_vec())).collect());
    };
    take(&mut message.parameters);
    message.inputs.iter_mut().for_each(|input| take(&mut input.parameters));
    message.outputs.iter_mut().for_each(|output| take(&mut output.parameters));
    (maps, message.encode_to_vec())
}

/// Reads bytes as the message of an inference request over gRPC. Says whether a model could answer it.
pub(crate) fn grpc_message(bytes: &[u8]) -> bool {
    let message = match bounded(bytes.len(), || grpc::read_request(bytes)) {
        Ok(message) => message,
        Err(fault) => return refused(&fault),
    };
    let again =
        ModelInferRequest::decode(&message.encode_to_vec()[..]).expect("what was read can be read again");
    assert!(values(again) == values(message.clone()), "writing and reading change values");
    let mut any = false;
    for model in models() {
        let message = message.clone();
        any |= judge(bounded(bytes.len(), || grpc::decode(message, model)), model);
    }
    any
}
