//! What single figures hide: whether probabilities come true, whether errors still hold a pattern, how coverage
//! runs over time, and how many independent forecasts a share rests on.
//!
//! Forecasts of several rows ahead overlap, so their hits come in runs and thousands of them may say no more than a
//! hundred independent ones. [`effective_sample_size`] therefore measures the dependence instead of assuming it away.
//!
//! ```
//! use spinwell_engine::metrics::{Hits, effective_sample_size, plausible};
//!
//! // Runs of four alike say as much as one.
//! let runs: Vec<Hits> = (0..400).map(|t| Hits { inside: usize::from(t / 4 % 3 > 0), count: 1 }).collect();
//! let n = effective_sample_size(&runs);
//! assert!(n < 400.0);
//! let (low, high) = plausible(0.66, n);
//! assert!(low < 0.66 && 0.66 < high);
//! ```

/// Sums of autocovariances stop here at the latest: beyond, they are noise and cost time.
const LAGS_MAX: usize = 2000;
/// The two-sided 95 % point of the normal distribution.
const NORMAL_95: f64 = 1.959_963_984_540_054;

/// Forecasts whose probability fell into one bin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReliabilityBin {
    /// Lower end of the bin.
    pub low: f64,
    /// Upper end of the bin.
    pub high: f64,
    /// How many.
    pub count: usize,
    /// The mean probability that was said.
    pub predicted: f64,
    /// The share that came true.
    pub observed: f64,
}

/// Whether what was said with a probability comes true that often.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reliability {
    /// Bins that hold anything, in order.
    pub bins: Vec<ReliabilityBin>,
    /// Mean distance between said and seen over the bins, weighted by their counts (Naeini et al. 2015).
    pub expected_calibration_error: f64,
}

impl Reliability {
    /// How many forecasts there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.bins.iter().map(|bin| bin.count).sum()
    }

    /// The share of all that came true.
    #[must_use]
    pub fn observed(&self) -> f64 {
        let right: f64 = self.bins.iter().map(|bin| bin.observed * bin.count as f64).sum();
        right / self.count().max(1) as f64
    }
}

/// Sorts (probability, came true) pairs into `bins` equal parts of [0, 1].
///
/// # Panics
/// Where `bins` is 0.
#[must_use]
pub fn reliability(said: impl IntoIterator<Item = (f64, bool)>, bins: usize) -> Reliability {
    assert!(bins > 0, "no bin");
    let mut sums = vec![(0usize, 0.0, 0usize); bins];
    for (probability, came_true) in said {
        let place = ((probability * bins as f64) as usize).min(bins - 1);
        let (count, predicted, right) = &mut sums[place];
        *count += 1;
        *predicted += probability;
        *right += usize::from(came_true);
    }
    let total = sums.iter().map(|sum| sum.0).sum::<usize>().max(1) as f64;
    let bin = |(place, (count, predicted, right)): (usize, (usize, f64, usize))| ReliabilityBin {
        low: place as f64 / bins as f64,
        high: (place + 1) as f64 / bins as f64,
        count,
        predicted: predicted / count as f64,
        observed: right as f64 / count as f64,
    };
    let bins: Vec<ReliabilityBin> =
        sums.into_iter().enumerate().filter(|(_, sum)| sum.0 > 0).map(bin).collect();
    let distance = |bin: &ReliabilityBin| bin.count as f64 / total * (bin.predicted - bin.observed).abs();
    Reliability { expected_calibration_error: bins.iter().map(distance).sum(), bins }
}

/// The autocorrelation of values at lags 1 to `lags`, about their mean, with the usual divisor n. What is missing
/// stands at the mean, so that the others keep their distance; all are 0 for a constant.
#[must_use]
pub fn autocorrelation(values: &[Option<f64>], lags: usize) -> Vec<f64> {
    let known = values.iter().flatten();
    let mean = known.clone().sum::<f64>() / known.count().max(1) as f64;
    let deviations: Vec<f64> = values.iter().map(|value| value.map_or(0.0, |value| value - mean)).collect();
    let variance = covariance(&deviations, 0);
    (1..=lags).map(|lag| if variance > 0.0 { covariance(&deviations, lag) / variance } else { 0.0 }).collect()
}

/// Half the width of the band that holds 95 % of the autocorrelations of `count` values without any pattern.
#[must_use]
pub fn autocorrelation_bound(count: usize) -> f64 {
    NORMAL_95 / (count.max(1) as f64).sqrt()
}

