//! The access log: one JSON object a line for every request and every batch call, and one for what is missing.

use super::lane::{Delivery, SlowReader, When};
use super::{Complaint, Event, Record};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use spinwell_core::{
    BatchCall, BatchCallPhase, Code, Fault, ModelName, NumericProfile, Outcome, ResultClass, SpanId, Trace,
    TraceId, UnixMicros,
};
use spinwell_runtime::appended::{Appended, AppendedFile, Refused};
use spinwell_runtime::hangup::{self, Hangup};
use spinwell_runtime::options::AccessLog;
use spinwell_runtime::{clock, telemetry};
use std::fmt::Display;
use std::io::{Stderr, stderr};

/// Where lines go.
enum Place {
    StandardError(Appended<Stderr>),
    File { file: AppendedFile, hangup: Hangup },
}

impl Place {
    fn write(&mut self, lines: &[u8]) -> Result<(), Refused> {
        match self {
            Place::StandardError(lines_to) => lines_to.write(lines),
            Place::File { file, .. } => file.write(lines),
        }
    }
}

/// Writes the lines.
pub(super) struct AccessLogReader {
    place: Place,
    /// Lines that are not written yet.
    lines: Vec<u8>,
    /// How many.
    count: u64,
    /// Records that no line tells of, and of which no line says so either.
    missing: u64,
    complaint: Complaint,
}

impl AccessLogReader {
    /// The access log at that place.
    ///
    /// # Errors
    /// [`Code::Io`] where the file cannot be opened or SIGHUP cannot be caught.
    pub(super) fn open(place: &AccessLog) -> Result<Self, Fault> {
        let place = match place {
            AccessLog::StandardError => Place::StandardError(Appended::new(stderr())),
            AccessLog::File(path) => {
                let refused = |error| {
                    let message = format!(
                        "the access log {} cannot be written (access_log.path): {error}",
                        path.display()
                    );
                    Fault::new(Code::Io, message)
                };
                let file = AppendedFile::open(path).map_err(refused)?;
                Place::File { file, hangup: hangup::on_signal().map_err(refused)? }
            }
        };
        Ok(Self { place, lines: Vec::new(), count: 0, missing: 0, complaint: Complaint::default() })
    }

    fn reopen(&mut self) {
        let Place::File { file, hangup } = &mut self.place else { return };
        if hangup.take()
            && let Err(error) = file.reopen()
        {
            tracing::warn!(
                error = telemetry::chain(&error),
                "the access log cannot be opened again and goes on in the old file"
            );
        }
    }

    /// Says what is missing, once a line can be written again.
    fn confess(&mut self) {
        if self.missing == 0 {
            return;
        }
        let line = Line::Loss { time: Time(clock::unix_micros()), lost: self.missing };
        if self.place.write(&line.bytes()).is_ok() {
            self.missing = 0;
        }
    }
}

impl SlowReader for AccessLogReader {
    fn read(&mut self, record: &Record) {
        self.lines.extend_from_slice(&Line::of(record).bytes());
        self.count += 1;
    }

    fn lost(&mut self, records: u64) {
        self.missing += records;
    }

    fn deliver(&mut self, _: When) -> Delivery {
        self.reopen();
        let written = self.place.write(&self.lines);
        let count = std::mem::take(&mut self.count);
        self.lines.clear();
        match written {
            Ok(()) => {
                self.confess();
                Delivery { delivered: count, failed: 0 }
            }
            Err(refused) => {
                let delivered = (refused.whole as u64).min(count);
                self.missing += count - delivered;
                if self.complaint.is_due(clock::now()) {
                    let error = telemetry::chain(&refused);
                    tracing::warn!(error, missing = self.missing, "the access log cannot be written");
                }
                Delivery { delivered, failed: count - delivered }
            }
        }
    }
}

/// A moment as RFC 3339 has it, in UTC and to the microsecond.
struct Time(UnixMicros);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let micros = i64::try_from(self.0.0).unwrap_or(i64::MAX);
        serializer
            .collect_str(&format_args!("{:.6}", Timestamp::from_microsecond(micros).unwrap_or_default()))
    }
}

