//! From scores to probabilities: a softmax with one temperature, fitted on scores of cases left out of the fit.
//!
//! Ridge scores order the classes well but their size means nothing. One factor for all of them is the calibration
//! that cannot change which class wins and needs the fewest cases (Guo et al. 2017, "On calibration of modern neural
//! networks", §4.2). It is fitted to targets that leave a little probability to the other classes, as if one more case
//! of each kind had been seen (Platt 1999, §2.2), so that a set without a single error does not end in certainty.

use faer::Mat;

/// Bounds of the factor's logarithm: probabilities all alike, to certainty at the smallest difference.
const LOG_FACTOR: (f64, f64) = (-6.0, 8.0);
/// Steps of the golden-section search: the bracket shrinks to a millionth.
const STEPS: usize = 35;

/// 1/13 to 1/1.
const INVERSES: [f64; 13] = {
    let mut inverses = [0.0; 13];
    let mut place = 0;
    while place < 13 {
        inverses[place] = 1.0 / (13 - place) as f64;
        place += 1;
    }
    inverses
};

/// e to the power `x` for `x` of at most 0, within 4 units in the last place; 0 below -700.
///
/// Our own, because the platform's may differ in the last bit: ln 2 is taken out in two parts, and the remainder of
/// at most 0.35 goes through the Taylor series to degree 13, whose next term is below 5e-18.
fn exp(x: f64) -> f64 {
    if x.is_nan() || x < -700.0 {
        return 0.0;
    }
    // Adding and subtracting 1.5·2^52 rounds to a whole number.
    let round = 6_755_399_441_055_744.0;
    let shifted = x * std::f64::consts::LOG2_E + round;
    let k = shifted - round;
    // The first part of ln 2 ends in zeros, so that its product with k is exact.
    let r = (x - k * 0.693_147_180_369_123_8) - k * 1.908_214_929_270_587_7e-10;
    let mut sum = 1.0;
    for inverse in INVERSES {
        sum = 1.0 + sum * (r * inverse);
    }
    // 2^k by its exponent bits; k is at least -1010, so the result is a normal number.
    sum * f64::from_bits(((k as i64 + 1023) as u64) << 52)
}

/// Replaces scores by probabilities that sum to 1 within rounding. A score that is not finite, which only a forged
/// file can bring about, counts as 0.
pub(crate) fn softmax(scores: &mut [f64], factor: f64) {
    for score in scores.iter_mut() {
        *score = if score.is_finite() { (*score * factor).clamp(-1e300, 1e300) } else { 0.0 };
    }
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = exp(*score - largest);
        sum += *score;
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// How scores become probabilities, and how good those are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Calibration {
    /// What scores are multiplied by: the inverse of the temperature.
    pub(crate) factor: f64,
    /// Cross-entropy of each case with its softened target.
    pub(crate) losses: Vec<f64>,
    /// Their mean.
    pub(crate) log_loss: f64,
    /// Cases whose own class has the highest score.
    pub(crate) right: usize,
}

/// Fits the factor to the scores of cases (rows) that were left out.
pub(crate) fn calibrate(scores: &Mat<f64>, labels: &[usize]) -> Calibration {
    // Golden-section search: the loss is convex in the factor, hence has one minimum in its logarithm.
    let golden = 0.618_033_988_749_894_9;
    let (mut low, mut high) = LOG_FACTOR;
    // As if one more case had been seen, of no class in particular.
    let share = 1.0 / (labels.len() as f64 + 2.0);
    let loss = |log: f64| losses(scores, labels, log.exp(), share).sum::<f64>();
    let (mut left, mut right) = (high - golden * (high - low), low + golden * (high - low));
    let (mut at_left, mut at_right) = (loss(left), loss(right));
    for _ in 0..STEPS {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - golden * (high - low);
            at_left = loss(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + golden * (high - low);
            at_right = loss(right);
        }
    }
    let factor = (0.5 * (low + high)).exp();
    let row = |case: usize| (0..scores.ncols()).map(move |class| scores[(case, class)]);
    let right = labels.iter().enumerate().filter(|&(case, &label)| best(row(case)) == label).count();
    let losses: Vec<f64> = losses(scores, labels, factor, share).collect();
    let log_loss = losses.iter().sum::<f64>() / labels.len() as f64;
    Calibration { factor, losses, log_loss, right }
}

