//! Whether one version forecasts better than another, judged on the requests that both have forecast.
//!
//! For each request the loss differential is d = |error of the newer| − |error of the older|, averaged over the steps ahead
//! and targets whose truth is known. The question is that of Diebold and Mariano (1995): is the mean of d zero? Differentials
//! of requests that lie near each other in time are alike, because their horizons overlap, so their plain variance would find
//! differences that are not there. Here the variance comes from **batch means** (Schmeiser 1982): the differentials, in
//! the order in which the forecasts were made, are cut into [`BATCHES`] stretches of equal length, and
//!
//! > mean ± t · s / √[`BATCHES`]
//!
//! with s the standard deviation of the stretches' means and t Student's quantile at 19 degrees of freedom. It needs no
//! bandwidth, and holds for any dependence that is short beside a stretch; so no verdict comes before a stretch has as many
//! requests as the forecasts have steps. The interval is one of 99 %, because verdicts are looked at again and again.

use super::WINDOW;
use spinwell_core::ModelVersion;
use std::collections::BTreeMap;

/// Stretches; Schmeiser finds little to gain beyond 10 to 30.
const BATCHES: usize = 20;
/// Student's t at 99.5 % with `BATCHES` − 1 degrees of freedom.
const STUDENT: f64 = 2.860_934_6;
/// Requests below which nothing is said.
const REQUESTS_MIN: usize = 200;

/// What the differential of a request takes, with its share of what a map keeps free.
const REQUEST_BYTES: usize = 64;

/// What is said of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its errors are smaller.
    Better,
    /// Its errors are larger.
    Worse,
    /// The interval of the difference holds zero.
    NoDifferenceYet,
    /// Too few requests have been forecast by both and got their truth.
    NotEnoughData,
}

impl Verdict {
    /// The verdict in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::NoDifferenceYet => "no difference yet",
            Verdict::NotEnoughData => "not enough data",
        }
    }
}

/// A version beside an older one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// Which is judged.
    pub version: ModelVersion,
    /// What it is judged against.
    pub against: ModelVersion,
    /// Requests that both have forecast and whose truth is known, the newest.
    pub requests: usize,
    /// Requests from which there is a verdict.
    pub requests_min: usize,
    /// The mean difference of their absolute errors, in the data's units: below zero where `version` has the smaller ones.
    pub mean_difference: Option<f64>,
    /// The 99 % interval of that mean, once there are enough requests.
    pub interval: Option<(f64, f64)>,
    /// What follows, of the requests that both have forecast.
    pub verdict: Verdict,
    /// Requests that `version` failed, whether or not the other one was asked: they are in no difference.
    pub failed_total: u64,
    /// Those that `against` failed.
    pub against_failed_total: u64,
}

/// The differentials of two versions.
#[derive(Debug, Default)]
pub(super) struct Pair {
    /// By the number of the request, so in the order of forecasts: the sum over steps ahead, and how many.
    requests: BTreeMap<u64, (f64, u32)>,
    /// Steps ahead that both have forecast.
    horizon: usize,
}

impl Pair {
    /// Adds the differential of a step ahead, from 0.
    pub(super) fn add(&mut self, ordinal: u64, step: usize, difference: f64) {
        self.horizon = self.horizon.max(step + 1);
        let request = self.requests.entry(ordinal).or_default();
        request.0 += difference;
        request.1 += 1;
        if self.requests.len() > WINDOW {
            self.requests.pop_first();
        }
    }

    /// Bytes that it takes, with what a map keeps free.
    pub(super) fn bytes(&self) -> usize {
        self.requests.len() * REQUEST_BYTES
    }

    pub(super) fn compare(&self, version: ModelVersion, against: ModelVersion) -> Comparison {
        let differences: Vec<f64> =
            self.requests.values().map(|(sum, steps)| sum / f64::from(*steps)).collect();
        let requests = differences.len();
        let requests_min = REQUESTS_MIN.max(BATCHES * self.horizon).min(WINDOW);
        let mean_difference = mean(&differences);
        let interval = (requests >= requests_min).then(|| interval(&differences)).flatten();
        let verdict = match interval {
            None => Verdict::NotEnoughData,
            Some((_, upper)) if upper < 0.0 => Verdict::Better,
            Some((lower, _)) if lower > 0.0 => Verdict::Worse,
            Some(_) => Verdict::NoDifferenceYet,
        };
        let (failed_total, against_failed_total) = (0, 0);
        Comparison {
            version,
            against,
            requests,
            requests_min,
            mean_difference,
            interval,
            verdict,
            failed_total,
            against_failed_total,
        }
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The interval of the mean, from the means of stretches. The oldest values that fill no stretch stay outside of the spread.
fn interval(differences: &[f64]) -> Option<(f64, f64)> {
    let length = differences.len() / BATCHES;
    let stretches = differences.rchunks_exact(length.max(1)).take(BATCHES);
    let means: Vec<f64> = stretches.filter_map(mean).collect();
    let centre = mean(&means).filter(|_| means.len() == BATCHES)?;
    let squares: f64 = means.iter().map(|one| (one - centre).powi(2)).sum();
    let half = STUDENT * (squares / (BATCHES - 1) as f64 / BATCHES as f64).sqrt();
    let middle = mean(differences)?;
    Some((middle - half, middle + half))
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::Rng;

    fn judged(requests: usize, horizon: usize, mut difference: impl FnMut(usize) -> f64) -> Comparison {
        let mut pair = Pair::default();
        for request in 0..requests {
            let difference = difference(request);
            (0..horizon).for_each(|step| pair.add(request as u64, step, difference));
        }
        pair.compare(ModelVersion(2), ModelVersion(1))
    }

    #[test]
    fn a_verdict_needs_requests_and_a_difference() {
        let check = |requests, horizon, mean: f64, wanted: Verdict| {
            // Of alternating sign, so that stretches have the mean that they should.
            let found = judged(requests, horizon, |request| mean + if request % 2 == 0 { 0.5 } else { -0.5 });
            assert_eq!(found.verdict, wanted, "{requests} requests, {horizon} steps: {found:?}");
        };
        check(0, 1, 0.0, Verdict::NotEnoughData);
        check(199, 1, -1.0, Verdict::NotEnoughData);
        check(200, 1, -1.0, Verdict::Better);
        check(200, 1, 1.0, Verdict::Worse);
        check(200, 1, 0.0, Verdict::NoDifferenceYet);
        check(200, 48, -1.0, Verdict::NotEnoughData);
        check(960, 48, -1.0, Verdict::Better);
        check(9_000, 2, 1.0, Verdict::Worse);
        assert_eq!(judged(9_000, 1, |_| 0.0).requests, WINDOW);
    }

    #[test]
    fn overlapping_horizons_do_not_make_differences_out_of_nothing() {
        // Moving sums of 24 draws, as forecasts of 24 steps have them: no difference, strongly dependent.
        let mut rng = Rng::seeded(7);
        let mut found = 0;
        for _ in 0..200 {
            let mut recent = std::collections::VecDeque::from(vec![0.0; 24]);
            let comparison = judged(1_000, 24, |_| {
                recent.pop_front();
                recent.push_back(rng.uniform() - 0.5);
                recent.iter().sum::<f64>()
            });
            found += usize::from(comparison.verdict != Verdict::NoDifferenceYet);
        }
        // The plain interval finds one in more than half of the cases; 1 % is what was asked for.
        assert!(found <= 14, "{found} of 200");
    }
}
