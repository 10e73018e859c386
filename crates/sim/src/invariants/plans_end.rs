//! Soon after nothing goes wrong any more every plan is over: each node has had its turn, or the plan says within its patience that it is
//! stuck.

use crate::control::{History, PlanId, Scenario, Written};
use std::collections::BTreeMap;
use std::time::Duration;

/// So long after the last trouble somebody leads, and sees everybody: the store was waited for, the lease has run out, and connections are
/// there.
const RECOVERED: Duration = Duration::from_secs(15);
/// How long a leader looks at most before it ends a plan that was stuck before.
const LOOK: Duration = Duration::from_secs(10);
/// How long a node takes to stop, to be found by all, and to be written down, beside its start.
const TURN: Duration = Duration::from_secs(9);

pub(super) fn check(scenario: &Scenario, history: &History) -> Option<String> {
    let mut plans: BTreeMap<PlanId, Vec<&Written>> = BTreeMap::new();
    for written in &history.written {
        plans.entry(written.id).or_default().push(written);
    }
    // Those that were under way then had to wait for each other.
    let mut by = scenario.calm + RECOVERED;
    let late = plans.values().filter(|changes| end(changes) >= scenario.calm).find(|changes| {
        let plan = &changes[0].kept.plan;
        let turns = u32::try_from(plan.nodes.len()).unwrap_or(u32::MAX);
        by += Duration::from(plan.patience) + LOOK + turns * (TURN + scenario.start_max);
        end(changes) > by
    })?;
    Some(format!("{:?} was not over by {by:?}", late.last()))
}

/// When a plan was over; never, where it was not.
fn end(changes: &[&Written]) -> Duration {
    changes.iter().find(|written| written.kept.plan.is_over()).map_or(Duration::MAX, |written| written.at)
}
