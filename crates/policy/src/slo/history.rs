//! What was counted in the last 5 minutes, 6 hours, 3 days or 30 days, to the event.
//!
//! Rings that are coarser the longer they reach keep a month in a quarter of a megabyte instead of four. What a coarser ring costs is not exactness but
//! where a window begins: [`History::edge`] says to the millisecond when that is, and every event after it counts, and none before.
//!
//! | windows | slots | a window is longer than it is called by |
//! |---|---|---|
//! | up to 6 h | 10 s | less than 10 s; by nothing where it is looked at every 10 s on the second |
//! | up to 3 d | 1 min | less than 1 min |
//! | longer | 10 min | less than 10 min |

use super::counts::Counts;
use super::ring::{Ring, RingPast};
use super::spans::{DAY, HOUR, MINUTE};
use spinwell_core::{Millis, UnixMillis};

/// Slots of the finest ring: as often as service levels are looked at.
pub const RESOLUTION: Millis = Millis(10_000);
/// The longest window of the finest ring.
const FINE_MAX: Millis = Millis(6 * HOUR);
/// Slots of the ring in the middle, and its longest window.
const MIDDLE: (Millis, Millis) = (Millis(MINUTE), Millis(3 * DAY));
/// Slots of the ring for budgets.
const COARSE: Millis = Millis(10 * MINUTE);

/// How long the slots of the ring are that answers for a window.
const fn resolution(window: Millis) -> Millis {
    match window.0 {
        0..=21_600_000 => RESOLUTION,
        _ if window.0 <= MIDDLE.1.0 => MIDDLE.0,
        _ => COARSE,
    }
}

/// All that was counted, by time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct History {
    all: Counts,
    /// What was counted while announced maintenance went on.
    excused: Counts,
    fine: Ring,
    middle: Ring,
    coarse: Ring,
    /// What was excused, in slots as those that answer for the objective's window.
    excused_ring: Ring,
}

/// A history as plain data.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistoryPast {
    /// Sums of all.
    pub all: Counts,
    /// Sums of what was counted during maintenance.
    pub excused: Counts,
    /// The rings: of 10 s, 1 min, 10 min, and of what was counted during maintenance.
    pub rings: [RingPast; 4],
}

impl History {
    /// A history of nothing yet, for an objective of that window.
    pub(super) fn new(window: Millis) -> Self {
        Self {
            all: Counts::ZERO,
            excused: Counts::ZERO,
            fine: Ring::new(RESOLUTION, FINE_MAX),
            middle: Ring::new(MIDDLE.0, MIDDLE.1),
            coarse: Ring::new(COARSE, window),
            excused_ring: Ring::new(resolution(window), window),
        }
    }

    /// Goes on from one reading of a counter to another.
    pub(super) fn count(&mut self, from: Counts, to: Counts, is_excused: bool, now: UnixMillis) {
        self.all = self.all.grown(from, to);
        if is_excused {
            self.excused = self.excused.grown(from, to);
        }
        for ring in [&mut self.fine, &mut self.middle, &mut self.coarse] {
            ring.note(now, self.all);
        }
        self.excused_ring.note(now, self.excused);
    }

    /// All that was ever counted.
    pub(super) fn all(&self) -> Counts {
        self.all
    }

    fn ring(&self, window: Millis) -> &Ring {
        match resolution(window) {
            RESOLUTION => &self.fine,
            slots if slots == MIDDLE.0 => &self.middle,
            _ => &self.coarse,
        }
    }

    /// What was counted in the last `window`, from its edge on.
    pub(super) fn last(&self, window: Millis, now: UnixMillis) -> Counts {
        self.ring(window).last(window, now)
    }

    /// What of that was counted while announced maintenance went on. `window` is the objective's.
    pub(super) fn excused(&self, window: Millis, now: UnixMillis) -> Counts {
        self.excused_ring.last(window, now)
    }

    /// When the last `window` begins.
    pub(super) fn edge(&self, window: Millis, now: UnixMillis) -> UnixMillis {
        self.ring(window).edge(window, now)
    }

    /// As plain data.
    pub(super) fn past(&self) -> HistoryPast {
        let rings = [&self.fine, &self.middle, &self.coarse, &self.excused_ring].map(Ring::past);
        HistoryPast { all: self.all, excused: self.excused, rings }
    }

    /// From plain data. A ring whose slots have another length now, because the objective's window has changed, begins anew.
    pub(super) fn restore(&mut self, past: &HistoryPast) {
        (self.all, self.excused) = (past.all, past.excused);
        let rings = [&mut self.fine, &mut self.middle, &mut self.coarse, &mut self.excused_ring];
        let sums = [self.all, self.all, self.all, self.excused];
        for ((ring, past), sum) in rings.into_iter().zip(&past.rings).zip(sums) {
            if !ring.restore(past) {
                ring.begin(sum);
            }
        }
    }
}
