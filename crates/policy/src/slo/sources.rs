//! Counters of processes that come, go and start anew, made into one count.
//!
//! Each process counts from zero since it started. What counts here is by how much it went on since it was read last, so a reading that
//! is missed or comes twice changes nothing. **No event is counted twice; what a process counted between its last reading and its end is
//! lost with it,** unless it is read once more while it stops.
//!
//! When a process started tells three cases apart that look alike: one that started anew (all it counts is new), an answer that
//! was overtaken by a later one (nothing is new), and one that was there before anybody looked (what it counts is of unknown times).

use super::counts::Counts;
use spinwell_core::UnixMillis;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Sources that are remembered at most; the one that was not heard of for longest is forgotten first.
const SOURCES_MAX: usize = 256;

/// A process that counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceId(pub Arc<str>);

/// What a process has counted since it started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The process, by a name that it keeps when it starts anew.
    pub source: SourceId,
    /// When it started, the same in all its readings. Where that is not known, it is taken to have started anew when it has counted less than
    /// before, and what it counted before it was first read is left out.
    pub started: Option<UnixMillis>,
    /// What it has counted.
    pub counts: Counts,
}

/// What became of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It counts, with so many events more than the one before.
    Counted {
        /// Events.
        events: u64,
    },
    /// The source is new here and may have counted before anybody looked: it counts from now on.
    First,
    /// It is of earlier than what is known already, and counts for nothing.
    Late,
}

/// What is known of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The source.
    pub source: SourceId,
    /// When it started.
    pub started: Option<UnixMillis>,
    /// What it had counted when it was read last.
    pub counts: Counts,
    /// When that was.
    pub heard: UnixMillis,
}

/// All sources of one count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sources {
    known: BTreeMap<SourceId, Known>,
    /// A source that started later and is not known has never been counted.
    complete_since: UnixMillis,
}

/// The sources of a count, as plain data.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourcesPast {
    /// What is known of each.
    pub known: Vec<Known>,
    /// A source that started later and is not known has never been counted.
    pub complete_since: UnixMillis,
}

impl Sources {
    /// Nobody is known, and whoever started by now may have counted before.
    pub(super) fn new(now: UnixMillis) -> Self {
        Self { known: BTreeMap::new(), complete_since: now }
    }

    /// Takes a reading: from where to where the count goes on by it.
    pub(super) fn take(&mut self, reading: &Reading, now: UnixMillis) -> (Taken, Counts, Counts) {
        let to = reading.counts;
        let (taken, from) = match self.counted_from(reading) {
            Some(from) => (Taken::Counted { events: to.total.wrapping_sub(from.total) }, from),
            None if self.known.contains_key(&reading.source) => return (Taken::Late, to, to),
            None => (Taken::First, to),
        };
        let Reading { source, started, counts } = reading.clone();
        let started = started.or(self.known.get(&source).and_then(|known| known.started));
        self.known.insert(source.clone(), Known { source, started, counts, heard: now });
        self.bound();
        (taken, from, to)
    }

    /// From where on a reading counts; nothing where it does not.
    fn counted_from(&self, reading: &Reading) -> Option<Counts> {
        let Some(known) = self.known.get(&reading.source) else {
            let is_new = reading.started.is_some_and(|started| started > self.complete_since);
            return is_new.then_some(Counts::ZERO);
        };
        let goes_on = reading.counts.total >= known.counts.total;
        match (known.started, reading.started) {
            (Some(before), Some(now)) if now > before => Some(Counts::ZERO),
            (Some(before), Some(now)) if now < before => None,
            (None, None) if !goes_on => Some(Counts::ZERO),
            _ => goes_on.then_some(known.counts),
        }
    }

    fn bound(&mut self) {
        while self.known.len() > SOURCES_MAX {
            let oldest =
                self.known.values().min_by_key(|known| known.heard).map(|known| known.source.clone());
            let forgotten = oldest.and_then(|source| self.known.remove(&source));
            // Should it come back, it must not count from zero again.
            let started = forgotten.and_then(|known| known.started).unwrap_or_default();
            self.complete_since = self.complete_since.max(started);
        }
    }

