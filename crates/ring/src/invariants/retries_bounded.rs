//! Retries of a run stay within the budgets of its gateways, by their own count and by what reaches nodes.

use crate::history::History;
use crate::scenario::{GATEWAYS, Scenario};
use spinwell_policy::attempts::BudgetOptions;
use std::collections::BTreeSet;

/// A budget allows for so many seconds at once.
const WINDOW_S: f64 = 10.0;

pub(super) fn check(scenario: &Scenario, history: &History) -> Option<String> {
    let BudgetOptions { share, per_second_min, .. } = BudgetOptions::default();
    let seconds = scenario.ends.as_secs_f64() + WINDOW_S;
    let most = share * history.asked.len() as f64 + f64::from(per_second_min) * seconds * GATEWAYS as f64;
    let requests: BTreeSet<usize> = history.arrivals.iter().map(|arrival| arrival.request).collect();
    let arrived = history.arrivals.len() - requests.len();
    let retries = arrived.max(usize::try_from(history.retries).unwrap_or(usize::MAX));
    (retries as f64 > most).then(|| format!("{retries} retries, where {most:.0} are the most"))
}
