//! The series of one model, looked up once.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use spinwell_core::{Outcome, Protocol};

/// Boundaries of durations in seconds. **The service levels' thresholds stand among them** (0.025, 0.05, 0.1,
/// 0.2): a share of requests below a threshold is exact only where a bucket ends at it.
pub(super) const REQUEST_SECONDS: [f64; 15] =
    [0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.015, 0.025, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 5.0];

/// Boundaries of the time that an executor needs or a request waits.
const STAGE_SECONDS: [f64; 13] =
    [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0];

/// Boundaries of the time that a refusal takes. The promise is a millisecond, so that one must stand among them.
pub(super) const REFUSAL_SECONDS: [f64; 14] =
    [0.000_05, 0.0001, 0.000_2, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// Boundaries of the windows in a batch.
const BATCH_WINDOWS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

const PROTOCOLS: [Protocol; 5] =
    [Protocol::HttpJson, Protocol::HttpBinary, Protocol::Grpc, Protocol::HttpBatch, Protocol::GrpcStream];

/// What tells requests apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) model: String,
    pub(super) protocol: &'static str,
    pub(super) code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ProtocolLabels {
    model: String,
    protocol: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ModelLabels {
    model: String,
}

/// A histogram with fixed boundaries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Boundaries(pub(super) &'static [f64]);

impl MetricConstructor<Histogram> for Boundaries {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// The families that every model has a series in.
pub(super) struct Families {
    duration: Family<ProtocolLabels, Histogram, Boundaries>,
    queue: Family<ModelLabels, Histogram, Boundaries>,
    compute: Family<ModelLabels, Histogram, Boundaries>,
    batch_windows: Family<ModelLabels, Histogram, Boundaries>,
    predictions: Family<ModelLabels, Counter>,
    batches: Family<ModelLabels, Counter>,
}

impl Families {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let of = |boundaries: &'static [f64]| Family::new_with_constructor(Boundaries(boundaries));
        let all = Self {
            duration: Family::new_with_constructor(Boundaries(&REQUEST_SECONDS)),
            queue: of(&STAGE_SECONDS),
            compute: of(&STAGE_SECONDS),
            batch_windows: of(&BATCH_WINDOWS),
            predictions: Family::default(),
            batches: Family::default(),
        };
        registry.register(
            "spinwell_request_duration_seconds",
            "From a request's last byte in to its answer's first byte out, of answered requests",
            all.duration.clone(),
        );
        registry.register(
            "spinwell_queue_duration_seconds",
            "How long answered requests waited for an executor",
            all.queue.clone(),
        );
        registry.register(
            "spinwell_compute_duration_seconds",
            "How long the engine took, once for each batch",
            all.compute.clone(),
        );
        registry.register("spinwell_batch_windows", "Windows in a batch", all.batch_windows.clone());
        registry.register("spinwell_predictions", "Windows predicted and answered", all.predictions.clone());
        registry.register("spinwell_batches", "Batches run by the engine", all.batches.clone());
        all
    }
}

/// The series of one model.
pub(super) struct ModelSeries {
    answered: [Counter; PROTOCOLS.len()],
    duration: [Histogram; PROTOCOLS.len()],
    queue: Histogram,
    compute: Histogram,
    batch_windows: Histogram,
    predictions: Counter,
    batches: Counter,
}

impl ModelSeries {
    pub(super) fn new(name: &str, families: &Families, requests: &Family<RequestLabels, Counter>) -> Self {
        let labels = ModelLabels { model: name.to_owned() };
        Self {
            answered: PROTOCOLS.map(|protocol| {
                let labels =
                    RequestLabels { model: name.to_owned(), protocol: protocol.as_str(), code: "ok" };
                requests.get_or_create_owned(&labels)
            }),
            duration: PROTOCOLS.map(|protocol| {
                let labels = ProtocolLabels { model: name.to_owned(), protocol: protocol.as_str() };
                families.duration.get_or_create_owned(&labels)
            }),
            queue: families.queue.get_or_create_owned(&labels),
            compute: families.compute.get_or_create_owned(&labels),
            batch_windows: families.batch_windows.get_or_create_owned(&labels),
            predictions: families.predictions.get_or_create_owned(&labels),
            batches: families.batches.get_or_create_owned(&labels),
        }
    }

    pub(super) fn count_answer(&self, outcome: &Outcome) {
        let protocol = match outcome.protocol {
            Protocol::HttpJson => 0,
            Protocol::HttpBinary => 1,
            Protocol::Grpc => 2,
            Protocol::HttpBatch => 3,
            Protocol::GrpcStream => 4,
        };
        self.answered[protocol].inc();
        self.duration[protocol].observe(outcome.timings.total.as_seconds());
        self.queue.observe(outcome.timings.queue.as_seconds());
        self.predictions.inc_by(outcome.windows as u64);
        if let Some(batch) = outcome.batch.filter(|batch| batch.counts) {
            self.batches.inc();
            self.batch_windows.observe(batch.windows as f64);
            self.compute.observe(outcome.timings.compute.as_seconds());
        }
    }
}
