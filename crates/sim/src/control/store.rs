//! The store: one lease, and plans of two kinds, by the rules of `spinwell-store`.

use super::history::{PlanId, Written};
use spinwell_policy::rolling::{Kept, Rolling};
use std::time::Duration;

/// What a plan is for. One of each kind is under way at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Nodes stop for good.
    Retirement,
    /// Nodes start anew.
    Restart,
}

/// A plan in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) id: PlanId,
    pub(super) revision: u64,
    pub(super) is_over: bool,
    pub(super) kept: Kept,
}

/// A change of a plan that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) generation: u64,
    pub(super) id: PlanId,
    /// The revision that it was made of.
    pub(super) revision: u64,
    pub(super) plan: Rolling,
}

/// What the store is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    Take { holder: u64, length: Duration },
    Release { holder: u64 },
    Begin(Kind, Rolling),
    Newest(Kind),
    Change(Change),
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Lease(Option<u64>),
    Newest(Option<Stored>),
    Done,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    holder: u64,
    generation: u64,
    expires: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    lease: Option<Lease>,
    plans: Vec<Stored>,
    /// Each generation that was granted, with its holder.
    pub(super) grants: Vec<(Duration, u64, u64)>,
    /// Plans as they were written.
    pub(super) written: Vec<Written>,
    /// Whether plans are changed whoever has written since: a planted bug.
    is_blind: bool,
}

impl Store {
    pub(super) fn new(is_blind: bool) -> Self {
        Self { is_blind, ..Self::default() }
    }

    pub(super) fn answer(&mut self, ask: Ask, now: Duration) -> Answer {
        match ask {
            Ask::Take { holder, length } => return Answer::Lease(self.take(holder, length, now)),
            Ask::Newest(kind) => return Answer::Newest(self.newest(kind).cloned()),
            Ask::Release { holder } => {
                let own = self.lease.as_mut().filter(|lease| lease.holder == holder);
                own.into_iter().for_each(|lease| lease.expires = now);
            }
            Ask::Begin(kind, plan) => self.begin(kind, plan, now),
            Ask::Change(change) => self.change(change, now),
        }
        Answer::Done
    }

    /// Whether any plan is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.plans.iter().any(|stored| !stored.is_over)
    }

    fn take(&mut self, holder: u64, length: Duration, now: Duration) -> Option<u64> {
        let before = self.lease;
        let (is_valid, is_own) =
            before.map_or((false, false), |lease| (lease.expires > now, lease.holder == holder));
        if is_valid && !is_own {
            return None;
        }
        let last = before.map_or(0, |lease| lease.generation);
        let generation = if is_valid { last } else { last + 1 };
        if generation > last {
            self.grants.push((now, holder, generation));
        }
        self.lease = Some(Lease { holder, generation, expires: now + length });
        Some(generation)
    }

    fn newest(&self, kind: Kind) -> Option<&Stored> {
        self.plans.iter().rfind(|stored| stored.id.kind == kind)
    }

    fn begin(&mut self, kind: Kind, plan: Rolling, now: Duration) {
        if self.newest(kind).is_some_and(|stored| !stored.is_over) {
            return;
        }
        let id = PlanId { kind, number: self.plans.len() as u64 + 1 };
        let kept = Kept { generation: 0, plan };
        self.written.push(Written { at: now, id, kept: kept.clone() });
        self.plans.push(Stored { id, revision: 0, is_over: false, kept });
    }

    fn change(&mut self, Change { generation, id, revision, plan }: Change, now: Duration) {
        let latest = self.lease.map_or(0, |lease| lease.generation);
        let Some(stored) = self.plans.iter_mut().find(|stored| stored.id == id) else { return };
        let is_current =
            stored.revision == revision && !stored.is_over && stored.kept.generation <= generation;
        if self.is_blind || (is_current && latest <= generation) {
            stored.revision += 1;
            stored.is_over = plan.is_over();
            stored.kept = Kept { generation, plan };
            self.written.push(Written { at: now, id, kept: stored.kept.clone() });
        }
    }
}
