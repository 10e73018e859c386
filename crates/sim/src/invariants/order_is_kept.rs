//! Of the steps that are sent at once through one gateway, none is refused for one that is missing before it, unless that was
//! refused or given up, too: whatever is lost on the way between gateway and nodes. (One that was taken, and whose answer was lost
//! before a beginning behind it was taken, too, is told of a gap in the new life.)

use crate::sequences::{Answer, Answered, History, Scenario};
use spinwell_policy::sequence::Refusal;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) fn check(_: &Scenario, history: &History) -> Option<String> {
    let all = history.log.values().flatten();
    let written: BTreeMap<usize, Duration> =
        all.map(|own| (history.requests[own.entry.request].op, own.at)).collect();
    let has_failed_before = |told: &Answered| {
        let request = history.requests[told.request];
        let (gateway, burst) = (request.gateway, history.ops[request.op].burst);
        history.told.iter().filter(|other| other.at <= told.at && other.request < told.request).any(|other| {
            let own = history.requests[other.request];
            own.gateway == gateway
                && history.ops[own.op].burst == burst
                && !matches!(other.answer, Answer::Taken { .. })
        })
    };
    let is_wrong = |told: &&Answered| {
        let request = history.requests[told.request];
        let is_first = request.is_only(told.at) && !history.ops[request.op].is_wrong;
        let was_taken = written.get(&request.op).is_some_and(|at| *at <= told.at);
        is_first
            && !was_taken
            && matches!(told.answer, Answer::Refused(Refusal::Gap { .. }))
            && !has_failed_before(told)
    };
    let wrong = history.told.iter().find(is_wrong)?;
    Some(format!("{wrong:?} to {:?}", history.requests[wrong.request]))
}
