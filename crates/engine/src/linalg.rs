//! Ridge regression from accumulated moments, in 64 bits.
//!
//! Features are never held as a matrix over time: rows stream into sums of products of features and targets, a
//! part of the series at a time. Sums of such parts are the training sets of the forward folds, and a part that
//! was left out gives the exact squared error of any weights on it, so trying a penalty costs one factorisation
//! and no second look at the data.

use crate::hands::Hands;
use crate::kernel::Real;
use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::solvers::Solve;
use faer::{Accum, Mat, MatMut, MatRef, Par, Side};

/// Rows that are gathered before one product adds them to the Gram matrix.
pub(crate) const CHUNK_ROWS: usize = 256;

/// Columns of the Gram matrix that one thread adds to. The bits of large models may depend on it, so it is fixed and not a
/// share of the threads that there are.
const BLOCK_COLUMNS: usize = 128;

/// A feature that varies less than this (standardised inputs vary by 1) is treated as constant.
const CONSTANT_DEVIATION: f64 = 1e-9;

/// Sums over rows of the products of (1, features) with themselves and with the targets, and of the targets' squares.
#[derive(Debug, Clone)]
pub(crate) struct Moments {
    /// Lower triangle of the products of (1, features); entry (0, 0) counts the rows.
    gram: Mat<f64>,
    /// Products of (1, features) with the targets.
    cross: Mat<f64>,
    /// Squares of the targets.
    squares: Vec<f64>,
    /// Rows that wait, a column each: what a row writes then lies together.
    inputs: Mat<f64>,
    targets: Mat<f64>,
    filled: usize,
    /// Who adds what waits to the Gram matrix.
    hands: Hands,
}

impl Moments {
    /// No rows yet.
    pub(crate) fn new(features: usize, outputs: usize, hands: Hands) -> Self {
        let width = 1 + features;
        Self {
            gram: Mat::zeros(width, width),
            cross: Mat::zeros(width, outputs),
            squares: vec![0.0; outputs],
            inputs: Mat::zeros(width, CHUNK_ROWS),
            targets: Mat::zeros(outputs, CHUNK_ROWS),
            filled: 0,
            hands,
        }
    }

    /// Adds one row.
    pub(crate) fn push<R: Real>(&mut self, features: &[R], targets: &[R]) {
        let (row, count) = (self.filled, self.gram.nrows() - 1);
        let inputs = self.inputs.col_as_slice_mut(row);
        inputs[0] = 1.0;
        inputs[1..].iter_mut().zip(&features[..count]).for_each(|(input, feature)| *input = feature.widen());
        let wanted = self.targets.col_as_slice_mut(row);
        for ((wanted, square), &value) in wanted.iter_mut().zip(&mut self.squares).zip(targets) {
            *wanted = value.widen();
            *square += value.widen() * value.widen();
        }
        self.filled += 1;
        if self.filled == CHUNK_ROWS {
            self.flush();
        }
    }

    /// Brings the rows still waiting into the sums.
    pub(crate) fn flush(&mut self) {
        let inputs = self.inputs.get(.., ..self.filled);
        let targets = self.targets.get(.., ..self.filled);
        self.hands.map(blocks(self.gram.as_mut()), |(first, columns)| add_products(columns, first, inputs));
        matmul(self.cross.as_mut(), Accum::Add, inputs, targets.transpose(), 1.0, Par::Seq);
        self.filled = 0;
    }

