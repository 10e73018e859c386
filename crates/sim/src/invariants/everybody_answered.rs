//! Soon after nothing goes wrong any more, whoever asks is answered, and nobody is told to try again.

use crate::sequences::{Answer, Answered, History, Scenario};
use spinwell_policy::sequence::Refusal;
use std::collections::BTreeMap;
use std::time::Duration;

/// So long after the last trouble everybody has found everybody again, and has worked off what lay about.
const RECOVERED: Duration = Duration::from_secs(4);
/// An answer takes so long at most.
const PROMPT: Duration = Duration::from_secs(1);

pub(super) fn check(scenario: &Scenario, history: &History) -> Option<String> {
    let told: BTreeMap<usize, &Answered> = history.told.iter().map(|told| (told.request, told)).collect();
    let from = scenario.calm + RECOVERED;
    let mut calm = history.requests.iter().enumerate().filter(|(_, request)| request.received >= from);
    let is_unanswered = |number: usize, received: Duration| {
        let answer = told.get(&number).filter(|told| told.at <= received + PROMPT).map(|told| told.answer);
        !matches!(answer, Some(Answer::Taken { .. } | Answer::Refused(_)))
            || answer == Some(Answer::Refused(Refusal::Overtaken))
    };
    let late = calm.find(|(number, request)| is_unanswered(*number, request.received));
    if let Some((number, request)) = late {
        return Some(format!("{request:?} was answered {:?}", told.get(&number)));
    }
    let took = |op: usize| history.closed.get(&op).map(|at| at.saturating_sub(history.ops[op].asked));
    let open = (0..history.ops.len()).find(|op| took(*op).is_none())?;
    Some(format!("nothing came of {:?}", history.ops[open]))
}
