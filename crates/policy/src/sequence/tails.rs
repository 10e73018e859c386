//! How far a node has read the logs of the shards that it follows.
//!
//! The one rule that makes the log a fence: **what a node has in memory of a shard is what the shard's log says up to its tail, no
//! less and no more.** So an append that the log takes only behind the tail is an append to what the node knows.

use std::collections::BTreeMap;

/// The position in each followed shard's log up to which memory holds everything.
///
/// ```
/// use spinwell_policy::sequence::Tails;
/// let mut tails = Tails::default();
/// tails.follow(7, 40);
/// assert_eq!(tails.of(7), Some(40));
/// // Two own entries were written behind it.
/// assert_eq!(tails.written(7, 2), Some(41));
/// assert_eq!(tails.of(7), Some(42));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Tails {
    tails: BTreeMap<u16, u64>,
}

impl Tails {
    /// Follows a shard whose log ends at `head`; nothing of it may be in memory yet.
    pub fn follow(&mut self, shard: u16, head: u64) {
        self.tails.entry(shard).or_insert(head);
    }

    /// Follows it no more; nothing of it may be in memory.
    pub fn forget(&mut self, shard: u16) {
        self.tails.remove(&shard);
    }

    /// The tail, where the shard is followed: behind it the next entry must stand.
    #[must_use]
    pub fn of(&self, shard: u16) -> Option<u64> {
        self.tails.get(&shard).copied()
    }

    /// The log has taken so many own entries behind the tail; memory holds them, or does before anybody else looks. Gives the
    /// position of the first.
    pub fn written(&mut self, shard: u16, entries: u64) -> Option<u64> {
        let tail = self.tails.get_mut(&shard)?;
        let first = *tail + 1;
        *tail += entries;
        Some(first)
    }

    /// What others have written up to `to` is in memory now, or what was there of their sequences is not any more. Positions
    /// that were read before change nothing.
    pub fn read(&mut self, shard: u16, to: u64) {
        if let Some(tail) = self.tails.get_mut(&shard) {
            *tail = (*tail).max(to);
        }
    }

    /// All shards that are followed, with their tails, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.tails.iter().map(|(shard, tail)| (*shard, *tail))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tails.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tails.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_never_goes_back_and_is_followed_once() {
        let mut tails = Tails::default();
        assert_eq!((tails.of(3), tails.written(3, 1)), (None, None));
        tails.follow(3, 10);
        tails.follow(3, 99);
        tails.read(3, 12);
        tails.read(3, 11);
        assert_eq!(tails.iter().collect::<Vec<_>>(), [(3, 12)]);
        tails.forget(3);
        tails.read(3, 20);
        assert!(tails.is_empty());
    }
}
