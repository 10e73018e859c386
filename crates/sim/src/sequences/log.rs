//! The log that all nodes share, and the copies of states that let it be pruned.

use super::state::{Entry, State, fold};
use std::collections::BTreeMap;
use std::time::Duration;

/// Entries for one shard, which must stand behind a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Append {
    pub(super) shard: u16,
    /// Where the log must end.
    pub(super) expected: Expected,
    pub(super) entries: Vec<Entry>,
}

/// Behind which position an append must stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// Behind this one.
    At(u64),
    /// Behind whatever is there: only a planted bug asks for that.
    Head,
}

/// What became of an append to one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Appended {
    /// The entries stand in the log.
    Written,
    /// Another has written; nothing was.
    Fenced,
}

/// What a node wants to read, in one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Shards, each from its tail on; only where it ends, for one that is not followed yet.
    pub(super) tails: Vec<(u16, Option<u64>)>,
    /// The shard and number of a sequence that is to be loaded: its copy, and its entries behind that.
    pub(super) sequence: Option<(u16, usize)>,
}

/// What the log said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) parts: Vec<Part>,
    /// The sequence that was wanted, as of that snapshot; nothing where nobody knows it.
    pub(super) loaded: Option<State>,
}

/// A shard's news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) shard: u16,
    pub(super) from: Option<u64>,
    /// Where it ends.
    pub(super) head: u64,
    /// The entries behind `from`, as far as they were not pruned.
    pub(super) entries: Vec<(u64, Entry)>,
}

/// An entry that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// What.
    pub entry: Entry,
    /// By which life of which node.
    pub writer: u64,
    /// When.
    pub at: Duration,
}

/// The log.
#[derive(Debug, Default)]
pub(super) struct Log {
    shards: BTreeMap<u16, Shard>,
    copies: BTreeMap<usize, State>,
    /// Copies as they were exchanged: the position before, and the new one.
    pub(super) kept: Vec<(u64, State)>,
}

#[derive(Debug, Default)]
struct Shard {
    /// Everything that was ever written, from position 1.
    all: Vec<Written>,
    /// What of it was not pruned.
    entries: BTreeMap<u64, Written>,
}

impl Log {
    /// Appends to each shard that ends where the append says.
    pub(super) fn append(&mut self, writer: u64, appends: &[Append], at: Duration) -> Vec<(u16, Appended)> {
        appends.iter().map(|append| (append.shard, self.append_one(writer, append, at))).collect()
    }

    fn append_one(&mut self, writer: u64, append: &Append, at: Duration) -> Appended {
        let shard = self.shards.entry(append.shard).or_default();
        let head = shard.all.len() as u64;
        let expected = match append.expected {
            Expected::At(position) => position,
            Expected::Head if shard.has(writer, head.saturating_sub(append.entries.len() as u64), append) => {
                return Appended::Written;
            }
            Expected::Head => head,
        };
        if expected == head {
            for (position, entry) in (head + 1..).zip(&append.entries) {
                let written = Written { entry: *entry, writer, at };
                shard.all.push(written);
                shard.entries.insert(position, written);
            }
            return Appended::Written;
        }
        if shard.has(writer, expected, append) { Appended::Written } else { Appended::Fenced }
    }

    /// Reads in one snapshot.
    pub(super) fn read(&self, wanted: &Wanted) -> Read {
        let part = |&(shard, from): &(u16, Option<u64>)| {
            let log = self.shards.get(&shard);
            let head = log.map_or(0, |log| log.all.len() as u64);
            let behind = |from| log.into_iter().flat_map(move |log| log.entries.range(from + 1..));
            let entries = from.map(|from| behind(from).map(|(at, written)| (*at, written.entry)).collect());
            Part { shard, from, head, entries: entries.unwrap_or_default() }
        };
        let loaded = wanted.sequence.and_then(|(shard, sequence)| self.state(shard, sequence));
        Read { parts: wanted.tails.iter().map(part).collect(), loaded }
    }

    /// A sequence's copy, and what the log holds behind that.
    fn state(&self, shard: u16, sequence: usize) -> Option<State> {
        let copy = self.copies.get(&sequence).copied();
        let from = copy.map_or(0, |copy| copy.position);
        let behind = self.shards.get(&shard).into_iter().flat_map(|log| log.entries.range(from + 1..));
        let own = behind.filter(|(_, written)| written.entry.sequence == sequence);
        own.fold(copy, |state, (at, written)| Some(fold(state.as_ref(), &written.entry, *at)))
    }

    /// Keeps copies, where they are newer than those that are there.
    pub(super) fn keep(&mut self, states: &[State]) {
        for state in states {
            let before = self.copies.get(&state.sequence).map_or(0, |copy| copy.position);
            if state.position > before {
                self.kept.push((before, *state));
                self.copies.insert(state.sequence, *state);
            }
        }
    }

    /// Drops entries that copies hold and that were written before that time; with a planted bug those that none holds, too.
    pub(super) fn prune(&mut self, before: Duration, whether_copied_or_not: bool) {
        let copies = &self.copies;
        let is_held =
            |sequence, position| copies.get(&sequence).is_some_and(|copy: &State| copy.position >= position);
        for shard in self.shards.values_mut() {
            shard.entries.retain(|position, written| {
                written.at >= before || !(whether_copied_or_not || is_held(written.entry.sequence, *position))
            });
        }
    }

    /// Everything that was ever written, by shard.
    pub(super) fn all(&self) -> BTreeMap<u16, Vec<Written>> {
        self.shards.iter().map(|(shard, log)| (*shard, log.all.clone())).collect()
    }
}

impl Shard {
    /// Whether this very append stands there already.
    fn has(&self, writer: u64, expected: u64, append: &Append) -> bool {
        let mut both = (expected + 1..).zip(&append.entries);
        both.all(|(position, entry)| {
            self.entries
                .get(&position)
                .is_some_and(|written| written.writer == writer && written.entry == *entry)
        })
    }
}
