//! What a batch of a model takes, learned from the batches that ran.
//!
//! Time grows with rows, from a beginning that a batch of one row has too: weights that are read once for all. A batch of
//! ten windows can take little more than one of a single window, so that time divided by rows says nothing about batches of
//! another size, and a server that was surprised by single requests would believe itself full with few of them waiting.
//! What is learned is therefore a line, by least squares, which neither falls with rows nor begins below zero; where batches
//! had about the same size, it goes through zero.
//!
//! Batches are remembered by their size, the newest ones of each: a trickle of small ones would soon have outweighed the
//! large one that showed what a row takes, and what is left is noise times the rows of the next. For the same reason nobody
//! is refused on a line that was drawn much further than any batch went ([`Pace::estimate`]): what a single row takes is
//! nearly all beginning, and times a hundred thousand rows it is minutes. A request that is larger than everything that was
//! seen is tried. Who rides along is another matter ([`Pace::fear`]): there it costs little to be careful.
//!
//! The speed depends on who else uses the machine. An estimate that is not renewed loses half of itself every second:
//! otherwise a model that was slow once could be refused for ever, as nothing of it would run to show that it is fast again.

use std::time::{Duration, Instant};

/// Share of the newest batch in the means of its size.
const NEWEST: f64 = 0.1;
/// Sizes of batches that spread by less of their mean, squared, are about the same.
const SPREAD_MIN: f64 = 0.01;
/// Sizes that are told apart: from one row on, each begins at four times the rows of the one before.
const SIZES: usize = 12;
/// What a size is not renewed for so long is forgotten. By then a thousandth is left of what it took, so that nobody is
/// refused for it, and the line should not be drawn through that.
const FORGOTTEN: Duration = Duration::from_secs(10);
/// What is that young still says what a batch of fewer rows takes at most.
const FRESH: Duration = Duration::from_secs(1);
/// Times the rows of the largest size: so far the line is believed where somebody would be refused for it.
const REACH: f64 = 4.0;

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
    /// Means over batches of each size, and when the newest batch went into them.
    seen: [Option<(Means, Instant)>; SIZES],
}

/// Means over batches of rows, of nanoseconds, and of their products.
#[derive(Debug, Clone, Copy, Default)]
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

    /// So much of the way to others.
    fn towards(self, other: Self, share: f64) -> Self {
        let step = |mean: f64, other: f64| mean + share * (other - mean);
        Self {
            rows: step(self.rows, other.rows),
            took: step(self.took, other.took),
            rows_squared: step(self.rows_squared, other.rows_squared),
            rows_took: step(self.rows_took, other.rows_took),
        }
    }

    /// The same rows in so much of the time.
    fn faded(self, fades: f64) -> Self {
        Self { took: self.took * fades, rows_took: self.rows_took * fades, ..self }
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

/// What is left after a time without news.
fn fades(age: Duration) -> f64 {
    (-age.as_secs_f64()).exp2()
}

impl Speed {
    /// A batch of that cost took so long.
    pub(super) fn observe(&mut self, cost: Cost, took: Duration, now: Instant) {
        let Some(size) = cost.rows.checked_ilog(4) else { return };
        let newest = Means::of(cost.rows as f64, took.as_nanos() as f64);
        let seen = &mut self.seen[(size as usize).min(SIZES - 1)];
        let means = seen.map_or(newest, |(means, at)| {
            // What is left of the others by now is left of their share as well.
            let share = 1.0 - (1.0 - NEWEST) * fades(now.saturating_duration_since(at));
            means.towards(newest, share)
        });
        *seen = Some((means, now));
    }

    /// What is known of it at that time.
    pub(super) fn at(&self, now: Instant) -> Pace {
        let mut pace = Pace::default();
        let (mut all, mut weights) = (Means::default(), 0.0);
        for &(means, at) in self.seen.iter().flatten() {
            let age = now.saturating_duration_since(at);
            if age >= FORGOTTEN {
                continue;
            }
            let weight = fades(age);
            weights += weight;
            all = all.towards(means.faded(weight), weight / weights);
            pace.reach = pace.reach.max(REACH * means.rows);
            if age < FRESH {
                pace.fresh[pace.fresh_len] = (means.rows, means.took);
                pace.fresh_len += 1;
            }
        }
        if weights > 0.0 {
            (pace.begins, pace.row) = all.line();
        }
        pace
    }
}

/// What is known of a model's speed at one time; nothing takes any time while nobody knows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    /// Nanoseconds that a batch takes to begin with.
    begins: f64,
    /// Nanoseconds of each row.
    row: f64,
    /// Rows up to which that is believed.
    reach: f64,
    /// Sizes that are fresh: rows, and nanoseconds.
    fresh: [(f64, f64); SIZES],
    fresh_len: usize,
}

