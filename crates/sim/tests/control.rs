//! Controls from seeds with all faults on: no promise is broken, and what breaks one is found.

use spinwell_sim::control::{self, Plant, Scenario};
use spinwell_sim::invariants;
use std::ops::RangeInclusive;

const SEEDS: RangeInclusive<u64> = 1..=20;

/// What is broken in the run of a seed.
fn broken(seed: u64, plant: Option<Plant>) -> Vec<&'static str> {
    let scenario = Scenario { plant, ..control::scenario(seed) };
    let broken = invariants::check_control(&scenario, &control::run(&scenario));
    broken.iter().map(|broken| broken.invariant).collect()
}

/// The invariant finds the bug with that seed, and what it finds is the bug.
fn check(plant: Plant, seed: u64, invariant: &'static str) {
    let found = broken(seed, Some(plant));
    assert!(found.contains(&invariant), "{plant:?}: {found:?}, wanted {invariant} with seed {seed}");
    assert_eq!(broken(seed, None), [""; 0], "{seed}");
}

#[test]
fn twenty_seeds_break_no_promise() {
    for seed in SEEDS {
        assert_eq!(
            broken(seed, None),
            [""; 0],
            "again with: cargo run -p spinwell-sim -- control --first {seed}"
        );
    }
}

#[test]
fn the_seeds_have_what_promises_are_about() {
    let mut totals = control::Totals::default();
    SEEDS.for_each(|seed| totals.add(&control::run(&control::scenario(seed))));
    assert!(totals.done > 5 && totals.stuck > 5 && totals.stops > 50 && totals.refused > 0, "{totals}");
    assert!(totals.generations > 40 && totals.crashes > 5, "{totals}");
}

#[test]
fn a_seed_is_the_same_run_every_time() {
    let scenario = control::scenario(3);
    let (once, again) = (control::run(&scenario), control::run(&scenario));
    assert!(once == again && !once.heard.is_empty());
}

/// Each rule of the protocol, broken, is found by the invariant that it is there for.
#[test]
fn planted_bugs_are_found() {
    check(Plant::FenceIgnored, 76, "generation_monotone");
    check(Plant::CountsFromAnswer, 1, "one_leader");
    check(Plant::WritesBlindly, 8, "generation_monotone");
    check(Plant::WritesBlindly, 95, "nobody_stopped_twice");
    check(Plant::LifeIgnored, 16, "nobody_stopped_twice");
    check(Plant::OrdersUntimed, 5, "one_leader");
    check(Plant::SeesOneGateway, 9, "one_at_a_time");
    check(Plant::GoneUnseen, 294, "nobody_stopped_twice");
    check(Plant::GoneUnseen, 678, "one_at_a_time");
    check(Plant::NeverStuck, 5, "plans_end");
}
