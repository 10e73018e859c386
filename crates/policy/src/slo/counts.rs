//! How many events there were, and how many of them were good.

/// Events and the good ones among them: since a process began, or within a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Events that were good.
    pub good: u64,
    /// All events that count.
    pub total: u64,
}

impl Counts {
    /// No events.
    pub const ZERO: Self = Self { good: 0, total: 0 };

    /// Events of which so many were bad: for counters that count what went wrong.
    #[must_use]
    pub const fn with_bad(bad: u64, total: u64) -> Self {
        Self { good: total.wrapping_sub(bad), total }
    }

    /// Events that were not good.
    #[must_use]
    pub const fn bad(self) -> u64 {
        self.total.saturating_sub(self.good)
    }

    /// The share of good events, in [0, 1]; nothing where there were no events.
    #[must_use]
    pub fn good_share(self) -> Option<f64> {
        (self.total > 0).then(|| self.good as f64 / self.total as f64)
    }

    /// What these would be without a part of them.
    #[must_use]
    pub(super) const fn without(self, part: Self) -> Self {
        let total = self.total.saturating_sub(part.total);
        let bad = self.bad().saturating_sub(part.bad());
        Self { good: total.saturating_sub(bad), total }
    }

    /// These sums, after a counter went from one reading to another. The counters of good and of all events are not read in the
    /// same instant, so that the good ones may seem to go back by what was under way. Nothing is cut off here: what one reading has too
    /// little, the next has more.
    pub(super) const fn grown(self, from: Self, to: Self) -> Self {
        Self {
            good: self.good.wrapping_add(to.good.wrapping_sub(from.good)),
            total: self.total.wrapping_add(to.total.wrapping_sub(from.total)),
        }
    }

    /// What lies between earlier sums and these. Where good events were read a moment before all, there are at most as many as all.
    pub(super) fn since(self, earlier: Self) -> Self {
        let total = self.total.wrapping_sub(earlier.total);
        // As a signed number: a few may be missing.
        let good = self.good.wrapping_sub(earlier.good).cast_signed();
        Self { good: u64::try_from(good).unwrap_or(0).min(total), total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_events_that_are_read_late_are_counted_once_and_in_full() {
        let readings =
            [(0, 0), (9, 10), (20, 20), (29, 31), (40, 40)].map(|(good, total)| Counts { good, total });
        let mut sums = vec![Counts::ZERO];
        for pair in readings.windows(2) {
            sums.push(sums[sums.len() - 1].grown(pair[0], pair[1]));
        }
        assert_eq!(sums[4], Counts { good: 40, total: 40 });
        assert_eq!(sums[2].since(sums[1]), Counts { good: 10, total: 10 }, "11 were read, 10 asked");
        assert_eq!(sums[4].since(sums[3]).bad(), 0);
    }

    #[test]
    fn bad_ones_are_read_exactly_where_they_are_what_is_counted() {
        let before = Counts::with_bad(0, 5);
        let ahead = Counts::with_bad(1, 5);
        let after = Counts::with_bad(1, 6);
        let sums = Counts::ZERO.grown(before, ahead);
        assert_eq!(sums.grown(ahead, after), Counts { good: 0, total: 1 });
        assert_eq!(
            Counts { good: 7, total: 10 }.without(Counts { good: 1, total: 3 }),
            Counts { good: 6, total: 7 }
        );
    }
}
