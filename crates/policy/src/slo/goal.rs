//! What share of events must be good, and what that leaves as an error budget.
//!
//! Shares are whole millionths and burn rates whole hundredths, so that every comparison is one of whole numbers: whether one request
//! more would have been one too many does not depend on how a fraction was rounded.

use super::counts::Counts;
use std::fmt;

/// Millionths of a whole.
const WHOLE: u32 = 1_000_000;

/// A share in millionths, from 0 to 1,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PerMillion(u32);

impl PerMillion {
    /// All of it.
    pub const ALL: Self = Self(WHOLE);

    /// The share, or `None` above 1,000,000.
    #[must_use]
    pub const fn new(millionths: u32) -> Option<Self> {
        if millionths <= WHOLE { Some(Self(millionths)) } else { None }
    }

    /// A share that is known to be one.
    pub(super) const fn of(millionths: u32) -> Self {
        debug_assert!(millionths <= WHOLE);
        Self(millionths)
    }

    /// The share that is written as a number in [0, 1] with at most six digits behind the point.
    #[must_use]
    pub fn from_share(share: f64) -> Option<Self> {
        let millionths = share * f64::from(WHOLE);
        let whole = millionths.round();
        let is_share = (0.0..=f64::from(WHOLE)).contains(&whole) && (millionths - whole).abs() < 1e-6;
        is_share.then_some(Self(whole as u32))
    }

    /// In millionths.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// As a number in [0, 1].
    #[must_use]
    pub fn share(self) -> f64 {
        f64::from(self.0) / f64::from(WHOLE)
    }
}

impl fmt::Display for PerMillion {
    /// In per cent, with as many digits as it has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 10_000, self.0 % 10_000);
        let rest = format!("{rest:04}");
        let rest = rest.trim_end_matches('0');
        let point = if rest.is_empty() { "" } else { "." };
        write!(f, "{whole}{point}{rest} %")
    }
}

/// How many times as fast as the budget allows it is spent, in hundredths (SRE workbook, chapter 5: "Burn rate is how fast, relative to the SLO,
/// the service consumes the error budget").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BurnRate {
    /// In hundredths: 1,440 is 14.4 times.
    pub hundredths: u32,
}

impl BurnRate {
    /// As fast as allowed: the budget is spent when its window is over.
    pub const ONE: Self = Self { hundredths: 100 };
}

impl fmt::Display for BurnRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.hundredths) / 100.0)
    }
}

/// What share of events must be good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// At least this. What is allowed to be bad is the budget; of 100 % there is none.
    AtLeast(PerMillion),
    /// More than this: where so many bad ones are said to be too many already ("< 0.1 %").
    MoreThan(PerMillion),
    /// Not less than `low` and not more than `high`: too few are as wrong as too many, as of intervals that should hold 95 % of
    /// truths. There is no budget.
    Within {
        /// The least.
        low: PerMillion,
        /// The most.
        high: PerMillion,
        /// With fewer events nothing can be said. At 5,000 a share of 95 % is known to ± 0.6 % (95 % of the time, if events are independent).
        events_min: u64,
    },
}

impl Goal {
    /// The share that must be good at least.
    #[must_use]
    pub const fn least(self) -> PerMillion {
        match self {
            Self::AtLeast(least) | Self::MoreThan(least) | Self::Within { low: least, .. } => least,
        }
    }

    /// The share that may be bad; nothing where there is no budget, because nothing may be or because too few are wrong as well.
    #[must_use]
    pub fn budget(self) -> Option<PerMillion> {
        match self {
            Self::AtLeast(least) | Self::MoreThan(least) => {
                Some(PerMillion(WHOLE - least.0)).filter(|budget| budget.0 > 0)
            }
            Self::Within { .. } => None,
        }
    }

    /// Whether any bad event is one too many.
    #[must_use]
    pub const fn allows_none(self) -> bool {
        matches!(self, Self::AtLeast(PerMillion(WHOLE)) | Self::MoreThan(PerMillion(WHOLE)))
    }

    /// The most events that may be bad of so many, if the goal is to be met.
    #[must_use]
    pub fn bad_max(self, total: u64) -> u64 {
        let allowed = u128::from(total) * u128::from(WHOLE - self.least().0);
        let whole = allowed / u128::from(WHOLE);
        let whole = match self {
            Self::MoreThan(_) if allowed.is_multiple_of(u128::from(WHOLE)) => whole.saturating_sub(1),
            _ => whole,
        };
        u64::try_from(whole).unwrap_or(u64::MAX)
    }

    /// Whether it is met; nothing where there were too few events to say.
    #[must_use]
    pub fn is_met(self, counts: Counts) -> Option<bool> {
        let share = |of: PerMillion| u128::from(counts.total) * u128::from(of.0);
        let good = u128::from(counts.total - counts.bad()) * u128::from(WHOLE);
        match self {
            _ if counts.total == 0 => None,
            Self::AtLeast(least) => Some(good >= share(least)),
            Self::MoreThan(most) => Some(good > share(most) || most == PerMillion::ALL && counts.bad() == 0),
            Self::Within { events_min, .. } if counts.total < events_min => None,
            Self::Within { low, high, .. } => Some((share(low)..=share(high)).contains(&good)),
        }
    }

