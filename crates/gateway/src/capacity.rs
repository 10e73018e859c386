//! What the processing clusters of the region can carry, as this gateway sees their nodes.
//!
//! The sums are the registry's ([`Capacity`]), so that whoever scales says the same. Which nodes carry anything is this
//! gateway's own knowledge: a node that is listed and does not answer, is about to leave or is shut out by its breaker
//! carries nothing here, and the registry learns of that later or, with a fixed list, never.

use crate::region::{STATES, state};
use spinwell_protocol::{NodeStatus, RegionStatus};
use spinwell_registry::{Capacity, CapacityOptions, Carrier, ClusterName};

/// What one processing cluster can carry.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClusterCapacity {
    pub(crate) name: ClusterName,
    /// Its nodes by how they stand, in the order of [`STATES`].
    pub(crate) nodes: [(&'static str, usize); STATES.len()],
    /// Predictions a second with all its serving nodes busy.
    pub(crate) total_per_second: f64,
    /// Predictions a second at the target utilisation.
    pub(crate) effective_per_second: f64,
}

/// What a region can carry.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RegionCapacity {
    /// Its processing clusters, by name.
    pub(crate) clusters: Vec<ClusterCapacity>,
    /// Predictions a second with all serving nodes busy.
    pub(crate) total_per_second: f64,
    /// Predictions a second at the target utilisation.
    pub(crate) effective_per_second: f64,
    /// Predictions a second that are left when the largest processing cluster fails.
    pub(crate) without_largest_per_second: f64,
}

impl RegionCapacity {
    /// What these nodes can carry. Only those that serve carry anything.
    pub(crate) fn of(region: &RegionStatus, options: &CapacityOptions) -> Self {
        let carriers = region.nodes.iter().map(|node| Carrier {
            processing_cluster: cluster_of(node),
            capacity_per_second: node.capacity_per_second,
            is_usable: state(node) == STATES[0],
        });
        let capacity = Capacity::of_nodes(carriers, options);
        let clusters = capacity.processing_clusters.into_iter().map(|cluster| ClusterCapacity {
            nodes: STATES.map(|wanted| {
                let is_it = |node: &&NodeStatus| cluster_of(node) == cluster.name && state(node) == wanted;
                (wanted, region.nodes.iter().filter(is_it).count())
            }),
            name: cluster.name,
            total_per_second: cluster.total_per_second,
            effective_per_second: cluster.effective_per_second,
        });
        Self {
            clusters: clusters.collect(),
            total_per_second: capacity.total_per_second,
            effective_per_second: capacity.effective_per_second,
            without_largest_per_second: capacity.without_largest_per_second,
        }
    }
}

/// A node whose word for its processing cluster is no name is in the default one.
fn cluster_of(node: &NodeStatus) -> ClusterName {
    node.cluster.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{brief_region, brief_terms};

    #[test]
    fn the_region_of_the_brief_and_what_is_left_of_it() {
        let mut region = brief_region();
        let of = |region: &RegionStatus| RegionCapacity::of(region, &brief_terms());
        let whole = of(&region);
        let names: Vec<_> =
            whole.clusters.iter().map(|one| (one.name.as_str(), one.total_per_second)).collect();
        assert_eq!(names, [("cluster-1", 2000.0), ("cluster-2", 2000.0), ("cluster-3", 2000.0)]);
        assert_eq!((whole.total_per_second, whole.without_largest_per_second), (6000.0, 4000.0));
        assert!((whole.effective_per_second - 3960.0).abs() < 1e-9);
        // One node of each kind that gets no requests.
        region.nodes[0].standing.is_connected = false;
        region.nodes[1].standing.is_leaving = true;
        region.nodes[2].standing.is_trusted = false;
        region.nodes[11].capacity_per_second = Some(900.0);
        let less = of(&region);
        let first = &less.clusters[0];
        let counts = [("serving", 1), ("leaving", 1), ("distrusted", 1), ("unreachable", 1)];
        assert_eq!((first.nodes, first.total_per_second), (counts, 500.0));
        assert_eq!((less.total_per_second, less.without_largest_per_second), (4900.0, 2500.0));
    }

    #[test]
    fn a_named_cluster_is_shown_without_nodes() {
        let region = RegionStatus { nodes: Vec::new(), ..brief_region() };
        let none = RegionCapacity::of(&region, &brief_terms());
        assert_eq!(none.clusters.len(), 3);
        assert!(none.clusters.iter().all(|one| one.nodes.iter().all(|(_, count)| *count == 0)));
        assert_eq!((none.total_per_second, none.without_largest_per_second), (0.0, 0.0));
    }
}
