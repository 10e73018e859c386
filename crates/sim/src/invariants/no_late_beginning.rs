//! No beginning undoes an acknowledged step that its caller asked for after the beginning had reached a gateway.

use crate::sequences::{Answer, History, Scenario};
use std::collections::BTreeSet;
use std::time::Duration;

/// Clocks tell milliseconds.
const TICK: Duration = Duration::from_millis(1);

pub(super) fn check(_: &Scenario, history: &History) -> Option<String> {
    let acknowledged: BTreeSet<usize> = history
        .told
        .iter()
        .filter(|told| matches!(told.answer, Answer::Taken { .. }))
        .map(|told| history.requests[told.request].op)
        .collect();
    for log in history.log.values() {
        for (place, begin) in log.iter().enumerate().filter(|(_, written)| written.entry.begins) {
            let received = history.requests[begin.entry.request].received;
            let before = log[..place].iter().filter(|own| own.entry.sequence == begin.entry.sequence);
            let mut ops = before.map(|own| history.requests[own.entry.request].op);
            let undone = ops.find(|op| acknowledged.contains(op) && history.ops[*op].asked > received + TICK);
            if let Some(op) = undone {
                return Some(format!(
                    "{:?}, received at {received:?}, undid step {op}, asked for at {:?}",
                    begin.entry, history.ops[op].asked
                ));
            }
        }
    }
    None
}
