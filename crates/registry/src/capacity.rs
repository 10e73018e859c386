//! What the processing clusters of a region can carry.
//!
//! A function of a view and options, so that the metrics of every process, the command line and the scaler say the same
//! of the same view. Two limits are told beside the total, because they answer different questions: the *effective*
//! capacity is what the region should be asked for at most on an ordinary day (total × target utilisation), the capacity
//! *without the largest* processing cluster is what is left on the day that it fails. The lower one binds: below a
//! third of head room, three equal clusters at their target cannot lose one.

use crate::{ClusterName, Role, View, member::is_capacity};
use spinwell_core::Ratio;
use std::collections::BTreeMap;

/// What the sums are made with.
#[derive(Debug, Clone, PartialEq)]
pub struct CapacityOptions {
    /// Predictions a second of a node that does not say its own (`predictions_per_node`).
    pub predictions_per_node: f64,
    /// The share of the total that should be used at most (`target_utilization`).
    pub target_utilization: Ratio,
    /// Processing clusters that the configuration names: they are told of also while they have no node.
    pub processing_clusters: Vec<ClusterName>,
}

/// A node, as far as it carries anything.
#[derive(Debug, Clone, PartialEq)]
pub struct Carrier {
    /// The processing cluster that it is part of.
    pub processing_cluster: ClusterName,
    /// Predictions a second that it can carry, where it says so.
    pub capacity_per_second: Option<f64>,
    /// Whether it may be sent work. One that may not carries nothing.
    pub is_usable: bool,
}

/// What one processing cluster can carry now.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessingCluster {
    /// Its name.
    pub name: ClusterName,
    /// Its nodes that may be sent work.
    pub nodes: usize,
    /// Its nodes that are listed but critical. They carry nothing.
    pub nodes_critical: usize,
    /// Predictions a second with all its usable nodes busy.
    pub total_per_second: f64,
    /// Predictions a second at the target utilisation.
    pub effective_per_second: f64,
}

/// What a region can carry now.
#[derive(Debug, Clone, PartialEq)]
pub struct Capacity {
    /// Each processing cluster that has a node or is named in the configuration, by name.
    pub processing_clusters: Vec<ProcessingCluster>,
    /// Nodes that may be sent work.
    pub nodes: usize,
    /// Predictions a second with all of them busy.
    pub total_per_second: f64,
    /// Predictions a second at the target utilisation.
    pub effective_per_second: f64,
    /// Predictions a second that are left, with everything busy, when the largest processing cluster fails.
    pub without_largest_per_second: f64,
}

impl Capacity {
    /// What the nodes of the view can carry.
    #[must_use]
    pub fn of(view: &View, options: &CapacityOptions) -> Self {
        let nodes = view.listed().iter().filter(|listed| listed.member.role == Role::Node);
        let carriers = nodes.map(|listed| Carrier {
            processing_cluster: listed.member.processing_cluster.clone(),
            capacity_per_second: listed.member.capacity_per_second,
            is_usable: listed.health.is_usable(),
        });
        Self::of_nodes(carriers, options)
    }

    /// What these nodes can carry. Nodes that are not usable carry nothing; a capacity that is not a positive number counts as
    /// not said.
    #[must_use]
    pub fn of_nodes(nodes: impl IntoIterator<Item = Carrier>, options: &CapacityOptions) -> Self {
        let named = options.processing_clusters.iter();
        let mut clusters: BTreeMap<ClusterName, ProcessingCluster> =
            named.map(|name| (name.clone(), ProcessingCluster::empty(name))).collect();
        for Carrier { processing_cluster: name, capacity_per_second, is_usable } in nodes {
            let empty = ProcessingCluster::empty(&name);
            let cluster = clusters.entry(name).or_insert(empty);
            if is_usable {
                let own = capacity_per_second.filter(|capacity| is_capacity(*capacity));
                cluster.nodes += 1;
                cluster.total_per_second += own.unwrap_or(options.predictions_per_node);
            } else {
                cluster.nodes_critical += 1;
            }
        }
        let target = options.target_utilization.get();
        let mut processing_clusters: Vec<ProcessingCluster> = clusters.into_values().collect();
        for cluster in &mut processing_clusters {
            cluster.effective_per_second = cluster.total_per_second * target;
        }
        let totals = processing_clusters.iter().map(|cluster| cluster.total_per_second);
        let total_per_second: f64 = totals.clone().sum();
        Self {
            nodes: processing_clusters.iter().map(|cluster| cluster.nodes).sum(),
            total_per_second,
            effective_per_second: total_per_second * target,
            without_largest_per_second: (total_per_second - totals.fold(0.0, f64::max)).max(0.0),
            processing_clusters,
        }
    }
}

