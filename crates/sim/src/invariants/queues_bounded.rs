//! No more requests wait at a node than may.

use crate::history::History;
use crate::scenario::Scenario;

pub(super) fn check(scenario: &Scenario, history: &History) -> Option<String> {
    let mut both = scenario.nodes.iter().zip(&history.queue_len_max).enumerate();
    let (node, (spec, most)) = both.find(|(_, (spec, most))| **most > spec.queue_len_max)?;
    Some(format!("{most} requests waited at node {node}, which may let {} wait", spec.queue_len_max))
}
