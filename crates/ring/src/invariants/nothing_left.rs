//! When all requests have ended, no node has any of them.

use crate::history::History;
use crate::scenario::Scenario;

pub(super) fn check(_: &Scenario, history: &History) -> Option<String> {
    let left = history.left_over;
    (left > 0).then(|| format!("nodes still had {left} requests or batches at the end"))
}
