//! Whoever is refused is told what the log said at some moment after he had asked and before he was answered.

use crate::sequences::{Answer, Answered, History, Scenario, State, fold};
use spinwell_core::{Millis, UnixMillis};
use spinwell_policy::sequence::{Known, decide};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) fn check(_: &Scenario, history: &History) -> Option<String> {
    let mut knowns: BTreeMap<usize, Vec<(Duration, Known)>> = BTreeMap::new();
    let mut states: BTreeMap<usize, State> = BTreeMap::new();
    for log in history.log.values() {
        for (position, written) in (1..).zip(log) {
            let sequence = written.entry.sequence;
            let state = fold(states.get(&sequence), &written.entry, position);
            states.insert(sequence, state);
            knowns.entry(sequence).or_default().push((written.at, state.known));
        }
    }
    let is_true = |said: &Answered| {
        let Answer::Refused(refusal) = said.answer else { return true };
        let request = history.requests[said.request];
        let all = knowns.get(&history.ops[request.op].sequence).map_or(&[][..], Vec::as_slice);
        let before = all.partition_point(|(at, _)| *at <= request.received);
        let until = all.partition_point(|(at, _)| *at <= said.at);
        let mut moments = (before..=until).map(|count| count.checked_sub(1).map(|last| &all[last].1));
        moments.any(|known| decide(known, request.asked, UnixMillis(0), Millis(u64::MAX)) == Err(refusal))
    };
    let wrong = history.said.iter().find(|said| !is_true(said))?;
    Some(format!("{wrong:?} to {:?} was never true", history.requests[wrong.request]))
}
