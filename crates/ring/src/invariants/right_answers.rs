//! Whichever node answers, after however many attempts: the answer is, bit for bit, the model's to that request.

use crate::history::{Ended, History};
use crate::scenario::Scenario;

pub(super) fn check(_: &Scenario, history: &History) -> Option<String> {
    let mut all = history.asked.iter().enumerate();
    let is_wrong = |ended: &Ended| matches!(ended, Ended::Answered(told) if !told.is_right);
    let (number, asked) =
        all.find(|(_, asked)| asked.ended.as_ref().is_some_and(|(_, ended)| is_wrong(ended)))?;
    Some(format!("request {number} was answered with another forecast than the model's: {asked:?}"))
}
