//! An acknowledged step stands in the log exactly once, and no step stands there twice.

use crate::sequences::{Answer, History, Scenario};
use std::collections::BTreeMap;

pub(super) fn check(_: &Scenario, history: &History) -> Option<String> {
    let mut written: BTreeMap<usize, Vec<(u16, usize)>> = BTreeMap::new();
    for (shard, log) in &history.log {
        for (position, own) in (1..).zip(log) {
            let op = history.requests[own.entry.request].op;
            written.entry(op).or_default().push((*shard, position));
        }
    }
    if let Some((op, places)) = written.iter().find(|(_, places)| places.len() > 1) {
        return Some(format!("step {op} was taken {} times: {places:?}", places.len()));
    }
    let is_lost = |told: &&crate::sequences::Answered| {
        matches!(told.answer, Answer::Taken { .. })
            && !written.contains_key(&history.requests[told.request].op)
    };
    let lost = history.told.iter().find(is_lost)?;
    Some(format!("request {} was acknowledged and stands in no log", lost.request))
}
