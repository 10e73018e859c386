//! Error budgets: how many events may be bad, how many were, how long the rest lasts.

use super::counts::Counts;
use super::goal::Goal;
use super::history::History;
use super::spans::HOUR;
use spinwell_core::{Millis, UnixMillis};

/// The window of the present burn rate.
pub const PRESENT: Millis = Millis(HOUR);
/// Below this share of a budget nothing should be changed that need not be.
const FREEZE_BELOW: f64 = 0.25;

/// An objective's error budget over its window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// When the window begins: every event after it counts, none before.
    pub since: UnixMillis,
    /// What was counted in the window.
    pub counts: Counts,
    /// Events that may be bad of so many.
    pub allowed: u64,
    /// Events that were.
    pub consumed: u64,
    /// Events that may still be bad; less than zero where too many were.
    pub left: i64,
    /// The share of the budget that is left: at most 1, less than zero where too much was spent. Nothing where there were no events or
    /// nothing may be bad.
    pub left_share: Option<f64>,
    /// How fast it is spent at present, over the last hour: 1 is as fast as it may be.
    pub burn: Option<f64>,
    /// When it will be spent if that goes on; 0 where it is. Nothing where that lies behind the window's length, by when what was spent until now
    /// is made up for.
    pub exhausted_in: Option<Millis>,
}

impl Budget {
    /// Of these counts.
    fn of(goal: Goal, counts: Counts, since: UnixMillis) -> Self {
        let (allowed, consumed) = (goal.bad_max(counts.total), counts.bad());
        let left = i128::from(allowed) - i128::from(consumed);
        // 1 - burn over the whole window: how fast it was spent is how much of it.
        let left_share = goal.burn(counts).map(|burn| 1.0 - burn);
        Self {
            since,
            counts,
            allowed,
            consumed,
            left: i64::try_from(left).unwrap_or(if left < 0 { i64::MIN } else { i64::MAX }),
            left_share,
            burn: None,
            exhausted_in: None,
        }
    }

    /// Of an objective, as measured.
    pub(super) fn measured(goal: Goal, window: Millis, history: &History, now: UnixMillis) -> Self {
        let burn = goal.burn(history.last(PRESENT, now));
        let budget = Self::of(goal, history.last(window, now), history.edge(window, now));
        let exhausted_in =
            budget.left_share.zip(burn).and_then(|(left, burn)| exhausted_in(window, left, burn));
        Self { burn, exhausted_in, ..budget }
    }

    /// The same without what was counted during announced maintenance.
    pub(super) fn without_maintenance(
        goal: Goal,
        window: Millis,
        history: &History,
        now: UnixMillis,
    ) -> Self {
        let counts = history.last(window, now).without(history.excused(window, now));
        Self::of(goal, counts, history.edge(window, now))
    }

    /// Whether changes that can wait should wait: less than a quarter of the budget is left.
    #[must_use]
    pub fn asks_for_calm(&self) -> bool {
        self.left_share.is_some_and(|left| left < FREEZE_BELOW)
    }
}

/// How long a share of a budget lasts: at a burn rate of r the whole of it lasts its window ÷ r.
fn exhausted_in(window: Millis, left: f64, burn: f64) -> Option<Millis> {
    if left <= 0.0 {
        return Some(Millis(0));
    }
    let lasts = left / burn * window.0 as f64;
    (lasts <= window.0 as f64).then_some(Millis(lasts as u64))
}

#[cfg(test)]
mod tests {
    use super::super::goal::PerMillion;
    use super::super::spans::DAY;
    use super::*;

    const GOAL: Goal = Goal::AtLeast(PerMillion::of(999_500));
    const MONTH: Millis = Millis(30 * DAY);

    #[test]
    fn budgets_are_told_to_the_request() {
        let counts = Counts { good: 1_999_400, total: 2_000_000 };
        let budget = Budget::of(GOAL, counts, UnixMillis(0));
        assert_eq!((budget.allowed, budget.consumed, budget.left), (1_000, 600, 400));
        assert!((budget.left_share.unwrap() - 0.4).abs() < 1e-9 && !budget.asks_for_calm());
        let spent = Budget::of(GOAL, Counts { good: 0, total: 2_000 }, UnixMillis(0));
        assert_eq!((spent.allowed, spent.left), (1, -1_999));
        assert!(spent.asks_for_calm());
        let none = Budget::of(Goal::AtLeast(PerMillion::ALL), counts, UnixMillis(0));
        assert_eq!((none.allowed, none.left, none.left_share), (0, -600, None));
    }

    #[test]
    fn a_whole_budget_lasts_as_long_as_the_workbook_says() {
        let days = |left, burn| exhausted_in(MONTH, left, burn).map(|span| span.0 as f64 / DAY as f64);
        let check =
            |burn, expected: f64| assert!((days(1.0, burn).unwrap() - expected).abs() < 0.01, "{burn}");
        check(14.4, 2.08);
        check(6.0, 5.0);
        check(3.0, 10.0);
        check(1.0, 30.0);
        assert_eq!((days(1.0, 0.9), days(0.0, 0.0), days(-3.0, 1.0)), (None, Some(0.0), Some(0.0)));
        assert_eq!(days(0.5, 0.0), None);
    }
}
