//! How sure the direction of a forecast is.
//!
//! The raw figure follows from the scores: a forecast that moves by d scales has the wrong direction only if its error
//! is larger than d and points back. Errors are not symmetric and their size says less about their sign than about
//! their width, so the raw figure is mapped to the frequency with which directions were right on the left-out rows:
//! a non-decreasing step curve by pooling adjacent violators (Ayer et al. 1955; for probabilities: Zadrozny & Elkan
//! 2002), at most ten pools, each shrunk towards the overall frequency, linear in between.

use std::cmp::Ordering;

/// Pools of a curve.
pub(crate) const KNOTS_MAX: usize = 10;
/// Pairs that the overall frequency counts for in each pool.
const PRIOR: f64 = 10.0;

/// Where a forecast points, seen from the last known value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Below it.
    Down,
    /// The same value.
    Flat,
    /// Above it.
    Up,
}

impl Direction {
    /// Direction from `last` to `next`.
    pub(crate) fn of(last: f64, next: f64) -> Self {
        match next.partial_cmp(&last) {
            Some(Ordering::Less) => Direction::Down,
            Some(Ordering::Greater) => Direction::Up,
            _ => Direction::Flat,
        }
    }

    /// −1, 0 or 1.
    pub(crate) fn sign(self) -> i8 {
        match self {
            Direction::Down => -1,
            Direction::Flat => 0,
            Direction::Up => 1,
        }
    }
}

/// A non-decreasing curve from the raw figure to a probability.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Confidence {
    /// (raw figure, probability), ascending in both, at most [`KNOTS_MAX`]; empty where nothing was known.
    pub(crate) knots: Vec<(f32, f32)>,
}

/// What was said before calibration, and whether it came true.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Said {
    /// The raw figure, in [0, 1].
    pub(crate) raw: f64,
    /// Whether the direction was right.
    pub(crate) right: bool,
}

/// A run of neighbouring pairs with one frequency.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pool {
    count: f64,
    raw: f64,
    right: f64,
}

impl Pool {
    fn frequency(&self) -> f64 {
        self.right / self.count
    }

    /// The pool with `prior` more pairs of the frequency `overall`, at the same raw figure.
    fn shrunk(&self, overall: f64, prior: f64) -> Self {
        let count = self.count + prior;
        Self { count, raw: self.raw / self.count * count, right: self.right + prior * overall }
    }

    fn join(&mut self, other: Pool) {
        self.count += other.count;
        self.raw += other.raw;
        self.right += other.right;
    }
}

impl Confidence {
    /// The curve that fits `said` best in squares, thinned to a few pools. `repeated` is how many neighbouring pairs
    /// share their fate (about half the horizon): that many count as one.
    pub(crate) fn fit(mut said: Vec<Said>, repeated: f64) -> Self {
        if said.is_empty() {
            return Self::default();
        }
        said.sort_by(|a, b| a.raw.total_cmp(&b.raw));
        let total = said.len() as f64;
        let overall = said.iter().filter(|said| said.right).count() as f64 / total;
        let repeated = repeated.max(1.0);
        let prior = PRIOR * repeated;
        let limit = (repeated / total).min(0.5);
        // Shrinking a pool of few pairs further than its neighbour of many can turn their order round.
        let shrunk: Vec<Pool> =
            pooled(&evenly(&said)).iter().map(|pool| pool.shrunk(overall, prior)).collect();
        let mut knots: Vec<(f32, f32)> = pooled(&shrunk)
            .iter()
            .map(|pool| ((pool.raw / pool.count) as f32, pool.frequency().clamp(limit, 1.0 - limit) as f32))
            .collect();
        knots.dedup_by_key(|knot| knot.0);
        Self { knots }
    }

    /// The probability that the direction is right, given the raw figure; the raw figure where nothing is known.
    pub(crate) fn probability(&self, raw: f64) -> f32 {
        let raw = raw as f32;
        let right = self.knots.partition_point(|knot| knot.0 < raw);
        match (right.checked_sub(1).map(|left| self.knots[left]), self.knots.get(right)) {
            (None, None) => raw,
            (None, Some(knot)) => knot.1,
            (Some(knot), None) => knot.1,
            (Some((x0, y0)), Some((x1, y1))) => y0 + (y1 - y0) * ((raw - x0) / (x1 - x0)),
        }
    }
}

/// At most [`KNOTS_MAX`] pools of about equally many pairs; pairs of the same raw figure stay together.
fn evenly(said: &[Said]) -> Vec<Pool> {
    let size = said.len().div_ceil(KNOTS_MAX) as f64;
    let mut pools: Vec<Pool> = Vec::new();
    let mut newest = f64::NAN;
    for pair in said {
        let one = Pool { count: 1.0, raw: pair.raw, right: f64::from(u8::from(pair.right)) };
        match pools.last_mut() {
            Some(pool) if pool.count < size || pair.raw == newest => pool.join(one),
            _ => pools.push(one),
        }
        newest = pair.raw;
    }
    pools
}

