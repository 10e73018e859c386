//! An outcome as spans: one for the request, and beneath it one for each stage that was reached.
//!
//! An outcome holds how long each stage took and not when it began, so the stages are laid out in their order: decoding
//! starts with the request, waiting and computing follow, encoding ends with the request. What is left between computing
//! and encoding is the way back through the process.

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use spinwell_core::{
    BatchCall, BatchCallPhase, Code, Micros, Outcome, Protocol, ResultClass, Trace, UnixMicros,
};
use spinwell_protocol::status;
use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Spans of an outcome at most.
pub(super) const SPANS_MAX: usize = 5;

/// The service that both gRPC methods belong to.
const GRPC_SERVICE: &str = "inference.GRPCInferenceService";

/// What a request of a batch call is called in a list of spans.
const BATCHED: &str = "request";

/// A stage of a request.
struct Stage {
    name: &'static str,
    start: UnixMicros,
    span: Micros,
}

/// The spans of a request that ended at `ended`; none where it has no place in a trace.
pub(super) fn of(outcome: &Outcome, ended: UnixMicros, scope: &InstrumentationScope) -> Vec<SpanData> {
    let Some(trace) = outcome.trace else { return Vec::new() };
    let start = ended.before(outcome.timings.total);
    let request = SpanData {
        span_context: context(trace, SpanId::from_bytes(trace.span.0)),
        parent_span_id: trace.parent.map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.0)),
        parent_span_is_remote: trace.parent.is_some() && outcome.batch_call.is_none(),
        span_kind: if outcome.batch_call.is_some() { SpanKind::Internal } else { SpanKind::Server },
        name: Cow::Borrowed(if outcome.batch_call.is_some() { BATCHED } else { name(outcome.protocol) }),
        start_time: time(start),
        end_time: time(ended),
        attributes: attributes(outcome),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: status_of(outcome),
        instrumentation_scope: scope.clone(),
    };
    let own = u64::from_be_bytes(trace.span.0);
    let stages = stages(outcome, start, ended).into_iter().zip(1..);
    let children = stages.map(|(stage, number): (Stage, u64)| SpanData {
        // The request's span is random, so its neighbours are as good as random.
        span_context: context(trace, SpanId::from_bytes(own.wrapping_add(number).max(1).to_be_bytes())),
        parent_span_id: request.span_context.span_id(),
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: Cow::Borrowed(stage.name),
        start_time: time(stage.start),
        end_time: time(stage.start.after(stage.span).min(ended)),
        attributes: Vec::new(),
        status: Status::Unset,
        ..request.clone()
    });
    let children: Vec<_> = children.collect();
    std::iter::once(request).chain(children).collect()
}

/// The span of a batch call that is over, under which those of its requests lie; none where it has no place in a trace.
pub(super) fn of_batch_call(
    call: &BatchCall,
    ended: UnixMicros,
    scope: &InstrumentationScope,
) -> Option<SpanData> {
    let trace = call.trace?;
    let BatchCallPhase::Completed { answered, failed, cancelled } = call.phase else { return None };
    let mut attributes = vec![
        KeyValue::new("http.request.method", "POST"),
        KeyValue::new("spinwell.protocol", Protocol::HttpBatch.as_str()),
        KeyValue::new("spinwell.batch_call_id", call.id.0.clone()),
        KeyValue::new("spinwell.batch_call.requests", whole(call.requests)),
        KeyValue::new("spinwell.batch_call.answered", whole(answered)),
        KeyValue::new("spinwell.batch_call.failed", whole(failed)),
    ];
    if let Some(plan) = &call.plan {
        attributes.push(KeyValue::new("spinwell.batch_call.strategy_used", plan.strategy_used.clone()));
        let estimate = plan.estimated_completion_time.map(|time| time.0 as f64 / 1e3);
        let key = "spinwell.batch_call.estimated_completion_time_ms";
        attributes.extend(estimate.map(|estimate| KeyValue::new(key, estimate)));
    }
    attributes.push(match cancelled {
        0 => KeyValue::new("http.response.status_code", 200_i64),
        _ => KeyValue::new("error.type", "cancelled"),
    });
    Some(SpanData {
        span_context: context(trace, SpanId::from_bytes(trace.span.0)),
        parent_span_id: trace.parent.map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.0)),
        parent_span_is_remote: trace.parent.is_some(),
        span_kind: SpanKind::Server,
        name: Cow::Borrowed(name(Protocol::HttpBatch)),
        start_time: time(ended.before(call.total)),
        end_time: time(ended),
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: scope.clone(),
    })
}

