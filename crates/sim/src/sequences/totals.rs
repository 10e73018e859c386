//! What happened in many runs, in numbers.

use super::history::{Answer, History};
use spinwell_policy::sequence::Refusal;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What happened in many runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// Steps that callers wanted.
    pub steps: u64,
    /// Those that were acknowledged.
    pub acknowledged: u64,
    /// Entries in the log.
    pub entries: u64,
    /// Appends that another had overtaken.
    pub fences: u64,
    /// How often a sequence was taken over by another node, or by a new process of the same.
    pub takeovers: u64,
    /// Requests that gateways sent again.
    pub resent: u64,
    /// What callers were told instead of an answer, by its kind.
    pub refusals: BTreeMap<&'static str, u64>,
}

impl Totals {
    /// Adds a run.
    pub fn add(&mut self, history: &History) {
        self.steps += history.ops.len() as u64;
        self.fences += history.fences;
        self.resent += history.resent;
        let mut acknowledged = BTreeSet::new();
        for told in &history.told {
            if matches!(told.answer, Answer::Taken { .. }) {
                acknowledged.insert(history.requests[told.request].op);
            } else {
                *self.refusals.entry(kind(told.answer)).or_default() += 1;
            }
        }
        self.acknowledged += acknowledged.len() as u64;
        let mut writers = BTreeMap::new();
        for written in history.log.values().flatten() {
            self.entries += 1;
            let before = writers.insert(written.entry.sequence, written.writer);
            self.takeovers += u64::from(before.is_some_and(|before| before != written.writer));
        }
    }
}

fn kind(answer: Answer) -> &'static str {
    match answer {
        Answer::Taken { .. } => "taken",
        Answer::Moved => "moved",
        Answer::Lost => "lost",
        Answer::TimedOut => "timed out",
        Answer::Unreachable => "unreachable",
        Answer::Refused(refusal) => match refusal {
            Refusal::Unknown => "unknown",
            Refusal::Ended => "ended",
            Refusal::Expired => "expired",
            Refusal::Overtaken => "overtaken",
            Refusal::StartsAtOne => "starts at one",
            Refusal::Gap { .. } => "gap",
            Refusal::Old { .. } => "old",
            Refusal::OtherRows { .. } => "other rows",
        },
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { steps, acknowledged, entries, fences, takeovers, resent, refusals } = self;
        write!(f, "{steps} steps, {acknowledged} acknowledged, {entries} entries, {fences} fences, ")?;
        write!(f, "{takeovers} takeovers, {resent} sent again; refusals:")?;
        refusals.iter().try_for_each(|(kind, count)| write!(f, " {kind} {count}"))
    }
}
