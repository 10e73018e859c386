//! What must hold in every run, whatever goes wrong in it. One promise a file.

mod no_route_to_drained;
mod nothing_left;
mod one_outcome;
mod queues_bounded;
mod retries_bounded;

use crate::history::History;
use crate::scenario::Scenario;

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
