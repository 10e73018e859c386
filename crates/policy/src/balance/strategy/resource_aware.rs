//! `resource_aware`: score = w · pace · F ÷ (L + r), with F = 0.6 · gpu_free + 0.3 · memory_free + 0.1 · cpu_free.
//!
//! Without a card the weights of what is there are 0.75 for memory and 0.25 for processors. *free* is 1 − what the node
//! reported as used, less what the rows that came since keep busy, by what a row kept busy in earlier reports (memory is
//! not corrected: models fill it, not requests). Where no report is fresh, F is what is usual among the others.
//!
//! F alone says how much a node should get in the long run; it does not change between reports where the node has no card,
//! and everybody would choose the same node for a whole period. Divided by what is in flight it says who is next.

use crate::balance::load::Free;
use crate::balance::view::View;

/// A node that has nothing free still gets something, or nobody would when none has.
const FREE_MIN: f64 = 0.02;

pub(in crate::balance) fn score(view: &View) -> f64 {
    view.weight * view.pace * view.free / (view.load + view.rows).max(1.0)
}

/// F, in [0.02, 1].
pub(in crate::balance) fn free(free: Free) -> f64 {
    let Free { gpu, memory, cpu } = free;
    let score = gpu.map_or(0.75 * memory + 0.25 * cpu, |gpu| 0.6 * gpu + 0.3 * memory + 0.1 * cpu);
    score.clamp(FREE_MIN, 1.0)
}
