//! What a batch of a model takes, learned from the batches that ran.
//!
//! Time grows with rows, and the time of a row depends on how full batches are and on who else uses the machine. So the
//! newest batches count most. An estimate that is not renewed loses half of itself every second: otherwise a model that
//! was slow once could be refused for ever, as nothing of it would run to show that it is fast again.

use std::time::{Duration, Instant};

/// Share of the newest batch in the estimate.
const NEWEST: f64 = 0.2;

/// What a request, or a batch, asks of an executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Windows it holds.
    pub windows: usize,
    /// Rows in all of them: what an executor's time grows with.
    pub rows: usize,
}

impl Cost {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            windows: self.windows.saturating_add(other.windows),
            rows: self.rows.saturating_add(other.rows),
        }
    }

    pub(super) fn is_within(self, most: Self) -> bool {
        self.windows <= most.windows && self.rows <= most.rows
    }
}

/// The speed of one model.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Speed {
    /// Nanoseconds a row, and when that was last seen.
    seen: Option<(f64, Instant)>,
}

impl Speed {
    /// A batch of that cost took so long.
    pub(super) fn observe(&mut self, cost: Cost, took: Duration, now: Instant) {
        if cost.rows == 0 {
            return;
        }
        let newest = took.as_nanos() as f64 / cost.rows as f64;
        let before = self.nanoseconds_a_row(now).unwrap_or(newest);
        self.seen = Some((before + NEWEST * (newest - before), now));
    }

    /// What a batch will take; nothing while nobody knows.
    pub(super) fn estimate(&self, cost: Cost, now: Instant) -> Duration {
        let nanoseconds = self.nanoseconds_a_row(now).unwrap_or(0.0) * cost.rows as f64;
        Duration::from_nanos(nanoseconds as u64)
    }

    fn nanoseconds_a_row(&self, now: Instant) -> Option<f64> {
        let (nanoseconds, at) = self.seen?;
        let age = now.saturating_duration_since(at).as_secs_f64();
        Some(nanoseconds * 0.5f64.powf(age))
    }
}