    /// How fast the budget is spent in a window with these events: the share of bad ones ÷ the share that may be. Nothing where there is
    /// no budget or were no events.
    #[must_use]
    pub fn burn(self, counts: Counts) -> Option<f64> {
        let bad = 1.0 - counts.good_share()?;
        self.budget().map(|budget| bad / budget.share())
    }

    /// Whether the budget is spent faster than `burn` allows, exactly.
    #[must_use]
    pub fn burns_above(self, burn: BurnRate, counts: Counts) -> bool {
        let Some(budget) = self.budget() else { return false };
        let spent = u128::from(counts.bad()) * u128::from(WHOLE) * 100;
        let allowed = u128::from(counts.total) * u128::from(budget.0) * u128::from(burn.hundredths);
        counts.total > 0 && spent > allowed
    }

    /// Whether a budget can be spent faster than that at all: where half of all may be slow, nothing burns faster than twice.
    #[must_use]
    pub fn can_burn_above(self, burn: BurnRate) -> bool {
        let Some(budget) = self.budget() else { return false };
        u64::from(budget.0) * u64::from(burn.hundredths) < u64::from(WHOLE) * 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AVAILABILITY: Goal = Goal::AtLeast(PerMillion(999_500));
    const ERRORS: Goal = Goal::MoreThan(PerMillion(999_000));

    fn counts(bad: u64, total: u64) -> Counts {
        Counts { good: total - bad, total }
    }

    #[test]
    fn the_last_request_that_may_fail_is_told_from_the_first_that_may_not() {
        let check = |goal: Goal, total, bad_max| {
            assert_eq!(goal.bad_max(total), bad_max, "{goal:?} of {total}");
            assert_eq!(goal.is_met(counts(bad_max, total)), Some(true), "{goal:?} of {total}");
            assert_eq!(goal.is_met(counts(bad_max + 1, total)), Some(false), "{goal:?} of {total}");
        };
        check(AVAILABILITY, 2_000, 1);
        check(AVAILABILITY, 1_999, 0);
        check(AVAILABILITY, 259_200_000, 129_600);
        check(ERRORS, 10_001, 10);
        check(ERRORS, 10_000, 9);
        check(Goal::AtLeast(PerMillion::ALL), 1_000, 0);
        assert_eq!(AVAILABILITY.is_met(Counts::ZERO), None);
    }

    #[test]
    fn too_many_are_as_wrong_as_too_few_and_few_events_say_nothing() {
        let band = Goal::Within { low: PerMillion(940_000), high: PerMillion(960_000), events_min: 5_000 };
        let check =
            |bad, total, expected| assert_eq!(band.is_met(counts(bad, total)), expected, "{bad}/{total}");
        check(250, 4_999, None);
        check(250, 5_000, Some(true));
        check(300, 5_000, Some(true));
        check(301, 5_000, Some(false));
        check(199, 5_000, Some(false));
        assert_eq!((band.budget(), band.burn(counts(1, 2))), (None, None));
    }

    #[test]
    fn burn_rates_are_those_of_the_workbook() {
        // Availability of 99.95 %: 0.72 % of errors are 14.4 times as fast.
        let fast = BurnRate { hundredths: 1_440 };
        assert!(!AVAILABILITY.burns_above(fast, counts(72, 10_000)));
        assert!(AVAILABILITY.burns_above(fast, counts(73, 10_000)));
        assert!(!AVAILABILITY.burns_above(fast, Counts::ZERO));
        // Half of the requests may be slower than the median's limit.
        assert!(!Goal::AtLeast(PerMillion(500_000)).can_burn_above(BurnRate { hundredths: 200 }));
        assert!(Goal::AtLeast(PerMillion(500_000)).can_burn_above(BurnRate::ONE));
        assert!(!Goal::AtLeast(PerMillion::ALL).can_burn_above(BurnRate::ONE));
    }

    #[test]
    fn shares_are_written_with_the_digits_that_they_have() {
        let shown = [999_500, 1_000_000, 0, 950_000, 1].map(|share| PerMillion(share).to_string());
        assert_eq!(shown, ["99.95 %", "100 %", "0 %", "95 %", "0.0001 %"]);
        assert_eq!(PerMillion::from_share(0.9995), Some(PerMillion(999_500)));
        for wrong in [0.999_999_5, -0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(PerMillion::from_share(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_more_is_allowed_than_meets_the_goal(least in 0u32..=1_000_000, total in 1u64..10_000_000, is_strict: bool) {
            let least = PerMillion(least);
            let goal = if is_strict { Goal::MoreThan(least) } else { Goal::AtLeast(least) };
            let bad_max = goal.bad_max(total);
            prop_assume!(!is_strict || least < PerMillion::ALL && least.0 > 0);
            prop_assert_eq!(goal.is_met(counts(bad_max.min(total), total)), Some(true));
            if bad_max < total {
                prop_assert_eq!(goal.is_met(counts(bad_max + 1, total)), Some(false));
            }
        }
    }
}
