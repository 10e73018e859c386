//! A node follows no order of an older generation after it has heard of a newer one, in whatever life; generations that the store grants rise
//! strictly, and that of a plan never falls.

use crate::control::{History, PlanId, Scenario};
use std::collections::BTreeMap;

pub(super) fn check(_: &Scenario, history: &History) -> Option<String> {
    if let Some(pair) = history.grants.windows(2).find(|pair| pair[0].2 >= pair[1].2) {
        return Some(format!("the store granted {pair:?}"));
    }
    let mut newest: BTreeMap<usize, u64> = BTreeMap::new();
    for heard in &history.heard {
        let order = history.given[heard.order];
        let highest = newest.entry(order.node).or_default();
        if heard.is_followed && order.generation < *highest {
            return Some(format!(
                "{order:?} was followed at {:?}, after one of generation {highest}",
                heard.at
            ));
        }
        *highest = order.generation.max(*highest);
    }
    let mut written: BTreeMap<PlanId, u64> = BTreeMap::new();
    for plan in &history.written {
        let before = written.insert(plan.id, plan.kept.generation);
        if before.is_some_and(|before| before > plan.kept.generation) {
            return Some(format!("{before:?} wrote before {plan:?}"));
        }
    }
    None
}