/// Joins neighbours until their frequencies do not fall.
fn pooled(pools: &[Pool]) -> Vec<Pool> {
    let mut rising: Vec<Pool> = Vec::new();
    for &pool in pools {
        let mut pool = pool;
        while let Some(&left) = rising.last()
            && left.frequency() >= pool.frequency()
        {
            pool.join(left);
            rising.pop();
        }
        rising.push(pool);
    }
    rising
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::Rng;

    /// The best non-decreasing fit by trying every way of cutting the pools into runs.
    fn brute_force(pools: &[Pool]) -> Vec<f64> {
        let mut best = (f64::MAX, Vec::new());
        for cuts in 0..1u32 << (pools.len() - 1) {
            let mut levels: Vec<f64> = Vec::new();
            let mut start = 0;
            for end in 1..=pools.len() {
                if end == pools.len() || cuts >> (end - 1) & 1 == 1 {
                    let count: f64 = pools[start..end].iter().map(|pool| pool.count).sum();
                    let right: f64 = pools[start..end].iter().map(|pool| pool.right).sum();
                    levels.extend(std::iter::repeat_n(right / count, end - start));
                    start = end;
                }
            }
            if levels.windows(2).all(|pair| pair[0] <= pair[1]) {
                let squares = |(pool, level): (&Pool, &f64)| pool.count * (pool.frequency() - level).powi(2);
                let loss: f64 = pools.iter().zip(&levels).map(squares).sum();
                if loss < best.0 {
                    best = (loss, levels);
                }
            }
        }
        best.1
    }

    #[test]
    fn pooling_is_the_best_rising_fit() {
        let mut rng = Rng::seeded(2);
        for _ in 0..200 {
            let pools: Vec<Pool> = (0..8)
                .map(|i| {
                    let count = (1 + rng.below(5)) as f64;
                    Pool { count, raw: count * f64::from(i), right: rng.below(count as u64 + 1) as f64 }
                })
                .collect();
            let wanted = brute_force(&pools);
            let rising = pooled(&pools);
            let mut at = 0;
            for pool in &rising {
                let mut count = 0.0;
                while count < pool.count {
                    count += pools[at].count;
                    assert!((wanted[at] - pool.frequency()).abs() < 1e-12, "{pools:?}");
                    at += 1;
                }
            }
            assert!(
                at == pools.len() && rising.windows(2).all(|pair| pair[0].frequency() < pair[1].frequency())
            );
        }
    }

    fn drawn(seed: u64, pairs: usize, truth: impl Fn(f64) -> f64) -> Vec<Said> {
        let mut rng = Rng::seeded(seed);
        let mut one = || {
            let raw = rng.uniform_in(0.5, 1.0);
            Said { raw, right: rng.uniform() < truth(raw) }
        };
        (0..pairs).map(|_| one()).collect()
    }

    #[test]
    fn what_is_said_comes_true_as_often_as_said() {
        let truths: [fn(f64) -> f64; 3] = [|raw| raw * raw, |_| 0.53, |raw| 2.0 * raw - 1.0];
        for (case, truth) in truths.into_iter().enumerate() {
            let curve = Confidence::fit(drawn(7, 4000, truth), 1.0);
            assert!(curve.knots.len() <= KNOTS_MAX);
            let fresh = drawn(8, 20_000, truth);
            for decile in 0..10 {
                let (low, high) = (0.5 + 0.05 * f64::from(decile), 0.55 + 0.05 * f64::from(decile));
                let inside: Vec<&Said> =
                    fresh.iter().filter(|said| (low..high).contains(&said.raw)).collect();
                let said: f64 = inside.iter().map(|said| f64::from(curve.probability(said.raw))).sum();
                let right = inside.iter().filter(|said| said.right).count() as f64;
                // 400 pairs a pool fix it to 2.5 %, 2,000 a decile measure it to 1.1 %.
                assert!((said - right).abs() / (inside.len() as f64) < 0.07, "{case} {decile}");
            }
        }
    }

    #[test]
    fn probabilities_rise_with_the_raw_figure_and_are_never_certain() {
        let curve = Confidence::fit(drawn(9, 300, |raw| raw), 1.0);
        let said: Vec<f32> = (0..=100).map(|i| curve.probability(f64::from(i) / 100.0)).collect();
        assert!(said.windows(2).all(|pair| pair[0] <= pair[1]), "{said:?}");
        assert!(said.iter().all(|&p| (1.0 / 300.0..=1.0 - 1.0 / 300.0).contains(&p)), "{said:?}");
        let sure = Confidence::fit(drawn(9, 300, |_| 1.0), 1.0);
        assert_eq!(sure.probability(0.9), 1.0 - 1.0 / 300.0);
        // Overlapping horizons repeat each other: 300 pairs of 60 that share their fate are worth five.
        let few = Confidence::fit(drawn(9, 300, |_| 1.0), 60.0);
        assert_eq!(few.probability(0.9), 0.8);
    }

    #[test]
    fn equal_figures_share_a_knot_and_nothing_known_gives_the_figure_itself() {
        let said = [true, false, true, true].map(|right| Said { raw: 0.5, right });
        let curve = Confidence::fit(said.to_vec(), 1.0);
        assert_eq!(curve.knots, [(0.5, 0.75)]);
        assert_eq!(
            (curve.probability(0.1), curve.probability(0.5), curve.probability(0.9)),
            (0.75, 0.75, 0.75)
        );
        assert_eq!(Confidence::fit(Vec::new(), 1.0).probability(0.625), 0.625);
    }

    #[test]
    fn directions_are_seen_from_the_last_value() {
        assert_eq!(
            [1.0, 2.0, 3.0].map(|next| Direction::of(2.0, next)),
            [Direction::Down, Direction::Flat, Direction::Up]
        );
        assert_eq!(Direction::of(f64::NAN, 1.0), Direction::Flat);
    }
}
