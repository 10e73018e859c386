//! Noise of read-outs that are averages of a finite number of shots.
//!
//! One shot of Z gives ±1, so the average of N has variance (1 − ⟨Z⟩²)/N and is close to normal. The noise of a row
//! depends on the seed, the row's number and the feature only, so that replaying a stream gives the same bits.

use spinwell_core::Rng;

/// Words of random bits behind one number.
const WORDS: u32 = 4;

/// Adds the noise of `shots` shots to the features of row `row`. The results stay within ±1, as averages of ±1 do.
pub(crate) fn add_noise(features: &mut [f64], shots: u64, seed: u64, row: u64) {
    let mut rng = Rng::seeded(seed).fork(row);
    for feature in features {
        let variance = (1.0 - *feature * *feature).max(0.0) / shots as f64;
        *feature = (*feature + variance.sqrt() * nearly_normal(&mut rng)).clamp(-1.0, 1.0);
    }
}

/// A number of mean 0 and variance 1, normal to within 4e-4 in its distribution function and within ±17: the ones
/// among 256 random bits, with a uniform number to fill the gaps between whole numbers. It takes no logarithm, whose
/// bits differ between machines.
fn nearly_normal(rng: &mut Rng) -> f64 {
    let ones: u32 = (0..WORDS).map(|_| rng.next_u64().count_ones()).sum();
    let bits = f64::from(64 * WORDS);
    (f64::from(ones) - 0.5 * bits + rng.uniform() - 0.5) / (0.25 * bits + 1.0 / 12.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_the_variance_of_an_average_of_shots() {
        let (shots, rows) = (400, 20_000);
        for expectation in [0.0, 0.6, -0.95] {
            let deviations: Vec<f64> = (1..=rows)
                .map(|row| {
                    let mut features = [0.3, expectation];
                    add_noise(&mut features, shots, 7, row);
                    features[1] - expectation
                })
                .collect();
            let mean = deviations.iter().sum::<f64>() / rows as f64;
            let variance = deviations.iter().map(|d| d * d).sum::<f64>() / rows as f64;
            let expected = (1.0 - expectation * expectation) / shots as f64;
            assert!(mean.abs() < 5.0 * (expected / rows as f64).sqrt(), "{expectation}: mean {mean}");
            assert!((variance / expected - 1.0).abs() < 0.05, "{expectation}: {variance}, not {expected}");
        }
    }

    #[test]
    fn its_distribution_is_normal() {
        let mut rng = Rng::seeded(2);
        let mut sample: Vec<f64> = (0..200_000).map(|_| nearly_normal(&mut rng)).collect();
        sample.sort_by(f64::total_cmp);
        // Quantiles of the standard normal distribution, from a table.
        for (share, quantile) in
            [(0.001, -3.0902), (0.025, -1.95996), (0.2, -0.84162), (0.5, 0.0), (0.975, 1.95996)]
        {
            let empirical = sample.partition_point(|&value| value < quantile) as f64 / sample.len() as f64;
            let tolerance = 4.0 * (share * (1.0 - share) / sample.len() as f64).sqrt() + 4e-4;
            assert!((empirical - share).abs() < tolerance, "{share}: {empirical}");
        }
    }

    #[test]
    fn the_same_row_has_the_same_noise_and_another_row_another() {
        let noisy = |seed, row| {
            let mut features = [0.1; 6];
            add_noise(&mut features, 100, seed, row);
            features
        };
        assert_eq!(noisy(1, 5), noisy(1, 5));
        assert_ne!(noisy(1, 5), noisy(1, 6));
        assert_ne!(noisy(1, 5), noisy(2, 5));
        assert_ne!(noisy(1, 5)[0], noisy(1, 5)[1]);
    }

    #[test]
    fn an_average_of_shots_stays_within_one() {
        let mut features = vec![0.9; 2000];
        add_noise(&mut features, 1, 3, 1);
        assert!(features.iter().all(|feature| feature.abs() <= 1.0));
        let mut certain = [1.0, -1.0];
        add_noise(&mut certain, 1, 3, 1);
        assert_eq!(certain, [1.0, -1.0]);
    }
}
