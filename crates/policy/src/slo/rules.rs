//! When somebody is told.
//!
//! The four burn rates and their pairs of windows are those of the SRE workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts": the
//! long window says that it matters, the short one that it goes on still. Two things are added. A window with few events says little, one
//! failure in 138 requests would be 14.4 times as fast as 99.95 % allows, so the long window must hold a number of events. And an outage of
//! everything needs no statistics: it is told after half a minute.

use super::counts::Counts;
use super::goal::{BurnRate, Goal};
use super::history::History;
use super::run::Outage;
use super::spans::{DAY, HOUR, MINUTE, SECOND, between, text};
use spinwell_core::{Millis, UnixMillis};
use std::fmt;

/// Events that the long window of a rule must hold.
pub const EVENTS_MIN: u64 = 1_000;

/// How soon somebody has to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Within days.
    Ticket,
    /// Now.
    Page,
}

impl Severity {
    /// As a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Page => "page",
        }
    }
}

/// When somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The budget is spent too fast, in the long window and in the short one.
    Burn {
        /// How soon somebody has to look.
        severity: Severity,
        /// How long the long window is: whole minutes.
        long: Millis,
        /// How long the short one is: whole minutes.
        short: Millis,
        /// Faster than this in both.
        above: BurnRate,
        /// Events that the long window must hold.
        events_min: u64,
    },
    /// Nothing succeeds while something is asked for. A page.
    Outage {
        /// For so long.
        lasts: Millis,
        /// And so many events were bad since it began: one lonely request that fails in a quiet night is no outage.
        asked_min: u64,
    },
    /// Any bad event. A page, which ends when there was none for so long.
    AnyEvent {
        /// Whole minutes.
        quiet: Millis,
    },
    /// The share over the objective's window lies outside its band. A ticket.
    OutOfBand,
}

impl Rule {
    /// The four burn rates of the SRE workbook, chapter 5, table 5-8, for a window of 30 days: two pages, two tickets.
    pub const BURN_RATES: [Self; 4] = [
        Self::burn(Severity::Page, HOUR, 5 * MINUTE, 1_440),
        Self::burn(Severity::Page, 6 * HOUR, 30 * MINUTE, 600),
        Self::burn(Severity::Ticket, DAY, 2 * HOUR, 300),
        Self::burn(Severity::Ticket, 3 * DAY, 6 * HOUR, 100),
    ];
    /// An outage of 30 s in which at least 5 requests failed.
    pub const OUTAGE: Self = Self::Outage { lasts: Millis(30 * SECOND), asked_min: 5 };
    /// Any bad event, for an hour.
    pub const ANY_EVENT: Self = Self::AnyEvent { quiet: Millis(HOUR) };

    const fn burn(severity: Severity, long: u64, short: u64, hundredths: u32) -> Self {
        let (long, short, above) = (Millis(long), Millis(short), BurnRate { hundredths });
        Self::Burn { severity, long, short, above, events_min: EVENTS_MIN }
    }

    /// The burn rates that can be reached at all with a goal, and the rule for goals without a budget.
    #[must_use]
    pub fn usual(goal: Goal) -> Vec<Self> {
        let all = Self::BURN_RATES.into_iter().chain([Self::ANY_EVENT, Self::OutOfBand]);
        all.filter(|rule| rule.fits(goal)).collect()
    }