fn covariance(deviations: &[f64], lag: usize) -> f64 {
    let pairs = deviations.iter().zip(deviations.iter().skip(lag));
    pairs.map(|(a, b)| a * b).sum::<f64>() / deviations.len().max(1) as f64
}

/// The share of hits among each `length` consecutive ones; of all where there are fewer.
#[must_use]
pub fn rolling_share(hits: &[bool], length: usize) -> Vec<f64> {
    let length = length.min(hits.len());
    if length == 0 {
        return Vec::new();
    }
    let mut inside = hits[..length].iter().filter(|&&hit| hit).count();
    let mut shares = vec![inside as f64 / length as f64];
    for at in length..hits.len() {
        inside = inside + usize::from(hits[at]) - usize::from(hits[at - length]);
        shares.push(inside as f64 / length as f64);
    }
    shares
}

/// The hits among the forecasts made from one origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hits {
    /// How many hit.
    pub inside: usize,
    /// Of how many.
    pub count: usize,
}

/// How many independent forecasts would fix the share of hits as well as these, which are in order of their origins.
///
/// The variance of the share is estimated from the origins' deviations and their autocovariances, summed as long as
/// pairs of neighbouring lags stay positive (Geyer 1992, the initial positive sequence). Where every forecast hit, or none, nothing shows how they
/// depend on each other, and each origin counts once.
#[must_use]
pub fn effective_sample_size(origins: &[Hits]) -> f64 {
    let count: usize = origins.iter().map(|hits| hits.count).sum();
    let inside: usize = origins.iter().map(|hits| hits.inside).sum();
    if count == 0 {
        return 0.0;
    }
    let share = inside as f64 / count as f64;
    if inside == 0 || inside == count {
        return origins.iter().filter(|hits| hits.count > 0).count() as f64;
    }
    let deviations: Vec<f64> =
        origins.iter().map(|hits| hits.inside as f64 - share * hits.count as f64).collect();
    let lags = (deviations.len() / 2).clamp(1, LAGS_MAX);
    let pairs =
        (0..lags).step_by(2).map(|lag| covariance(&deviations, lag) + covariance(&deviations, lag + 1));
    let sum = 2.0 * pairs.take_while(|pair| *pair > 0.0).sum::<f64>() - covariance(&deviations, 0);
    let variance = sum * origins.len() as f64 / (count as f64).powi(2);
    if variance > 0.0 { (share * (1.0 - share) / variance).clamp(1.0, count as f64) } else { count as f64 }
}

