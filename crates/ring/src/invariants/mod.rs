//! What must hold in every run, whatever goes wrong in it. One promise a file.

mod everybody_found_again;
mod no_late_answer;
mod no_route_to_leaving;
mod nothing_left;
mod one_outcome;
mod queues_bounded;
mod retries_bounded;
mod right_answers;
mod well_nodes_answer;

use crate::history::History;
use crate::scenario::{Scenario, Trouble};
use std::time::Duration;

/// How long after a trouble a node may still be away for a gateway: it is given up after a second of silence, and the longest pause
/// between two attempts to connect is two; then comes what waited meanwhile.
const RECOVERED: Duration = Duration::from_millis(4_500);

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which one.
    pub invariant: &'static str,
    /// How, in the first case that was found.
    pub how: String,
}

type Check = fn(&Scenario, &History) -> Option<String>;

/// All invariants, by name.
const ALL: [(&str, Check); 9] = [
    ("one_outcome", one_outcome::check),
    ("right_answers", right_answers::check),
    ("no_late_answer", no_late_answer::check),
    ("no_route_to_leaving", no_route_to_leaving::check),
    ("queues_bounded", queues_bounded::check),
    ("retries_bounded", retries_bounded::check),
    ("well_nodes_answer", well_nodes_answer::check),
    ("everybody_found_again", everybody_found_again::check),
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

/// The troubles that a gateway may have noticed at some time in a while: nodes that were in trouble then, or shortly before.
fn noticed(
    scenario: &Scenario,
    gateway: usize,
    from: Duration,
    until: Duration,
) -> impl Iterator<Item = &Trouble> {
    scenario.troubles.iter().filter(move |trouble| {
        trouble.concerns(gateway) && trouble.from <= until && from <= trouble.until + RECOVERED
    })
}
