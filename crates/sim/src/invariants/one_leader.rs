//! No two controls believe at the same moment that they lead, and whoever gives an order leads at that moment, under the generation that the
//! order says.

use crate::control::{History, Scenario};

pub(super) fn check(_: &Scenario, history: &History) -> Option<String> {
    if let Some((at, leaders)) = history.leaders.iter().find(|(_, leaders)| leaders.len() > 1) {
        return Some(format!("at {at:?} all of these lead: {leaders:?}"));
    }
    let wrong = history.given.iter().find(|order| order.leads != Some(order.generation))?;
    Some(format!("{wrong:?} was given by one that does not lead"))
}
