//! Ridge regression on many features of few cases, with exact leave-one-out scores for every penalty.
//!
//! Targets are +1 for the case's class and -1 for the others, one regression per class. With the blocks' centred and
//! scaled features side by side in X = U·√S·Vᵀ, the fitted values for penalty λ are (1/n·11ᵀ + U·S/(S+λ)·Uᵀ)·Y, and the
//! score of a case that was left out of the fit follows from the whole fit without refitting (Allen 1974; Hastie,
//! Tibshirani & Friedman, "The elements of statistical learning", eq. 7.64): y - (y - ŷ)/(1 - h). One eigendecomposition
//! of the smaller of XXᵀ and XᵀX therefore serves every penalty. The intercept is not penalised and is estimated anew
//! without the case, as 1/n in h says.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par, Side};

/// Eigenvalues below this share of the largest are noise of the arithmetic.
const NEGLIGIBLE: f64 = 1e-12;

/// Features of one kind, one row per case: centred, each scaled to the same power, all together to power 1, so that
/// blocks of different sizes weigh the same under the same penalty.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// Cases × features.
    pub(crate) values: Mat<f64>,
    /// Mean of each feature.
    pub(crate) means: Vec<f64>,
    /// What each centred feature was multiplied by.
    pub(crate) factors: Vec<f64>,
    /// Products of cases with each other.
    gram: Mat<f64>,
}

/// A feature that varies less than this is left out.
const CONSTANT_DEVIATION: f64 = 1e-7;

impl Block {
    /// Centres and scales `features`, one vector per case.
    pub(crate) fn new(features: &[Vec<f32>]) -> Self {
        let (cases, width) = (features.len(), features[0].len());
        let count = cases as f64;
        let mut block = Self {
            values: Mat::from_fn(cases, width, |case, feature| f64::from(features[case][feature])),
            means: Vec::with_capacity(width),
            factors: Vec::with_capacity(width),
            gram: Mat::zeros(0, 0),
        };
        for feature in 0..width {
            let column = block.values.col_as_slice_mut(feature);
            let mean = column.iter().sum::<f64>() / count;
            let deviation = (column.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / count).sqrt();
            let factor =
                if deviation < CONSTANT_DEVIATION { 0.0 } else { 1.0 / (deviation * (width as f64).sqrt()) };
            column.iter_mut().for_each(|value| *value = (*value - mean) * factor);
            block.means.push(mean);
            block.factors.push(factor);
        }
        if cases <= width {
            block.gram = Mat::zeros(cases, cases);
            let values = block.values.as_ref();
            matmul(block.gram.as_mut(), Accum::Replace, values, values.transpose(), 1.0, Par::Seq);
        }
        block
    }

    fn cases(&self) -> usize {
        self.values.nrows()
    }

    fn features(&self) -> usize {
        self.values.ncols()
    }
}

/// The directions in which cases differ, and how much.
#[derive(Debug)]
pub(crate) struct Spectrum {
    /// Cases × directions, orthonormal columns, orthogonal to the vector of ones.
    directions: Mat<f64>,
    /// Squared singular values of the features, divided by the number of cases.
    powers: Vec<f64>,
}

