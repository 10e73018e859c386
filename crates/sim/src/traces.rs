//! The loads and faults that strategies are compared on. They are fixed by the seed, and the same for all.

use crate::node::capacity;
use crate::scenario::{Fault, NodeSpec, Scenario};
use crate::world::rows_mean;
use spinwell_core::Rng;
use spinwell_policy::balance::Strategy;
use std::time::Duration;

/// Share of all nodes' capacity that comes where nothing else is said: close to the 66 % that the cluster aims at.
const USUAL: f64 = 0.6;

/// A trace: its name, what is special about it, and how to make it of a seed.
#[derive(Debug, Clone, Copy)]
pub struct Trace {
    /// Its name.
    pub name: &'static str,
    /// What happens in it.
    pub about: &'static str,
    make: fn(u64) -> Scenario,
}

impl Trace {
    /// The scenario of a seed, for a strategy.
    #[must_use]
    pub fn scenario(&self, seed: u64, strategy: Strategy) -> Scenario {
        Scenario { strategy, ..(self.make)(seed) }
    }
}

/// All traces.
pub const ALL: [Trace; 12] = [
    Trace {
        name: "homogeneous",
        about: "6 equal nodes, 60 % load, 20 s",
        make: |seed| usual(seed, 6, 3, 20),
    },
    Trace {
        name: "one 5x slow",
        about: "the same; from 5 s on one node takes 5 times as long",
        make: |seed| with(usual(seed, 6, 3, 20), &[(5, Fault::Slow(2, 5.0))]),
    },
    Trace {
        name: "one erring fast",
        about: "the same; from 5 s on one node answers everything with an error, at once",
        make: |seed| with(usual(seed, 6, 3, 20), &[(5, Fault::Errors(2, 1.0))]),
    },
    Trace {
        name: "one erring often",
        about: "the same; from 5 s on one node answers 40 % with an error, which opens no breaker for long",
        make: |seed| with(usual(seed, 6, 3, 20), &[(5, Fault::Errors(2, 0.4))]),
    },
    Trace {
        name: "one grey",
        about: "the same; from 5 s on one node, which says that it is well, never answers 30 % of its requests",
        make: |seed| with(usual(seed, 6, 3, 20), &[(5, Fault::Hangs(2, 0.3))]),
    },
    Trace {
        name: "one crash",
        about: "the same; at 5 s a node's process dies, and starts again at 8 s",
        make: |seed| with(usual(seed, 6, 3, 20), &[(5, Fault::Crash(2)), (8, Fault::Start(2))]),
    },
    Trace {
        name: "one frozen",
        about: "the same; at 5 s a node is stopped, and goes on at 9 s",
        make: |seed| with(usual(seed, 6, 3, 20), &[(5, Fault::Freeze(2)), (9, Fault::Thaw(2))]),
    },
    Trace {
        name: "one drained",
        about: "the same; at 5 s a node is drained, and starts again at 12 s",
        make: |seed| with(usual(seed, 6, 3, 20), &[(5, Fault::Drain(2)), (12, Fault::Start(2))]),
    },
    Trace { name: "bursty", about: "6 equal nodes: 2 s at 30 %, half a second at 120 %, 20 s", make: bursty },
    Trace {
        name: "no cards",
        about: "6 equal nodes that report memory and processors only, 60 % load, 20 s",
        make: |seed| {
            let mut scenario = usual(seed, 6, 3, 20);
            scenario.nodes.iter_mut().for_each(|node| node.has_gpu = false);
            scenario
        },
    },
    Trace {
        name: "20 nodes",
        about: "20 nodes of equal weight that are 0.7 to 1.4 times as fast as usual, 5 gateways, 60 % load, 15 s",
        make: |seed| uneven(usual(seed, 20, 5, 15)),
    },
    Trace {
        name: "200 nodes",
        about: "200 such nodes, 10 gateways, 60 % load, 6 s",
        make: |seed| uneven(usual(seed, 200, 10, 6)),
    },
];

fn usual(seed: u64, nodes: usize, gateways: usize, seconds: u64) -> Scenario {
    let nodes = vec![NodeSpec::default(); nodes];
    let rate = USUAL * nodes.iter().map(|node| capacity(node, rows_mean())).sum::<f64>();
    Scenario {
        seed,
        strategy: Strategy::default(),
        gateways,
        nodes,
        load: vec![(Duration::from_secs(seconds), rate)],
        deadline: Duration::from_secs(1),
        faults: Vec::new(),
        plant: None,
    }
}

fn with(scenario: Scenario, faults: &[(u64, Fault)]) -> Scenario {
    let faults = faults.iter().map(|&(at, fault)| (Duration::from_secs(at), fault)).collect();
    Scenario { faults, ..scenario }
}

fn bursty(seed: u64) -> Scenario {
    let scenario = usual(seed, 6, 3, 20);
    let rate = scenario.load[0].1 / USUAL;
    let burst = |number: u64| {
        let begin = Duration::from_millis(2_500 * number);
        let calm = Duration::from_millis(2_000);
        [(begin + calm, 0.3 * rate), (begin + calm + Duration::from_millis(500), 1.2 * rate)]
    };
    Scenario { load: (0..8).flat_map(burst).collect(), ..scenario }
}

fn uneven(scenario: Scenario) -> Scenario {
    let mut rng = Rng::seeded(scenario.seed).fork(3);
    let speed = |rng: &mut Rng| 0.7 * 2f64.powf(rng.uniform());
    let nodes: Vec<NodeSpec> =
        scenario.nodes.iter().map(|&node| NodeSpec { speed: speed(&mut rng), ..node }).collect();
    // The load is a share of what these nodes can do.
    let capacity = |nodes: &[NodeSpec]| nodes.iter().map(|node| capacity(node, rows_mean())).sum::<f64>();
    let faster = capacity(&nodes) / capacity(&scenario.nodes);
    let load = scenario.load.iter().map(|&(until, rate)| (until, rate * faster)).collect();
    Scenario { nodes, load, ..scenario }
}
