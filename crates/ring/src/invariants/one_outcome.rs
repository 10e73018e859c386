//! Each request ends in exactly one outcome, which is what its caller was told; and no caller waits for ever.

use crate::history::{Ended, History};
use crate::scenario::Scenario;
use spinwell_core::ResultClass;

pub(super) fn check(_: &Scenario, history: &History) -> Option<String> {
    let mut outcomes = vec![Vec::new(); history.asked.len()];
    for (number, result) in &history.outcomes {
        match outcomes.get_mut(*number) {
            Some(own) => own.push(*result),
            None => return Some(format!("the outcome {result:?} is of request {number}, which nobody made")),
        }
    }
    let mut both = history.asked.iter().zip(outcomes).enumerate();
    both.find_map(|(number, (asked, outcomes))| {
        let told = match &asked.ended {
            Some((_, Ended::Answered(_))) => ResultClass::Answered,
            Some((_, Ended::Failed(code))) => ResultClass::Failed(*code),
            Some((_, Ended::HungUp)) => ResultClass::Cancelled,
            Some((_, Ended::Senseless(_))) | None => return Some(format!("request {number}: {asked:?}")),
        };
        let is_one = outcomes == [told];
        (!is_one).then(|| format!("request {number} has the outcomes {outcomes:?}: {asked:?}"))
    })
}
