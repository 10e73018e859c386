//! Readers behind queues: nothing waits for them, and nothing is lost without being counted.

use super::lane::{Delivery, Kind, SlowReader, Spec, Takes, When};
use super::*;
use crate::example::{catalogue, outcome};
use crate::metrics::ReaderCounts;
use opentelemetry::InstrumentationScope;
use opentelemetry::Value;
use opentelemetry::trace::{SpanKind, Status};
use opentelemetry_sdk::trace::SpanData;
use spinwell_core::{
    BatchCallId, BatchCallPhase, BatchPart, BatchPlan, BatchShare, Micros, ModelHash, NumericProfile,
    ResultClass, SequenceId, SequenceStep, SpanId, Timings, Trace, TraceId,
};
use spinwell_runtime::options::AccessLog;
use std::sync::mpsc::{Receiver, Sender, channel};

/// A reader that reads only when it is let.
struct Held {
    let_go: Receiver<()>,
    told: Sender<(u64, u64)>,
    read: u64,
    lost: u64,
}

impl SlowReader for Held {
    fn read(&mut self, _: &Record) {
        // Nobody who could let it go means that it may go.
        let _ = self.let_go.recv();
        self.read += 1;
    }

    fn lost(&mut self, records: u64) {
        self.lost += records;
    }

    fn deliver(&mut self, when: When) -> Delivery {
        let read = std::mem::take(&mut self.read);
        if read > 0 || when == When::Last {
            self.told.send((read, std::mem::take(&mut self.lost))).unwrap();
        }
        Delivery { delivered: read, failed: 0 }
    }
}

#[test]
fn a_full_queue_drops_counts_and_tells_and_a_stop_delivers_the_rest() {
    let (let_go, held) = channel();
    let (told, tells) = channel();
    let counts = ReaderCounts::default();
    let reader = Held { let_go: held, told, read: 0, lost: 0 };
    let spec = Spec { name: "held", length: 4, takes: Takes::Sampled };
    let (lane, worker) = lane::start(&spec, counts.clone(), reader).unwrap();
    assert!(lane.takes(Kind::Sampled) && !lane.takes(Kind::Other));
    lane.skip();
    let record =
        Arc::new(Record { at: UnixMicros(0), event: Event::Request(outcome(ResultClass::Answered)) });
    for _ in 0..100 {
        lane.send(record.clone());
    }
    // The reader has at most one in its hand, four wait, the others found no room; and nobody waited.
    let dropped = counts.dropped.get();
    assert!((95..=96).contains(&dropped), "{dropped}");
    drop(let_go);
    worker.ask_to_stop().wait();
    let (read, lost) = tells.iter().fold((0, 0), |all, told| (all.0 + told.0, all.1 + told.1));
    assert_eq!((read, lost), (100 - dropped, dropped));
    assert_eq!((counts.delivered.get(), counts.skipped.get(), counts.waiting.get()), (read, 1, 0));
    lane.send(record);
    assert_eq!(counts.dropped.get(), dropped + 1, "after its end everything is dropped");
}

fn traced(result: ResultClass) -> Outcome {
    let mut outcome = outcome(result);
    outcome.request_id = "mine \"é\"".to_owned();
    outcome.model_hash = Some(ModelHash([0xab; 32]));
    outcome.profile = Some(NumericProfile::CpuF32);
    outcome.node = Some(NodeId("here".into()));
    outcome.batch = Some(BatchShare { windows: 5, counts: true });
    outcome.timings = Timings {
        total: Micros(1000),
        decode: Micros(100),
        queue: Micros(200),
        compute: Micros(300),
        encode: Micros(50),
    };
    outcome.trace = Some(Trace {
        id: TraceId([1; 16]),
        span: SpanId([2; 8]),
        parent: Some(SpanId([3; 8])),
        is_sampled: true,
    });
    outcome
}

/// How a batch call was divided.
fn plan() -> Arc<BatchPlan> {
    Arc::new(BatchPlan {
        strategy_used: "predictive".to_owned(),
        estimated_completion_time: Some(Micros(12_500)),
        parts: vec![BatchPart { node: NodeId("here".into()), requests: 3 }],
    })
}

const ENDED: UnixMicros = UnixMicros(1_700_000_000_000_000);

fn spans(outcome: &Outcome) -> Vec<SpanData> {
    spans::of(outcome, ENDED, &InstrumentationScope::builder("test").build())
}

fn attribute(span: &SpanData, key: &str) -> Option<Value> {
    span.attributes.iter().find(|attribute| attribute.key.as_str() == key).map(|found| found.value.clone())
}

