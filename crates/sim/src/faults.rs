//! Scenarios drawn from a seed, in which anything goes wrong.

use crate::node::capacity;
use crate::scenario::{Fault, NodeSpec, Scenario};
use crate::world::rows_mean;
use spinwell_core::Rng;
use spinwell_policy::balance::Strategy;
use std::time::Duration;

/// What may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A node becomes slow.
    Slow,
    /// A node answers with errors, fast.
    Errors,
    /// A node swallows requests and looks well.
    Grey,
    /// A node's process dies and starts again.
    Crash,
    /// A node dies and starts again, over and over.
    Flap,
    /// A node is stopped and goes on.
    Freeze,
    /// Some gateways and a node do not reach each other.
    Partition,
    /// A node is drained and comes back.
    Drain,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Kind::Slow,
        Kind::Errors,
        Kind::Grey,
        Kind::Crash,
        Kind::Flap,
        Kind::Freeze,
        Kind::Partition,
        Kind::Drain,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Slow => "slow",
            Kind::Errors => "errors",
            Kind::Grey => "grey",
            Kind::Crash => "crash",
            Kind::Flap => "flap",
            Kind::Freeze => "freeze",
            Kind::Partition => "partition",
            Kind::Drain => "drain",
        }
    }
}

/// How large scenarios are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Nodes at most; 3 at least.
    pub nodes_max: usize,
    /// Requests, about.
    pub requests: usize,
}

impl Size {
    /// Short enough for a test.
    pub const SMALL: Self = Self { nodes_max: 10, requests: 2_500 };
    /// As large as clusters become.
    pub const LARGE: Self = Self { nodes_max: 500, requests: 40_000 };
}

/// How long the load lasts at least, so that breakers and timeouts have time to do something.
const SECONDS_MIN: f64 = 4.0;
const SECONDS_MAX: f64 = 60.0;

/// The scenario of a seed.
#[must_use]
pub fn scenario(seed: u64, kinds: &[Kind], size: Size) -> Scenario {
    let mut rng = Rng::seeded(seed).fork(9);
    // Small clusters are the usual ones.
    let spread = rng.uniform().powi(3);
    let count = 3 + ((size.nodes_max.max(3) - 3) as f64 * spread).round() as usize;
    let nodes: Vec<NodeSpec> = (0..count).map(|_| node(&mut rng)).collect();
    let capacity: f64 = nodes.iter().map(|node| capacity(node, rows_mean())).sum();
    let rate = capacity * rng.uniform_in(0.2, 1.1);
    let seconds = (size.requests as f64 / rate).clamp(SECONDS_MIN, SECONDS_MAX);
    let rate = rate.min(size.requests as f64 / seconds);
    let length = Duration::from_secs_f64(seconds);
    let gateways = 1 + rng.below(4) as usize;
    let mut faults = Vec::new();
    if !kinds.is_empty() {
        for _ in 0..(1 + rng.below(2 + count as u64 / 2)) {
            let kind = kinds[rng.below(kinds.len() as u64) as usize];
            faults.extend(fault(kind, count, gateways, length, &mut rng));
        }
    }
    Scenario {
        seed,
        strategy: Strategy::ALL[rng.below(Strategy::ALL.len() as u64) as usize],
        gateways,
        nodes,
        load: vec![(length.mul_f64(0.5), rate), (length.mul_f64(0.6), 2.0 * rate), (length, rate)],
        deadline: Duration::from_millis(200 + rng.below(1_800)),
        faults,
        plant: None,
    }
}

fn node(rng: &mut Rng) -> NodeSpec {
    let weight = [0.5, 1.0, 1.0, 2.0][rng.below(4) as usize];
    NodeSpec {
        weight,
        // Slow enough that a few thousand requests keep several nodes busy for seconds.
        speed: 0.25 * weight * rng.uniform_in(0.7, 1.4),
        executors: 1 + rng.below(3) as usize,
        queue_len_max: 4 + rng.below(100) as usize,
        has_gpu: rng.below(2) == 0,
    }
}

/// One trouble: how it begins and how it ends.
fn fault(
    kind: Kind,
    nodes: usize,
    gateways: usize,
    length: Duration,
    rng: &mut Rng,
) -> Vec<(Duration, Fault)> {
    let node = rng.below(nodes as u64) as usize;
    let begin = length.mul_f64(rng.uniform_in(0.05, 0.8));
    let end = begin + length.mul_f64(rng.uniform_in(0.02, 0.5));
    match kind {
        Kind::Slow => {
            let factor = rng.uniform_in(2.0, 20.0);
            vec![(begin, Fault::Slow(node, factor)), (end, Fault::Slow(node, 1.0))]
        }
        Kind::Errors => {
            let share = rng.uniform_in(0.05, 1.0);
            vec![(begin, Fault::Errors(node, share)), (end, Fault::Errors(node, 0.0))]
        }
        Kind::Grey => {
            let share = rng.uniform_in(0.05, 1.0);
            vec![(begin, Fault::Hangs(node, share)), (end, Fault::Hangs(node, 0.0))]
        }
        Kind::Crash => vec![(begin, Fault::Crash(node)), (end, Fault::Start(node))],
        Kind::Flap => {
            let period = length.mul_f64(rng.uniform_in(0.02, 0.1));
            let times = 2 + rng.below(6) as u32;
            let flap = |time: u32| {
                let down = begin + 2 * time * period;
                [(down, Fault::Crash(node)), (down + period, Fault::Start(node))]
            };
            (0..times).flat_map(flap).collect()
        }
        Kind::Freeze => vec![(begin, Fault::Freeze(node)), (end, Fault::Thaw(node))],
        Kind::Partition => {
            let some = |rng: &mut Rng| (0..gateways).filter(|_| rng.below(2) == 0).collect::<Vec<_>>();
            let cut = some(rng);
            let both = cut
                .iter()
                .map(|&gateway| [(begin, Fault::Cut(gateway, node)), (end, Fault::Mend(gateway, node))]);
            both.flatten().collect()
        }
        Kind::Drain => vec![(begin, Fault::Drain(node)), (end + Duration::from_secs(4), Fault::Start(node))],
    }
}