fn stages(outcome: &Outcome, start: UnixMicros, ended: UnixMicros) -> Vec<Stage> {
    let timings = &outcome.timings;
    let waiting = start.after(timings.decode).min(ended);
    let computing = waiting.after(timings.queue).min(ended);
    let encoding = ended.before(timings.encode).max(start);
    let was_decoded = outcome.windows > 0;
    let was_run = outcome.batch.is_some();
    let was_answered = outcome.result == ResultClass::Answered;
    let all = [
        (was_decoded, Stage { name: "decode", start, span: timings.decode }),
        (was_run, Stage { name: "queue", start: waiting, span: timings.queue }),
        (was_run, Stage { name: "compute", start: computing, span: timings.compute }),
        (was_answered, Stage { name: "encode", start: encoding, span: timings.encode }),
    ];
    all.into_iter().filter_map(|(was_reached, stage)| was_reached.then_some(stage)).collect()
}

/// What requests of this protocol are called in a list of spans.
const fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::HttpJson | Protocol::HttpBinary => "POST /v2/models/{model}/infer",
        Protocol::HttpBatch => "POST /v1/predictions",
        Protocol::Grpc => "inference.GRPCInferenceService/ModelInfer",
        Protocol::GrpcStream => "inference.GRPCInferenceService/ModelStreamInfer",
    }
}

/// The attributes of the request's span: OpenTelemetry's names where there are any, ours for the rest.
fn attributes(outcome: &Outcome) -> Vec<KeyValue> {
    let mut all = Vec::with_capacity(16);
    let mut add = |key: &'static str, value: opentelemetry::Value| all.push(KeyValue::new(key, value));
    let failed = match outcome.result {
        ResultClass::Failed(code) => Some(code),
        ResultClass::Answered | ResultClass::Cancelled => None,
    };
    let is_over = outcome.result != ResultClass::Cancelled;
    match outcome.protocol {
        // The call has the span that HTTP knows of.
        Protocol::HttpBatch if outcome.batch_call.is_some() => {}
        Protocol::HttpJson | Protocol::HttpBinary | Protocol::HttpBatch => {
            add("http.request.method", "POST".into());
            if is_over && let Some(status) = http_status(failed) {
                add("http.response.status_code", i64::from(status).into());
            }
        }
        Protocol::Grpc | Protocol::GrpcStream => {
            let is_stream = outcome.protocol == Protocol::GrpcStream;
            add("rpc.system", "grpc".into());
            add("rpc.service", GRPC_SERVICE.into());
            add("rpc.method", if is_stream { "ModelStreamInfer" } else { "ModelInfer" }.into());
            if is_over {
                let status = failed.map_or(tonic::Code::Ok, status::grpc);
                add("rpc.grpc.status_code", i64::from(i32::from(status)).into());
            }
        }
    }
    match outcome.result {
        ResultClass::Answered => {}
        ResultClass::Failed(code) => add("error.type", code.as_str().into()),
        ResultClass::Cancelled => add("error.type", "cancelled".into()),
    }
    add("spinwell.protocol", outcome.protocol.as_str().into());
    add("spinwell.windows", whole(outcome.windows));
    if !outcome.request_id.is_empty() {
        add("spinwell.request_id", outcome.request_id.clone().into());
    }
    if let Some(call) = &outcome.batch_call {
        add("spinwell.batch_call_id", call.0.clone().into());
    }
    if let Some(model) = &outcome.model {
        add("spinwell.model.name", model.to_string().into());
    }
    if let Some(version) = outcome.version {
        add("spinwell.model.version", i64::from(version.0).into());
    }
    if let Some(hash) = outcome.model_hash {
        add("spinwell.model.hash", hash.to_string().into());
    }
    if let Some(profile) = outcome.profile {
        add("spinwell.profile", profile.as_str().into());
    }
    if let Some(node) = &outcome.node {
        add("spinwell.node", node.0.clone().into());
    }
    if let Some(batch) = outcome.batch {
        add("spinwell.batch.windows", whole(batch.windows));
    }
    all
}

/// The status that the caller saw, where the outcome says enough: of what is not offered, it depends on the reason.
fn http_status(failed: Option<Code>) -> Option<u16> {
    match failed {
        Some(Code::NotOffered) => None,
        failed => Some(failed.map_or(200, status::http)),
    }
}

/// As the conventions for servers have it, a request that its caller got wrong is no error of the server's.
fn status_of(outcome: &Outcome) -> Status {
    match outcome.result {
        ResultClass::Failed(code) if status::http(code) >= 500 => Status::error(code.as_str()),
        _ => Status::Unset,
    }
}

fn context(trace: Trace, span: SpanId) -> SpanContext {
    let flags = if trace.is_sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    SpanContext::new(TraceId::from_bytes(trace.id.0), span, flags, false, TraceState::default())
}

fn time(moment: UnixMicros) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(moment.0)
}

fn whole(count: usize) -> opentelemetry::Value {
    i64::try_from(count).unwrap_or(i64::MAX).into()
}