/// The place of the highest score; of equal ones the first.
pub(crate) fn best(scores: impl Iterator<Item = f64>) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (place, score) in scores.enumerate() {
        if score > best.1 {
            best = (place, score);
        }
    }
    best.0
}

/// The cross-entropy of each case where `share` of its target is spread over all classes.
fn losses(scores: &Mat<f64>, labels: &[usize], factor: f64, share: f64) -> impl Iterator<Item = f64> {
    let classes = scores.ncols();
    labels.iter().enumerate().map(move |(case, &label)| {
        let scaled = |class: usize| scores[(case, class)] * factor;
        let largest = (0..classes).map(scaled).fold(f64::NEG_INFINITY, f64::max);
        let log_sum = (0..classes).map(|class| exp(scaled(class) - largest)).sum::<f64>().ln() + largest;
        let mean = (0..classes).map(scaled).sum::<f64>() / classes as f64;
        log_sum - (1.0 - share) * scaled(label) - share * mean
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::Rng;

    #[test]
    fn the_exponential_is_that_of_the_platform_to_the_last_places() {
        assert_eq!((exp(0.0), exp(-701.0), exp(f64::NEG_INFINITY), exp(f64::NAN)), (1.0, 0.0, 0.0, 0.0));
        for step in 0..70_000 {
            let x = -0.01 * f64::from(step);
            assert!((exp(x) - x.exp()).abs() <= 4.0 * f64::EPSILON * x.exp(), "{x}");
        }
    }

    #[test]
    fn probabilities_sum_to_one_whatever_the_scores() {
        for scores in [[1.0, -1.0, 0.5], [1e308, -1e308, 1e308], [f64::NAN, f64::INFINITY, 3.0], [0.0; 3]] {
            for factor in [1e-3, 1.0, 3000.0] {
                let mut scores = scores;
                softmax(&mut scores, factor);
                assert!((scores.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{scores:?}");
            }
        }
    }

    #[test]
    fn the_factor_is_found_that_made_the_labels() {
        // Labels drawn with the probabilities of scores times 3: that factor must come back.
        let mut rng = Rng::seeded(8);
        let scores = Mat::from_fn(4000, 3, |_, _| rng.normal());
        let labels: Vec<usize> = (0..4000)
            .map(|case| {
                let mut p = [0, 1, 2].map(|class| scores[(case, class)]);
                softmax(&mut p, 3.0);
                let draw = rng.uniform();
                usize::from(draw > p[0]) + usize::from(draw > p[0] + p[1])
            })
            .collect();
        let calibration = calibrate(&scores, &labels);
        assert!((calibration.factor - 3.0).abs() < 0.2, "{calibration:?}");
    }

    #[test]
    fn scores_without_an_error_do_not_end_in_certainty_and_useless_ones_end_in_chance() {
        let labels: Vec<usize> = (0..50).map(|case| case % 2).collect();
        let scores = Mat::from_fn(50, 2, |case, class| if case % 2 == class { 1.0 } else { -1.0 });
        let perfect = calibrate(&scores, &labels);
        // The entropy of a target of which 1/52 is spread over two classes.
        let rest = 0.5 / 52.0f64;
        let least = -rest * rest.ln() - (1.0 - rest) * (1.0 - rest).ln();
        assert!(perfect.right == 50 && (perfect.log_loss - least).abs() < 1e-9, "{perfect:?}");
        let wrong = calibrate(&Mat::from_fn(50, 2, |r, c| -scores[(r, c)]), &labels);
        assert!(wrong.right == 0 && (wrong.log_loss - 2f64.ln()).abs() < 0.01, "{wrong:?}");
    }
}
