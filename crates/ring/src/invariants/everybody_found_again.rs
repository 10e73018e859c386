//! Some time after the last trouble every gateway can ask every node.

use crate::history::History;
use crate::scenario::{GATEWAYS, NODES, Scenario};

pub(super) fn check(_: &Scenario, history: &History) -> Option<String> {
    if history.standings.len() != GATEWAYS {
        return Some(format!("of {GATEWAYS} gateways only these came to their end: {:?}", history.standings));
    }
    let wrong = history.standings.iter().find(|standing| standing.serving != NODES)?;
    Some(format!("gateway {} could ask {} of {NODES} nodes at the end", wrong.gateway, wrong.serving))
}
