//! How the ledger keeps up.

use super::set;
use crate::audit::{Audit, LedgerCounts};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use spinwell_core::Micros;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Boundaries of the time from a record to the disk: 0.2 s is what is promised.
const LAG_SECONDS: [f64; 9] = [0.01, 0.02, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 5.0];

/// Which witness.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WitnessLabels {
    witness: String,
}

/// What is shown of the ledger, where there is one.
pub(super) struct LedgerFigures {
    records: Counter,
    entries: Counter,
    records_unsigned: Gauge,
    entries_unsigned: Gauge,
    forced: Counter,
    waited: Counter,
    refused: Counter,
    refused_acts_left_out: Counter,
    is_ready: Gauge,
    lag: Histogram,
    witnessed: Family<WitnessLabels, Gauge>,
    copied: Gauge,
    copy_lag: Gauge<f64, AtomicU64>,
    copy_failed: Counter,
    shown: OnceLock<Arc<Audit>>,
}

impl LedgerFigures {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let counter = |registry: &mut Registry, name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let gauge = |registry: &mut Registry, name: &str, help: &str| {
            let gauge = Gauge::<i64>::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let lag = Histogram::new(LAG_SECONDS);
        registry.register(
            "spinwell_ledger_lag_seconds",
            "From the oldest record of a batch until it is sealed and on the disk",
            lag.clone(),
        );
        let witnessed = Family::default();
        registry.register(
            "spinwell_ledger_witnessed_entries",
            "Entries of the ledger's log under the last checkpoint that the witness has cosigned",
            witnessed.clone(),
        );
        let copy_lag = Gauge::default();
        registry.register(
            "spinwell_ledger_copy_lag_seconds",
            "For how long the ledger's copy has not had all that is signed",
            copy_lag.clone(),
        );
        Self {
            records: counter(registry, "spinwell_ledger_records", "Records of requests in the ledger"),
            entries: counter(registry, "spinwell_ledger_entries", "Entries of the ledger's log"),
            records_unsigned: gauge(
                registry,
                "spinwell_ledger_records_unsigned",
                "Records that no checkpoint is over yet",
            ),
            entries_unsigned: gauge(
                registry,
                "spinwell_ledger_entries_unsigned",
                "Entries that no checkpoint is over yet",
            ),
            forced: counter(
                registry,
                "spinwell_ledger_forced",
                "Times that the ledger's journal was forced to the disk",
            ),
            waited: counter(
                registry,
                "spinwell_ledger_waited",
                "Records that waited for the disk before they were written",
            ),
            refused: counter(
                registry,
                "spinwell_ledger_refused",
                "Records and events that could not be written, so that what they tell of did not happen",
            ),
            refused_acts_left_out: counter(
                registry,
                "spinwell_ledger_refused_acts_left_out",
                "Refusals of acts without an event of their own: each caller has one a second, which says how many it stands for",
            ),
            is_ready: gauge(registry, "spinwell_ledger_ready", "1 where the ledger takes records"),
            lag,
            witnessed,
            copied: gauge(
                registry,
                "spinwell_ledger_copied_entries",
                "Entries under the checkpoint of the ledger's copy (ledger.copy_to)",
            ),
            copy_lag,
            copy_failed: counter(
                registry,
                "spinwell_ledger_copy_failed",
                "Times that the ledger could not be copied, each followed by a longer pause",
            ),
            shown: OnceLock::new(),
        }
    }

    pub(super) fn show(&self, audit: Arc<Audit>) {
        // A process has one ledger.
        let _ = self.shown.set(audit);
    }

    /// Brings the series to what was counted.
    pub(super) fn update(&self) {
        let Some(audit) = self.shown.get() else { return };
        let LedgerCounts {
            records,
            records_signed,
            entries,
            entries_signed,
            counts,
            refused_acts_left_out,
            is_ready,
        } = audit.counts();
        let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        set(&self.records, records);
        set(&self.entries, entries);
        self.records_unsigned.set(whole(records.saturating_sub(records_signed)));
        self.entries_unsigned.set(whole(entries.saturating_sub(entries_signed)));
        set(&self.forced, counts.forced);
        set(&self.waited, counts.waited);
        set(&self.refused, counts.refused);
        set(&self.refused_acts_left_out, refused_acts_left_out);
        self.is_ready.set(i64::from(is_ready));
        for (witness, entries) in audit.witnesses() {
            self.witnessed.get_or_create(&WitnessLabels { witness }).set(whole(entries));
        }
        if let Some(copy) = audit.copy_counts() {
            self.copied.set(whole(copy.entries));
            self.copy_lag.set(Duration::from_micros(copy.lag.0).as_secs_f64());
            set(&self.copy_failed, copy.failed);
        }
        audit
            .take_lags()
            .into_iter()
            .for_each(|lag: Micros| self.lag.observe(Duration::from_micros(lag.0).as_secs_f64()));
    }
}