#[test]
fn an_answer_has_a_span_for_each_stage_in_its_place() {
    let spans = spans(&traced(ResultClass::Answered));
    let start = spans[0].start_time;
    let micros = |time: std::time::SystemTime| time.duration_since(start).unwrap().as_micros();
    let laid: Vec<_> = spans
        .iter()
        .map(|span| (span.name.as_ref(), micros(span.start_time), micros(span.end_time)))
        .collect();
    assert_eq!(
        laid,
        [
            ("inference.GRPCInferenceService/ModelInfer", 0, 1000),
            ("decode", 0, 100),
            ("queue", 100, 300),
            ("compute", 300, 600),
            ("encode", 950, 1000),
        ]
    );
    let request = &spans[0];
    assert_eq!(request.span_kind, SpanKind::Server);
    assert_eq!(request.span_context.trace_id().to_bytes(), [1; 16]);
    assert_eq!(
        (request.span_context.span_id().to_bytes(), request.parent_span_id.to_bytes()),
        ([2; 8], [3; 8])
    );
    for child in &spans[1..] {
        assert_eq!(child.parent_span_id.to_bytes(), [2; 8]);
        assert_eq!(child.span_context.trace_id(), request.span_context.trace_id());
    }
    for (key, value) in [
        ("rpc.system", Value::from("grpc")),
        ("rpc.grpc.status_code", Value::from(0_i64)),
        ("spinwell.model.name", Value::from("taxi")),
        ("spinwell.model.version", Value::from(1_i64)),
        ("spinwell.batch.windows", Value::from(5_i64)),
        ("spinwell.request_id", Value::from("mine \"é\"")),
    ] {
        assert_eq!(attribute(request, key), Some(value), "{key}");
    }
}

#[test]
fn only_stages_that_were_reached_have_spans_and_only_our_faults_are_errors() {
    let check = |result: ResultClass, wanted: (&[&str], bool, Option<&str>)| {
        let mut outcome = traced(result);
        (outcome.protocol, outcome.batch) = (spinwell_core::Protocol::HttpJson, None);
        let spans = spans(&outcome);
        let names: Vec<_> = spans[1..].iter().map(|span| span.name.as_ref()).collect();
        assert_eq!(names, wanted.0, "{result:?}");
        assert_eq!(matches!(spans[0].status, Status::Error { .. }), wanted.1, "{result:?}");
        assert_eq!(attribute(&spans[0], "error.type"), wanted.2.map(|text| Value::from(text.to_owned())));
    };
    check(ResultClass::Failed(Code::WindowTooShort), (&["decode"], false, Some("SPW-WINDOW-TOO-SHORT")));
    check(ResultClass::Failed(Code::DeadlineExceeded), (&["decode"], true, Some("SPW-DEADLINE-EXCEEDED")));
    check(ResultClass::Cancelled, (&["decode"], false, Some("cancelled")));
    let mut untraced = traced(ResultClass::Answered);
    untraced.trace = None;
    assert_eq!(spans(&untraced), []);
}

#[test]
fn the_requests_of_a_batch_call_lie_under_its_span() {
    let root = Trace { id: TraceId([1; 16]), span: SpanId([9; 8]), parent: None, is_sampled: true };
    let mut outcome = traced(ResultClass::Answered);
    outcome.protocol = spinwell_core::Protocol::HttpBatch;
    outcome.batch_call = Some(BatchCallId("call".into()));
    outcome.trace = Some(Trace { parent: Some(root.span), ..outcome.trace.unwrap() });
    let phase = BatchCallPhase::Completed { answered: 2, failed: 1, cancelled: 0 };
    let id = BatchCallId("call".into());
    let plan = Some(plan());
    let call = BatchCall { id, trace: Some(root), requests: 3, plan, total: Micros(1200), phase };
    let scope = InstrumentationScope::builder("test").build();
    let all = spans::of_batch_call(&call, ENDED, &scope).into_iter().chain(spans(&outcome));
    let all: Vec<SpanData> = all.collect();
    let roots: Vec<_> = all.iter().filter(|span| span.parent_span_id.to_bytes() == [0; 8]).collect();
    assert_eq!(roots.iter().map(|span| span.name.as_ref()).collect::<Vec<_>>(), ["POST /v1/predictions"]);
    assert_eq!(all[1].parent_span_id, roots[0].span_context.span_id());
    assert_eq!((all[1].name.as_ref(), all[1].span_kind.clone()), ("request", SpanKind::Internal));
    assert!(roots[0].start_time <= all[1].start_time && all[1].end_time <= roots[0].end_time);
    assert_eq!(attribute(roots[0], "spinwell.batch_call.failed"), Some(Value::from(1_i64)));
    let divided = |call: &BatchCall| {
        let span = spans::of_batch_call(call, ENDED, &scope).unwrap();
        ["strategy_used", "estimated_completion_time_ms"]
            .map(|name| attribute(&span, &format!("spinwell.batch_call.{name}")))
    };
    assert_eq!(divided(&call), [Some(Value::from("predictive")), Some(Value::from(12.5))]);
    assert_eq!(divided(&BatchCall { plan: None, ..call.clone() }), [None, None]);
    let started = BatchCall { phase: BatchCallPhase::Started, ..call.clone() };
    assert_eq!(spans::of_batch_call(&started, ENDED, &scope), None);
    assert_eq!(spans::of_batch_call(&BatchCall { trace: None, ..call }, ENDED, &scope), None);
}

/// A reader whose deliveries have a limit, and that says how large they were.
struct Counting {
    read: usize,
    told: Sender<usize>,
}

impl SlowReader for Counting {
    fn room(&self) -> usize {
        10 - self.read
    }

