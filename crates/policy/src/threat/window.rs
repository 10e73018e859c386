//! Counting within a while: how many, and how many different.
//!
//! How many were different is read off 64 bits, one set for each hash (linear counting: Whang, Vander-Zanden & Taylor 1990,
//! "A linear-time probabilistic counting algorithm for database applications"). Around thresholds of 10 to 60 that errs by a tenth
//! or so, which is less than the choice of a threshold is worth, and it costs one instruction. Windows begin with their first event
//! and are emptied when they are over: what straddles the end of one needs up to twice the evidence.

use super::options::Limits;

/// How many different hashes set k of 64 bits: 64 · ln(64 ÷ (64 − k)). All 64 bits say "many".
const DISTINCT: [u16; 65] = [
    0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 15, 16, 17, 18, 20, 21, 23, 24, 25, 27, 28, 30, 32, 33, 35,
    37, 39, 40, 42, 44, 46, 48, 51, 53, 55, 58, 60, 63, 65, 68, 71, 74, 78, 81, 85, 89, 93, 97, 102, 107,
    113, 119, 126, 133, 142, 151, 163, 177, 196, 222, 266, 300,
];

/// How many different hashes set so many of 64 bits.
pub(super) fn distinct(bits: u64) -> u32 {
    u32::from(DISTINCT[bits.count_ones() as usize])
}

/// A set of hashes of which only the size is asked: 64 · `WORDS` bits, good up to four times as many members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crowd<const WORDS: usize> {
    words: [u64; WORDS],
}

impl<const WORDS: usize> Default for Crowd<WORDS> {
    fn default() -> Self {
        Self { words: [0; WORDS] }
    }
}

impl<const WORDS: usize> Crowd<WORDS> {
    /// Puts a hash in; whether it changed anything.
    pub(super) fn add(&mut self, hash: u64) -> bool {
        let word = &mut self.words[(hash >> 6) as usize % WORDS];
        let bit = 1 << (hash & 63);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// About how many are in it.
    pub(super) fn len(&self) -> u32 {
        let set: u32 = self.words.iter().map(|word| word.count_ones()).sum();
        let (whole, rest) = (set / WORDS as u32, set % WORDS as u32);
        let at = |k: u32| u32::from(DISTINCT[k as usize]);
        let step = if rest == 0 { 0 } else { (at(whole + 1) - at(whole)) * rest };
        at(whole) * WORDS as u32 + step
    }
}

/// What was counted within one while.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// Second of its first event.
    began_s: u32,
    /// Events, by their weight.
    count: u32,
    /// Which hashes, by six bits of each.
    bits: u64,
    /// All requests beside them, where those are counted.
    beside: u32,
}

impl Window {
    /// Counts an event; whether its hash is a new one here.
    fn add(&mut self, now_s: u32, length_s: u32, hash: u64, weight: u32) -> bool {
        if self.is_over(now_s, length_s) {
            *self = Self { began_s: now_s, ..Self::default() };
        }
        let bit = 1 << (hash & 63);
        let is_new = self.bits & bit == 0;
        self.bits |= bit;
        self.count = self.count.saturating_add(weight);
        is_new
    }

    /// Counts a request beside the events.
    fn add_beside(&mut self, now_s: u32, length_s: u32) {
        if !self.is_over(now_s, length_s) {
            self.beside = self.beside.saturating_add(1);
        }
    }

    fn is_over(&self, now_s: u32, length_s: u32) -> bool {
        self.count == 0 && self.bits == 0 || now_s.saturating_sub(self.began_s) >= length_s
    }
}

/// The lengths of the two windows, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lengths {
    pub(super) fast_s: u32,
    pub(super) slow_s: u32,
}

/// What went over a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trip {
    /// Second of the first event that counted.
    pub(super) first_s: u32,
    /// Events, by their weight.
    pub(super) count: u32,
    /// About how many were different.
    pub(super) distinct: u32,
    /// The limit.
    pub(super) limit: u32,
}

/// Counts in a short window, for what is fast, and in a long one, for what hides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Spread {
    fast: Window,
    slow: Window,
}

impl Spread {
    /// Counts an event; whether its hash is a new one in the short window.
    pub(super) fn add(&mut self, now_s: u32, lengths: Lengths, hash: u64, weight: u32) -> bool {
        self.slow.add(now_s, lengths.slow_s, hash, weight);
        self.fast.add(now_s, lengths.fast_s, hash, weight)
    }

    /// Counts a request beside the events: who sends more may do more wrong.
    pub(super) fn add_beside(&mut self, now_s: u32, lengths: Lengths) {
        self.slow.add_beside(now_s, lengths.slow_s);
        self.fast.add_beside(now_s, lengths.fast_s);
    }