    /// Adds all rows of `other`. Both must be flushed.
    pub(crate) fn add(&mut self, other: &Moments) {
        debug_assert!(self.filled == 0 && other.filled == 0, "moments are added after flushing");
        self.gram += &other.gram;
        self.cross += &other.cross;
        self.squares.iter_mut().zip(&other.squares).for_each(|(sum, more)| *sum += more);
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> f64 {
        self.gram[(0, 0)]
    }

    fn features(&self) -> usize {
        self.gram.nrows() - 1
    }

    fn outputs(&self) -> usize {
        self.cross.ncols()
    }

    /// The whole Gram matrix, mirrored from its lower triangle.
    fn full(&self) -> Mat<f64> {
        let n = self.gram.nrows();
        Mat::from_fn(n, n, |r, c| if r >= c { self.gram[(r, c)] } else { self.gram[(c, r)] })
    }
}

/// The columns of a matrix in blocks, each with the place of its first.
fn blocks(mut rest: MatMut<'_, f64>) -> Vec<(usize, MatMut<'_, f64>)> {
    let mut blocks = Vec::with_capacity(rest.ncols().div_ceil(BLOCK_COLUMNS));
    for first in (0..rest.ncols()).step_by(BLOCK_COLUMNS) {
        let columns = BLOCK_COLUMNS.min(rest.ncols());
        let (block, after) = rest.split_at_col_mut(columns);
        blocks.push((first, block));
        rest = after;
    }
    blocks
}

/// Adds the products of inputs with each other to some columns of the lower triangle, the first of which is `first`.
fn add_products(columns: MatMut<'_, f64>, first: usize, inputs: MatRef<'_, f64>) {
    let end = first + columns.ncols();
    let (_, lower) = columns.split_at_row_mut(first);
    let (diagonal, below) = lower.split_at_row_mut(end - first);
    let own = inputs.get(first..end, ..);
    triangular::matmul(
        diagonal,
        BlockStructure::TriangularLower,
        Accum::Add,
        own,
        BlockStructure::Rectangular,
        own.transpose(),
        BlockStructure::Rectangular,
        1.0,
        Par::Seq,
    );
    matmul(below, Accum::Add, inputs.get(end.., ..), own.transpose(), 1.0, Par::Seq);
}

/// The normal equations of one training set, standardised.
#[derive(Debug)]
pub(crate) struct Normal {
    mean: Vec<f64>,
    deviation: Vec<f64>,
    mean_targets: Vec<f64>,
    /// Correlations of the features.
    correlation: Mat<f64>,
    /// Covariances of standardised features with the targets.
    cross: Mat<f64>,
}

/// Linear readout weights in the features' own units.
#[derive(Debug, Clone)]
pub(crate) struct Weights {
    /// Features × outputs.
    pub(crate) slopes: Mat<f64>,
    /// One per output.
    pub(crate) intercepts: Vec<f64>,
}

impl Normal {
    /// Standardises the sums of a training set. `None` where it has fewer than two rows.
    pub(crate) fn new(moments: &Moments) -> Option<Self> {
        let n = moments.rows();
        if n < 2.0 {
            return None;
        }
        let (f, o) = (moments.features(), moments.outputs());
        let gram = moments.full();
        let mean: Vec<f64> = (0..f).map(|i| gram[(1 + i, 0)] / n).collect();
        let mean_targets: Vec<f64> = (0..o).map(|j| moments.cross[(0, j)] / n).collect();
        let covariance = |i: usize, j: usize| gram[(1 + i, 1 + j)] / n - mean[i] * mean[j];
        let deviation: Vec<f64> = (0..f)
            .map(|i| covariance(i, i).max(0.0).sqrt())
            .map(|d| if d < CONSTANT_DEVIATION { 1.0 } else { d })
            .collect();
        let correlation = Mat::from_fn(f, f, |i, j| covariance(i, j) / (deviation[i] * deviation[j]));
        let cross = Mat::from_fn(f, o, |i, j| {
            (moments.cross[(1 + i, j)] / n - mean[i] * mean_targets[j]) / deviation[i]
        });
        Some(Self { mean, deviation, mean_targets, correlation, cross })
    }

