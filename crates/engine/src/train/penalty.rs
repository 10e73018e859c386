//! Choosing one ridge penalty per block of features by the folds' held-out error.
//!
//! Blocks (recent lags, seasonal lags, reservoir) differ in how much of them is noise; one penalty for all either
//! starves the lags or lets the reservoir overfit. The search walks one block at a time along a fixed grid,
//! downhill, until no single step helps: about fifteen factorisations instead of hundreds.

use crate::linalg::{HeldOut, Normal, Weights};
use std::collections::HashMap;
use std::ops::Range;

/// Penalties relative to a feature's mean power. The floor keeps the fit from chasing rounding noise; sets
/// without any noise would profit from less.
const GRID: [f64; 10] = [1e-6, 1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0];
/// Of penalties that do nearly as well the strongest are taken, reservoir first: what comes later differs more from
/// the folds than the folds from each other, and a strong penalty forgives that.
const CAUTION: f64 = 1.01;
/// Where the walk begins: 1e-2.
const START: usize = 5;

/// A fold: its normal equations and the rows it is scored on.
#[derive(Debug)]
pub(super) struct Fold {
    pub(super) normal: Normal,
    pub(super) held_out: HeldOut,
}

/// How errors of the outputs are pooled.
pub(super) type Pool<'p> = &'p dyn Fn(&[f64]) -> f64;

/// The penalty of each feature, given as one per block.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Penalties {
    blocks: Vec<(Range<usize>, f64)>,
}

impl Penalties {
    /// The same penalty everywhere.
    pub(super) fn uniform(blocks: &[Range<usize>], penalty: f64) -> Self {
        Self { blocks: blocks.iter().map(|block| (block.clone(), penalty)).collect() }
    }

    /// The penalty of feature `index`.
    pub(super) fn of(&self, index: usize) -> f64 {
        self.blocks.iter().find(|(block, _)| block.contains(&index)).map_or(0.0, |&(_, penalty)| penalty)
    }

    /// Weights of every fold; `None` where one cannot be solved.
    pub(super) fn solve(&self, folds: &[Fold]) -> Option<Vec<Weights>> {
        folds.iter().map(|fold| fold.normal.solve(|index| self.of(index))).collect()
    }
}

/// The penalties with the smallest pooled held-out error.
pub(super) fn choose(blocks: &[Range<usize>], folds: &[Fold], pool: Pool<'_>) -> Penalties {
    let blocks: Vec<Range<usize>> = blocks.iter().filter(|block| !block.is_empty()).cloned().collect();
    let at = |steps: &[usize]| Penalties {
        blocks: blocks.iter().cloned().zip(steps.iter().map(|&step| GRID[step])).collect(),
    };
    let mut known: HashMap<Vec<usize>, f64> = HashMap::new();
    let mut error = |steps: &[usize]| -> f64 {
        if let Some(&error) = known.get(steps) {
            return error;
        }
        let relative = |(fold, weights): (&Fold, &Weights)| {
            let without = pool(&fold.held_out.target_power()).max(f64::MIN_POSITIVE);
            (pool(&fold.held_out.squared_errors(weights)) / without).sqrt()
        };
        let error = at(steps)
            .solve(folds)
            .map_or(f64::INFINITY, |weights| folds.iter().zip(&weights).map(relative).sum());
        known.insert(steps.to_vec(), error);
        error
    };
    let mut steps = vec![START; blocks.len()];
    let mut best = error(&steps);
    loop {
        let before = best;
        for block in (0..blocks.len()).rev() {
            for direction in [1isize, -1] {
                while let Some(next) =
                    steps[block].checked_add_signed(direction).filter(|&next| next < GRID.len())
                {
                    let mut trial = steps.clone();
                    trial[block] = next;
                    let trial_error = error(&trial);
                    if trial_error >= best {
                        break;
                    }
                    (steps, best) = (trial, trial_error);
                }
            }
        }
        if best >= before {
            break;
        }
    }
    for block in (0..blocks.len()).rev() {
        while steps[block] + 1 < GRID.len() {
            let mut stronger = steps.clone();
            stronger[block] += 1;
            if error(&stronger) > CAUTION * best {
                break;
            }
            steps = stronger;
        }
    }
    at(&steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::Moments;
    use spinwell_core::Rng;

    /// Feature 0 carries the signal, features 1 to 40 are noise; few rows, so the noise block needs a penalty.
    fn fold(rng: &mut Rng) -> Fold {
        let mut parts = [Moments::new(41, 1), Moments::new(41, 1)];
        for (part, rows) in parts.iter_mut().zip([60, 200]) {
            for _ in 0..rows {
                let x: Vec<f32> = (0..41).map(|_| rng.normal() as f32).collect();
                part.push(&x, &[3.0 * x[0] + rng.normal() as f32]);
            }
            part.flush();
        }
        Fold { normal: Normal::new(&parts[0]).unwrap(), held_out: HeldOut::new(&parts[1]) }
    }

    #[test]
    fn a_block_of_noise_is_penalised_and_a_block_of_signal_is_not() {
        let mut rng = Rng::seeded(2);
        let folds = [fold(&mut rng), fold(&mut rng)];
        let penalties = choose(&[0..1, 1..1, 1..41], &folds, &|errors| errors[0]);
        assert!(penalties.of(0) <= 0.1, "signal {}", penalties.of(0));
        assert!(penalties.of(5) >= 0.3, "noise {}", penalties.of(5));
    }
}
