//! From the size of an error to a p-value.
//!
//! Up to the level that a twentieth of the sizes exceed, p is the rank among sizes that training left out of its fits.
//! Beyond it sizes exceed the level by exponentially distributed amounts (peaks over threshold: Pickands 1975, with the
//! shape parameter at 0, which a few dozen peaks cannot tell from others), so p falls without end and needs no million
//! of rows to be seen first. Level and mean excess go on learning from the stream, as in SPOT (Siffer et al. 2017,
//! "Anomaly detection in streams with extreme value theory", §4), but by a running quantile: two numbers, no refit.

/// The share of sizes beyond the level.
const BEYOND: f64 = 0.05;
/// Sizes kept: enough for p-values of half a percent.
pub(super) const SIZES_MAX: usize = 500;
/// Rows that level and mean excess run over.
const MEMORY: f64 = 10_000.0;
/// A peak teaches at most so many mean excesses: an anomaly must not make the next one usual.
const LESSON: f64 = 20.0;
/// Levels and excesses are at least this, in scales.
const FLOOR: f64 = 1e-9;

/// Sizes as they were in training.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tail {
    /// Evenly chosen ones, ascending, at most [`SIZES_MAX`].
    pub(super) sizes: Vec<f32>,
    pub(super) start: Level,
}

/// Where the tail begins and how long it is; in a stream, as of its newest row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Level {
    /// Exceeded by [`BEYOND`] of the sizes.
    pub(super) level: f64,
    /// By how much on average.
    pub(super) excess: f64,
    /// Sizes that it was learned from.
    pub(super) rows: f64,
}

impl Tail {
    /// The tail of sizes that training left out.
    pub(super) fn fit(mut sizes: Vec<f64>) -> Self {
        sizes.sort_by(f64::total_cmp);
        let rows = sizes.len();
        let first = ((rows as f64) * (1.0 - BEYOND)) as usize;
        let level = sizes.get(first.min(rows.saturating_sub(1))).copied().unwrap_or(1.0).max(FLOOR);
        let peaks: Vec<f64> = sizes.iter().filter(|&&size| size > level).map(|size| size - level).collect();
        // A single peak says little; a twentieth of the level is what a normal tail would at least have.
        let excess = (peaks.iter().sum::<f64>() / peaks.len().max(1) as f64).max(level / 20.0).max(FLOOR);
        let kept = rows.min(SIZES_MAX);
        let chosen = (0..kept).map(|i| sizes[i * (rows - 1) / (kept - 1).max(1)] as f32);
        Self { sizes: chosen.collect(), start: Level { level, excess, rows: rows as f64 } }
    }

    /// p of a size in a stream whose tail is at `now`, in (0, 1].
    pub(super) fn minus_log_p(&self, now: &Level, size: f64) -> f64 {
        if size > now.level {
            return -BEYOND.ln() + (size - now.level) / now.excess;
        }
        // The same place in the training's distribution, should the level have moved.
        let there = (size * self.start.level / now.level) as f32;
        let below = self.sizes.partition_point(|&own| own < there);
        let p = (self.sizes.len() - below + 1) as f64 / (self.sizes.len() + 1) as f64;
        -p.max(BEYOND).ln()
    }

    /// Whether every number is one that [`Tail::fit`] can give: for tails that come from a file.
    pub(super) fn is_sound(&self) -> bool {
        let Level { level, excess, rows } = self.start;
        let sizes = &self.sizes;
        sizes.len() <= SIZES_MAX
            && sizes.iter().all(|size| size.is_finite() && *size >= 0.0)
            && sizes.is_sorted()
            && [level, excess].iter().all(|value| value.is_finite() && *value >= FLOOR)
            && rows.is_finite()
            && rows >= 0.0
    }
}

impl Level {
    /// Learns from a size: a step of stochastic approximation to the quantile (Robbins & Monro 1951), and to the mean.
    pub(super) fn observe(&mut self, size: f64) {
        self.rows = (self.rows + 1.0).min(MEMORY);
        let peak = size - self.level;
        let is_peak = f64::from(u8::from(peak > 0.0));
        self.level = (self.level + self.excess * (is_peak - BEYOND) / (BEYOND * self.rows)).max(FLOOR);
        if peak > 0.0 {
            let peaks = (self.rows * BEYOND).max(1.0);
            self.excess = (self.excess + (peak.min(LESSON * self.excess) - self.excess) / peaks).max(FLOOR);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::Rng;

    fn sizes(rng: &mut Rng, rows: usize, scale: f64) -> Vec<f64> {
        (0..rows).map(|_| scale * -(1.0 - rng.uniform()).ln()).collect()
    }

    #[test]
    fn p_values_are_uniform_and_stay_so_when_the_stream_grows_wilder() {
        let mut rng = Rng::seeded(1);
        let tail = Tail::fit(sizes(&mut rng, 2000, 1.0));
        for scale in [1.0, 2.0] {
            let mut now = tail.start;
            sizes(&mut rng, 40_000, scale).iter().for_each(|&size| now.observe(size));
            let fresh = sizes(&mut rng, 100_000, scale);
            for p in [0.5, 0.2, 0.05, 0.01, 0.001] {
                let hits = fresh.iter().filter(|&&size| tail.minus_log_p(&now, size) >= -f64::ln(p)).count();
                let share = hits as f64 / 1e5;
                assert!((share / p - 1.0).abs() < 0.35, "scale {scale}: p {p} is {share}");
            }
        }
    }

    #[test]
    fn p_falls_with_size_and_never_stops() {
        let tail = Tail::fit(sizes(&mut Rng::seeded(2), 300, 1.0));
        let values: Vec<f64> = (0..400).map(|i| tail.minus_log_p(&tail.start, 0.1 * f64::from(i))).collect();
        assert!(values.is_sorted() && values[0] >= 0.0 && values[399] > 20.0);
    }

    #[test]
    fn few_or_equal_sizes_make_a_tail_that_can_be_computed_with() {
        for sizes in [vec![], vec![0.0], vec![1.0; 50], vec![0.0; 50]] {
            let tail = Tail::fit(sizes.clone());
            assert!(tail.is_sound(), "{sizes:?}");
            let mut now = tail.start;
            (0..2000).for_each(|_| now.observe(0.0));
            assert!([0.0, 1.0, 1e12].iter().all(|&size| tail.minus_log_p(&now, size).is_finite()));
        }
    }
}
