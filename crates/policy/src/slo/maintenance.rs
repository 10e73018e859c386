//! Announced maintenance: at most 4 hours a month, reported beside what was measured.
//!
//! Nothing is taken out of what was measured. What was counted during maintenance is counted once more beside, so that every figure
//! can be told with it and without. Only what is announced before it begins is maintenance; otherwise every outage would become one.

use super::spans::{DAY, HOUR, between};
use spinwell_core::{Millis, UnixMillis};
use std::fmt;

/// Maintenance in a calendar month (UTC) at most.
pub const MONTH_MAX: Millis = Millis(4 * HOUR);
/// Windows that are known at most: announced ones, and past ones of which reports speak.
const WINDOWS_MAX: usize = 256;
/// For how long past ones are known.
const KEPT: Millis = Millis(100 * DAY);

/// Maintenance from one moment to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    /// When it begins.
    pub from: UnixMillis,
    /// When it ends.
    pub to: UnixMillis,
    /// When it was announced.
    pub announced: UnixMillis,
}

/// Why maintenance is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It ends before it begins, or at once.
    Empty,
    /// It has begun already.
    Begun,
    /// It overlaps another.
    Overlaps(Window),
    /// With what is announced already it would be more than 4 hours in a month.
    TooMuch {
        /// What may still be announced in that month.
        left: Millis,
    },
    /// Too many windows are announced.
    TooMany,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("maintenance must end after it begins"),
            Self::Begun => f.write_str("maintenance must be announced before it begins"),
            Self::Overlaps(other) => {
                write!(
                    f,
                    "maintenance is announced already from {} to {} (Unix ms)",
                    other.from.0, other.to.0
                )
            }
            Self::TooMuch { left } => {
                let hours = left.0 as f64 / HOUR as f64;
                write!(f, "at most 4 h of maintenance a month (UTC): {hours:.2} h are left in that month")
            }
            Self::TooMany => write!(f, "at most {WINDOWS_MAX} windows are kept"),
        }
    }
}

impl std::error::Error for Refusal {}

/// What is announced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Maintenance {
    windows: Vec<Window>,
}

impl Maintenance {
    /// With the windows that were announced before, as [`Self::windows`] told them.
    #[must_use]
    pub fn restored(mut windows: Vec<Window>) -> Self {
        windows.sort_unstable();
        windows.truncate(WINDOWS_MAX);
        Self { windows }
    }

    /// Announces maintenance.
    ///
    /// # Errors
    /// Why it is none.
    pub fn announce(&mut self, from: UnixMillis, to: UnixMillis, now: UnixMillis) -> Result<Window, Refusal> {
        self.windows.retain(|window| between(window.to, now) <= KEPT);
        let window = Window { from, to, announced: now };
        if to <= from {
            return Err(Refusal::Empty);
        }
        if from < now {
            return Err(Refusal::Begun);
        }
        if let Some(other) = self.windows.iter().find(|other| from < other.to && other.from < to) {
            return Err(Refusal::Overlaps(*other));
        }
        if let Some(left) = self.exceeded(window) {
            return Err(Refusal::TooMuch { left });
        }
        if self.windows.len() >= WINDOWS_MAX {
            return Err(Refusal::TooMany);
        }
        self.windows.push(window);
        self.windows.sort_unstable();
        Ok(window)
    }

    /// What is left of a month's maintenance, where a window asks for more.
    fn exceeded(&self, window: Window) -> Option<Millis> {
        let mut months = Months::from(window.from);
        std::iter::from_fn(|| months.next().filter(|(from, _)| *from < window.to)).find_map(|(from, to)| {
            let within = |own: &Window| between(own.from.max(from), own.to.min(to)).0;
            let announced: u64 = self.windows.iter().map(within).sum();
            let left = MONTH_MAX.0.saturating_sub(announced);
            (within(&window) > left).then_some(Millis(left))
        })
    }

    /// Takes back what has not begun. Whether there was such a window.
    pub fn cancel(&mut self, from: UnixMillis, now: UnixMillis) -> bool {
        let before = self.windows.len();
        self.windows.retain(|window| window.from != from || window.from <= now);
        self.windows.len() < before
    }