    /// Its name within its objective, which never changes while its windows do not: `burn_1h_5m`, `outage`, `any_event`, `out_of_band`.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Burn { long, short, .. } => format!("burn_{}_{}", text(*long), text(*short)),
            Self::Outage { .. } => "outage".to_owned(),
            Self::AnyEvent { .. } => "any_event".to_owned(),
            Self::OutOfBand => "out_of_band".to_owned(),
        }
    }

    /// How soon somebody has to look.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Burn { severity, .. } => *severity,
            Self::Outage { .. } | Self::AnyEvent { .. } => Severity::Page,
            Self::OutOfBand => Severity::Ticket,
        }
    }

    /// Whether it can ever hold with a goal.
    #[must_use]
    pub fn fits(&self, goal: Goal) -> bool {
        match self {
            Self::Burn { above, .. } => goal.can_burn_above(*above),
            Self::Outage { .. } => goal.budget().is_some(),
            Self::AnyEvent { .. } => goal.allows_none(),
            Self::OutOfBand => matches!(goal, Goal::Within { .. }),
        }
    }

    pub(super) fn has_windows_within(&self, longest: Millis) -> bool {
        let is_whole = |span: Millis| span.0 > 0 && span.0.is_multiple_of(MINUTE);
        match *self {
            Self::Burn { long, short, .. } => {
                is_whole(long) && is_whole(short) && short < long && long <= longest
            }
            Self::AnyEvent { quiet } => is_whole(quiet) && quiet <= longest,
            Self::Outage { lasts, asked_min } => lasts.0 > 0 && lasts.0 <= HOUR && asked_min > 0,
            Self::OutOfBand => true,
        }
    }

    /// Why it holds now; nothing where it does not.
    pub(super) fn holds(&self, look: &Look<'_>) -> Option<Reason> {
        let Look { goal, history, outage, window, now } = *look;
        match *self {
            Self::Burn { long, short, above, events_min, .. } => {
                let long = Figures { window: long, counts: history.last(long, now) };
                let short = Figures { window: short, counts: history.last(short, now) };
                let is_fast = |figures: Figures| goal.burns_above(above, figures.counts);
                let holds = long.counts.total >= events_min && is_fast(long) && is_fast(short);
                holds.then_some(Reason::Burn { goal, above, long, short })
            }
            Self::Outage { lasts, asked_min } => {
                let outage = outage.filter(|own| own.asked >= asked_min && between(own.since, now) >= lasts);
                outage.map(|Outage { since, asked }| Reason::Outage {
                    since,
                    lasts: between(since, now),
                    asked,
                })
            }
            Self::AnyEvent { quiet } => {
                let figures = Figures { window: quiet, counts: history.last(quiet, now) };
                (figures.counts.bad() > 0).then_some(Reason::AnyEvent(figures))
            }
            Self::OutOfBand => {
                let figures = Figures { window, counts: history.last(window, now) };
                (goal.is_met(figures.counts) == Some(false)).then_some(Reason::OutOfBand { goal, figures })
            }
        }
    }
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) goal: Goal,
    pub(super) history: &'a History,
    /// Since when nothing has succeeded, if so.
    pub(super) outage: Option<Outage>,
    /// The objective's.
    pub(super) window: Millis,
    pub(super) now: UnixMillis,
}

/// What was counted in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// The window's length.
    pub window: Millis,
    /// What was counted in it.
    pub counts: Counts,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bad in {}", self.counts.bad(), self.counts.total, text(self.window))
    }
}

/// Why somebody is told, with the figures that it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The budget is spent too fast.
    Burn {
        /// The goal.
        goal: Goal,
        /// The burn rate that was exceeded.
        above: BurnRate,
        /// In the long window.
        long: Figures,
        /// In the short window.
        short: Figures,
    },
    /// Nothing succeeds.
    Outage {
        /// Since then.
        since: UnixMillis,
        /// For so long now.
        lasts: Millis,
        /// So many events were bad since.
        asked: u64,
    },
    /// Something happened that must not happen at all.
    AnyEvent(Figures),
    /// The share is not what it should be.
    OutOfBand {
        /// What it should be.
        goal: Goal,
        /// What it is.
        figures: Figures,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Burn { goal, above, long, short } => {
                let burn = |figures: &Figures| goal.burn(figures.counts).unwrap_or_default();
                write!(f, "the error budget is spent {:.1} times as fast as it may be ({long})", burn(long))?;
                write!(f, " and {:.1} times ({short}); {above} times is too fast", burn(short))
            }
            Self::Outage { lasts, asked, .. } => {
                write!(f, "nothing has succeeded for {} s, {asked} were asked for", lasts.0 / SECOND)
            }
            Self::AnyEvent(figures) => write!(f, "{figures}, where none may be"),
            Self::OutOfBand { goal, figures } => {
                let share = figures.counts.good_share().unwrap_or_default() * 100.0;
                write!(f, "{share:.2} % of {} in {}", figures.counts.total, text(figures.window))?;
                match goal {
                    Goal::Within { low, high, .. } => write!(f, ", and not between {low} and {high}"),
                    other => write!(f, ", and not {}", other.least()),
                }
            }
        }
    }
}
