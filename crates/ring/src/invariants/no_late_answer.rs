//! Every caller learns what became of his request by its deadline.

use crate::history::History;
use crate::scenario::Scenario;
use std::time::Duration;

/// Timers tell milliseconds.
const TICKS: Duration = Duration::from_millis(2);

pub(super) fn check(_: &Scenario, history: &History) -> Option<String> {
    let mut all = history.asked.iter().enumerate();
    let is_late = |at: &Duration, by: Duration| *at > by + TICKS;
    let (number, asked) = all.find(|(_, asked)| {
        asked.ended.as_ref().is_some_and(|(at, _)| is_late(at, asked.at + asked.timeout))
    })?;
    Some(format!("request {number}: {asked:?}"))
}
