//! Metrics, as one reader of the outcomes.
//!
//! Nothing but connections counts for itself: every number about requests comes from the outcome stream, so the numbers here
//! agree with any other reader's. Labels are bounded: models that are or were served, the protocols and the codes. A name
//! that a caller made up counts under `-`, or strangers could fill the memory with series. What an answer touches is
//! looked up once and held, because a family's map takes a lock.

mod cluster;
mod connections;
mod door;
mod gpu;
mod handshakes;
mod ledger;
mod live;
mod model;
mod readers;
mod region;
mod split;
mod triton;

use crate::VERSION;
use crate::accuracy::OfVersion;
use crate::audit::Audit;
use crate::capacity::RegionCapacity;
use crate::door::Door;
use crate::record::OutcomeReader;
use crate::statistics::Statistics;
pub use connections::ConnectionCounts;
pub(crate) use readers::ReaderCounts;

use crate::traffic::SplitAnswer;
use cluster::ClusterFigures;
use connections::ConnectionFamilies;
use door::DoorFigures;
use gpu::GpuFigures;
use handshakes::HandshakeFigures;
use ledger::LedgerFigures;
use live::LiveFigures;
use model::{Boundaries, ModelSeries, REFUSAL_SECONDS, RequestLabels};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use readers::ReaderFamilies;
use region::RegionFigures;
use spinwell_core::{BatchCall, BatchCallPhase, ModelName, Outcome, ResultClass};
use spinwell_protocol::{Catalogue, NodeLoad, WaitingFor};
use spinwell_runtime::clock;
use spinwell_runtime::tls::{Handshakes, Watched};
use split::SplitFigures;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use triton::TritonAliases;

/// Which version.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VersionLabels {
    model: String,
    version: u32,
}

/// The label of a model that is not in the catalogue: no model can have this name.
const UNKNOWN_MODEL: &str = "-";

/// Where batch calls are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BatchCallLabels {
    phase: &'static str,
}

/// Why requests were refused or failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: &'static str,
}

/// Counts outcomes and shows them to Prometheus.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    refusals: Family<CodeLabels, Histogram, Boundaries>,
    batch_calls: Family<BatchCallLabels, Counter>,
    families: model::Families,
    readers: ReaderFamilies,
    connections: ConnectionFamilies,
    handshakes: HandshakeFigures,
    ledger: LedgerFigures,
    door: DoorFigures,
    models: RwLock<HashMap<ModelName, Arc<ModelSeries>>>,
    statistics: Arc<Statistics>,
    loaded: Gauge,
    pending: Family<VersionLabels, Gauge>,
    queue_len: Gauge,
    queue_len_max: Gauge,
    batches_executing: Gauge,
    sequences: Gauge,
    sequences_copied: Counter,
    sequences_expired: Counter,
    sequences_lost: Gauge,
    sequences_fenced: Counter,
    sequences_followed: Counter,
    store_silent: Gauge<f64, AtomicU64>,
    gpus: GpuFigures,
    cluster: ClusterFigures,
    region: RegionFigures,
    live: LiveFigures,
    splits: SplitFigures,
    /// Held while a page is written: two at a time would count the same twice.
    page: Mutex<()>,
}