impl Pace {
    /// What a batch will take as far as batches have shown, by which requests are refused: of one that is much larger than
    /// they were it is too little.
    pub(super) fn estimate(&self, cost: Cost) -> Duration {
        self.of(cost.rows as f64, self.reach)
    }

    /// What a batch will take, however large, by which requests are kept from riding along.
    pub(super) fn fear(&self, cost: Cost) -> Duration {
        self.of(cost.rows as f64, f64::INFINITY)
    }

    /// No more than what a batch took that was as large or larger.
    fn of(&self, rows: f64, reach: f64) -> Duration {
        let line = self.begins + self.row * rows.min(reach);
        let larger = self.fresh[..self.fresh_len].iter().filter(|fresh| fresh.0 >= rows);
        Duration::from_nanos(larger.map(|fresh| fresh.1).fold(line, f64::min) as u64)
    }

    /// What a request will take of an executor's time, among others in batches as large as `most` lets them be and taking
    /// no longer than `longest`.
    pub(super) fn share(&self, cost: Cost, most: Cost, longest: Duration) -> Duration {
        let rows = cost.rows as f64;
        let by_windows = most.windows as f64 * rows / cost.windows.max(1) as f64;
        let by_time =
            if self.row > 0.0 { (longest.as_nanos() as f64 - self.begins) / self.row } else { f64::INFINITY };
        let full = by_time.min(by_windows).min(most.rows as f64).max(rows).max(1.0);
        let share = Duration::from_nanos((self.row * rows + self.begins * rows / full) as u64);
        share.min(self.estimate(cost))
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
        let got = speed.at(now).estimate(Cost { windows: 1, rows }).as_secs_f64() * 1e3;
        assert!(
            (got - wanted_ms).abs() < 0.01 * wanted_ms.max(0.01),
            "{batches:?}: {got} ms for {rows} rows"
        );
    }

    #[test]
    fn a_batch_takes_a_beginning_and_so_much_a_row() {
        check_estimate(&[], 64, 0.0);
        check_estimate(&[(64, 40)], 100, 62.5);
        check_estimate(&[(64, 40), (640, 94)], 128, 46.0);
        check_estimate(&[(64, 40), (640, 94), (320, 64)], 1280, 154.0);
        // Proportional, where sizes say nothing; no more than what as many rows, or more of them, took.
        check_estimate(&[(640, 100), (650, 101)], 64, 9.99);
        check_estimate(&[(64, 50), (640, 50)], 64, 50.0);
        check_estimate(&[(64, 90), (640, 50)], 64, 50.0);
        check_estimate(&[(64, 1), (640, 100)], 64, 1.0);
    }

    #[test]
    fn a_request_among_others_takes_its_share_of_the_beginning() {
        let (speed, now) = speed(&[(64, 40), (640, 94)]);
        let check = |rows: usize, most: Cost, longest: u64, wanted_ms: f64| {
            let cost = Cost { windows: rows / 64, rows };
            let got = speed.at(now).share(cost, most, Duration::from_millis(longest)).as_secs_f64() * 1e3;
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
    fn nobody_is_refused_on_a_line_drawn_further_than_batches_went() {
        check_estimate(&[(64, 40)], 640, 160.0);
        check_estimate(&[(64, 40), (640, 94)], 100_000, 34.0 + 240.0);
        // Unless one was as large, be it of many.
        check_estimate(&[(64, 40), (6400, 634), (64, 40)], 10_000, 34.0 + 937.5);
        let (speed, now) = speed(&[(64, 40)]);
        let fear = speed.at(now).fear(Cost { windows: 10, rows: 640 });
        assert_eq!(fear, Duration::from_millis(400), "a batch is not made larger on it");
    }

    #[test]
    fn small_batches_do_not_outweigh_what_a_large_one_has_shown() {
        let (mut speed, now) = speed(&[(100_000, 300)]);
        let mut check = |at_ms: u64, wanted_ms: u64| {
            let at = now + Duration::from_millis(at_ms);
            (0..1000)
                .for_each(|_| speed.observe(Cost { windows: 1, rows: 1 }, Duration::from_micros(40), at));
            let got =
                [1, 100_000].map(|rows| speed.at(at).estimate(Cost { windows: 1, rows }).as_micros() as u64);
            assert!(
                got[0].abs_diff(40) <= 1 && got[1].abs_diff(1000 * wanted_ms) <= 100 * wanted_ms,
                "{at_ms} ms: {got:?}"
            );
        };
        check(10, 300);
        check(2000, 75);
        check(4000, 19);
    }

    #[test]
    fn what_is_not_renewed_is_forgotten() {
        let (speed, now) = speed(&[(64, 40)]);
        let after =
            |seconds| speed.at(now + Duration::from_secs(seconds)).estimate(Cost { windows: 1, rows: 64 });
        assert_eq!((after(2), after(10)), (Duration::from_millis(10), Duration::ZERO));
    }
}
