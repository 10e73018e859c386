//! Readers of outcomes that may be slow: a disk, a collector.
//!
//! Metrics read on the request's own path and miss nothing. A reader that can be slow gets its records through a queue
//! of bounded length ([`lane`]): a request never waits for it, and what finds the queue full is dropped for that reader
//! alone and counted. So for every reader, at any time,
//! **records = delivered + failed + dropped + skipped + waiting**, which anybody can check in the metrics.

mod access_log;
mod lane;
mod otlp;
mod spans;

use crate::metrics::Metrics;
use crate::record::OutcomeReader;
use crate::traffic::SplitAnswer;
use access_log::AccessLogReader;
use lane::{Kind, Lane, Worker};
use otlp::OtlpReader;
use spinwell_core::{BatchCall, BatchCallPhase, Code, Fault, NodeId, Outcome, UnixMicros};
use spinwell_runtime::clock;
use spinwell_runtime::options::OutcomeReaders;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How long a process that complained stays silent about the same thing.
const SILENCE: Duration = Duration::from_secs(60);

/// Something that readers are told of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    /// When it ended, or for a batch call, when it happened.
    at: UnixMicros,
    event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
enum Event {
    Request(Outcome),
    BatchCall(BatchCall),
}

/// All readers: the metrics at once, the others through their queues.
pub struct Readers {
    metrics: Arc<Metrics>,
    lanes: Vec<Lane>,
    workers: Mutex<Vec<Worker>>,
}

impl Readers {
    /// Starts the readers that are asked for, within a tokio runtime.
    ///
    /// # Errors
    /// [`Code::Io`] where the access log cannot be opened, [`Code::ConfigInvalid`] where traces cannot go where they
    /// should.
    pub fn start(options: &OutcomeReaders, metrics: Arc<Metrics>, node: &NodeId) -> Result<Self, Fault> {
        let mut readers = Self { metrics, lanes: Vec::new(), workers: Mutex::default() };
        let length = options.queue_len_max;
        if let Some(place) = &options.access_log {
            readers.add("access_log", length, lane::Takes::All, AccessLogReader::open(place)?)?;
        }
        if let Some(otlp) = &options.otlp {
            let reader = OtlpReader::new(otlp, node, Handle::current())?;
            readers.add("otlp", length, lane::Takes::Sampled, reader)?;
        }
        Ok(readers)
    }

    /// Whether requests need a place in a trace.
    #[must_use]
    pub fn need_traces(&self) -> bool {
        !self.lanes.is_empty()
    }

    /// Delivers what waits and ends the readers. What is recorded from now on is dropped for them.
    pub fn stop(&self) {
        let workers = std::mem::take(&mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner));
        // All are asked before any is waited for.
        let stopping: Vec<_> = workers.into_iter().map(Worker::ask_to_stop).collect();
        stopping.into_iter().for_each(lane::Stopping::wait);
    }

    fn add(
        &mut self,
        name: &'static str,
        length: usize,
        takes: lane::Takes,
        reader: impl lane::SlowReader,
    ) -> Result<(), Fault> {
        let counts = self.metrics.reader(name);
        let (lane, worker) =
            lane::start(&lane::Spec { name, length, takes }, counts, reader).map_err(|error| {
                Fault::new(Code::Io, format!("the thread of {name} cannot be started: {error}"))
            })?;
        self.lanes.push(lane);
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
        Ok(())
    }

    fn pass_on(&self, kind: Kind, event: impl Fn() -> Event) {
        let mut record = None;
        for lane in &self.lanes {
            if lane.takes(kind) {
                let make = || Arc::new(Record { at: clock::unix_micros(), event: event() });
                lane.send(record.get_or_insert_with(make).clone());
            } else {
                lane.skip();
            }
        }
    }
}

impl OutcomeReader for Readers {
    fn read(&self, outcome: &Outcome) {
        self.metrics.read(outcome);
        let is_sampled = outcome.trace.is_some_and(|trace| trace.is_sampled);
        let kind = if is_sampled { Kind::Sampled } else { Kind::Other };
        self.pass_on(kind, || Event::Request(outcome.clone()));
    }

    fn read_split(&self, answer: &SplitAnswer<'_>) {
        self.metrics.read_split(answer);
    }

    fn read_batch_call(&self, call: &BatchCall) {
        self.metrics.read_batch_call(call);
        // A span tells of the whole call, at its end.
        let is_sampled =
            call.phase != BatchCallPhase::Started && call.trace.is_some_and(|trace| trace.is_sampled);
        let kind = if is_sampled { Kind::Sampled } else { Kind::Other };
        self.pass_on(kind, || Event::BatchCall(call.clone()));
    }
}

/// Keeps a trouble that lasts from filling the log.
#[derive(Debug, Default)]
struct Complaint(Option<Instant>);

impl Complaint {
    /// Whether it is time to complain, again or for the first time.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.0.is_none_or(|last| now.saturating_duration_since(last) >= SILENCE);
        if due {
            self.0 = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests;
