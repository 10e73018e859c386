//! Where nodes come and go in good order, whoever sends his steps in order, through one gateway, has them taken.

use crate::sequences::{Answer, History, Scenario};

pub(super) fn check(scenario: &Scenario, history: &History) -> Option<String> {
    if !scenario.is_orderly() {
        return None;
    }
    let refused = history.told.iter().find(|told| {
        let request = history.requests[told.request];
        let op = history.ops[request.op];
        request.is_only(told.at) && !op.is_wrong && !matches!(told.answer, Answer::Taken { .. })
    })?;
    Some(format!("{refused:?} to {:?}", history.requests[refused.request]))
}