impl ProcessingCluster {
    fn empty(name: &ClusterName) -> Self {
        Self {
            name: name.clone(),
            nodes: 0,
            nodes_critical: 0,
            total_per_second: 0.0,
            effective_per_second: 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::tests::{listed, zero};
    use crate::{Health, Listed};
    use proptest::prelude::*;

    fn options(target: f64) -> CapacityOptions {
        CapacityOptions {
            predictions_per_node: 500.0,
            target_utilization: Ratio::new(target).unwrap(),
            processing_clusters: Vec::new(),
        }
    }

    fn node(id: usize, cluster: &str, capacity: Option<f64>, health: Health) -> Listed {
        let mut listed = listed(Role::Node, &format!("n{id:03}"), health);
        listed.member.processing_cluster = cluster.parse().unwrap();
        listed.member.capacity_per_second = capacity;
        listed
    }

    /// Three processing clusters of four graphics cards, a node each.
    fn brief() -> Vec<Listed> {
        (0..12).map(|id| node(id, &format!("cluster-{}", id / 4 + 1), None, Health::Passing)).collect()
    }

    fn of(members: Vec<Listed>, options: &CapacityOptions) -> Capacity {
        Capacity::of(&View::new(1, members, zero()), options)
    }

    #[test]
    fn the_region_of_the_brief() {
        let capacity = of(brief(), &options(0.66));
        let each: Vec<_> = capacity
            .processing_clusters
            .iter()
            .map(|one| (one.name.as_str(), one.nodes, one.total_per_second))
            .collect();
        assert_eq!(each, [("cluster-1", 4, 2000.0), ("cluster-2", 4, 2000.0), ("cluster-3", 4, 2000.0)]);
        assert_eq!((capacity.nodes, capacity.total_per_second), (12, 6000.0));
        // The brief says 4,000 at 66 %, rounded; 66 % of 6,000 is 3,960. Without one cluster it is 4,000 to the point.
        assert!((capacity.effective_per_second - 3960.0).abs() < 1e-9);
        assert!((of(brief(), &options(2.0 / 3.0)).effective_per_second - 4000.0).abs() < 1e-9);
        assert_eq!(capacity.without_largest_per_second, 4000.0);
    }

    #[test]
    fn critical_nodes_carry_nothing_and_are_counted_apart() {
        let mut members = brief();
        for critical in &mut members[4..8] {
            critical.health = Health::Critical;
        }
        members[0].health = Health::Warning;
        let capacity = of(members, &options(0.66));
        let second = &capacity.processing_clusters[1];
        assert_eq!((second.nodes, second.nodes_critical, second.total_per_second), (0, 4, 0.0));
        assert_eq!((capacity.nodes, capacity.total_per_second), (8, 4000.0));
        assert_eq!(capacity.without_largest_per_second, 2000.0);
    }

    #[test]
    fn a_node_says_its_own_capacity_and_nonsense_is_not_said() {
        for (capacity, wanted) in [
            (Some(2000.0), 2000.0),
            (None, 500.0),
            (Some(f64::NAN), 500.0),
            (Some(-5.0), 500.0),
            (Some(0.0), 500.0),
        ] {
            let capacity = of(vec![node(1, "a", capacity, Health::Passing)], &options(0.5));
            assert_eq!(capacity.total_per_second, wanted);
            assert_eq!(capacity.effective_per_second, wanted / 2.0);
            assert_eq!(capacity.without_largest_per_second, 0.0);
        }
    }

    #[test]
    fn named_clusters_are_told_of_without_nodes_and_gateways_are_not_counted() {
        let mut options = options(0.66);
        options.processing_clusters = vec!["b".parse().unwrap(), "a".parse().unwrap()];
        let capacity = of(vec![listed(Role::Gateway, "g", Health::Passing)], &options);
        let names: Vec<_> =
            capacity.processing_clusters.iter().map(|one| (one.name.as_str(), one.nodes)).collect();
        assert_eq!(names, [("a", 0), ("b", 0)]);
        assert_eq!(
            (capacity.nodes, capacity.total_per_second, capacity.without_largest_per_second),
            (0, 0.0, 0.0)
        );
    }

    proptest! {
        #[test]
        fn parts_add_up(
            nodes in prop::collection::vec(("[a-c]", prop::option::of(1.0..1e6f64), 0..3usize), 0..30),
            target in 0.0..=1.0f64
        ) {
            let health = [Health::Passing, Health::Warning, Health::Critical];
            let members: Vec<Listed> =
                nodes.iter().enumerate().map(|(id, (name, own, how))| node(id, name, *own, health[*how])).collect();
            let capacity = of(members, &options(target));
            let parts = &capacity.processing_clusters;
            let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(1.0);
            prop_assert_eq!(parts.iter().map(|one| one.nodes + one.nodes_critical).sum::<usize>(), nodes.len());
            prop_assert!(close(parts.iter().map(|one| one.total_per_second).sum(), capacity.total_per_second));
            prop_assert!(close(parts.iter().map(|one| one.effective_per_second).sum(), capacity.effective_per_second));
            prop_assert!(capacity.effective_per_second <= capacity.total_per_second);
            prop_assert!(capacity.without_largest_per_second <= capacity.total_per_second);
        }
    }
}