impl Spectrum {
    /// Decomposes the blocks side by side, each with its weight (a weight of 4 is a fourth of the penalty).
    /// `None` where the decomposition does not converge.
    pub(crate) fn new(blocks: &[(&Block, f64)]) -> Option<Self> {
        let cases = blocks[0].0.cases();
        let features: usize = blocks.iter().map(|(block, _)| block.features()).sum();
        if cases <= features {
            let mut gram = Mat::<f64>::zeros(cases, cases);
            for (block, weight) in blocks {
                if block.gram.nrows() == cases {
                    gram += *weight * &block.gram;
                } else {
                    let values = block.values.as_ref();
                    matmul(gram.as_mut(), Accum::Add, values, values.transpose(), *weight, Par::Seq);
                }
            }
            let (powers, vectors) = decompose(&gram, cases)?;
            let directions = Mat::from_fn(cases, powers.len(), |r, c| vectors[(r, c)]);
            return Some(Self { directions, powers });
        }
        let mut all = Mat::<f64>::zeros(cases, features);
        let mut first = 0;
        for (block, weight) in blocks {
            let root = weight.sqrt();
            for feature in 0..block.features() {
                let from = block.values.col_as_slice(feature);
                all.col_as_slice_mut(first + feature).iter_mut().zip(from).for_each(|(to, v)| *to = root * v);
            }
            first += block.features();
        }
        let mut gram = Mat::<f64>::zeros(features, features);
        matmul(gram.as_mut(), Accum::Replace, all.transpose(), all.as_ref(), 1.0, Par::Seq);
        let (powers, vectors) = decompose(&gram, cases)?;
        let mut directions = Mat::<f64>::zeros(cases, powers.len());
        matmul(directions.as_mut(), Accum::Replace, all.as_ref(), vectors.as_ref(), 1.0, Par::Seq);
        for (direction, power) in powers.iter().enumerate() {
            let by = 1.0 / (power * cases as f64).sqrt();
            directions.col_as_slice_mut(direction).iter_mut().for_each(|value| *value *= by);
        }
        Some(Self { directions, powers })
    }

    /// Scores of every case by the fit without it, cases × classes.
    pub(crate) fn left_out(&self, targets: &Mat<f64>, penalty: f64) -> Mat<f64> {
        let (cases, classes) = (targets.nrows(), targets.ncols());
        let (means, mut inner) = self.project(targets);
        let shares: Vec<f64> = self.powers.iter().map(|power| power / (power + penalty)).collect();
        for class in 0..classes {
            inner.col_as_slice_mut(class).iter_mut().zip(&shares).for_each(|(value, share)| *value *= share);
        }
        let mut scores = Mat::<f64>::zeros(cases, classes);
        matmul(scores.as_mut(), Accum::Replace, self.directions.as_ref(), inner.as_ref(), 1.0, Par::Seq);
        let mut own = vec![1.0 / cases as f64; cases];
        for (direction, share) in shares.iter().enumerate() {
            let direction = self.directions.col_as_slice(direction);
            own.iter_mut().zip(direction).for_each(|(own, value)| *own += share * value * value);
        }
        for class in 0..classes {
            for case in 0..cases {
                let fitted = scores[(case, class)] + means[class];
                // With next to no penalty a case's own share nears 1 and its score says nothing: not a division by 0.
                let without = (1.0 - own[case]).max(1e-9);
                let target = targets[(case, class)];
                scores[(case, class)] = target - (target - fitted) / without;
            }
        }
        scores
    }

    /// Mean of each target, and the targets in terms of the directions.
    fn project(&self, targets: &Mat<f64>) -> (Vec<f64>, Mat<f64>) {
        let (cases, classes) = (targets.nrows(), targets.ncols());
        let means = (0..classes)
            .map(|class| targets.col_as_slice(class).iter().sum::<f64>() / cases as f64)
            .collect();
        // Directions are orthogonal to the ones, so the means need not be taken off first.
        let mut inner = Mat::<f64>::zeros(self.powers.len(), classes);
        let directions = self.directions.transpose();
        matmul(inner.as_mut(), Accum::Replace, directions, targets.as_ref(), 1.0, Par::Seq);
        (means, inner)
    }

