//! Sums at the ends of slots of time.
//!
//! A slot holds all that was counted up to its end, not what was counted within it. So the events of a window are a difference of two
//! sums, whatever its length, and they are whole numbers: nothing drifts, and nothing is added up again at every look.

use super::counts::Counts;
use spinwell_core::{Millis, UnixMillis};
use std::collections::VecDeque;

/// Sums at the ends of the newest slots. Slot k is the time after (k − 1) · resolution up to and with k · resolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ring {
    resolution: Millis,
    /// Slots that are kept at most.
    len_max: usize,
    /// The number of the newest slot.
    newest: u64,
    /// What had been counted before the oldest slot that is kept.
    before: Counts,
    /// What had been counted at the end of each slot, oldest first.
    ends: VecDeque<Counts>,
}

/// What a ring holds, as plain data.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RingPast {
    /// The length of a slot.
    pub resolution: Millis,
    /// The number of the newest slot: it ends at so many resolutions after the start of 1970.
    pub newest: u64,
    /// What had been counted before the oldest slot.
    pub before: Counts,
    /// What had been counted at the end of each slot, oldest first.
    pub ends: Vec<Counts>,
}

impl Ring {
    /// A ring that answers for windows up to `window`.
    pub(super) fn new(resolution: Millis, window: Millis) -> Self {
        // Both edges of a window may lie within slots.
        let len_max = usize::try_from(window.0 / resolution.0).unwrap_or(usize::MAX).saturating_add(2);
        Self { resolution, len_max, newest: 0, before: Counts::ZERO, ends: VecDeque::new() }
    }

    /// Notes that so much had been counted at that time. A time before the newest slot is taken to be in it: a clock that was set back
    /// must not change what has been.
    pub(super) fn note(&mut self, at: UnixMillis, sum: Counts) {
        let slot = at.0.div_ceil(self.resolution.0);
        let Some(&last) = self.ends.back() else {
            self.newest = slot;
            self.ends.push_back(sum);
            return;
        };
        let passed = usize::try_from(slot.saturating_sub(self.newest)).unwrap_or(usize::MAX);
        if passed > self.len_max {
            self.ends.clear();
            self.before = last;
        }
        // In the slots between nothing was counted.
        let between = passed.saturating_sub(1).min(self.len_max);
        self.ends.extend(std::iter::repeat_n(last, between));
        match self.ends.back_mut() {
            Some(newest) if passed == 0 => *newest = sum,
            _ => self.ends.push_back(sum),
        }
        self.newest = self.newest.max(slot);
        self.trim();
    }

    /// Begins anew: what has been counted so far is of before.
    pub(super) fn begin(&mut self, sum: Counts) {
        self.before = sum;
        self.ends.clear();
    }

    fn trim(&mut self) {
        while self.ends.len() > self.len_max {
            self.before = self.ends.pop_front().unwrap_or(self.before);
        }
    }

    /// When a window up to `now` begins: the end of the last slot that ended at or before `now` − `window`. So a window is never shorter than
    /// it is called, and longer by less than a slot.
    pub(super) fn edge(&self, window: Millis, now: UnixMillis) -> UnixMillis {
        UnixMillis(now.before(window).0 / self.resolution.0 * self.resolution.0)
    }

    /// What was counted after the edge of a window.
    pub(super) fn last(&self, window: Millis, now: UnixMillis) -> Counts {
        let Some(&sum) = self.ends.back() else { return Counts::ZERO };
        let edge = self.edge(window, now).0 / self.resolution.0;
        let back = usize::try_from(self.newest.saturating_sub(edge)).unwrap_or(usize::MAX);
        let at_edge = self.ends.len().checked_sub(1 + back).and_then(|place| self.ends.get(place));
        sum.since(*at_edge.unwrap_or(&self.before))
    }

    /// As plain data.
    pub(super) fn past(&self) -> RingPast {
        let Self { resolution, newest, before, .. } = *self;
        RingPast { resolution, newest, before, ends: self.ends.iter().copied().collect() }
    }

    /// From plain data; false, and the ring stays as it is, where that is of slots of another length.
    pub(super) fn restore(&mut self, past: &RingPast) -> bool {
        if past.resolution != self.resolution {
            return false;
        }
        self.ends = past.ends.iter().copied().collect();
        (self.newest, self.before) = (past.newest, past.before);
        self.trim();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RESOLUTION: Millis = Millis(10_000);
    const WINDOW: Millis = Millis(300_000);

    /// Events at times in milliseconds: those with an even time are good.
    fn feed(ring: &mut Ring, times: &[u64]) {
        let mut sum = Counts::ZERO;
        for &at in times {
            sum = Counts { good: sum.good + u64::from(at % 2 == 0), total: sum.total + 1 };
            ring.note(UnixMillis(at), sum);
        }
    }

    fn counted(times: &[u64], after: u64, upto: u64) -> Counts {
        let within = times.iter().filter(|at| **at > after && **at <= upto);
        within.fold(Counts::ZERO, |sum, at| Counts {
            good: sum.good + u64::from(at % 2 == 0),
            total: sum.total + 1,
        })
    }

    proptest! {
        #[test]
        fn a_window_holds_what_came_after_its_edge_to_the_event(
            mut gaps in prop::collection::vec(prop_oneof![0u64..3_000, 0u64..90_000, 0u64..900_000], 1..400),
            window in 1u64..=30,
            late in 0u64..400_000,
            is_restored: bool,
        ) {
            gaps[0] += 1_000_000;
            let times: Vec<u64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let mut ring = Ring::new(RESOLUTION, WINDOW);
            feed(&mut ring, &times);
            if is_restored {
                let past = ring.past();
                ring = Ring::new(RESOLUTION, WINDOW);
                prop_assert!(ring.restore(&past));
            }
            let now = times[times.len() - 1] + late;
            let window = Millis(window * 10_000);
            let edge = (now - window.0) / 10_000 * 10_000;
            prop_assert_eq!(ring.edge(window, UnixMillis(now)), UnixMillis(edge));
            prop_assert_eq!(ring.last(window, UnixMillis(now)), counted(&times, edge, now));
            prop_assert!(ring.ends.len() <= 32);
        }
    }

    #[test]
    fn a_longer_ring_that_goes_on_with_the_past_of_a_shorter_one_counts_nothing_twice() {
        let times: Vec<u64> = (1..200).map(|n| n * 10_000).collect();
        let mut short = Ring::new(RESOLUTION, WINDOW);
        feed(&mut short, &times);
        let mut long = Ring::new(RESOLUTION, Millis(3_000_000));
        assert!(long.restore(&short.past()));
        // It knows the 31 slots that the short one knew; the edge slot's own events are before its end.
        assert_eq!(long.last(Millis(1_000_000), UnixMillis(1_990_000)).total, 32);
        assert!(!Ring::new(Millis(60_000), WINDOW).restore(&short.past()));
    }

    #[test]
    fn a_clock_that_is_set_back_changes_nothing_that_has_been() {
        let mut ring = Ring::new(RESOLUTION, WINDOW);
        feed(&mut ring, &[100_000, 200_000, 150_001]);
        assert_eq!(ring.last(Millis(60_000), UnixMillis(200_000)).total, 2);
        assert_eq!(ring.newest, 20);
    }
}
