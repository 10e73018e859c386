//! Choosing one ridge penalty per block of features by the folds' held-out error.
//!
//! Blocks (recent lags, seasonal lags, reservoir) differ in how much of them is noise; one penalty for all either
//! starves the lags or lets the reservoir overfit. The search walks one block at a time along a fixed grid,
//! downhill, until no single step helps: about fifteen factorisations instead of hundreds.

use crate::hands::Hands;
use crate::linalg::{HeldOut, Normal, Weights};
use std::collections::HashMap;
use std::ops::Range;

/// Penalties relative to a feature's mean power. The floor keeps the fit from chasing rounding noise; only in 64 bits,
/// and where the folds stop at the floor, is less tried.
const GRID: [f64; 10] = [1e-6, 1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0];
/// Powers of ten below the floor that are tried.
const BELOW: usize = 7;
/// Of penalties that do nearly as well the strongest are taken, reservoir first: what comes later differs more from
/// the folds than the folds from each other, and a strong penalty forgives that.
const CAUTION: f64 = 1.01;
/// Where the walk begins without a hint: 1e-2.
const START: usize = 5;

/// A fold: its normal equations and the rows it is scored on.
#[derive(Debug)]
pub(super) struct Fold {
    pub(super) normal: Normal,
    pub(super) held_out: HeldOut,
}

/// How errors of the outputs are pooled.
pub(super) type Pool<'p> = &'p dyn Fn(&[f64]) -> f64;

/// Where to begin to look, by kind of block: recent lags, seasonal lags, products, then the reservoirs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hints(pub(super) Vec<Option<usize>>);

impl Hints {
    /// The hint for one kind.
    pub(super) fn of(&self, kind: usize) -> Option<usize> {
        self.0.get(kind).copied().flatten()
    }

    /// Where the walk begins for each of `kinds`.
    pub(super) fn steps(&self, kinds: &[usize]) -> Vec<usize> {
        kinds.iter().map(|&kind| self.of(kind).unwrap_or(START)).collect()
    }

    /// Whether some block was given the least penalty that 32 bits allow: a sign that the series is free of noise.
    pub(super) fn touch_floor(&self) -> bool {
        self.0.contains(&Some(0))
    }
}

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
    pub(super) fn solve(&self, folds: &[Fold], hands: Hands) -> Option<Vec<Weights>> {
        hands.map(folds, |fold| fold.normal.solve(|index| self.of(index))).into_iter().collect()
    }

    /// Whether some block has the least penalty of the grid.
    pub(super) fn are_at_floor(&self) -> bool {
        self.blocks.iter().any(|&(_, penalty)| penalty <= GRID[0])
    }

    /// These penalties, then those where the blocks at the floor have less and less.
    pub(super) fn below_the_floor(&self) -> Vec<Self> {
        let below = |power: usize| {
            let scale = 0.1f64.powi(power as i32);
            let blocks = self.blocks.iter().map(|(block, penalty)| {
                (block.clone(), if *penalty <= GRID[0] { penalty * scale } else { *penalty })
            });
            Self { blocks: blocks.collect() }
        };
        (0..=BELOW).map(below).collect()
    }

    /// What was found, for blocks of the given kinds.
    pub(super) fn hints(&self, kinds: &[usize]) -> Hints {
        let mut hints = vec![None; kinds.iter().max().map_or(0, |&last| last + 1)];
        for (&kind, (_, penalty)) in kinds.iter().zip(&self.blocks) {
            hints[kind] = Some(GRID.partition_point(|step| step < penalty).min(GRID.len() - 1));
        }
        Hints(hints)
    }
}

/// Of penalties in falling order, the strongest whose error is nearly the least.
pub(super) fn cautious(penalties: Vec<Penalties>, errors: &[f64]) -> Penalties {
    let least = errors.iter().copied().fold(f64::INFINITY, f64::min);
    let place = errors.iter().position(|&error| error <= CAUTION * least).unwrap_or(0);
    penalties.into_iter().nth(place).expect("there is one error per set of penalties")
}

/// A search for the penalties with the smallest pooled held-out error.
pub(super) struct Search<'s> {
    /// Ranges of features that share a penalty.
    pub(super) blocks: &'s [Range<usize>],
    /// Where to begin, one step of the grid per block.
    pub(super) start: Vec<usize>,
    /// How errors are pooled.
    pub(super) pool: Pool<'s>,
    /// Who solves the folds.
    pub(super) hands: Hands,
}

impl Search<'_> {
    /// Walks downhill, one block at a time, then back up while it costs next to nothing.
    pub(super) fn run(&self, folds: &[Fold]) -> Penalties {
        let blocks = self.blocks;
        let mut known: HashMap<Vec<usize>, f64> = HashMap::new();
        let mut error = |steps: &[usize]| -> f64 {
            if let Some(&error) = known.get(steps) {
                return error;
            }
            let error = self.error(steps, folds);
            known.insert(steps.to_vec(), error);
            error
        };
        let mut steps = self.start.clone();
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
            if best >= before * 0.999 {
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
        self.at(&steps)
    }

    fn at(&self, steps: &[usize]) -> Penalties {
        Penalties { blocks: self.blocks.iter().cloned().zip(steps.iter().map(|&step| GRID[step])).collect() }
    }

    /// The sum over folds of RMSE relative to that of a readout that says nothing.
    fn error(&self, steps: &[usize], folds: &[Fold]) -> f64 {
        let relative = |(fold, weights): (&Fold, &Weights)| {
            let without = (self.pool)(&fold.held_out.target_power()).max(f64::MIN_POSITIVE);
            ((self.pool)(&fold.held_out.squared_errors(weights)) / without).sqrt()
        };
        let weights = self.at(steps).solve(folds, self.hands);
        weights.map_or(f64::INFINITY, |weights| folds.iter().zip(&weights).map(relative).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::Moments;
    use spinwell_core::Rng;

    /// Feature 0 carries the signal, features 1 to 40 are noise; few rows, so the noise block needs a penalty.
    fn fold(rng: &mut Rng) -> Fold {
        let mut parts = [0, 1].map(|_| Moments::new(41, 1, Hands::One));
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
        let blocks = [0..1, 1..41];
        let search =
            Search { blocks: &blocks, start: vec![START; 2], pool: &|errors| errors[0], hands: Hands::One };
        let penalties = search.run(&folds);
        assert!(penalties.of(0) <= 0.1, "signal {}", penalties.of(0));
        assert!(penalties.of(5) >= 0.3, "noise {}", penalties.of(5));
    }
}
