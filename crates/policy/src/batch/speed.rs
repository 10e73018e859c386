//! What a batch of a model takes, learned from the batches that ran.
//!
//! Time grows with rows, from a beginning that a batch of one row has too: weights that are read once for all. A batch of
//! ten windows can take little more than one of a single window, so that time divided by rows says nothing about batches of
//! another size, and a server that was surprised by single requests would believe itself full with few of them waiting.
//! What is learned is therefore a line, by least squares over the newest batches (weights fall geometrically), which
//! neither falls with rows nor begins below zero; where batches had about the same size, it goes through zero.
//!
//! The speed depends on who else uses the machine. An estimate that is not renewed loses half of itself every second:
//! otherwise a model that was slow once could be refused for ever, as nothing of it would run to show that it is fast again.

use std::time::{Duration, Instant};

/// Share of the newest batch in the means.
const NEWEST: f64 = 0.1;
/// Sizes of batches that spread by less of their mean, squared, are about the same.
const SPREAD_MIN: f64 = 0.01;

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
    /// Means, and when the newest batch went into them.
    seen: Option<(Means, Instant)>,
}

/// Means over batches of rows, of nanoseconds, and of their products.
#[derive(Debug, Clone, Copy)]
struct Means {
    rows: f64,
    took: f64,
    rows_squared: f64,
    rows_took: f64,
}

impl Means {
    fn of(rows: f64, took: f64) -> Self {
        Self { rows, took, rows_squared: rows * rows, rows_took: rows * took }
    }

    fn towards(self, newest: Self) -> Self {
        let step = |mean: f64, newest: f64| mean + NEWEST * (newest - mean);
        Self {
            rows: step(self.rows, newest.rows),
            took: step(self.took, newest.took),
            rows_squared: step(self.rows_squared, newest.rows_squared),
            rows_took: step(self.rows_took, newest.rows_took),
        }
    }

    /// Nanoseconds that a batch takes to begin with, and of each row.
    fn line(self) -> (f64, f64) {
        let most = self.took / self.rows;
        let spread = self.rows_squared - self.rows * self.rows;
        if spread <= SPREAD_MIN * self.rows * self.rows {
            return (0.0, most);
        }
        let row = ((self.rows_took - self.rows * self.took) / spread).clamp(0.0, most);
        (self.took - row * self.rows, row)
    }
}

impl Speed {
    /// A batch of that cost took so long.
    pub(super) fn observe(&mut self, cost: Cost, took: Duration, now: Instant) {
        if cost.rows == 0 {
            return;
        }
        let newest = Means::of(cost.rows as f64, took.as_nanos() as f64);
        self.seen = Some((self.seen.map_or(newest, |(means, _)| means.towards(newest)), now));
    }

    /// What a batch will take; nothing while nobody knows.
    pub(super) fn estimate(&self, cost: Cost, now: Instant) -> Duration {
        let (begins, row) = self.line(now);
        Duration::from_nanos((begins + row * cost.rows as f64) as u64)
    }

    /// What a request will take of an executor's time, among others in batches as large as `most` lets them be and taking
    /// no longer than `longest`.
    pub(super) fn share(&self, cost: Cost, most: Cost, longest: Duration, now: Instant) -> Duration {
        let (begins, row) = self.line(now);
        let rows = cost.rows as f64;
        let by_windows = most.windows as f64 * rows / cost.windows.max(1) as f64;
        let by_time = if row > 0.0 { (longest.as_nanos() as f64 - begins) / row } else { f64::INFINITY };
        let full = by_time.min(by_windows).min(most.rows as f64).max(rows).max(1.0);
        Duration::from_nanos((row * rows + begins * rows / full) as u64)
    }

    fn line(&self, now: Instant) -> (f64, f64) {
        let Some((means, at)) = self.seen else { return (0.0, 0.0) };
        let fades = 0.5f64.powf(now.saturating_duration_since(at).as_secs_f64());
        let (begins, row) = means.line();
        (begins * fades, row * fades)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods, reason = "any instant will do as the tests' zero")]
    fn speed(batches: &[(usize, u64)]) -> (Speed, Instant) {
        let (mut speed, now) = (Speed::default(), Instant::now());
        for &(rows, took) in batches {
            speed.observe(Cost { windows: rows / 64, rows }, Duration::from_millis(took), now);
        }
        (speed, now)
    }

    fn check_estimate(batches: &[(usize, u64)], rows: usize, wanted_ms: f64) {
        let (speed, now) = speed(batches);
        let got = speed.estimate(Cost { windows: 1, rows }, now).as_secs_f64() * 1e3;
        assert!(
            (got - wanted_ms).abs() < 0.01 * wanted_ms.max(0.01),
            "{batches:?}: {got} ms for {rows} rows"
        );
    }

    #[test]
    fn a_batch_takes_a_beginning_and_so_much_a_row() {
        check_estimate(&[], 64, 0.0);
        check_estimate(&[(64, 40)], 640, 400.0);
        check_estimate(&[(64, 40), (640, 94)], 128, 46.0);
        check_estimate(&[(64, 40), (640, 94), (320, 64)], 1280, 154.0);
        // Proportional, where sizes say nothing, and where larger batches were faster.
        check_estimate(&[(640, 100), (650, 101)], 64, 9.99);
        check_estimate(&[(64, 50), (640, 50)], 64, 50.0);
        check_estimate(&[(64, 90), (640, 50)], 64, 86.0);
        check_estimate(&[(64, 1), (640, 100)], 64, 5.737);
    }

    #[test]
    fn a_request_among_others_takes_its_share_of_the_beginning() {
        let (speed, now) = speed(&[(64, 40), (640, 94)]);
        let check = |rows: usize, most: Cost, longest: u64, wanted_ms: f64| {
            let cost = Cost { windows: rows / 64, rows };
            let got = speed.share(cost, most, Duration::from_millis(longest), now).as_secs_f64() * 1e3;
            assert!((got - wanted_ms).abs() < 0.02, "{rows} rows, {longest} ms: {got}");
        };
        let most = Cost { windows: 10, rows: 10_000 };
        check(64, most, 1000, 6.0 + 3.4);
        check(128, most, 1000, 12.0 + 6.8);
        // Two windows fit the time, and none does.
        check(64, most, 46, 6.0 + 17.0);
        check(64, most, 10, 40.0);
        check(64, Cost { windows: 10, rows: 64 }, 1000, 40.0);
    }

    #[test]
    fn what_is_not_renewed_is_forgotten() {
        let (speed, now) = speed(&[(64, 40)]);
        let later = speed.estimate(Cost { windows: 1, rows: 64 }, now + Duration::from_secs(2));
        assert_eq!(later, Duration::from_millis(10));
    }
}
