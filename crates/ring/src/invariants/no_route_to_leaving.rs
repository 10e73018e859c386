//! No gateway sends a request to a node that has told it that it is leaving, while it can ask another one.

use super::noticed;
use crate::history::{Arrival, History};
use crate::scenario::{NODES, Scenario, What};
use std::time::Duration;

/// The word goes into the stream at once, behind what is on its way already.
const SAID: Duration = Duration::from_millis(5);

pub(super) fn check(scenario: &Scenario, history: &History) -> Option<String> {
    let wrong = history.arrivals.iter().find_map(|arrival| {
        let left = left_at(history, arrival)?;
        let heard = left + scenario.latency_max + SAID;
        let gateway = history.asked.get(arrival.request)?.gateway;
        let others = noticed(scenario, gateway, heard, arrival.sent)
            .filter(|trouble| trouble.node != arrival.node)
            .count();
        let has_heard = !noticed(scenario, gateway, left, heard)
            .any(|trouble| trouble.node == arrival.node && !matches!(trouble.what, What::Drain(_)));
        (has_heard && arrival.sent > heard && others + 1 < NODES).then_some((arrival, left))
    });
    let (arrival, left) = wrong?;
    Some(format!("{arrival:?}, though the node had said at {left:?} that it was leaving"))
}

/// When the node said that it was leaving, in the life in which the request came.
fn left_at(history: &History, arrival: &Arrival) -> Option<Duration> {
    let last = |moments: &[(Duration, usize)]| {
        let own = moments.iter().filter(|(at, node)| *node == arrival.node && *at <= arrival.sent);
        own.map(|(at, _)| *at).max()
    };
    let (left, ready) = (last(&history.leaving)?, last(&history.ready)?);
    (left > ready).then_some(left)
}