/// The shares that are plausible at 95 % where `share` was seen among `count` independent ones (Wilson 1927).
#[must_use]
pub fn plausible(share: f64, count: f64) -> (f64, f64) {
    if count <= 0.0 {
        return (0.0, 1.0);
    }
    let square = NORMAL_95 * NORMAL_95;
    let middle = (share + square / (2.0 * count)) / (1.0 + square / count);
    let spread = NORMAL_95 * (share * (1.0 - share) / count + square / (4.0 * count * count)).sqrt();
    let half = spread / (1.0 + square / count);
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::Rng;

    fn near(got: f64, wanted: f64, tolerance: f64) {
        assert!((got - wanted).abs() <= tolerance, "{got} is not {wanted}");
    }

    #[test]
    fn bins_hold_their_mean_and_their_share_and_leave_out_the_empty() {
        let said = [(0.55, true), (0.58, false), (0.9, true), (0.95, true), (0.95, false), (1.0, true)];
        let found = reliability(said, 10);
        let bins: Vec<_> = found.bins.iter().map(|bin| (bin.low, bin.high, bin.count)).collect();
        assert_eq!(bins, [(0.5, 0.6, 2), (0.9, 1.0, 4)]);
        near(found.bins[0].predicted, 0.565, 1e-12);
        near(found.bins[0].observed, 0.5, 0.0);
        near(found.bins[1].predicted, 0.95, 1e-12);
        near(found.bins[1].observed, 0.75, 0.0);
        // 2/6 of |0.565 - 0.5| and 4/6 of |0.95 - 0.75|.
        near(found.expected_calibration_error, 2.0 / 6.0 * 0.065 + 4.0 / 6.0 * 0.2, 1e-12);
        assert_eq!(found.count(), 6);
        near(found.observed(), 4.0 / 6.0, 1e-12);
        assert_eq!(reliability([], 10), Reliability::default());
    }

    #[test]
    fn autocorrelations_computed_by_hand() {
        // Mean 2, deviations -1, 0, 1, 0, variance 1/2; lag 1: (0 + 0 + 0)/4; lag 2: (-1 + 0)/4.
        let values = [1.0, 2.0, 3.0, 2.0].map(Some);
        assert_eq!(autocorrelation(&values, 3), [0.0, -0.5, 0.0]);
        // A missing value leaves the deviations -1, -, 1: lag 1 has no pair, lag 2 has -1/3 over 2/3.
        assert_eq!(autocorrelation(&[Some(1.0), None, Some(3.0)], 2), [0.0, -0.5]);
        assert_eq!(autocorrelation(&[Some(5.0); 4], 2), [0.0, 0.0]);
        assert_eq!(autocorrelation(&[], 1), [0.0]);
        near(autocorrelation_bound(400), 0.098, 1e-4);
    }

    #[test]
    fn an_autoregression_shows_its_powers_and_noise_stays_inside_the_bound() {
        let mut rng = Rng::seeded(5);
        let noise: Vec<Option<f64>> = (0..20_000).map(|_| Some(rng.uniform() - 0.5)).collect();
        let inside = autocorrelation(&noise, 100);
        let bound = autocorrelation_bound(noise.len());
        assert!(inside.iter().filter(|value| value.abs() > bound).count() <= 12, "{inside:?}");
        let mut level = 0.0;
        let remembering: Vec<Option<f64>> = noise
            .iter()
            .flatten()
            .map(|push| {
                level = 0.8 * level + push;
                Some(level)
            })
            .collect();
        for (lag, value) in autocorrelation(&remembering, 5).into_iter().enumerate() {
            near(value, 0.8f64.powi(lag as i32 + 1), 0.03);
        }
    }

    #[test]
    fn shares_roll_as_counted_by_hand() {
        let hits = [true, true, false, true, false, false];
        assert_eq!(rolling_share(&hits, 3), [2.0 / 3.0, 2.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0]);
        assert_eq!(rolling_share(&hits, 100), [0.5]);
        assert!(rolling_share(&[], 3).is_empty());
        let long: Vec<bool> = (0..1000u32).map(|t| t * 7919 % 13 > 1).collect();
        let worst = rolling_share(&long, 200).into_iter().fold(1.0, f64::min);
        assert_eq!(worst, super::super::worst_rolling(&long, 200));
    }

    fn chain(seed: u64, stay: f64, steps: usize) -> Vec<Hits> {
        let mut rng = Rng::seeded(seed);
        let mut inside = true;
        let mut one = || {
            inside = if rng.uniform() < stay { inside } else { rng.uniform() < 0.9 };
            Hits { inside: usize::from(inside) * steps, count: steps }
        };
        (0..50_000).map(|_| one()).collect()
    }

    #[test]
    fn runs_and_copies_of_hits_count_for_what_they_say() {
        // A chain that keeps its state with probability r has autocorrelations r^k, so n (1 - r) / (1 + r) remain.
        for stay in [0.0, 0.5, 0.8] {
            let n = effective_sample_size(&chain(11, stay, 1));
            let wanted = 50_000.0 * (1.0 - stay) / (1.0 + stay);
            assert!((n / wanted - 1.0).abs() < 0.12, "{stay}: {n} is not {wanted}");
        }
        // Four steps that always share their fate are worth one.
        let (single, copied) =
            (effective_sample_size(&chain(11, 0.5, 1)), effective_sample_size(&chain(11, 0.5, 4)));
        near(single, copied, 1e-6 * single);
        let always = [Hits { inside: 3, count: 3 }; 10];
        assert_eq!(effective_sample_size(&always), 10.0);
        assert_eq!(effective_sample_size(&[]), 0.0);
    }

    #[test]
    fn plausible_shares_are_those_of_wilson() {
        // 9 of 10: 0.5958 to 0.9821, from the published formula.
        let (low, high) = plausible(0.9, 10.0);
        near(low, 0.5958, 1e-4);
        near(high, 0.9821, 1e-4);
        assert_eq!(plausible(0.5, 0.0), (0.0, 1.0));
        assert_eq!(plausible(1.0, 100.0).1, 1.0);
    }
}
