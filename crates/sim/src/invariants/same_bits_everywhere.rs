//! Whatever a node answers, and whatever it copies, is the fold of the log's entries up to there, each the one that comes next.

use crate::sequences::{Answer, History, Scenario, State, fold};
use std::collections::BTreeMap;

pub(super) fn check(_: &Scenario, history: &History) -> Option<String> {
    let mut states: BTreeMap<usize, BTreeMap<u64, State>> = BTreeMap::new();
    let mut answers: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
    for log in history.log.values() {
        for (position, written) in (1..).zip(log) {
            let own = states.entry(written.entry.sequence).or_default();
            let before = own.values().last();
            let expected =
                if written.entry.begins { 1 } else { before.map_or(0, |state| state.known.step + 1) };
            if written.entry.step != expected {
                return Some(format!(
                    "entry {position} is {:?}, where step {expected} came next",
                    written.entry
                ));
            }
            let state = fold(before, &written.entry, position);
            answers.insert(history.requests[written.entry.request].op, (state.known.step, state.value));
            own.insert(position, state);
        }
    }
    let is_wrong = |said: &&crate::sequences::Answered| {
        let Answer::Taken { step, value } = said.answer else { return false };
        answers.get(&history.requests[said.request].op) != Some(&(step, value))
    };
    if let Some(said) = history.said.iter().find(is_wrong) {
        let wanted = answers.get(&history.requests[said.request].op);
        return Some(format!("the answer was {said:?}, and the log says {wanted:?}"));
    }
    let of_log = |state: &State| states.get(&state.sequence).and_then(|own| own.get(&state.position));
    let (_, wrong) = history.kept.iter().find(|(_, state)| of_log(state) != Some(state))?;
    Some(format!("the copy is {wrong:?}, and the log says {:?}", of_log(wrong)))
}
