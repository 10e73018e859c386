//! Retries of a run stay within the budgets of its gateways: a fifth of the requests, and ten a second.

use crate::history::History;
use crate::scenario::Scenario;

/// A budget allows for so many seconds at once.
const WINDOW_S: f64 = 10.0;

pub(super) fn check(scenario: &Scenario, history: &History) -> Option<String> {
    let seconds = history.ended.as_secs_f64() + WINDOW_S;
    let most = 0.2 * history.outcomes.len() as f64 + 10.0 * seconds * scenario.gateways as f64;
    let retries = history.retries;
    (retries as f64 > most).then(|| format!("{retries} retries, where {most:.0} are the most"))
}
