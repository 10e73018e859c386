//! Sequences across nodes from seeds with all faults on: no promise is broken, and what breaks one is found.

use spinwell_sim::invariants;
use spinwell_sim::sequences::{self, Plant, Scenario};
use std::ops::RangeInclusive;

const SEEDS: RangeInclusive<u64> = 1..=20;

/// What is broken in the run of a seed.
fn broken(seed: u64, plant: Option<Plant>) -> Vec<&'static str> {
    let scenario = Scenario { plant, ..sequences::scenario(seed) };
    let broken = invariants::check_sequences(&scenario, &sequences::run(&scenario));
    broken.iter().map(|broken| broken.invariant).collect()
}

/// The invariant finds the bug with that seed.
fn check(plant: Plant, seed: u64, invariant: &'static str) {
    let found = broken(seed, Some(plant));
    assert!(found.contains(&invariant), "{plant:?}: {found:?}, wanted {invariant} with seed {seed}");
}

#[test]
fn twenty_seeds_break_no_promise() {
    for seed in SEEDS {
        assert_eq!(
            broken(seed, None),
            [""; 0],
            "again with: cargo run -p spinwell-sim -- sequences --first {seed}"
        );
    }
}

#[test]
fn a_seed_is_the_same_run_every_time() {
    let scenario = sequences::scenario(3);
    let (once, again) = (sequences::run(&scenario), sequences::run(&scenario));
    assert!(once == again && once.ops.len() > 500);
}

/// Each rule of the protocol, broken, is found by the invariant that it is there for.
#[test]
fn planted_bugs_are_found() {
    check(Plant::RefusesUnread, 1, "refusals_are_true");
    check(Plant::AppendsAtHead, 1, "sequence_exactly_once");
    check(Plant::OvertakenUnmarked, 6, "same_bits_everywhere");
    check(Plant::LateStartWins, 17, "no_late_beginning");
    check(Plant::ResendsUnnumbered, 6, "sequence_exactly_once");
    check(Plant::PrunesUncopied, 31, "same_bits_everywhere");
    check(Plant::UsedOnArrival, 1, "everybody_answered");
    check(Plant::LivesMix, 1, "lives_do_not_mix");
    check(Plant::SentAnew, 45, "no_late_beginning");
}

/// A step and the beginning behind it came within a millisecond, and the step was sent again: it was taken into the next life.
#[test]
fn seed_407_breaks_no_promise() {
    assert_eq!(broken(407, None), [""; 0]);
}