    /// The fit to all cases: weights of the original features, blocks one after the other, and an intercept per
    /// class. `blocks` are those the spectrum was made of.
    pub(crate) fn readout(&self, blocks: &[(&Block, f64)], targets: &Mat<f64>, penalty: f64) -> Readout {
        let cases = targets.nrows() as f64;
        let (means, mut inner) = self.project(targets);
        for class in 0..targets.ncols() {
            let inner = inner.col_as_slice_mut(class).iter_mut().zip(&self.powers);
            inner.for_each(|(value, power)| *value /= cases * (power + penalty));
        }
        let mut dual = Mat::<f64>::zeros(targets.nrows(), targets.ncols());
        matmul(dual.as_mut(), Accum::Replace, self.directions.as_ref(), inner.as_ref(), 1.0, Par::Seq);
        let mut readout = Readout { weights: vec![Vec::new(); targets.ncols()], intercepts: means };
        for (block, weight) in blocks {
            let mut slopes = Mat::<f64>::zeros(block.features(), targets.ncols());
            matmul(
                slopes.as_mut(),
                Accum::Replace,
                block.values.transpose(),
                dual.as_ref(),
                *weight,
                Par::Seq,
            );
            for (class, weights) in readout.weights.iter_mut().enumerate() {
                let slopes = slopes.col_as_slice(class);
                for (feature, slope) in slopes.iter().enumerate() {
                    let slope = slope * block.factors[feature];
                    readout.intercepts[class] -= slope * block.means[feature];
                    weights.push(slope);
                }
            }
        }
        readout
    }
}

/// Eigenvalues that are not negligible, divided by the number of cases, and their eigenvectors as columns.
fn decompose(gram: &Mat<f64>, cases: usize) -> Option<(Vec<f64>, Mat<f64>)> {
    let eigen = gram.self_adjoint_eigen(Side::Lower).ok()?;
    let values: Vec<f64> = eigen.S().column_vector().iter().copied().collect();
    let largest = values.iter().copied().fold(0.0, f64::max);
    let kept: Vec<usize> = (0..values.len()).filter(|&i| values[i] > NEGLIGIBLE * largest).collect();
    let vectors = Mat::from_fn(gram.nrows(), kept.len(), |r, c| eigen.U()[(r, kept[c])]);
    Some((kept.iter().map(|&i| values[i] / cases as f64).collect(), vectors))
}

