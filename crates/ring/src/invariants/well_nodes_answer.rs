//! A request is answered where no more than one node is in trouble for its gateway, whatever the trouble: what a lost, cut off, frozen
//! or leaving node had, others answer. Where there are more requests than can be answered, they are refused for that reason alone.

use super::noticed;
use crate::history::{Ended, History};
use crate::scenario::{Kind, Scenario};
use spinwell_core::Code;

pub(super) fn check(scenario: &Scenario, history: &History) -> Option<String> {
    let mut all = history.asked.iter().enumerate();
    all.find_map(|(number, asked)| {
        let Some((at, Ended::Failed(code))) = &asked.ended else { return None };
        let is_too_much =
            scenario.kind == Kind::Overload && matches!(code, Code::QueueFull | Code::DeadlineExceeded);
        let in_trouble = noticed(scenario, asked.gateway, asked.at, *at).count();
        (!is_too_much && in_trouble <= 1)
            .then(|| format!("request {number}, with {in_trouble} nodes in trouble: {asked:?}"))
    })
}
