//! No more requests wait at a node than may.

use crate::history::History;
use crate::scenario::Scenario;

pub(super) fn check(scenario: &Scenario, history: &History) -> Option<String> {
    let may = scenario.queue_len_max;
    let mut all = history.queue_len_max.iter().enumerate();
    let (node, most) = all.find(|(_, most)| **most > may)?;
    Some(format!("{most} requests waited at node {node}, which may let {may} wait"))
}
