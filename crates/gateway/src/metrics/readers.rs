//! What became of outcomes on their way to the readers that are not on the request's path.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RecordLabels {
    record: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReaderLabels {
    reader: &'static str,
}

/// What one reader did with the records. At rest, all five together are the records that there were.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReaderCounts {
    /// Records that arrived where they should.
    pub(crate) delivered: Counter,
    /// Records that the reader took and could not deliver.
    pub(crate) failed: Counter,
    /// Records that found the queue full.
    pub(crate) dropped: Counter,
    /// Records that the reader does not want.
    pub(crate) skipped: Counter,
    /// Records on their way.
    pub(crate) waiting: Gauge,
}

/// The families that every reader has a series in.
pub(super) struct ReaderFamilies {
    delivered: Family<ReaderLabels, Counter>,
    failed: Family<ReaderLabels, Counter>,
    dropped: Family<ReaderLabels, Counter>,
    skipped: Family<ReaderLabels, Counter>,
    waiting: Family<ReaderLabels, Gauge>,
    /// Requests that have ended.
    pub(super) requests: Counter,
    /// Batch calls that have started or completed.
    pub(super) batch_calls: Counter,
}

impl ReaderFamilies {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let outcomes = Family::<RecordLabels, Counter>::default();
        registry.register(
            "spinwell_outcomes",
            "Records of the outcome stream: requests that ended, batch calls that started or completed",
            outcomes.clone(),
        );
        let mut counter = |name: &str, help: &str| {
            let family = Family::<ReaderLabels, Counter>::default();
            registry.register(name, help, family.clone());
            family
        };
        let delivered = counter("spinwell_outcomes_delivered", "Records that a reader delivered");
        let failed = counter("spinwell_outcomes_failed", "Records that a reader took and could not deliver");
        let dropped = counter("spinwell_outcomes_dropped", "Records that found a reader's queue full");
        let skipped = counter(
            "spinwell_outcomes_skipped",
            "Records that a reader does not want, such as traces not sampled",
        );
        let waiting = Family::<ReaderLabels, Gauge>::default();
        registry.register("spinwell_outcomes_waiting", "Records on their way to a reader", waiting.clone());
        let of = |record| outcomes.get_or_create(&RecordLabels { record }).clone();
        Self {
            requests: of("request"),
            batch_calls: of("batch_call"),
            delivered,
            failed,
            dropped,
            skipped,
            waiting,
        }
    }

    pub(super) fn of(&self, reader: &'static str) -> ReaderCounts {
        let labels = ReaderLabels { reader };
        ReaderCounts {
            delivered: self.delivered.get_or_create(&labels).clone(),
            failed: self.failed.get_or_create(&labels).clone(),
            dropped: self.dropped.get_or_create(&labels).clone(),
            skipped: self.skipped.get_or_create(&labels).clone(),
            waiting: self.waiting.get_or_create(&labels).clone(),
        }
    }
}
