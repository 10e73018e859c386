//! Recursive least squares: a readout that learns row by row.
//!
//! The weights minimise Σ λ^(age)·(y − wᵀx)² plus the pull of where they began, exactly, at every row (Haykin,
//! "Adaptive Filter Theory", 4th ed., ch. 9, table 9.1). One row costs two passes over a matrix of features ×
//! features instead of a factorisation.

use crate::kernel::dispatch;

/// What the weights have learned and how sure of it they are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rls {
    width: usize,
    /// Weight of the past per row, in (0, 1].
    forgetting: f64,
    /// Inverse of the weighted correlation matrix of the features, width × width, symmetric.
    inverse: Vec<f64>,
    /// Outputs × width.
    weights: Vec<f64>,
    gain: Vec<f64>,
}

impl Rls {
    /// Begins with `weights` (outputs × width), which count as much as `stiffness[i]` = Σ x_i² of rows that agreed with
    /// weight i.
    pub(crate) fn new(weights: Vec<f64>, stiffness: &[f64], forgetting: f64) -> Self {
        let width = stiffness.len();
        let mut inverse = vec![0.0; width * width];
        for (i, stiffness) in stiffness.iter().enumerate() {
            inverse[i * width + i] = 1.0 / stiffness;
        }
        Self { width, forgetting, inverse, weights, gain: vec![0.0; width] }
    }

    /// Outputs × width.
    pub(crate) fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Learns from one row: its features and what each output should have been.
    pub(crate) fn learn(&mut self, features: &[f64], wanted: &[f64]) {
        let Self { width, forgetting, inverse, weights, gain } = self;
        let width = *width;
        dispatch(
            #[inline(always)]
            || {
                for (gain, row) in gain.iter_mut().zip(inverse.chunks_exact(width)) {
                    *gain = dot(row, features);
                }
                let certainty = *forgetting + dot(gain, features);
                for (weights, wanted) in weights.chunks_exact_mut(width).zip(wanted) {
                    let step = (wanted - dot(weights, features)) / certainty;
                    for (weight, gain) in weights.iter_mut().zip(&*gain) {
                        *weight = gain.mul_add(step, *weight);
                    }
                }
                let keep = 1.0 / *forgetting;
                for (row, &own) in inverse.chunks_exact_mut(width).zip(&*gain) {
                    let share = -own / certainty;
                    for (entry, gain) in row.iter_mut().zip(&*gain) {
                        *entry = gain.mul_add(share, *entry) * keep;
                    }
                }
            },
        );
    }
}

/// Eight sums side by side, then in order.
#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0f64; 8];
    let (a_wide, a_rest) = a.as_chunks::<8>();
    let (b_wide, b_rest) = b.as_chunks::<8>();
    for (a, b) in a_wide.iter().zip(b_wide) {
        for lane in 0..8 {
            sums[lane] = a[lane].mul_add(b[lane], sums[lane]);
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::linalg::solvers::Solve;
    use faer::{Mat, Side};
    use spinwell_core::Rng;

    #[test]
    fn it_is_the_weighted_ridge_solution_of_all_rows_so_far() {
        let (width, rows, forgetting) = (5, 40, 0.97f64);
        let mut rng = Rng::seeded(6);
        let start: Vec<f64> = (0..2 * width).map(|_| rng.normal()).collect();
        let stiffness: Vec<f64> = (0..width).map(|_| 1.0 + rng.uniform()).collect();
        let mut rls = Rls::new(start.clone(), &stiffness, forgetting);
        let data: Vec<([f64; 5], [f64; 2])> = (0..rows)
            .map(|_| (std::array::from_fn(|_| rng.normal()), std::array::from_fn(|_| rng.normal())))
            .collect();
        data.iter().for_each(|(x, y)| rls.learn(x, y));
        let age = |row: usize| forgetting.powi((rows - 1 - row) as i32);
        let pull = forgetting.powi(rows as i32);
        let gram = Mat::from_fn(width, width, |i, j| {
            let own = if i == j { pull * stiffness[i] } else { 0.0 };
            own + (0..rows).map(|r| age(r) * data[r].0[i] * data[r].0[j]).sum::<f64>()
        });
        let cross = Mat::from_fn(width, 2, |i, o| {
            pull * stiffness[i] * start[o * width + i]
                + (0..rows).map(|r| age(r) * data[r].0[i] * data[r].1[o]).sum::<f64>()
        });
        let exact = gram.llt(Side::Lower).unwrap().solve(&cross);
        for output in 0..2 {
            for i in 0..width {
                let (got, wanted) = (rls.weights()[output * width + i], exact[(i, output)]);
                assert!((got - wanted).abs() < 1e-10, "{output} {i}: {got} {wanted}");
            }
        }
    }
}
