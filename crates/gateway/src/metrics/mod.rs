//! Metrics, as one reader of the outcomes.
//!
//! Nothing counts for itself: every number about requests comes from the outcome stream, so the numbers here
//! agree with any other reader's. Labels are bounded: the models of the catalogue at start, the protocols and
//! the codes. A name that a caller made up counts under `-`, or strangers could fill the memory with series.
//! What a request touches is looked up once and held, because a family's map takes a lock.

mod gpu;
mod model;
mod triton;

use crate::VERSION;
use crate::record::OutcomeReader;
use gpu::GpuFigures;
use model::{ModelSeries, RequestLabels};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use spinwell_core::{BatchCall, BatchCallPhase, ModelName, Outcome, ResultClass};
use spinwell_protocol::{Catalogue, NodeLoad};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use triton::{TritonAliases, VersionCounts};

/// The label of a model that is not in the catalogue: no model can have this name.
const UNKNOWN_MODEL: &str = "-";

/// Where batch calls are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BatchCallLabels {
    phase: &'static str,
}

/// Counts outcomes and shows them to Prometheus.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    batch_calls: Family<BatchCallLabels, Counter>,
    models: HashMap<ModelName, ModelSeries>,
    versions: Arc<Vec<VersionCounts>>,
    queue_len: Gauge,
    queue_len_max: Gauge,
    batches_executing: Gauge,
    gpus: GpuFigures,
}

impl Metrics {
    /// Metrics for the models of `catalogue`.
    #[must_use]
    pub fn new(catalogue: &Catalogue) -> Self {
        let mut registry = Registry::default();
        let requests = Family::<RequestLabels, Counter>::default();
        registry.register(
            "spinwell_requests",
            "Inference requests by how they ended: ok, cancelled or the error code",
            requests.clone(),
        );
        let batch_calls = Family::<BatchCallLabels, Counter>::default();
        registry.register(
            "spinwell_batch_calls",
            "Batch calls by whether they have started or completed",
            batch_calls.clone(),
        );
        let families = model::Families::register(&mut registry);
        let ready = catalogue.ready();
        let models = ready
            .iter()
            .map(|model| (model.name.clone(), ModelSeries::new(model.name.as_str(), &families, &requests)))
            .collect();
        let versions: Arc<Vec<_>> = Arc::new(ready.iter().map(|model| VersionCounts::of(model)).collect());
        registry.register_collector(Box::new(TritonAliases(versions.clone())));
        let gauge = |registry: &mut Registry, name: &str, help: &str| {
            let gauge = Gauge::<i64>::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let loaded = gauge(&mut registry, "spinwell_models_loaded", "Model versions that answer");
        loaded.set(i64::try_from(ready.len()).unwrap_or(i64::MAX));
        registry.register(
            "spinwell_build",
            "What is running",
            Info::new([("version".to_owned(), VERSION.to_owned())]),
        );
        Self {
            queue_len: gauge(&mut registry, "spinwell_queue_len", "Requests waiting for an executor"),
            queue_len_max: gauge(&mut registry, "spinwell_queue_len_max", "Requests that may wait at most"),
            batches_executing: gauge(&mut registry, "spinwell_batches_executing", "Batches in the engine"),
            gpus: GpuFigures::register(&mut registry),
            registry,
            requests,
            batch_calls,
            models,
            versions,
        }
    }

    /// The metrics as OpenMetrics text.
    ///
    /// # Errors
    /// Never: writing to a string does not fail.
    pub fn encode(&self, load: &NodeLoad) -> Result<String, fmt::Error> {
        let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.queue_len.set(whole(load.queue_len));
        self.queue_len_max.set(whole(load.queue_len_max));
        self.batches_executing.set(whole(load.batches_executing));
        self.gpus.set(&load.gpus);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn count_failure(&self, outcome: &Outcome, code: &'static str) {
        let known = outcome.model.as_ref().filter(|name| self.models.contains_key(name));
        let labels = RequestLabels {
            model: known.map_or(UNKNOWN_MODEL, ModelName::as_str).to_owned(),
            protocol: outcome.protocol.as_str(),
            code,
        };
        self.requests.get_or_create(&labels).inc();
    }
}

impl OutcomeReader for Metrics {
    fn read_batch_call(&self, call: &BatchCall) {
        let phase = match call.phase {
            BatchCallPhase::Started => "started",
            BatchCallPhase::Completed { .. } => "completed",
        };
        self.batch_calls.get_or_create(&BatchCallLabels { phase }).inc();
    }

    fn read(&self, outcome: &Outcome) {
        match outcome.result {
            ResultClass::Answered => {
                if let Some(series) = outcome.model.as_ref().and_then(|name| self.models.get(name)) {
                    series.count_answer(outcome);
                } else {
                    self.count_failure(outcome, "ok");
                }
            }
            ResultClass::Failed(code) => self.count_failure(outcome, code.as_str()),
            ResultClass::Cancelled => self.count_failure(outcome, "cancelled"),
        }
        let version = self.versions.iter().find(|counts| counts.is_of(outcome));
        if let Some(counts) = version {
            counts.count(outcome);
        }
    }
}

#[cfg(test)]
mod tests;