    fn read(&mut self, _: &Record) {
        self.read += 1;
    }

    fn lost(&mut self, _: u64) {}

    fn deliver(&mut self, when: When) -> Delivery {
        if self.read < 10 && when == When::Due {
            return Delivery::default();
        }
        let read = std::mem::take(&mut self.read);
        self.told.send(read).unwrap();
        Delivery { delivered: read as u64, failed: 0 }
    }
}

#[test]
fn no_delivery_is_larger_than_a_reader_has_room_for() {
    let (told, tells) = channel();
    let spec = Spec { name: "counting", length: 100, takes: Takes::All };
    let counts = ReaderCounts::default();
    let (lane, worker) = lane::start(&spec, counts.clone(), Counting { read: 0, told }).unwrap();
    let record =
        Arc::new(Record { at: UnixMicros(0), event: Event::Request(outcome(ResultClass::Answered)) });
    (0..37).for_each(|_| lane.send(record.clone()));
    worker.ask_to_stop().wait();
    let sizes: Vec<usize> = tells.iter().collect();
    assert_eq!((sizes.iter().sum::<usize>(), sizes.iter().max()), (37, Some(&10)), "{sizes:?}");
}

/// All lines of an access log to which `records` went.
fn lines(records: &[Event]) -> Vec<serde_json::Value> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.json");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut log = runtime.block_on(async { AccessLogReader::open(&AccessLog::File(path.clone())) }).unwrap();
    for event in records {
        log.read(&Record { at: ENDED, event: event.clone() });
    }
    let delivery = log.deliver(When::Due);
    assert_eq!(delivery, Delivery { delivered: records.len() as u64, failed: 0 });
    log.lost(7);
    assert_eq!(log.deliver(When::Last), Delivery::default());
    let text = std::fs::read_to_string(&path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_record_is_a_line_and_a_loss_is_one_too() {
    let id = BatchCallId("call".into());
    let trace = traced(ResultClass::Answered).trace;
    let call = |plan, phase| {
        Event::BatchCall(BatchCall { id: id.clone(), trace, requests: 3, plan, total: Micros(70), phase })
    };
    let mut step = outcome(ResultClass::Failed(Code::QueueFull));
    step.step = Some(SequenceStep { id: SequenceId::of_number(7), number: None });
    let lines = lines(&[
        Event::Request(traced(ResultClass::Answered)),
        Event::Request(step),
        call(None, BatchCallPhase::Started),
        call(Some(plan()), BatchCallPhase::Completed { answered: 2, failed: 1, cancelled: 0 }),
    ]);
    let time = "2023-11-14T22:13:20.000000Z";
    assert_eq!(
        lines[0],
        serde_json::json!({
            "record": "request", "time": time, "request_id": "mine \"é\"", "protocol": "grpc", "model": "taxi",
            "version": 1, "model_hash": "ab".repeat(32), "profile": "cpu-f32", "node": "here", "windows": 2,
            "batch_windows": 5, "total_us": 1000, "decode_us": 100, "queue_us": 200, "compute_us": 300,
            "encode_us": 50, "result": "answered", "code": "ok", "trace_id": "01".repeat(16),
            "span_id": "02".repeat(8), "parent_span_id": "03".repeat(8),
        })
    );
    assert_eq!((&lines[1]["result"], &lines[1]["code"]), (&"failed".into(), &"SPW-QUEUE-FULL".into()));
    assert_eq!((lines[1].get("trace_id"), lines[1].get("sequence_step")), (None, None));
    assert_eq!(lines[1]["sequence_id"], "7");
    let started = serde_json::json!({
        "record": "batch_call", "time": time, "batch_call": "call", "phase": "started", "requests": 3,
        "trace_id": "01".repeat(16), "span_id": "02".repeat(8), "parent_span_id": "03".repeat(8),
    });
    assert_eq!(lines[2], started);
    assert_eq!(
        (&lines[3]["answered"], &lines[3]["failed"], &lines[3]["cancelled"]),
        (&2.into(), &1.into(), &0.into())
    );
    assert_eq!(lines[3]["total_us"], 70);
    assert_eq!(
        (&lines[3]["strategy_used"], &lines[3]["estimated_completion_time_us"]),
        (&"predictive".into(), &12_500.into())
    );
    assert_eq!((&lines[4]["record"], &lines[4]["lost"]), (&"loss".into(), &7.into()));
    assert_eq!(lines.len(), 5);
}

#[test]
fn what_no_reader_takes_is_only_counted() {
    let metrics = Arc::new(Metrics::new(&catalogue()));
    let options = OutcomeReaders { queue_len_max: 8, access_log: None, otlp: None };
    let readers = Readers::start(&options, metrics.clone(), &NodeId("here".into())).unwrap();
    assert!(!readers.need_traces());
    readers.read(&traced(ResultClass::Answered));
    readers.stop();
    let text = metrics.encode(&spinwell_protocol::NodeLoad::default(), &catalogue(), &[], None).unwrap();
    assert!(text.contains("spinwell_outcomes_total{record=\"request\"} 1"), "{text}");
    assert!(!text.contains("spinwell_outcomes_dropped_total{"), "{text}");
}
