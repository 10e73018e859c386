//! The names under which dashboards made for Triton look for the same numbers.
//!
//! Triton writes its counters without the `_total` that OpenMetrics demands of a counter, so they are shown
//! with the type that says nothing. Durations are sums in microseconds over answered requests, as there.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use spinwell_core::{ModelName, ModelVersion, Outcome, ResultClass};
use spinwell_protocol::ModelDescription;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The counts of one version of a model.
#[derive(Debug)]
pub(super) struct VersionCounts {
    name: ModelName,
    version: ModelVersion,
    success: AtomicU64,
    failure: AtomicU64,
    inferences: AtomicU64,
    executions: AtomicU64,
    request_us: AtomicU64,
    queue_us: AtomicU64,
    compute_us: AtomicU64,
}

impl VersionCounts {
    pub(super) fn of(model: &ModelDescription) -> Self {
        Self {
            name: model.name.clone(),
            version: model.version,
            success: AtomicU64::new(0),
            failure: AtomicU64::new(0),
            inferences: AtomicU64::new(0),
            executions: AtomicU64::new(0),
            request_us: AtomicU64::new(0),
            queue_us: AtomicU64::new(0),
            compute_us: AtomicU64::new(0),
        }
    }

    pub(super) fn is_of(&self, outcome: &Outcome) -> bool {
        outcome.version == Some(self.version) && outcome.model.as_ref() == Some(&self.name)
    }

    pub(super) fn count(&self, outcome: &Outcome) {
        let add = |counter: &AtomicU64, by: u64| counter.fetch_add(by, Ordering::Relaxed);
        if outcome.result != ResultClass::Answered {
            add(&self.failure, 1);
            return;
        }
        add(&self.success, 1);
        add(&self.inferences, outcome.windows as u64);
        add(&self.executions, u64::from(outcome.batch.is_some_and(|batch| batch.counts)));
        add(&self.request_us, outcome.timings.total.0);
        add(&self.queue_us, outcome.timings.queue.0);
        add(&self.compute_us, outcome.timings.compute.0);
    }
}

type Read = fn(&VersionCounts) -> &AtomicU64;

/// Each alias: name, help, where its number is.
const ALIASES: [(&str, &str, Read); 7] = [
    ("nv_inference_request_success", "Requests answered", |counts| &counts.success),
    ("nv_inference_request_failure", "Requests not answered", |counts| &counts.failure),
    ("nv_inference_count", "Windows predicted", |counts| &counts.inferences),
    ("nv_inference_exec_count", "Batches run", |counts| &counts.executions),
    ("nv_inference_request_duration_us", "Sum of request durations", |counts| &counts.request_us),
    ("nv_inference_queue_duration_us", "Sum of waiting times", |counts| &counts.queue_us),
    ("nv_inference_compute_infer_duration_us", "Sum of engine times", |counts| &counts.compute_us),
];

/// Shows the counts at every scrape.
#[derive(Debug)]
pub(super) struct TritonAliases(pub(super) Arc<Vec<VersionCounts>>);

impl Collector for TritonAliases {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, help, read) in ALIASES {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Unknown)?;
            for counts in self.0.iter() {
                let labels = [("model", counts.name.to_string()), ("version", counts.version.to_string())];
                let value = ConstGauge::new(read(counts).load(Ordering::Relaxed));
                value.encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