    /// As plain data.
    pub(super) fn past(&self) -> SourcesPast {
        SourcesPast { known: self.known.values().cloned().collect(), complete_since: self.complete_since }
    }

    /// From plain data.
    pub(super) fn restored(past: &SourcesPast) -> Self {
        let known = past.known.iter().map(|known| (known.source.clone(), known.clone())).collect();
        let mut sources = Self { known, complete_since: past.complete_since };
        sources.bound();
        sources
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reading(name: &str, started: Option<u64>, total: u64) -> Reading {
        let counts = Counts { good: total, total };
        Reading { source: SourceId(name.into()), started: started.map(UnixMillis), counts }
    }

    fn check(story: &[(&str, Option<u64>, u64)], expected: &[Taken]) {
        let mut sources = Sources::new(UnixMillis(100));
        let take = |(at, (name, started, total)): (usize, &(&str, Option<u64>, u64))| {
            sources.take(&reading(name, *started, *total), UnixMillis(at as u64 + 200)).0
        };
        assert_eq!(story.iter().enumerate().map(take).collect::<Vec<_>>(), expected, "{story:?}");
    }

    #[test]
    fn each_case_is_told_apart_by_when_a_process_started() {
        let counted = |events| Taken::Counted { events };
        check(&[("a", Some(50), 7), ("a", Some(50), 9)], &[Taken::First, counted(2)]);
        check(&[("a", Some(150), 7), ("b", Some(150), 4)], &[counted(7), counted(4)]);
        check(
            &[("a", Some(150), 7), ("a", Some(160), 9), ("a", Some(150), 8)],
            &[counted(7), counted(9), Taken::Late],
        );
        check(
            &[("a", Some(150), 7), ("a", Some(150), 6), ("a", Some(150), 7)],
            &[counted(7), Taken::Late, counted(0)],
        );
        check(&[("a", None, 7), ("a", None, 9), ("a", None, 3)], &[Taken::First, counted(2), counted(3)]);
    }

    #[test]
    fn one_that_was_forgotten_is_not_counted_again_when_it_comes_back() {
        let mut sources = Sources::new(UnixMillis(0));
        for n in 0..=SOURCES_MAX as u64 {
            sources.take(&reading(&format!("s{n}"), Some(n + 1), 10), UnixMillis(n + 1));
        }
        assert_eq!(sources.known.len(), SOURCES_MAX);
        assert_eq!(sources.take(&reading("s0", Some(1), 12), UnixMillis(999)).0, Taken::First);
        assert_eq!(
            sources.take(&reading("new", Some(998), 3), UnixMillis(999)).0,
            Taken::Counted { events: 3 }
        );
    }

    proptest! {
        /// Processes that count, start anew, are read twice, late or not at all, and a reader that starts anew from what it has written down:
        /// the sum is what they had counted at the last reading of each of their lives.
        #[test]
        fn nothing_that_was_read_is_counted_twice_or_lost(
            steps in prop::collection::vec((0usize..4, 0u64..50, 0u8..10), 1..300),
        ) {
            let mut sources = Sources::new(UnixMillis(10));
            let mut sum = Counts::ZERO;
            // Of each process: when it started, what it has counted, what was read of it in this life; and of all lives before.
            let mut processes = [(11u64, 0u64, 0u64); 4];
            let mut before = 0;
            for (at, (index, more, what)) in steps.into_iter().enumerate() {
                let at = at as u64 + 100;
                let (started, total, read) = &mut processes[index];
                *total += more;
                let shown = match what {
                    0 => {
                        before += *read;
                        (*started, *total, *read) = (at, 0, 0);
                        continue;
                    }
                    1 => total.saturating_sub(more + 1),
                    2 => { sources = Sources::restored(&sources.past()); continue }
                    3..=5 => continue,
                    _ => *total,
                };
                *read = (*read).max(shown);
                let name = format!("p{index}");
                let (_, from, to) = sources.take(&reading(&name, Some(*started), shown), UnixMillis(at));
                sum = sum.grown(from, to);
            }
            let read: u64 = processes.iter().map(|process| process.2).sum();
            prop_assert_eq!(sum, Counts { good: before + read, total: before + read });
        }
    }
}