    /// The equations of some of the features alone.
    pub(crate) fn restricted(&self, features: &[usize]) -> Self {
        let (f, o) = (features.len(), self.cross.ncols());
        Self {
            mean: features.iter().map(|&i| self.mean[i]).collect(),
            deviation: features.iter().map(|&i| self.deviation[i]).collect(),
            mean_targets: self.mean_targets.clone(),
            correlation: Mat::from_fn(f, f, |i, j| self.correlation[(features[i], features[j])]),
            cross: Mat::from_fn(f, o, |i, j| self.cross[(features[i], j)]),
        }
    }

    /// Ridge weights for one penalty per feature, relative to a feature's mean power (which is 1).
    /// `None` where the matrix is not positive definite to working precision.
    pub(crate) fn solve(&self, penalty: impl Fn(usize) -> f64) -> Option<Weights> {
        let (f, o) = (self.cross.nrows(), self.cross.ncols());
        if f == 0 {
            return Some(Weights { slopes: Mat::zeros(0, o), intercepts: self.mean_targets.clone() });
        }
        let mut matrix = self.correlation.clone();
        for i in 0..f {
            matrix[(i, i)] += penalty(i);
        }
        let factor = matrix.llt(Side::Lower).ok()?;
        let mut slopes = factor.solve(&self.cross);
        for j in 0..o {
            for i in 0..f {
                slopes[(i, j)] /= self.deviation[i];
            }
        }
        let intercepts = (0..o)
            .map(|j| self.mean_targets[j] - (0..f).map(|i| slopes[(i, j)] * self.mean[i]).sum::<f64>())
            .collect();
        Some(Weights { slopes, intercepts })
    }
}

/// A part of the series that was left out of training, ready to score weights.
#[derive(Debug)]
pub(crate) struct HeldOut {
    gram: Mat<f64>,
    cross: Mat<f64>,
    squares: Vec<f64>,
}

impl HeldOut {
    /// Prepares the sums of a left-out part.
    pub(crate) fn new(moments: &Moments) -> Self {
        Self { gram: moments.full(), cross: moments.cross.clone(), squares: moments.squares.clone() }
    }

    fn rows(&self) -> f64 {
        self.gram[(0, 0)].max(1.0)
    }

    /// The same part as some of the features see it.
    pub(crate) fn restricted(&self, features: &[usize]) -> Self {
        let place = |i: usize| if i == 0 { 0 } else { 1 + features[i - 1] };
        let (f, o) = (features.len() + 1, self.squares.len());
        Self {
            gram: Mat::from_fn(f, f, |i, j| self.gram[(place(i), place(j))]),
            cross: Mat::from_fn(f, o, |i, j| self.cross[(place(i), j)]),
            squares: self.squares.clone(),
        }
    }

    /// Mean square of each target: the error of a readout that says nothing.
    pub(crate) fn target_power(&self) -> Vec<f64> {
        self.squares.iter().map(|square| square / self.rows()).collect()
    }