impl Metrics {
    /// Metrics that count nothing yet; the models of `catalogue` are shown from the start, with zeros.
    #[must_use]
    pub fn new(catalogue: &Catalogue) -> Self {
        let mut registry = Registry::default();
        let requests = Family::<RequestLabels, Counter>::default();
        registry.register(
            "spinwell_requests",
            "Inference requests by how they ended: ok, cancelled or the error code",
            requests.clone(),
        );
        let refusals = Family::new_with_constructor(Boundaries(&REFUSAL_SECONDS));
        registry.register(
            "spinwell_refusal_duration_seconds",
            "From a request's last byte in to its error's first byte out, of requests that were refused or failed",
            refusals.clone(),
        );
        let batch_calls = Family::<BatchCallLabels, Counter>::default();
        registry.register(
            "spinwell_batch_calls",
            "Batch calls by whether they have started or completed",
            batch_calls.clone(),
        );
        let families = model::Families::register(&mut registry);
        let readers = ReaderFamilies::register(&mut registry);
        let connections = ConnectionFamilies::register(&mut registry);
        let statistics = Arc::new(Statistics::default());
        registry.register_collector(Box::new(TritonAliases(statistics.clone())));
        let pending = Family::<VersionLabels, Gauge>::default();
        registry.register(
            "nv_inference_pending_request_count",
            "Requests waiting for an executor, by the version that they wait for",
            pending.clone(),
        );
        let gauge = |registry: &mut Registry, name: &str, help: &str| {
            let gauge = Gauge::<i64>::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let counter = |registry: &mut Registry, name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let store_silent = Gauge::<f64, AtomicU64>::default();
        registry.register(
            "spinwell_store_silent_seconds",
            "For how long the store that nodes share has not answered this node; 0 while it does",
            store_silent.clone(),
        );
        registry.register(
            "process_start_time_seconds",
            "When the process started, in seconds since 1970: its counters have begun then",
            ConstGauge::new(clock::started().0 as f64 / 1e3),
        );
        registry.register(
            "spinwell_build",
            "What is running",
            Info::new([("version".to_owned(), VERSION.to_owned())]),
        );
        let metrics = Self {
            loaded: gauge(&mut registry, "spinwell_models_loaded", "Model versions that answer"),
            sequences: gauge(
                &mut registry,
                "spinwell_sequences_in_memory",
                "Sequences whose state is in memory",
            ),
            sequences_copied: counter(
                &mut registry,
                "spinwell_sequence_states_copied",
                "States of sequences copied to the database",
            ),
            sequences_expired: counter(
                &mut registry,
                "spinwell_sequences_expired",
                "Sequences given up because nobody used them",
            ),
            sequences_lost: gauge(
                &mut registry,
                "spinwell_sequences_lost",
                "Sequences that cannot be made again of what the disk holds",
            ),
            sequences_fenced: counter(
                &mut registry,
                "spinwell_sequence_changes_fenced",
                "Changes of sequences that the shared log has refused because another node had written",
            ),
            sequences_followed: counter(
                &mut registry,
                "spinwell_sequence_changes_followed",
                "Changes of sequences by other nodes that standbys have read along",
            ),
            store_silent,
            queue_len: gauge(&mut registry, "spinwell_queue_len", "Requests waiting for an executor"),
            queue_len_max: gauge(&mut registry, "spinwell_queue_len_max", "Requests that may wait at most"),
            batches_executing: gauge(&mut registry, "spinwell_batches_executing", "Batches in the engine"),
            gpus: GpuFigures::register(&mut registry),
            handshakes: HandshakeFigures::register(&mut registry),
            ledger: LedgerFigures::register(&mut registry),
            door: DoorFigures::register(&mut registry),
            cluster: ClusterFigures::register(&mut registry),
            region: RegionFigures::register(&mut registry),
            live: LiveFigures::register(&mut registry),
            splits: SplitFigures::register(&mut registry),
            registry,
            pending,
            requests,
            refusals,
            batch_calls,
            families,
            readers,
            connections,
            models: RwLock::default(),
            page: Mutex::default(),
            statistics,
        };
        metrics.show(catalogue);
        metrics
    }

    /// Shows the models of `catalogue` from now on, with zeros until they are asked.
    pub fn show(&self, catalogue: &Catalogue) {
        for model in catalogue.ready() {
            self.series(&model.name);
            self.statistics.of(model);
        }
    }

    /// What callers may know of the outcomes that were read here.
    #[must_use]
    pub fn statistics(&self) -> Arc<Statistics> {
        self.statistics.clone()
    }

    /// Where the connections to a listener of that name are counted.
    #[must_use]
    pub fn connections(&self, listener: &'static str) -> ConnectionCounts {
        self.connections.of(listener)
    }

    /// Shows from now on what was counted at a listener of that name which speaks TLS.
    pub fn show_handshakes(&self, listener: &'static str, handshakes: Handshakes) {
        self.handshakes.show(listener, handshakes);
    }

    /// Shows from now on until when the certificate is good that a listener of that name shows.
    pub fn show_certificate(&self, listener: &'static str, certificate: impl Watched + Sync) {
        self.handshakes.show_certificate(listener, certificate);
    }

    /// Shows from now on how this ledger keeps up.
    pub fn show_ledger(&self, audit: Arc<Audit>) {
        self.ledger.show(audit);
    }

    /// Shows from now on who is refused at this door.
    pub fn show_door(&self, door: Arc<Door>) {
        self.door.show(door);
    }

    /// Where a reader that is not on the request's path counts.
    pub(crate) fn reader(&self, name: &'static str) -> ReaderCounts {
        self.readers.of(name)
    }

    /// The metrics as OpenMetrics text.
    ///
    /// # Errors
    /// Never: writing to a string does not fail.
    pub(crate) fn encode(
        &self,
        load: &NodeLoad,
        catalogue: &Catalogue,
        live: &[OfVersion],
        capacity: Option<&RegionCapacity>,
    ) -> Result<String, fmt::Error> {
        let _page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.loaded.set(whole(catalogue.ready().len()));
        self.sequences.set(i64::try_from(load.sequences.in_memory).unwrap_or(i64::MAX));
        set(&self.sequences_copied, load.sequences.copied);
        set(&self.sequences_expired, load.sequences.expired);
        self.sequences_lost.set(i64::try_from(load.sequences.lost).unwrap_or(i64::MAX));
        set(&self.sequences_fenced, load.sequences.fenced);
        set(&self.sequences_followed, load.sequences.followed);
        let silent = Duration::from(load.sequences.store_silent.unwrap_or_default());
        self.store_silent.set(silent.as_secs_f64());
        self.queue_len.set(whole(load.queue_len));
        self.queue_len_max.set(whole(load.queue_len_max));
        self.batches_executing.set(whole(load.batches_executing));
        // A version that is gone must not show what last waited for it.
        self.pending.clear();
        for WaitingFor { model, version, requests } in &load.waiting {
            let labels = VersionLabels { model: model.to_string(), version: version.0 };
            self.pending.get_or_create(&labels).set(whole(*requests));
        }
        self.handshakes.update();
        self.ledger.update();
        self.door.update();
        self.gpus.set(&load.gpus);
        self.cluster.set(load);
        self.region.set(capacity);
        self.live.set(live);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn count_failure(&self, outcome: &Outcome, code: &'static str) {
        // A version is known only of a model that was found.
        let known = outcome.model.as_ref().filter(|_| outcome.version.is_some());
        let labels = RequestLabels {
            model: known.map_or(UNKNOWN_MODEL, ModelName::as_str).to_owned(),
            protocol: outcome.protocol.as_str(),
            code,
        };
        self.requests.get_or_create(&labels).inc();
    }

    /// The series of a model that exists.
    fn series(&self, name: &ModelName) -> Arc<ModelSeries> {
        if let Some(series) = self.models.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return series.clone();
        }
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        let series = || Arc::new(ModelSeries::new(name.as_str(), &self.families, &self.requests));
        models.entry(name.clone()).or_insert_with(series).clone()
    }
}

/// Brings a counter to what somebody else has counted.
fn set(counter: &Counter, counted: u64) {
    counter.inc_by(counted.saturating_sub(counter.get()));
}

impl OutcomeReader for Metrics {
    fn read_split(&self, answer: &SplitAnswer<'_>) {
        self.splits.count(answer);
    }

    fn read_batch_call(&self, call: &BatchCall) {
        let phase = match call.phase {
            BatchCallPhase::Started => "started",
            BatchCallPhase::Completed { .. } => "completed",
        };
        self.batch_calls.get_or_create(&BatchCallLabels { phase }).inc();
        self.readers.batch_calls.inc();
    }

    fn read(&self, outcome: &Outcome) {
        self.readers.requests.inc();
        match outcome.result {
            ResultClass::Answered => {
                if let Some(name) = &outcome.model {
                    self.series(name).count_answer(outcome);
                }
            }
            ResultClass::Failed(code) => {
                let code = code.as_str();
                self.count_failure(outcome, code);
                let took = outcome.timings.total.as_seconds();
                self.refusals.get_or_create(&CodeLabels { code }).observe(took);
            }
            ResultClass::Cancelled => self.count_failure(outcome, "cancelled"),
        }
        self.statistics.count(outcome);
    }
}

#[cfg(test)]
mod tests;