/// Something that is written as it is shown.
struct Shown<T>(T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// One line. What is not known of a request is left out.
#[derive(Serialize)]
#[serde(tag = "record", rename_all = "snake_case")]
enum Line<'a> {
    Request(RequestLine<'a>),
    BatchCall(BatchCallLine<'a>),
    /// Records that no other line tells of.
    Loss {
        time: Time,
        lost: u64,
    },
}

#[derive(Serialize)]
struct RequestLine<'a> {
    time: Time,
    #[serde(skip_serializing_if = "str::is_empty")]
    request_id: &'a str,
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_call: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_hash: Option<Shown<spinwell_core::ModelHash>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_step: Option<u64>,
    windows: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_windows: Option<usize>,
    total_us: u64,
    decode_us: u64,
    queue_us: u64,
    compute_us: u64,
    encode_us: u64,
    result: &'static str,
    code: &'static str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    trace: Option<TraceFields>,
}

#[derive(Serialize)]
struct BatchCallLine<'a> {
    time: Time,
    batch_call: &'a str,
    phase: &'static str,
    requests: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    strategy_used: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_completion_time_us: Option<u64>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    ends: Option<Ends>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    trace: Option<TraceFields>,
}

/// A place in a trace.
#[derive(Serialize)]
struct TraceFields {
    trace_id: Shown<TraceId>,
    span_id: Shown<SpanId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<Shown<SpanId>>,
}

impl TraceFields {
    fn of(trace: Trace) -> Self {
        Self {
            trace_id: Shown(trace.id),
            span_id: Shown(trace.span),
            parent_span_id: trace.parent.map(Shown),
        }
    }
}

/// How the requests of a batch call ended.
#[derive(Serialize)]
struct Ends {
    total_us: u64,
    answered: usize,
    failed: usize,
    cancelled: usize,
}

impl<'a> Line<'a> {
    fn of(record: &'a Record) -> Self {
        let time = Time(record.at);
        match &record.event {
            Event::Request(outcome) => Line::Request(RequestLine::of(time, outcome)),
            Event::BatchCall(call) => Line::BatchCall(BatchCallLine::of(time, call)),
        }
    }

    /// The line with its line break.
    fn bytes(&self) -> Vec<u8> {
        // Numbers and text always have a JSON form.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

impl<'a> RequestLine<'a> {
    fn of(time: Time, outcome: &'a Outcome) -> Self {
        let (result, code) = match outcome.result {
            ResultClass::Answered => ("answered", "ok"),
            ResultClass::Failed(code) => ("failed", code.as_str()),
            ResultClass::Cancelled => ("cancelled", "cancelled"),
        };
        let timings = &outcome.timings;
        Self {
            time,
            request_id: &outcome.request_id,
            protocol: outcome.protocol.as_str(),
            batch_call: outcome.batch_call.as_ref().map(|id| &*id.0),
            model: outcome.model.as_ref().map(ModelName::as_str),
            version: outcome.version.map(|version| version.0),
            model_hash: outcome.model_hash.map(Shown),
            profile: outcome.profile.map(NumericProfile::as_str),
            node: outcome.node.as_ref().map(|node| &*node.0),
            sequence_id: outcome.step.as_ref().map(|step| step.id.as_str()),
            sequence_step: outcome.step.as_ref().and_then(|step| step.number),
            windows: outcome.windows,
            batch_windows: outcome.batch.map(|batch| batch.windows),
            total_us: timings.total.0,
            decode_us: timings.decode.0,
            queue_us: timings.queue.0,
            compute_us: timings.compute.0,
            encode_us: timings.encode.0,
            result,
            code,
            trace: outcome.trace.map(TraceFields::of),
        }
    }
}

impl<'a> BatchCallLine<'a> {
    fn of(time: Time, call: &'a BatchCall) -> Self {
        let (phase, ends) = match call.phase {
            BatchCallPhase::Started => ("started", None),
            BatchCallPhase::Completed { answered, failed, cancelled } => {
                ("completed", Some(Ends { total_us: call.total.0, answered, failed, cancelled }))
            }
        };
        Self {
            time,
            batch_call: &call.id.0,
            phase,
            requests: call.requests,
            strategy_used: call.plan.as_ref().map(|plan| plan.strategy_used.as_str()),
            estimated_completion_time_us: call
                .plan
                .as_ref()
                .and_then(|plan| Some(plan.estimated_completion_time?.0)),
            ends,
            trace: call.trace.map(TraceFields::of),
        }
    }
}
