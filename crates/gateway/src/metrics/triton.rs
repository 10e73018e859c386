//! The names under which dashboards made for Triton look for the same numbers.
//!
//! Triton writes its counters without the `_total` that OpenMetrics demands of a counter, so they are shown
//! with the type that says nothing. Durations are sums in microseconds over answered requests, as there.

use crate::statistics::Statistics;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use spinwell_protocol::Counts;
use std::fmt;
use std::sync::Arc;

type Read = fn(&Counts) -> u64;

/// Each alias: name, help, where its number is.
const ALIASES: [(&str, &str, Read); 9] = [
    ("nv_inference_request_success", "Requests answered", |counts| counts.success.count),
    ("nv_inference_request_failure", "Requests not answered", |counts| counts.fail.count),
    ("nv_inference_count", "Windows predicted", |counts| counts.inferences),
    ("nv_inference_exec_count", "Batches run", |counts| counts.executions),
    ("nv_inference_request_duration_us", "Sum of request durations", |counts| counts.success.total.0),
    ("nv_inference_queue_duration_us", "Sum of waiting times", |counts| counts.queue.total.0),
    ("nv_inference_compute_input_duration_us", "Sum of reading times", |counts| counts.compute_input.total.0),
    ("nv_inference_compute_infer_duration_us", "Sum of engine times", |counts| counts.compute_infer.total.0),
    ("nv_inference_compute_output_duration_us", "Sum of writing times", |counts| {
        counts.compute_output.total.0
    }),
];

/// Shows the counts at every scrape.
#[derive(Debug)]
pub(super) struct TritonAliases(pub(super) Arc<Statistics>);

impl Collector for TritonAliases {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let all = self.0.all();
        for (name, help, read) in ALIASES {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Unknown)?;
            for model in &all {
                let labels = [("model", model.name.to_string()), ("version", model.version.to_string())];
                let value = ConstGauge::new(read(&model.counts));
                value.encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