    /// Whether what was counted up to `now` was counted during maintenance: after its beginning, and not after its end.
    #[must_use]
    pub fn is_on(&self, now: UnixMillis) -> bool {
        self.windows.iter().any(|window| window.from < now && now <= window.to)
    }

    /// All windows that are known, by their beginning.
    #[must_use]
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }
}

/// Calendar months (UTC), the one that holds a moment first.
#[derive(Debug, Clone, Copy)]
struct Months {
    year: u64,
    /// From 0.
    month: usize,
    /// Days from the start of 1970 to the start of the month.
    day: u64,
}

impl Months {
    fn from(at: UnixMillis) -> Self {
        let mut months = Self { year: 1970, month: 0, day: 0 };
        while (months.day + months.length()) * DAY <= at.0 && months.year < 10_000 {
            months.go_on();
        }
        months
    }

    /// In days.
    fn length(&self) -> u64 {
        let is_leap =
            self.year.is_multiple_of(4) && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        match self.month {
            1 if is_leap => 29,
            1 => 28,
            3 | 5 | 8 | 10 => 30,
            _ => 31,
        }
    }

    fn go_on(&mut self) {
        self.day += self.length();
        self.month += 1;
        if self.month == 12 {
            (self.year, self.month) = (self.year + 1, 0);
        }
    }

    /// The month's beginning and its end.
    fn next(&mut self) -> Option<(UnixMillis, UnixMillis)> {
        let from = UnixMillis(self.day * DAY);
        self.go_on();
        Some((from, UnixMillis(self.day * DAY)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-28 00:00 UTC.
    const TODAY: u64 = 1_795_824_000_000;

    fn at(hours: u64) -> UnixMillis {
        UnixMillis(TODAY + hours * HOUR)
    }

    #[test]
    fn four_hours_a_month_are_excused_and_no_more() {
        let mut maintenance = Maintenance::default();
        assert!(maintenance.announce(at(2), at(5), at(0)).is_ok());
        let left = Millis(HOUR);
        assert_eq!(maintenance.announce(at(10), at(12), at(0)), Err(Refusal::TooMuch { left }));
        assert!(maintenance.announce(at(10), at(11), at(0)).is_ok());
        // The 1st of December is 72 h away: one hour before it is too much, what lies behind it is not.
        assert!(matches!(
            maintenance.announce(at(71), at(73), at(0)),
            Err(Refusal::TooMuch { left: Millis(0) })
        ));
        assert!(maintenance.announce(at(72), at(76), at(0)).is_ok());
        assert_eq!(maintenance.windows().len(), 3);
    }

    #[test]
    fn it_is_announced_before_it_begins() {
        let mut maintenance = Maintenance::default();
        assert_eq!(maintenance.announce(at(1), at(2), at(1)).map(|window| window.announced), Ok(at(1)));
        assert_eq!(maintenance.announce(at(3), at(4), UnixMillis(at(3).0 + 1)), Err(Refusal::Begun));
        assert_eq!(maintenance.announce(at(3), at(3), at(0)), Err(Refusal::Empty));
        let other = maintenance.windows()[0];
        assert_eq!(maintenance.announce(at(0), at(2), at(0)), Err(Refusal::Overlaps(other)));
        assert!(!maintenance.is_on(at(1)) && maintenance.is_on(UnixMillis(at(1).0 + 1)));
        assert!(maintenance.is_on(at(2)) && !maintenance.is_on(UnixMillis(at(2).0 + 1)));
        assert!(!maintenance.cancel(at(1), at(1)), "it has begun");
        assert!(maintenance.cancel(at(1), at(0)));
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        let check = |at: u64, from: u64, to: u64| {
            assert_eq!(Months::from(UnixMillis(at)).next(), Some((UnixMillis(from), UnixMillis(to))));
        };
        check(0, 0, 31 * DAY);
        check(31 * DAY, 31 * DAY, 59 * DAY);
        // February 2024 has 29 days, that of 2100 has 28.
        check(1_709_164_800_000, 1_706_745_600_000, 1_709_251_200_000);
        check(4_105_123_200_000, 4_105_123_200_000, 4_107_542_400_000);
        // November 2026.
        check(TODAY, 1_793_491_200_000, 1_796_083_200_000);
    }
}