/// One linear score per class.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Readout {
    /// Per class one weight per feature.
    pub(crate) weights: Vec<Vec<f64>>,
    /// One per class.
    pub(crate) intercepts: Vec<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::Rng;

    const PENALTY: f64 = 0.02;

    fn features(cases: usize, width: usize, seed: u64) -> Vec<Vec<f32>> {
        let mut rng = Rng::seeded(seed);
        // The last feature is constant.
        let feature = |index: usize, rng: &mut Rng| {
            if index + 1 == width { 3.0 } else { 5.0 + (1 + index % 3) as f32 * rng.normal() as f32 }
        };
        (0..cases).map(|_| (0..width).map(|index| feature(index, &mut rng)).collect()).collect()
    }

    fn targets(cases: usize) -> Mat<f64> {
        Mat::from_fn(cases, 3, |case, class| if case * case % 7 % 3 == class { 1.0 } else { -1.0 })
    }

    /// Solves a small system by elimination with pivots, in plain loops.
    fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
        let n = b.len();
        for column in 0..n {
            let pivot =
                (column..n).max_by(|&x, &y| a[x][column].abs().total_cmp(&a[y][column].abs())).unwrap();
            a.swap(column, pivot);
            b.swap(column, pivot);
            for row in column + 1..n {
                let by = a[row][column] / a[column][column];
                let above = a[column].clone();
                a[row].iter_mut().zip(&above).for_each(|(value, above)| *value -= by * above);
                b[row] -= by * b[column];
            }
        }
        for row in (0..n).rev() {
            let known: f64 = (row + 1..n).map(|column| a[row][column] * b[column]).sum();
            b[row] = (b[row] - known) / a[row][row];
        }
        b
    }

    /// Ridge with a free intercept (first of the answer) by the normal equations of the cases kept.
    fn direct(rows: &[Vec<f64>], y: &[f64], kept: &[usize], penalty: f64) -> Vec<f64> {
        let row = |case: usize| [&[1.0][..], &rows[case]].concat();
        let width = rows[0].len() + 1;
        let mut a = vec![vec![0.0; width]; width];
        let mut b = vec![0.0; width];
        for &case in kept {
            let row = row(case);
            for i in 0..width {
                b[i] += row[i] * y[case];
                (0..width).for_each(|j| a[i][j] += row[i] * row[j]);
            }
        }
        (1..width).for_each(|i| a[i][i] += penalty);
        solve(a, b)
    }

    fn predict(coefficients: &[f64], row: &[f64]) -> f64 {
        coefficients[0] + coefficients[1..].iter().zip(row).map(|(w, x)| w * x).sum::<f64>()
    }

    #[test]
    fn left_out_scores_are_those_of_fits_that_leave_each_case_out() {
        // More features than cases, and more cases than features; the second block weighs a third.
        for (cases, widths) in [(12, [20, 9]), (40, [6, 5])] {
            let blocks =
                [features(cases, widths[0], 1), features(cases, widths[1], 2)].map(|f| Block::new(&f));
            let weighted = [(&blocks[0], 1.0), (&blocks[1], 1.0 / 3.0)];
            let targets = targets(cases);
            let fast = Spectrum::new(&weighted).unwrap().left_out(&targets, PENALTY);
            let rows: Vec<Vec<f64>> = (0..cases)
                .map(|case| {
                    let block = |(block, weight): &(&Block, f64)| -> Vec<f64> {
                        (0..block.features()).map(|f| block.values[(case, f)] * weight.sqrt()).collect()
                    };
                    weighted.iter().flat_map(block).collect()
                })
                .collect();
            for class in 0..3 {
                let y: Vec<f64> = (0..cases).map(|case| targets[(case, class)]).collect();
                for out in 0..cases {
                    let kept: Vec<usize> = (0..cases).filter(|&case| case != out).collect();
                    let exact = predict(&direct(&rows, &y, &kept, PENALTY * cases as f64), &rows[out]);
                    assert!((fast[(out, class)] - exact).abs() < 1e-8, "{cases} cases, {out}: {exact}");
                }
            }
        }
    }

    #[test]
    fn the_readout_is_the_direct_solution_in_the_features_own_units() {
        for (cases, width) in [(12, 20), (40, 6)] {
            let raw = features(cases, width, 3);
            let block = Block::new(&raw);
            let (weighted, targets) = ([(&block, 1.0)], targets(cases));
            let readout = Spectrum::new(&weighted).unwrap().readout(&weighted, &targets, PENALTY);
            let rows: Vec<Vec<f64>> =
                (0..cases).map(|case| (0..width).map(|f| block.values[(case, f)]).collect()).collect();
            let kept: Vec<usize> = (0..cases).collect();
            for class in 0..3 {
                let y: Vec<f64> = (0..cases).map(|case| targets[(case, class)]).collect();
                let exact = direct(&rows, &y, &kept, PENALTY * cases as f64);
                for case in 0..cases {
                    let own = raw[case].iter().zip(&readout.weights[class]);
                    let score: f64 = own.map(|(x, w)| f64::from(*x) * w).sum();
                    let score = score + readout.intercepts[class];
                    assert!((score - predict(&exact, &rows[case])).abs() < 1e-8, "{cases} cases, {case}");
                }
                assert_eq!(readout.weights[class][width - 1], 0.0, "a constant feature has no weight");
            }
        }
    }

    #[test]
    fn features_that_say_nothing_give_the_mean_and_no_division_by_zero() {
        let block = Block::new(&vec![vec![1.0; 5]; 4]);
        let targets = Mat::from_fn(4, 1, |case, _| [1.0, 1.0, 1.0, -1.0][case]);
        let spectrum = Spectrum::new(&[(&block, 1.0)]).unwrap();
        let scores = spectrum.left_out(&targets, PENALTY);
        // The mean of the other three.
        let exact = [1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 1.0];
        assert!((0..4).all(|case| (scores[(case, 0)] - exact[case]).abs() < 1e-12), "{scores:?}");
        assert_eq!(spectrum.readout(&[(&block, 1.0)], &targets, PENALTY).intercepts, [0.5]);
    }
}