    /// Whether a hash would be a new one in the short window.
    pub(super) fn is_new(&self, now_s: u32, lengths: Lengths, hash: u64) -> bool {
        self.fast.is_over(now_s, lengths.fast_s) || self.fast.bits & 1 << (hash & 63) == 0
    }

    /// Whether so many were different as a limit says, more being allowed by `allowance`. Both windows then begin anew, so
    /// that the next time is evidence of its own.
    pub(super) fn take_distinct(&mut self, limits: Limits, allowance: u32) -> Option<Trip> {
        let limit = |limit: u32, window: &Window| {
            let beside = window.beside / 1_000 * limits.per_thousand;
            limit.saturating_add(allowance).saturating_add(beside).min(LIMIT_MAX.max(limit))
        };
        self.take(limits, limit, |window| distinct(window.bits))
    }

    /// The same for the number of events, by their weight.
    pub(super) fn take_count(&mut self, limits: Limits) -> Option<Trip> {
        let beside = |window: &Window| window.beside / 1_000 * limits.per_thousand;
        self.take(limits, |limit, window| limit.saturating_add(beside(window)), |window| window.count)
    }

    /// Whether so many were different as a limit says; nothing begins anew.
    pub(super) fn has_distinct(&self, limits: Limits) -> bool {
        distinct(self.fast.bits) >= limits.fast || distinct(self.slow.bits) >= limits.slow
    }

    /// About how many were different in the long window, unless it is over.
    pub(super) fn evidence(&self, now_s: u32, lengths: Lengths) -> u32 {
        if self.slow.is_over(now_s, lengths.slow_s) { 0 } else { distinct(self.slow.bits) }
    }

    fn take(
        &mut self,
        limits: Limits,
        raised: impl Fn(u32, &Window) -> u32,
        size: impl Fn(&Window) -> u32,
    ) -> Option<Trip> {
        let over = [(self.fast, limits.fast), (self.slow, limits.slow)].into_iter();
        let mut over = over.map(|(window, limit)| (window, raised(limit, &window)));
        let (window, limit) = over.find(|(window, limit)| size(window) >= *limit)?;
        *self = Self::default();
        let (count, distinct) = (window.count, distinct(window.bits));
        Some(Trip { first_s: window.began_s, count, distinct, limit })
    }
}

/// No limit on how many are different is raised above this by an allowance: 64 bits could not tell.
const LIMIT_MAX: u32 = 150;

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::split_mix_64;

    const LENGTHS: Lengths = Lengths { fast_s: 60, slow_s: 3_600 };

    #[test]
    fn different_ones_are_counted_to_a_quarter() {
        let check = |members: u64, low: u32, high: u32| {
            let mut sizes: Vec<u32> = (0..200)
                .map(|seed| (0..members).fold(0, |bits, n| bits | 1u64 << (split_mix_64(seed, n) & 63)))
                .map(distinct)
                .collect();
            sizes.sort_unstable();
            assert!(sizes[10] >= low && sizes[189] <= high, "{members}: {} to {}", sizes[10], sizes[189]);
        };
        check(10, 8, 12);
        check(40, 32, 48);
        check(100, 75, 130);
        let mut crowd = Crowd::<4>::default();
        for n in 0..300 {
            let _ = crowd.add(split_mix_64(3, n));
        }
        assert!((260..345).contains(&crowd.len()), "{}", crowd.len());
    }

    #[test]
    fn one_that_comes_again_and_again_is_one() {
        let mut spread = Spread::default();
        for second in 0..3_000 {
            let _ = spread.add(second, LENGTHS, 77, 1);
        }
        assert_eq!(spread.take_distinct(Limits { fast: 2, slow: 2, per_thousand: 0 }, 0), None);
        assert_eq!(
            spread.take_count(Limits { fast: 61, slow: 3_000, per_thousand: 0 }).map(|trip| trip.count),
            Some(3_000)
        );
        assert_eq!(spread, Spread::default());
    }

    #[test]
    fn a_window_that_is_over_counts_no_more() {
        let mut spread = Spread::default();
        for n in 0..9 {
            let _ = spread.add(n, LENGTHS, u64::from(n), 1);
        }
        spread.add(70, LENGTHS, 9, 1);
        assert_eq!(spread.take_distinct(Limits { fast: 5, slow: 50, per_thousand: 0 }, 0), None);
        assert!(spread.evidence(3_599, LENGTHS) >= 10);
        assert_eq!(spread.evidence(3_600, LENGTHS), 0);
    }
}
