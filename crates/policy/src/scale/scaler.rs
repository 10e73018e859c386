//! The state between decisions, and the records of those that say something new.

use super::decide::decide;
use super::decision::{Decision, Failure};
use super::options::{BackOff, Options};
use super::snapshot::Snapshot;
use crate::capacity::PerSecond;
use spinwell_core::UnixMillis;
use std::collections::{BTreeSet, VecDeque};
use std::mem::discriminant;
use std::time::Duration;

/// Failures that are kept for the next decision, at most.
const NOTED_MOST: usize = 64;

/// What the scaler was told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Its decisions are carried out.
    #[default]
    Active,
    /// It says what it would do.
    Advisory,
    /// It does nothing, not even replace what is lost.
    Paused,
}

/// Failures in a row, and until when nothing is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trouble {
    /// So many.
    pub failures: u32,
    /// Until then.
    pub until: UnixMillis,
}

impl Trouble {
    pub(super) fn note(&mut self, now: UnixMillis, back_off: &BackOff) {
        self.failures = self.failures.saturating_add(1);
        self.until = later(now, back_off.after(self.failures));
    }
}

/// What a decision depends on beside what is seen.
#[derive(Debug, Clone, PartialEq)]
pub struct State<I> {
    /// What the scaler was told to do.
    pub mode: Mode,
    /// How many there are meant to be; nothing before the first decision.
    pub target: Option<usize>,
    /// How many somebody wants, until that was decided.
    pub by_hand: Option<usize>,
    /// When there were to be more, last.
    pub up: Option<UnixMillis>,
    /// When there were to be fewer, last.
    pub down: Option<UnixMillis>,
    /// Since when one fewer would do.
    pub fewer_since: Option<UnixMillis>,
    /// What arrives on average, and when that was last seen.
    pub arrivals: Option<(UnixMillis, PerSecond)>,
    /// Of additions.
    pub additions: Trouble,
    /// Of removals.
    pub removals: Trouble,
    /// Whose removal has failed last: another one is removed, where there is one.
    pub avoided: Option<I>,
    /// Members whose addition or removal has taken too long, of which it was told.
    pub told: BTreeSet<I>,
    /// Members that were being removed at the last look.
    pub leaving: BTreeSet<I>,
    /// Failures that the next decision tells of.
    pub noted: Vec<Failure<I>>,
}

impl<I> Default for State<I> {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            target: None,
            by_hand: None,
            up: None,
            down: None,
            fewer_since: None,
            arrivals: None,
            additions: Trouble::default(),
            removals: Trouble::default(),
            avoided: None,
            told: BTreeSet::new(),
            leaving: BTreeSet::new(),
            noted: Vec::new(),
        }
    }
}

/// A decision with all that it was made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Record<I> {
    /// What the scaler went by.
    pub options: Options,
    /// What it knew before.
    pub before: State<I>,
    /// What it saw.
    pub seen: Snapshot<I>,
    /// What it decided.
    pub decision: Decision<I>,
}

impl<I: Clone + Ord> Record<I> {
    /// Decides again: the same, or something has changed in how is decided.
    #[must_use]
    pub fn replay(&self) -> Decision<I> {
        decide(&self.options, &self.before, &self.seen).0
    }
}

/// Scales one kind of thing: nodes, or gateways.
#[derive(Debug, Clone)]
pub struct Scaler<I> {
    options: Options,
    state: State<I>,
    history: VecDeque<Record<I>>,
}

impl<I: Clone + Ord> Scaler<I> {
    /// One that has decided nothing.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self::resumed(options, State::default())
    }

    /// One that goes on where another one has stopped.
    #[must_use]
    pub fn resumed(options: Options, state: State<I>) -> Self {
        Self { options, state, history: VecDeque::new() }
    }

    /// Decides by what is seen. The decision is to be written down with [`Self::state`] before it is carried out.
    pub fn decide(&mut self, seen: Snapshot<I>) -> Decision<I> {
        let (decision, next) = decide(&self.options, &self.state, &seen);
        let before = std::mem::replace(&mut self.state, next);
        if self.is_news(&decision) {
            while self.history.len() >= self.options.history_most.max(1) {
                self.history.pop_front();
            }
            self.history.push_back(Record {
                options: self.options,
                before,
                seen,
                decision: decision.clone(),
            });
        }
        decision
    }

    /// Whether it does anything, or has other reasons than the last one.
    fn is_news(&self, decision: &Decision<I>) -> bool {
        let kinds = |decision: &Decision<I>| decision.why.iter().map(discriminant).collect::<Vec<_>>();
        let is_act = !decision.items.is_empty() || !decision.failures.is_empty();
        let last = self.history.back().map(|record| &record.decision);
        is_act || last.is_none_or(|last| last.mode != decision.mode || kinds(last) != kinds(decision))
    }

    /// Something that was ordered has failed. It is tried again, later after each failure.
    pub fn failed(&mut self, failure: Failure<I>, now: UnixMillis) {
        let back_off = &self.options.back_off;
        match &failure {
            Failure::NodeAdditionFailed { .. } => self.state.additions.note(now, back_off),
            Failure::NodeRemovalFailed { id, .. } => {
                self.state.removals.note(now, back_off);
                self.state.avoided = Some(id.clone());
                self.state.leaving.remove(id);
            }
        }
        if self.state.noted.len() < NOTED_MOST {
            self.state.noted.push(failure);
        }
    }

    /// Is told what to do from now on.
    pub fn set_mode(&mut self, mode: Mode) {
        self.state.mode = mode;
    }

    /// The next decision has so many, within bounds, whatever the mode and the load; those after it are free again, after their cool-downs.
    pub fn scale_to(&mut self, count: usize) {
        self.state.by_hand = Some(count);
    }

    /// What the next decision depends on beside what is seen.
    #[must_use]
    pub fn state(&self) -> &State<I> {
        &self.state
    }

    /// The last decisions that did or said something new, oldest first.
    #[must_use]
    pub fn history(&self) -> &VecDeque<Record<I>> {
        &self.history
    }
}

/// The moment so long after that one.
pub(super) fn later(moment: UnixMillis, by: Duration) -> UnixMillis {
    UnixMillis(moment.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
}
