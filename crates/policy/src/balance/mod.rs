//! Which node gets a request.
//!
//! Five strategies answer that, each by a score of the nodes that may be chosen; README.md says what is wanted of them and
//! why they look as they do. What they have in common:
//! * *No node is chosen for being the best of all.* Scores are made of what was reported a while ago, so that all gateways
//!   would rush to the same node. Among those whose score is nearly the best, one is drawn by weight (`draw`).
//! * *Reported load is corrected* by what this gateway has sent since, and by what the others will have sent, if they did as
//!   it did (`load`). A report older than three periods is no report: the node then counts as an average one.
//! * *Weights are earned* (`earned`). A new node begins with a tenth of its own; one that fails or is much slower than its
//!   peers keeps a part of it, by which every strategy avoids it, also those that look at nothing else.
//! * *A failure is never a fast answer*: it counts as four times the latency that was usual at the node.
//!
//! ```
//! use spinwell_core::{NodeId, Rng};
//! use spinwell_policy::balance::{Ask, Balancer, Member, Options, Strategy};
//! # #[allow(clippy::disallowed_methods)]
//! # let now = std::time::Instant::now();
//! let mut balancer = Balancer::new(Options::default());
//! let nodes = ["a", "b"].map(|name| NodeId(name.into()));
//! for node in &nodes {
//!     balancer.join(node.clone(), Member { weight: 1.0, cluster: "north".into() }, now);
//! }
//! let ask = Ask { rows: 64, strategy: Strategy::WeightedLeastConnections };
//! let busy = balancer.begin(&nodes[0], 64, now);
//! let pick = balancer.pick(ask, &nodes, now, &mut Rng::seeded(1)).unwrap();
//! assert_eq!(pick.node, nodes[1]);
//! # drop(busy);
//! ```

mod balancer;
mod draw;
mod earned;
mod load;
mod node;
mod regressor;
mod strategy;
#[cfg(test)]
mod tests;
mod view;

pub use balancer::{Ask, Balancer, Begun, FellBack, Options, Pick};
pub use load::Report;
pub use node::Member;

/// How a node is chosen. Each says its formula where it is computed (`balance/strategy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Strategy {
    /// In turn, as often as weights say.
    RoundRobin,
    /// The one with the fewest rows in flight, for its weight.
    #[default]
    WeightedLeastConnections,
    /// The one with the most of its card, memory and processors free, for the rows in flight.
    ResourceAware,
    /// The one that is predicted to answer first.
    Predictive,
    /// The one that answered fastest lately, for what is in flight.
    LatencyOptimized,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Strategy::RoundRobin,
        Strategy::WeightedLeastConnections,
        Strategy::ResourceAware,
        Strategy::Predictive,
        Strategy::LatencyOptimized,
    ];

    /// Its name in configuration, plans and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Strategy::RoundRobin => "round_robin",
            Strategy::WeightedLeastConnections => "weighted_least_connections",
            Strategy::ResourceAware => "resource_aware",
            Strategy::Predictive => "predictive",
            Strategy::LatencyOptimized => "latency_optimized",
        }
    }

    /// The strategy of that name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|strategy| strategy.as_str() == name)
    }
}
