//! The nodes of a gateway. Where it is one process with its node, nothing is shown of them.

use super::set;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use spinwell_protocol::{NodeLoad, NodeStanding};
use std::sync::atomic::{AtomicBool, Ordering};

/// How nodes are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

/// Which node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NodeLabels {
    node: String,
}

/// What is shown of a gateway's nodes.
pub(super) struct ClusterFigures {
    nodes: Family<StateLabels, Gauge>,
    serving: Family<NodeLabels, Gauge>,
    has_shown: AtomicBool,
    attempts: Counter,
    retries: Counter,
    timeouts: Counter,
    fell_back: Counter,
}

impl ClusterFigures {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let figures = Self {
            nodes: Family::default(),
            serving: Family::default(),
            has_shown: AtomicBool::new(false),
            attempts: Counter::default(),
            retries: Counter::default(),
            timeouts: Counter::default(),
            fell_back: Counter::default(),
        };
        registry.register(
            "spinwell_cluster_nodes",
            "Nodes of this gateway: members, connected, leaving, or shut out by their breakers",
            figures.nodes.clone(),
        );
        registry.register(
            "spinwell_cluster_node_serving",
            "Whether a node gets requests from this gateway: connected, not leaving, its breaker closed",
            figures.serving.clone(),
        );
        registry.register(
            "spinwell_cluster_attempts",
            "Attempts at nodes, for requests without a sequence",
            figures.attempts.clone(),
        );
        registry.register(
            "spinwell_cluster_retries",
            "Attempts that were not the first of their request",
            figures.retries.clone(),
        );
        registry.register(
            "spinwell_cluster_attempt_timeouts",
            "Attempts that were given up because nothing was heard in time",
            figures.timeouts.clone(),
        );
        registry.register(
            "spinwell_cluster_strategy_fallbacks",
            "Choices of nodes by another strategy than the one that is set, which cannot say yet, or errs too much",
            figures.fell_back.clone(),
        );
        figures
    }

    pub(super) fn set(&self, load: &NodeLoad) {
        let nodes = &load.nodes;
        // A node that is no member any more must not be shown as what it was.
        self.serving.clear();
        let count = |is_so: fn(&NodeStanding) -> bool| nodes.iter().filter(|node| is_so(node)).count();
        // Of a process that is its own node nothing is shown; of a gateway also that it has none.
        if !nodes.is_empty() || self.has_shown.load(Ordering::Relaxed) {
            self.has_shown.store(true, Ordering::Relaxed);
            for (state, count) in [
                ("member", nodes.len()),
                ("connected", count(|node| node.is_connected)),
                ("leaving", count(|node| node.is_connected && node.is_leaving)),
                ("distrusted", count(|node| node.is_connected && !node.is_trusted)),
            ] {
                let labels = StateLabels { state };
                self.nodes.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
        for node in nodes {
            let labels = NodeLabels { node: node.id.to_string() };
            let is_serving = node.is_connected && !node.is_leaving && node.is_trusted;
            self.serving.get_or_create(&labels).set(i64::from(is_serving));
        }
        set(&self.attempts, load.attempts.all);
        set(&self.retries, load.attempts.retries);
        set(&self.timeouts, load.attempts.timeouts);
        set(&self.fell_back, load.attempts.fell_back);
    }
}
