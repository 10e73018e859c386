//! The toy model whose states the nodes keep: a hash of all rows so far. Two states are equal only if they were fed the same.

use spinwell_core::{UnixMillis, split_mix_64};
use spinwell_policy::sequence::{Known, Phase};

/// A change of a sequence, as the log holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The sequence.
    pub sequence: usize,
    /// Whether the sequence begins with it.
    pub begins: bool,
    /// Whether it ends with it.
    pub ends: bool,
    /// The number of the step.
    pub step: u64,
    /// The rows, which are unlike those of any other step.
    pub rows: u64,
    /// When the sequence was used.
    pub used: UnixMillis,
    /// The request that it was taken for. No node looks at it; invariants do.
    pub request: usize,
}

/// A sequence after some of its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// The sequence.
    pub sequence: usize,
    /// What steps are decided by.
    pub known: Known,
    /// What is answered.
    pub value: u64,
    /// The position of the last entry in it.
    pub position: u64,
}

/// The state after an entry.
#[must_use]
pub fn fold(before: Option<&State>, entry: &Entry, position: u64) -> State {
    let begun = if entry.begins { 0 } else { before.map_or(u64::MAX, |state| state.value) };
    let phase = if entry.ends { Phase::Ended } else { Phase::Live };
    let known = before.filter(|_| !entry.begins).map(|state| state.known);
    let begun_at = known.map_or(entry.used, |known| known.begun_at);
    let not_known = if entry.begins { entry.rows } else { 0 };
    let first_digest = known.map_or(not_known, |known| known.first_digest);
    State {
        sequence: entry.sequence,
        known: Known {
            step: entry.step,
            digest: entry.rows,
            first_digest,
            used: entry.used,
            begun_at,
            phase,
        },
        value: split_mix_64(begun ^ entry.rows, entry.step),
        position,
    }
}
