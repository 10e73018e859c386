//! The steps of a sequence at a node: one in hand, others behind it in the order in which they came.

use super::state::{Entry, State};
use spinwell_policy::sequence::{Asked, Trial};
use std::collections::VecDeque;

/// A step that a node was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// The gateway's try, which is answered.
    pub(super) attempt: u64,
    pub(super) request: usize,
    pub(super) sequence: usize,
    pub(super) asked: Asked,
    pub(super) ends: bool,
}

/// A sequence's steps at a node.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) hand: Option<Hand>,
    pub(super) queue: VecDeque<Step>,
}

/// The step in hand.
#[derive(Debug)]
pub(super) struct Hand {
    pub(super) step: Step,
    pub(super) trial: Trial,
    /// Entries of others for this very sequence were read since the step was decided, or since its reading began.
    pub(super) is_overtaken: bool,
    pub(super) stage: Stage,
}

/// How far the step in hand has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its turn is now.
    Deciding,
    /// The log is asked, with the call of that number.
    Reading(u64),
    /// The model works on it, as the piece of work of that number; this comes of it.
    Computing(u64, Worked),
    /// It waits to be appended, or is appended.
    Appending(Worked),
}

/// What comes of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Worked {
    /// What is appended.
    pub(super) entry: Entry,
    /// The state after it.
    pub(super) state: State,
}

impl Hand {
    pub(super) fn new(step: Step) -> Self {
        Self { step, trial: Trial::shared(), is_overtaken: false, stage: Stage::Deciding }
    }
}
