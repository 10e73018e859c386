//! A plan stops each of its nodes once at most, and what it says of them is true: a node that is back has another life, and the life in which
//! a node was to stop for good is over.

use crate::control::{History, PlanId, Scenario};
use spinwell_policy::rolling::Step;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(_: &Scenario, history: &History) -> Option<String> {
    let mut stopped = BTreeSet::new();
    for (at, order) in history.stops() {
        if !stopped.insert((order.plan, order.node)) {
            return Some(format!("{order:?} has stopped the node again, at {at:?}"));
        }
    }
    // The life in which each node of each plan is to stop.
    let mut draining: BTreeMap<(PlanId, String), u64> = BTreeMap::new();
    for written in &history.written {
        for entry in &written.kept.plan.nodes {
            let key = (written.id, entry.id.to_string());
            let life = match entry.step {
                Step::Draining { life } => {
                    draining.insert(key, life);
                    continue;
                }
                Step::Back { .. } | Step::Gone { .. } => draining.get(&key).copied(),
                Step::Waiting | Step::Left => continue,
            };
            let is_own =
                |own: &&crate::control::Life| format!("n{}", own.node) == key.1 && Some(own.life) == life;
            let is_over = history.lives.iter().find(is_own).and_then(|own| own.ended);
            if is_over.is_none_or(|ended| ended > written.at) {
                return Some(format!(
                    "{entry:?} was written at {:?}, and life {life:?} is over at {is_over:?}",
                    written.at
                ));
            }
        }
    }
    None
}
