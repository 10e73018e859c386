//! Time slices: was at least as much served as was asked for, or as was promised?
//!
//! What the sources count between two looks is judged as a whole: over n slices, all of them are good where what was served is
//! at least what was asked for, or n times what is promised for a slice. Whoever looks once a slice gets each slice judged for itself;
//! whoever looks every 10 seconds gets ten seconds that are good or bad together. Slices in which no source was heard of are
//! neither.

use super::counts::Counts;
use spinwell_core::{Millis, UnixMillis};

/// Slices that are not judged yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slices {
    /// Up to when slices have been judged.
    pub judged: UnixMillis,
    /// What was counted since, in events.
    pub counts: Counts,
    /// Whether any source was heard of since.
    pub is_heard: bool,
}

impl Slices {
    /// Slices from now on.
    pub(super) fn new(now: UnixMillis) -> Self {
        Self { judged: now, counts: Counts::ZERO, is_heard: false }
    }

    /// Goes on from one reading of a counter to another.
    pub(super) fn count(&mut self, from: Counts, to: Counts) {
        self.counts = self.counts.grown(from, to);
        self.is_heard = true;
    }

    /// Judges the slices that are over: how many there were, and how many of them were good.
    pub(super) fn judge(&mut self, length: Millis, per_second: u32, now: UnixMillis) -> Counts {
        let slices = now.0.saturating_sub(self.judged.0) / length.0;
        if slices == 0 {
            return Counts::ZERO;
        }
        let Self { counts, is_heard, judged } = *self;
        *self = Self::new(UnixMillis(judged.0 + slices * length.0));
        let promised = u128::from(per_second) * u128::from(slices) * u128::from(length.0) / 1_000;
        let asked = counts.since(Counts::ZERO);
        let is_good = u128::from(asked.good) >= promised.min(u128::from(asked.total));
        match (is_heard, is_good) {
            (false, _) => Counts::ZERO,
            (true, is_good) => Counts { good: if is_good { slices } else { 0 }, total: slices },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(served: u64, offered: u64, seconds: u64, expected: (u64, u64)) {
        let mut slices = Slices::new(UnixMillis(500));
        slices.count(Counts::ZERO, Counts { good: served, total: offered });
        let judged = slices.judge(Millis(1_000), 1_000, UnixMillis(500 + seconds * 1_000));
        assert_eq!((judged.good, judged.total), expected, "{served} of {offered} in {seconds} s");
    }

    #[test]
    fn a_second_is_good_where_what_was_asked_for_or_a_thousand_was_served() {
        check(7, 7, 1, (1, 1));
        check(6, 7, 1, (0, 1));
        check(1_000, 5_000, 1, (1, 1));
        check(999, 5_000, 1, (0, 1));
        check(0, 0, 1, (1, 1));
        check(10_000, 12_000, 10, (10, 10));
        check(9_999, 12_000, 10, (0, 10));
        check(5, 9, 0, (0, 0));
    }

    #[test]
    fn a_second_in_which_nobody_was_heard_is_neither() {
        let mut slices = Slices::new(UnixMillis(0));
        assert_eq!(slices.judge(Millis(1_000), 1_000, UnixMillis(7_900)), Counts::ZERO);
        slices.count(Counts::ZERO, Counts { good: 1, total: 1 });
        assert_eq!(slices.judge(Millis(1_000), 1_000, UnixMillis(8_000)), Counts { good: 1, total: 1 });
    }
}
