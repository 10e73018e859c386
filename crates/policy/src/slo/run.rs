//! Since when something has been going wrong, and until when.
//!
//! An alert says when trouble was noticed. When it began is a question of its own, and how long it took to notice is the answer minus that. It
//! is asked as Page did (1954, "Continuous inspection schemes"): the bad events beyond an allowance are summed up, never below zero. Trouble
//! began when the sum last left zero, and it was over when the sum stood highest. A request that fails now and then raises the sum, and
//! those that succeed bring it back; an outage raises it for as long as it lasts, and not a slot longer.
//!
//! What makes a ticket and what makes a page are two questions: an outage of five minutes in a week of slow burning began when the outage did. So
//! the allowance for tickets is the budget, and for pages three times that, half of the lowest rate that pages.

use super::counts::Counts;
use super::goal::{Goal, PerMillion};
use super::rules::Severity;
use super::spans::{MINUTE, between};
use spinwell_core::{Millis, UnixMillis};

/// After so long without a new height, trouble is over, and what comes next is other trouble.
const CALM: Millis = Millis(30 * MINUTE);

/// How many times the budget may be spent before it is trouble that pages.
const PAGE_ALLOWANCE: i128 = 3;

/// What is no trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    pub(super) goal: Goal,
    pub(super) severity: Severity,
}

/// Trouble, from its first slot to its last as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Run {
    /// The beginning of the slot in which it began.
    pub began: UnixMillis,
    /// The end of the slot in which it was last seen to get worse.
    pub until: UnixMillis,
    /// Millionths of bad events beyond what is allowed, summed up.
    pub sum: i128,
    /// The most that this sum has been.
    pub peak: i128,
}

impl Run {
    /// Goes on by what was counted after `from` and up to `now`.
    pub(super) fn advance(
        &mut self,
        allowance: Allowance,
        counts: Counts,
        from: UnixMillis,
        now: UnixMillis,
    ) {
        let Allowance { goal, severity } = allowance;
        if self.sum > 0 && between(self.until, now) > CALM {
            self.end();
        }
        if matches!(goal, Goal::Within { .. }) {
            // There, a single event is neither good nor bad for itself.
            return;
        }
        let times = if severity == Severity::Page { PAGE_ALLOWANCE } else { 1 };
        let allowed = i128::from(counts.total) * i128::from(goal.budget().map_or(0, PerMillion::get)) * times;
        let sum = self.sum + i128::from(counts.bad()) * 1_000_000 - allowed;
        if sum <= 0 {
            self.end();
            return;
        }
        if self.sum == 0 {
            (self.began, self.peak) = (from, 0);
        }
        self.sum = sum;
        if sum > self.peak {
            (self.peak, self.until) = (sum, now);
        }
    }

    /// Whatever comes next is other trouble. When this one began and ended is still known.
    pub(super) fn end(&mut self) {
        (self.sum, self.peak) = (0, 0);
    }
}

/// Nothing has succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// Since the beginning of the slot in which the first failed.
    pub since: UnixMillis,
    /// So many have failed.
    pub asked: u64,
}

impl Outage {
    /// Goes on by what was counted after `from`. What asks for nothing changes nothing.
    pub(super) fn advance(own: Option<Self>, counts: Counts, from: UnixMillis) -> Option<Self> {
        match own {
            _ if counts.bad() < counts.total => None,
            None if counts.total == 0 => None,
            own => {
                let Self { since, asked } = own.unwrap_or(Self { since: from, asked: 0 });
                Some(Self { since, asked: asked.saturating_add(counts.total) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOAL: Goal = Goal::AtLeast(PerMillion::of(999_500));
    const TICKETS: Allowance = Allowance { goal: GOAL, severity: Severity::Ticket };
    const PAGES: Allowance = Allowance { goal: GOAL, severity: Severity::Page };

    fn slot(run: &mut Run, at: u64, bad: u64, total: u64) {
        let counts = Counts { good: total - bad, total };
        run.advance(TICKETS, counts, UnixMillis((at - 1) * 10_000), UnixMillis(at * 10_000));
    }

    #[test]
    fn trouble_lasts_from_its_first_slot_to_its_last_in_the_noise_of_a_healthy_service() {
        let mut run = Run::default();
        for at in 1..700 {
            // One of 5,000 fails, and in slots 501 to 530 half of them.
            let bad = if (501..=530).contains(&at) { 500 } else { u64::from(at % 5 == 3) };
            slot(&mut run, at, bad, 1_000);
        }
        assert_eq!((run.began.0, run.until.0), (5_000_000, 5_300_000));
    }

    #[test]
    fn an_outage_in_a_week_of_slow_burning_is_trouble_of_its_own() {
        let (mut tickets, mut pages) = (Run::default(), Run::default());
        for at in 1..2_000 {
            let bad = if (1_000..1_030).contains(&at) { 1_000 } else { 1 };
            let counts = Counts { good: 1_000 - bad, total: 1_000 };
            let (from, now) = (UnixMillis((at - 1) * 10_000), UnixMillis(at * 10_000));
            tickets.advance(TICKETS, counts, from, now);
            pages.advance(PAGES, counts, from, now);
        }
        assert_eq!((tickets.began.0, tickets.until.0), (0, 19_990_000));
        assert_eq!((pages.began.0, pages.until.0), (9_990_000, 10_290_000));
    }

    proptest! {
        /// Trouble began behind the last slot up to which least was bad beyond what is allowed, and lasted until most was.
        #[test]
        fn it_lasts_from_the_least_sum_to_the_greatest(bad in prop::collection::vec(0u64..4, 1..170)) {
            let mut run = Run::default();
            // One of a thousand bad is twice what the budget allows.
            let mut sums = vec![0i64];
            for (index, bad) in bad.iter().enumerate() {
                slot(&mut run, index as u64 + 1, *bad, 1_000);
                sums.push(sums[index] + *bad as i64 * 2 - 1);
            }
            let least = *sums.iter().min().unwrap();
            let began = sums.iter().rposition(|sum| *sum == least).unwrap();
            let most = *sums[began..].iter().max().unwrap();
            let until = began + sums[began..].iter().position(|sum| *sum == most).unwrap();
            prop_assert_eq!(run.sum, i128::from(sums[sums.len() - 1] - least) * 500_000);
            if most > least {
                prop_assert_eq!((run.began.0, run.until.0), (began as u64 * 10_000, until as u64 * 10_000));
            }
        }
    }

    #[test]
    fn the_next_trouble_is_another() {
        let mut run = Run::default();
        slot(&mut run, 1, 1_000, 1_000);
        for at in 2..=182 {
            slot(&mut run, at, 0, 1_000);
        }
        assert_eq!(run.sum, 0, "half an hour of calm, though all that was lost is not made up for");
        slot(&mut run, 183, 10, 1_000);
        assert_eq!((run.began.0, run.until.0), (1_820_000, 1_830_000));
    }

    #[test]
    fn an_outage_is_without_success_and_not_without_requests() {
        let counts = |good, total| Counts { good, total };
        let advance = |own, good, total, from| Outage::advance(own, counts(good, total), UnixMillis(from));
        let outage = advance(advance(None, 0, 3, 10), 0, 4, 20);
        assert_eq!(outage, Some(Outage { since: UnixMillis(10), asked: 7 }));
        assert_eq!(advance(outage, 0, 0, 30), outage);
        assert_eq!(advance(outage, 1, 9, 30), None);
        assert_eq!(advance(None, 0, 0, 30), None);
    }
}
