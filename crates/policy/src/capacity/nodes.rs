//! The fewest nodes that keep a goal, and those that bear a loss.

use super::{Load, Queue, Service};
use spinwell_core::Ratio;
use std::time::Duration;

/// How busy the nodes that are left may be when one of them is lost. At more, three of them would answer too late.
pub const HEADROOM: f64 = 0.8;

/// What is to be kept: of that share of the requests, waiting or latency is no longer than that.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Goal {
    /// The share of requests.
    pub percentile: Ratio,
    /// The longest time.
    pub within: Duration,
    /// What of them.
    pub of: Measure,
}

/// What a goal speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// How long a request waits before it is served.
    Wait,
    /// How long it takes in all.
    Latency,
}

impl Goal {
    /// Whether a queue keeps it.
    #[must_use]
    pub fn is_kept(&self, queue: &Queue) -> bool {
        let late = match self.of {
            Measure::Wait => queue.waits_longer(self.within),
            Measure::Latency => queue.takes_longer(self.within),
        };
        late.get() <= 1.0 - self.percentile.get()
    }
}

/// The fewest nodes that keep the goal; `None` where not even `nodes_max` do.
#[must_use]
pub fn nodes_for(load: Load, service: &Service, goal: &Goal, nodes_max: usize) -> Option<usize> {
    // More nodes never make anybody wait longer, so that the first ones that do are the fewest.
    let keeps = |nodes: &usize| Queue::new(*nodes, service, load).is_some_and(|queue| goal.is_kept(&queue));
    (1..=nodes_max).find(keeps)
}

/// How busy so many nodes may be so that one of them can be lost: what is left is then [`HEADROOM`] busy, u ≤ 0.8·(n − 1) / n. A
/// share that is the same for all sizes would not do: 66 % of three nodes are 99 % of two.
#[must_use]
pub fn survivable(nodes: usize) -> Ratio {
    let nodes = nodes.max(1) as f64;
    Ratio::new(HEADROOM * (nodes - 1.0) / nodes).unwrap_or(Ratio::ZERO)
}

/// The fewest nodes that bear the loss of one, where what arrives would keep so many of them busy all the time.
#[must_use]
pub fn survivable_nodes(busy: f64) -> usize {
    // A hair less: what is exactly at the limit should not need another node for the rounding.
    (busy / HEADROOM - 1e-9).max(0.0).ceil() as usize + 1
}
