//! Sequences across nodes from seeds with all faults on: no promise is broken, and what breaks one is found.

use spinwell_sim::invariants;
use spinwell_sim::sequences::{self, CallerSpec, Fault, Plant, Scenario};
use std::ops::RangeInclusive;
use std::time::Duration;

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
    check(Plant::OvertakenUnmarked, 2, "same_bits_everywhere");
    check(Plant::LateStartWins, 1, "no_late_beginning");
    check(Plant::ResendsUnnumbered, 2, "sequence_exactly_once");
    check(Plant::PrunesUncopied, 31, "same_bits_everywhere");
    check(Plant::UsedOnArrival, 1, "everybody_answered");
    check(Plant::LivesMix, 2, "lives_do_not_mix");
    check(Plant::SentAnew, 19, "no_late_beginning");
    check(Plant::BeginsAtOnce, 762, "sequence_exactly_once");
}

#[test]
fn what_those_seeds_find_is_the_bug() {
    for seed in [31, 762] {
        assert_eq!(broken(seed, None), [""; 0], "{seed}");
    }
}

/// Callers who hardly think, so that something is always under way, with faults one after the other.
fn busy(numbers: bool, apart_ms: u64, faults: &[(u64, Fault)]) -> Scenario {
    let ms = Duration::from_millis;
    let caller = CallerSpec {
        numbers,
        depth: 6,
        apart: ms(apart_ms),
        thinks: ms(3),
        waits: ms(4_000),
        mischief: 0.0,
        restarts: 0.0,
    };
    let calm = ms(faults.iter().map(|(at, _)| *at).max().unwrap_or_default());
    let faults = faults.iter().map(|&(at, fault)| (ms(at), fault)).collect();
    let (callers, length) = (vec![caller; 30], calm + ms(1_000));
    Scenario { seed: 1, nodes: 3, gateways: 2, callers, faults, calm, length, plant: None }
}

/// The same for a scenario that was made to tempt the bug; without it, nothing is broken.
fn check_in(scenario: &Scenario, plant: Plant, invariant: &str) {
    let broken = |scenario: &Scenario| -> Vec<&'static str> {
        let broken = invariants::check_sequences(scenario, &sequences::run(scenario));
        broken.iter().map(|broken| broken.invariant).collect()
    };
    assert_eq!(broken(scenario), [""; 0], "{plant:?}");
    let found = broken(&Scenario { plant: Some(plant), ..scenario.clone() });
    assert!(found.contains(&invariant), "{plant:?}: {found:?}, wanted {invariant}");
}

#[test]
fn nodes_that_come_and_go_refuse_nobody() {
    let turn = |turn: u64| {
        let node = 1 + turn as usize % 2;
        [(500 + 200 * turn, Fault::Withdraw(node)), (600 + 200 * turn, Fault::Join(node))]
    };
    let faults: Vec<_> = (0..20).flat_map(turn).collect();
    check_in(&busy(true, 2, &faults), Plant::HomesIgnored, "hand_over_refuses_nobody");
}

#[test]
fn what_a_frozen_node_had_in_hand_goes_before_what_came_later() {
    let faults = [
        (500, Fault::Freeze(1)),
        (550, Fault::Withdraw(1)),
        (2_500, Fault::Thaw(1)),
        (2_700, Fault::Join(1)),
    ];
    check_in(&busy(true, 150, &faults), Plant::AgainLast, "order_is_kept");
}

#[test]
fn an_append_whose_answer_was_lost_is_not_made_twice_after_the_log_was_pruned() {
    let turn = |turn: u64| {
        let node = 1 + turn as usize % 2;
        [(500 + 6_000 * turn, Fault::Freeze(node)), (5_500 + 6_000 * turn, Fault::Thaw(node))]
    };
    let faults: Vec<_> = (0..4).flat_map(turn).collect();
    check_in(&busy(false, 2, &faults), Plant::DoubtIgnored, "sequence_exactly_once");
}
