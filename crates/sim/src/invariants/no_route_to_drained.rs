//! No gateway sends a request to a node of which it has heard that it withdraws, and no request reaches a node that has
//! exited after a drain: it waits until everybody has heard.

use crate::history::{History, Word};
use crate::scenario::Scenario;
use std::collections::BTreeMap;

pub(super) fn check(_: &Scenario, history: &History) -> Option<String> {
    if let Some(node) = history.met_exited.first() {
        return Some(format!("a request reached node {node}, which had exited after a drain"));
    }
    // What each gateway heard of each node, in the order in which it heard it.
    let mut words: BTreeMap<(usize, usize), Vec<(std::time::Duration, Word)>> = BTreeMap::new();
    for &(at, gateway, node, word) in &history.heard {
        words.entry((gateway, node)).or_default().push((at, word));
    }
    let is_wrong = |&&(at, gateway, node): &&(std::time::Duration, usize, usize)| {
        let words = words.get(&(gateway, node));
        let last = words.and_then(|words| words.iter().rev().find(|word| word.0 < at));
        matches!(last, Some((_, Word::Withdrawn)))
    };
    let (at, gateway, node) = history.sent.iter().find(is_wrong)?;
    Some(format!("gateway {gateway} sent a request to node {node} at {at:?}, after it had withdrawn"))
}
