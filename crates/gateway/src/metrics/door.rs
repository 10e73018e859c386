//! Who was refused at the door, and what the detectors have found.

use super::set;
use crate::door::{Door, Watch};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::{Arc, OnceLock};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FindingLabels {
    detector: &'static str,
    response: &'static str,
}

/// What is shown of a door.
pub(super) struct DoorFigures {
    refused: Family<RefusalLabels, Counter>,
    findings: Family<FindingLabels, Counter>,
    is_wrong: Gauge,
    shown: OnceLock<Arc<Door>>,
}

impl DoorFigures {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let (refused, findings) = (Family::default(), Family::default());
        registry.register(
            "spinwell_access_refused",
            "Requests that were refused because of who sent them, by code",
            refused.clone(),
        );
        registry.register(
            "spinwell_threat_findings",
            "What looked like an attack, by detector and by what followed",
            findings.clone(),
        );
        let is_wrong = Gauge::default();
        registry.register(
            "spinwell_access_file_wrong",
            "Whether a file of the access folder cannot be used, so that what it held before holds",
            is_wrong.clone(),
        );
        Self { refused, findings, is_wrong, shown: OnceLock::new() }
    }

    pub(super) fn show(&self, door: Arc<Door>) {
        // A process has one door.
        let _ = self.shown.set(door);
    }

    /// Brings the series to what was counted.
    pub(super) fn update(&self) {
        let Some(door) = self.shown.get() else { return };
        self.is_wrong.set(i64::from(door.has_wrong_file()));
        for (code, count) in door.refused() {
            set(&self.refused.get_or_create(&RefusalLabels { code: code.as_str() }), count);
        }
        for (detector, response, count) in door.watch().into_iter().flat_map(Watch::findings) {
            let labels = FindingLabels { detector: detector.as_str(), response };
            set(&self.findings.get_or_create(&labels), count);
        }
    }
}
