//! Scenarios from seeds: no promise is broken, a seed is the same run every time, and what breaks a promise is found.

use spinwell_ring::{Ended, History, Kind, Plant, Scenario, invariants, run, scenario};

/// Runs it and checks all invariants.
fn check(scenario: &Scenario) -> History {
    let history = run(scenario).expect("a run comes to its end");
    let Scenario { seed, kind, .. } = scenario;
    let again = format!("cargo run -p spinwell-ring -- --seeds 1 --first {seed} --kind {}", kind.as_str());
    assert_eq!(invariants::check(scenario, &history), [], "again with: {again}");
    history
}

fn failed(history: &History) -> usize {
    history.count(|ended| !matches!(ended, Ended::Answered(_) | Ended::HungUp))
}

#[test]
fn nothing_fails_while_all_is_calm() {
    let history = check(&scenario(Kind::Calm, 1));
    assert!(history.asked.len() > 300);
    assert_eq!((failed(&history), history.timeouts), (0, 0));
}

#[test]
fn what_a_dead_node_had_others_answer() {
    let retries: u64 = (2..=3).map(|seed| check(&scenario(Kind::Crash, seed)).retries).sum();
    assert!(retries > 0, "nobody noticed");
}

#[test]
fn a_gateway_goes_round_a_node_that_it_cannot_reach() {
    (4..=5).for_each(|seed| assert_eq!(failed(&check(&scenario(Kind::Partition, seed))), 0));
}

#[test]
fn a_frozen_node_is_gone_round_and_found_again() {
    (6..=7).for_each(|seed| assert_eq!(failed(&check(&scenario(Kind::Freeze, seed))), 0));
}

#[test]
fn a_drain_fails_no_request() {
    for seed in 8..=9 {
        let history = check(&scenario(Kind::Drain, seed));
        assert_eq!(failed(&history), 0);
        assert_eq!((history.leaving.len(), history.exited.len(), history.ready.len()), (1, 1, 5));
    }
}

#[test]
fn who_is_too_many_is_refused_and_the_others_are_answered() {
    let history = check(&scenario(Kind::Overload, 10));
    let answered = history.count(|ended| matches!(ended, Ended::Answered(_)));
    assert!(failed(&history) > 100 && answered > 1_000, "{} {answered}", failed(&history));
}

#[test]
fn seeds_of_everything_break_no_promise() {
    (11..=20).filter(|seed| *seed != 12).for_each(|seed| drop(check(&scenario(Kind::Mix, seed))));
}

#[test]
fn who_a_node_refuses_for_its_own_slowness_others_answer() {
    // It stood still, then took itself for so slow that requests with time enough were hopeless, and nobody else was asked.
    check(&scenario(Kind::Mix, 12));
}

#[test]
fn a_seed_is_the_same_run_every_time() {
    for (kind, seed) in [(Kind::Crash, 3), (Kind::Drain, 3), (Kind::Mix, 4)] {
        let scenario = scenario(kind, seed);
        let (once, again) = (run(&scenario).unwrap(), run(&scenario).unwrap());
        assert!(once.asked.len() > 300, "{kind:?} {seed}");
        assert_eq!(once.difference(&again), None, "{kind:?} {seed}");
    }
}

#[test]
fn planted_bugs_are_found() {
    for (plant, kind, seed, invariant) in [
        (Plant::HidesLeaving, Kind::Drain, 8, "no_route_to_leaving"),
        (Plant::SwapsAnswers, Kind::Calm, 1, "right_answers"),
        (Plant::NeverRetries, Kind::Freeze, 6, "well_nodes_answer"),
        (Plant::RetriesWithoutEnd, Kind::Overload, 10, "retries_bounded"),
        (Plant::UnboundedQueues, Kind::Overload, 10, "queues_bounded"),
        (Plant::ForgetsCancelled, Kind::Calm, 1, "one_outcome"),
    ] {
        let scenario = Scenario { plant: Some(plant), ..scenario(kind, seed) };
        let broken = invariants::check(&scenario, &run(&scenario).unwrap());
        assert!(broken.iter().any(|broken| broken.invariant == invariant), "{plant:?}: {broken:?}");
    }
}
