//! What the versions of a split did, by version: their names stand in the models folder, so there are few.

use super::VersionLabels;
use crate::traffic::{Missing, Role, SplitAnswer};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartLabels {
    model: String,
    version: u32,
    result: &'static str,
}

/// The figures of all splits.
pub(super) struct SplitFigures {
    canary: Family<PartLabels, Counter>,
    shadow: Family<PartLabels, Counter>,
    difference: Family<VersionLabels, Counter<f64, AtomicU64>>,
    values: Family<VersionLabels, Counter>,
}

impl SplitFigures {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let figures = Self {
            canary: Family::default(),
            shadow: Family::default(),
            difference: Family::default(),
            values: Family::default(),
        };
        registry.register(
            "spinwell_canary",
            "Requests sent to a canary version: answered, refused for want of time or room (dropped), or failed",
            figures.canary.clone(),
        );
        registry.register(
            "spinwell_shadow",
            "Requests sent to a shadow version: answered, dropped for want of time or room, or failed",
            figures.shadow.clone(),
        );
        registry.register(
            "spinwell_shadow_absolute_difference",
            "Sum of the absolute differences between a shadow's values and those that the caller got",
            figures.difference.clone(),
        );
        registry.register(
            "spinwell_shadow_compared_values",
            "Values of a shadow that were compared with those that the caller got",
            figures.values.clone(),
        );
        figures
    }

    pub(super) fn count(&self, answer: &SplitAnswer<'_>) {
        let (model, version) = (answer.model.name.to_string(), answer.model.version.0);
        let labels = VersionLabels { model: model.clone(), version };
        let result = match answer.result {
            Ok(_) => "answered",
            Err(Missing::Dropped) => "dropped",
            Err(Missing::Failed) => "failed",
        };
        let counted = match answer.role {
            Role::Canary => &self.canary,
            Role::Shadow => &self.shadow,
        };
        counted.get_or_create(&PartLabels { model, version, result }).inc();
        if let Some(difference) = answer.difference {
            self.difference.get_or_create(&labels).inc_by(difference.sum);
            self.values.get_or_create(&labels).inc_by(difference.values as u64);
        }
    }
}