    /// Mean squared error of `weights` for each output.
    pub(crate) fn squared_errors(&self, weights: &Weights) -> Vec<f64> {
        let (f, o) = (self.gram.nrows() - 1, self.squares.len());
        let mut product = Mat::<f64>::zeros(f, o);
        let block = self.gram.get(1.., 1..);
        matmul(product.as_mut(), Accum::Replace, block, weights.slopes.as_ref(), 1.0, Par::Seq);
        (0..o)
            .map(|j| {
                let b = weights.intercepts[j];
                let mut sum = self.squares[j] - 2.0 * b * self.cross[(0, j)] + b * b * self.gram[(0, 0)];
                for i in 0..f {
                    let w = weights.slopes[(i, j)];
                    sum += w
                        * (product[(i, j)] - 2.0 * self.cross[(1 + i, j)] + 2.0 * b * self.gram[(1 + i, 0)]);
                }
                sum.max(0.0) / self.rows()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::Rng;

    fn rows(count: usize, seed: u64) -> Vec<([f32; 3], [f32; 2])> {
        let mut rng = Rng::seeded(seed);
        (0..count)
            .map(|_| {
                let x = [rng.normal() as f32, rng.normal() as f32 + 5.0, 2.0];
                (x, [1.0 + 2.0 * x[0] - x[1], 0.5 * x[1] + 0.1 * rng.normal() as f32])
            })
            .collect()
    }

    fn moments(rows: &[([f32; 3], [f32; 2])]) -> Moments {
        let mut moments = Moments::new(3, 2, Hands::One);
        rows.iter().for_each(|(x, y)| moments.push(x, y));
        moments.flush();
        moments
    }

    #[test]
    fn a_linear_rule_is_recovered_and_a_constant_feature_does_no_harm() {
        let normal = Normal::new(&moments(&rows(700, 1))).unwrap();
        let weights = normal.solve(|_| 1e-9).unwrap();
        for (got, wanted) in [
            (weights.slopes[(0, 0)], 2.0),
            (weights.slopes[(1, 0)], -1.0),
            (weights.slopes[(2, 0)], 0.0),
            (weights.intercepts[0], 1.0),
            (weights.slopes[(1, 1)], 0.5),
        ] {
            assert!((got - wanted).abs() < 0.02, "{got} is not {wanted}");
        }
    }

    #[test]
    fn the_error_from_moments_is_the_error_row_by_row() {
        let weights = Normal::new(&moments(&rows(300, 1))).unwrap().solve(|i| [0.1, 1e-3, 1.0][i]).unwrap();
        let unseen = rows(513, 2);
        let fast = HeldOut::new(&moments(&unseen)).squared_errors(&weights);
        for j in 0..2 {
            let direct: f64 = unseen
                .iter()
                .map(|(x, y)| {
                    let forecast: f64 = weights.intercepts[j]
                        + (0..3).map(|i| weights.slopes[(i, j)] * f64::from(x[i])).sum::<f64>();
                    (f64::from(y[j]) - forecast).powi(2)
                })
                .sum::<f64>()
                / 513.0;
            assert!((fast[j] - direct).abs() < 1e-9 * direct.max(1.0), "{} {direct}", fast[j]);
        }
    }

    #[test]
    fn sums_of_several_blocks_are_the_same_whoever_adds_them_and_near_the_plain_sum() {
        let (features, mut rng) = (2 * BLOCK_COLUMNS + 7, Rng::seeded(4));
        let rows: Vec<Vec<f64>> =
            (0..CHUNK_ROWS + 9).map(|_| (0..features).map(|_| rng.normal()).collect()).collect();
        let sums = |hands: Hands, threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut moments = Moments::new(features, 1, hands);
            pool.install(|| {
                rows.iter().for_each(|row| moments.push(row, &row[..1]));
                moments.flush();
            });
            moments.gram
        };
        let alone = sums(Hands::One, 1);
        for threads in [1, 2, 3] {
            assert!(sums(Hands::All, threads) == alone, "{threads} threads");
        }
        for (r, c) in (1..=features).flat_map(|r| (1..=r).map(move |c| (r, c))) {
            let plain: f64 = rows.iter().map(|row| row[r - 1] * row[c - 1]).sum();
            assert!((alone[(r, c)] - plain).abs() < 1e-9, "{r} {c}");
        }
    }

    #[test]
    fn sums_of_parts_are_the_whole() {
        let all = rows(600, 3);
        let mut parts = moments(&all[..251]);
        parts.add(&moments(&all[251..]));
        let whole = moments(&all);
        for at in (0..4).flat_map(|r| (0..=r).map(move |c| (r, c))) {
            assert!((parts.gram[at] - whole.gram[at]).abs() < 1e-6);
        }
        for at in (0..4).flat_map(|r| (0..2).map(move |c| (r, c))) {
            assert!((parts.cross[at] - whole.cross[at]).abs() < 1e-6);
        }
        assert!(Normal::new(&Moments::new(3, 2, Hands::One)).is_none());
    }
}
