//! Every request ends in exactly one outcome: none is forgotten, and none is answered twice.

use crate::history::History;
use crate::scenario::Scenario;

pub(super) fn check(_: &Scenario, history: &History) -> Option<String> {
    let wrong = history.outcomes.iter().enumerate().find(|(_, outcomes)| outcomes.len() != 1);
    wrong.map(|(request, outcomes)| format!("request {request} has the outcomes {outcomes:?}"))
}
