//! What must hold in every run, whatever goes wrong in it. One promise a file.

mod copies_never_go_back;
mod everybody_answered;
mod generation_monotone;
mod hand_over_refuses_nobody;
mod lives_do_not_mix;
mod no_late_beginning;
mod no_route_to_drained;
mod nobody_stopped_twice;
mod nothing_left;
mod one_at_a_time;
mod one_leader;
mod one_outcome;
mod order_is_kept;
mod plans_end;
mod queues_bounded;
mod refusals_are_true;
mod retries_bounded;
mod same_bits_everywhere;
mod sequence_exactly_once;

use crate::history::History;
use crate::scenario::Scenario;
use crate::{control, sequences};

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which one.
    pub invariant: &'static str,
    /// How, in the first case that was found.
    pub how: String,
}

/// All invariants, by name.
type Check = fn(&Scenario, &History) -> Option<String>;
const ALL: [(&str, Check); 5] = [
    ("one_outcome", one_outcome::check),
    ("no_route_to_drained", no_route_to_drained::check),
    ("queues_bounded", queues_bounded::check),
    ("retries_bounded", retries_bounded::check),
    ("nothing_left", nothing_left::check),
];

/// The names of all invariants.
#[must_use]
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|&(name, _)| name).collect()
}

/// What was broken in a run.
#[must_use]
pub fn check(scenario: &Scenario, history: &History) -> Vec<Broken> {
    let broken = |&(invariant, check): &(&'static str, Check)| {
        check(scenario, history).map(|how| Broken { invariant, how })
    };
    ALL.iter().filter_map(broken).collect()
}

/// All invariants of runs with sequences, by name.
type SequenceCheck = fn(&sequences::Scenario, &sequences::History) -> Option<String>;
const OF_SEQUENCES: [(&str, SequenceCheck); 9] = [
    ("sequence_exactly_once", sequence_exactly_once::check),
    ("same_bits_everywhere", same_bits_everywhere::check),
    ("no_late_beginning", no_late_beginning::check),
    ("lives_do_not_mix", lives_do_not_mix::check),
    ("refusals_are_true", refusals_are_true::check),
    ("copies_never_go_back", copies_never_go_back::check),
    ("everybody_answered", everybody_answered::check),
    ("hand_over_refuses_nobody", hand_over_refuses_nobody::check),
    ("order_is_kept", order_is_kept::check),
];

/// The names of all invariants of runs with sequences.
#[must_use]
pub fn names_of_sequences() -> Vec<&'static str> {
    OF_SEQUENCES.iter().map(|&(name, _)| name).collect()
}

/// What was broken in a run with sequences.
#[must_use]
pub fn check_sequences(scenario: &sequences::Scenario, history: &sequences::History) -> Vec<Broken> {
    let broken = |&(invariant, check): &(&'static str, SequenceCheck)| {
        check(scenario, history).map(|how| Broken { invariant, how })
    };
    OF_SEQUENCES.iter().filter_map(broken).collect()
}

/// All invariants of runs with controls, by name.
type ControlCheck = fn(&control::Scenario, &control::History) -> Option<String>;
const OF_CONTROL: [(&str, ControlCheck); 5] = [
    ("generation_monotone", generation_monotone::check),
    ("one_leader", one_leader::check),
    ("one_at_a_time", one_at_a_time::check),
    ("plans_end", plans_end::check),
    ("nobody_stopped_twice", nobody_stopped_twice::check),
];

/// The names of all invariants of runs with controls.
#[must_use]
pub fn names_of_control() -> Vec<&'static str> {
    OF_CONTROL.iter().map(|&(name, _)| name).collect()
}

/// What was broken in a run with controls.
#[must_use]
pub fn check_control(scenario: &control::Scenario, history: &control::History) -> Vec<Broken> {
    let broken = |&(invariant, check): &(&'static str, ControlCheck)| {
        check(scenario, history).map(|how| Broken { invariant, how })
    };
    OF_CONTROL.iter().filter_map(broken).collect()
}
