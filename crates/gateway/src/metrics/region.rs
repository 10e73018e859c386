//! What the processing clusters of the region can carry. Where a process is its own node, nothing is shown.

use crate::capacity::RegionCapacity;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

/// Nodes of a processing cluster that stand so.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NodesLabels {
    cluster: String,
    state: &'static str,
}

/// A capacity of a processing cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClusterLabels {
    cluster: String,
    kind: &'static str,
}

/// A capacity of the region.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RegionLabels {
    kind: &'static str,
}

type PerSecond<L> = Family<L, Gauge<f64, AtomicU64>>;

/// What is shown of a region's capacity.
pub(super) struct RegionFigures {
    nodes: Family<NodesLabels, Gauge>,
    of_clusters: PerSecond<ClusterLabels>,
    of_region: PerSecond<RegionLabels>,
}

impl RegionFigures {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let figures =
            Self { nodes: Family::default(), of_clusters: Family::default(), of_region: Family::default() };
        registry.register(
            "spinwell_processing_cluster_nodes",
            "Nodes of a processing cluster: serving, leaving, distrusted or unreachable",
            figures.nodes.clone(),
        );
        registry.register(
            "spinwell_processing_cluster_capacity_per_second",
            "Predictions a second that a processing cluster can carry: in total, and at the target utilisation",
            figures.of_clusters.clone(),
        );
        registry.register(
            "spinwell_region_capacity_per_second",
            "Predictions a second that the region can carry: in total, at the target utilisation, and without its \
             largest processing cluster",
            figures.of_region.clone(),
        );
        figures
    }

    pub(super) fn set(&self, capacity: Option<&RegionCapacity>) {
        // A processing cluster that is gone must not be shown as what it was.
        self.nodes.clear();
        self.of_clusters.clear();
        self.of_region.clear();
        let Some(capacity) = capacity else { return };
        for cluster in &capacity.clusters {
            let name = cluster.name.as_str();
            for (state, count) in cluster.nodes {
                let labels = NodesLabels { cluster: name.to_owned(), state };
                self.nodes.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
            }
            let kinds = [("total", cluster.total_per_second), ("effective", cluster.effective_per_second)];
            for (kind, per_second) in kinds {
                let labels = ClusterLabels { cluster: name.to_owned(), kind };
                self.of_clusters.get_or_create(&labels).set(per_second);
            }
        }
        for (kind, per_second) in [
            ("total", capacity.total_per_second),
            ("effective", capacity.effective_per_second),
            ("without_largest", capacity.without_largest_per_second),
        ] {
            self.of_region.get_or_create(&RegionLabels { kind }).set(per_second);
        }
    }
}
