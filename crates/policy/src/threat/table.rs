//! Records of strangers in a fixed space.
//!
//! A hash map that grows with whoever comes can be filled by whoever rotates addresses. This is a cache as processors have them: a key
//! may stand in eight places only, and where all are taken, the record that matters least makes room ([`Record::rank`]). So a record
//! of somebody who is under a measure goes only where eight others who matter more fall on the same eight places, and the places
//! follow from a hash with a seed that is not known outside. No list of what was used last is kept: eight ranks are compared, and only
//! when a new one comes to a full set.

/// Places that a key may stand in: their keys fill one cache line.
const WAYS: usize = 8;

/// What a table keeps.
pub(super) trait Record: Default {
    /// How much it matters: what is least makes room.
    fn rank(&self, now_s: u32) -> Rank;
}

/// How much a record matters, the most important first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// 0: nothing against it; 1: strikes; 2: slowed; 3: blocked.
    pub(super) standing: u8,
    /// How much was counted against it.
    pub(super) evidence: u32,
    /// Second in which it was last seen.
    pub(super) seen_s: u32,
}

/// Records by key, at most so many. Keys are hashes already.
#[derive(Debug)]
pub(super) struct Table<R> {
    /// Zero where nobody stands.
    keys: Vec<u64>,
    records: Vec<R>,
    /// Number of sets less one; they are a power of two.
    mask: u64,
    len: usize,
}

impl<R: Record> Table<R> {
    /// A table of at most `records_max` records, and at least eight.
    pub(super) fn new(records_max: usize) -> Self {
        let sets = 1usize << (records_max / WAYS).max(1).ilog2();
        let records = std::iter::repeat_with(R::default).take(sets * WAYS).collect();
        Self { keys: vec![0; sets * WAYS], records, mask: sets as u64 - 1, len: 0 }
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, key: u64) -> Option<&R> {
        self.find(key.max(1)).map(|place| &self.records[place])
    }

    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut R> {
        self.find(key.max(1)).map(|place| &mut self.records[place])
    }

    /// The record of a key, a new one where there is none.
    pub(super) fn enter(&mut self, key: u64, now_s: u32) -> &mut R {
        let key = key.max(1);
        let place = self.find(key).unwrap_or_else(|| self.make_room(key, now_s));
        &mut self.records[place]
    }

    fn first(&self, key: u64) -> usize {
        // The upper half: the lower bits of a key also choose bits in windows.
        ((key >> 32) & self.mask) as usize * WAYS
    }

    fn find(&self, key: u64) -> Option<usize> {
        let first = self.first(key);
        self.keys[first..first + WAYS].iter().position(|own| *own == key).map(|way| first + way)
    }

    fn make_room(&mut self, key: u64, now_s: u32) -> usize {
        let first = self.first(key);
        let places = first..first + WAYS;
        let free = places.clone().find(|place| self.keys[*place] == 0);
        self.len += usize::from(free.is_some());
        let least = || places.min_by_key(|place| self.records[*place].rank(now_s)).unwrap_or(first);
        let place = free.unwrap_or_else(least);
        self.keys[place] = key;
        self.records[place] = R::default();
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use spinwell_core::split_mix_64;

    #[derive(Debug, Default)]
    struct Seen(Option<Rank>);

    impl Record for Seen {
        fn rank(&self, _now_s: u32) -> Rank {
            self.0.unwrap_or(Rank { standing: 0, evidence: 0, seen_s: 0 })
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_never_grows_and_who_matters_most_stays(
            records_max in 8usize..300, seed in any::<u64>(), others in 0u64..3_000,
        ) {
            let mut table: Table<Seen> = Table::new(records_max);
            let key = split_mix_64(seed, u64::MAX);
            table.enter(key, 0).0 = Some(Rank { standing: 3, evidence: 0, seen_s: 0 });
            for other in 0..others {
                let rank = Rank { standing: (other % 3) as u8, evidence: 9, seen_s: 100 };
                table.enter(split_mix_64(seed, other), 100).0 = Some(rank);
                prop_assert!(table.len() <= records_max);
            }
            prop_assert!(table.get(key).is_some_and(|own| own.0.is_some_and(|rank| rank.standing == 3)));
        }
    }

    #[test]
    fn who_has_nothing_against_him_makes_room_first_then_who_was_seen_long_ago() {
        let mut table: Table<Seen> = Table::new(8);
        for key in 1..=8u64 {
            let (evidence, seen_s) = if key == 5 { (0, 90) } else { (1, 80 - key as u32) };
            table.enter(key, 0).0 = Some(Rank { standing: 0, evidence, seen_s });
        }
        table.enter(9, 100).0 = Some(Rank { standing: 0, evidence: 1, seen_s: 100 });
        assert!(table.get(5).is_none() && table.get(8).is_some());
        table.enter(10, 100);
        assert!(table.get(8).is_none() && table.get(9).is_some());
        assert_eq!(table.len(), 8);
    }
}
