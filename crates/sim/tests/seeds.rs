//! Scenarios from seeds with all faults on: no promise is broken, and what breaks one is found.

use spinwell_sim::faults::{Kind, Size, scenario};
use spinwell_sim::scenario::Plant;
use spinwell_sim::{invariants, world};

/// What is broken first, by seed, when gateways and nodes have that bug.
fn found(plant: Plant) -> Option<(u64, &'static str)> {
    (1..=20).find_map(|seed| {
        let mut scenario = scenario(seed, &Kind::ALL, Size::SMALL);
        scenario.plant = Some(plant);
        let broken = invariants::check(&scenario, &world::run(&scenario));
        broken.first().map(|broken| (seed, broken.invariant))
    })
}

#[test]
fn twenty_seeds_break_no_promise() {
    for seed in 1..=20 {
        let scenario = scenario(seed, &Kind::ALL, Size::SMALL);
        let broken = invariants::check(&scenario, &world::run(&scenario));
        assert_eq!(
            broken,
            [],
            "seed {seed}; again with: cargo run -p spinwell-sim -- run --small --seeds 1 --first {seed}"
        );
    }
}

#[test]
fn a_seed_is_the_same_run_every_time() {
    let scenario = scenario(3, &Kind::ALL, Size::SMALL);
    assert_eq!(world::run(&scenario), world::run(&scenario));
}

#[test]
fn planted_bugs_are_found() {
    let wanted = [
        (Plant::RoutesToDrained, "no_route_to_drained"),
        (Plant::AnswersTwice, "one_outcome"),
        (Plant::ForgetsWaiting, "one_outcome"),
        (Plant::UnboundedQueues, "queues_bounded"),
        (Plant::UnboundedRetries, "retries_bounded"),
    ];
    let found: Vec<_> = wanted.iter().map(|&(plant, _)| found(plant)).collect();
    assert_eq!(found, wanted.map(|(_, invariant)| Some((0, invariant))));
}
