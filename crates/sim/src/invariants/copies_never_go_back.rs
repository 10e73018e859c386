//! A copy is only ever exchanged for a newer one: the log behind it may be gone.

use crate::sequences::{History, Scenario};

pub(super) fn check(_: &Scenario, history: &History) -> Option<String> {
    let (before, state) = history.kept.iter().find(|(before, state)| state.position <= *before)?;
    Some(format!("a copy at position {before} was exchanged for {state:?}"))
}
