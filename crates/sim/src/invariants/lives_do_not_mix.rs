//! A step that reached a gateway before its caller asked for a new beginning is not taken as one of the sequence's new life.

use crate::sequences::{History, Scenario};
use std::collections::BTreeMap;
use std::time::Duration;

/// Clocks tell milliseconds.
const TICK: Duration = Duration::from_millis(1);

pub(super) fn check(_: &Scenario, history: &History) -> Option<String> {
    for log in history.log.values() {
        let mut began = BTreeMap::new();
        for written in log {
            let (entry, request) = (written.entry, history.requests[written.entry.request]);
            if entry.begins {
                began.insert(entry.sequence, history.ops[request.op].asked);
            } else if let Some(began) = began.get(&entry.sequence)
                && request.received + TICK < *began
            {
                return Some(format!(
                    "{entry:?}, received at {:?}, is in a life that was asked for at {began:?}",
                    request.received
                ));
            }
        }
    }
    None
}
