//! What a node has earned: how fast it answered, how often it failed, for how long it has been here.

use crate::breaker::Class;
use std::time::{Duration, Instant};

/// A failure counts as an answer so many times slower than what is usual at the node.
const FAILURE: f64 = 4.0;
/// What is usual where nothing was measured yet: a failure then counts as four times this.
const UNKNOWN: f64 = 0.25;
/// A failure counts for no more seconds than this, if it did not take longer: so whoever failed often is tried again within a
/// minute.
const FAILURE_MAX: f64 = 5.0;
/// Share of the newest answer in the mean latency.
const MEAN_NEWEST: f64 = 0.05;
/// Share of the newest end in the share of successes.
const END_NEWEST: f64 = 0.1;
/// What a new node has of its weight, and the least that slowness and failures leave.
const SLOW_START_MIN: f64 = 0.1;
const LEFT_MIN: f64 = 1e-3;
/// So many times slower than its peers a node may be before it loses weight.
const SLOW: f64 = 2.0;
/// Why slowness and failures cost this power: what is twice too slow should get less than its share of a hundredth, or
/// it makes the P99 of all.
const POWER: i32 = 4;

/// What a node has earned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Earned {
    joined: Instant,
    /// Seconds: the highest lately, which decays.
    peak: Option<f64>,
    /// Seconds, on average.
    mean: Option<f64>,
    /// When both were measured last.
    measured: Instant,
    /// Share of successes, 1 where there are none.
    success: f64,
    ended: Instant,
}

impl Earned {
    pub(super) fn new(now: Instant) -> Self {
        Self { joined: now, peak: None, mean: None, measured: now, success: 1.0, ended: now }
    }

    /// An attempt has ended after so many seconds, with `decay` as the time in which what was measured fades.
    pub(super) fn end(&mut self, class: Class, latency: f64, decay: Duration, now: Instant) {
        if class == Class::Neutral {
            return;
        }
        let is_failure = class == Class::Failure;
        self.success = self.success(decay, now);
        self.success += END_NEWEST * (f64::from(u8::from(!is_failure)) - self.success);
        self.ended = self.ended.max(now);
        let (peak, mean) = if is_failure {
            let usual = self.peak(decay, now).unwrap_or(UNKNOWN);
            // The mean is what paces a node; failures cost it weight by their own share already.
            ((FAILURE * usual).min(FAILURE_MAX).max(latency), latency.max(self.mean.unwrap_or(latency)))
        } else {
            (latency, latency)
        };
        let left = left(self.measured, decay, now);
        self.peak = Some(match self.peak {
            Some(before) if peak < before => before * left + peak * (1.0 - left),
            _ => peak,
        });
        self.mean = Some(self.mean.map_or(mean, |before| before + MEAN_NEWEST * (mean - before)));
        self.measured = self.measured.max(now);
    }

    /// Peak EWMA (as in Finagle and tower): a rise counts at once, a fall with time, and silence as a fall, so that a node that
    /// was slow is tried again. In seconds.
    pub(super) fn peak(&self, decay: Duration, now: Instant) -> Option<f64> {
        self.peak.map(|peak| peak * left(self.measured, decay, now))
    }

    /// Seconds on average.
    pub(super) fn mean(&self) -> Option<f64> {
        self.mean
    }

    /// What is left of its weight, in (0, 1]: how long it has been here (Envoy's slow start, with aggression 1) and how
    /// often it failed.
    pub(super) fn left(&self, slow_start: Duration, decay: Duration, now: Instant) -> f64 {
        let here = now.saturating_duration_since(self.joined).as_secs_f64();
        let started = (here / slow_start.as_secs_f64().max(1e-9)).clamp(SLOW_START_MIN, 1.0);
        started * self.success(decay, now).powi(POWER).max(LEFT_MIN)
    }

    /// What slowness leaves of its weight, in (0, 1]: (2 · what is usual among peers ÷ its own mean)⁴, where that is below
    /// 1. Its own mean turns into the usual one while nothing is measured, so that it is tried again.
    pub(super) fn pace(&self, usual: Option<f64>, decay: Duration, now: Instant) -> f64 {
        let (Some(mean), Some(usual)) = (self.mean, usual) else { return 1.0 };
        let mean = usual + (mean - usual) * left(self.measured, decay, now);
        (SLOW * usual / mean.max(1e-9)).min(1.0).powi(POWER).max(LEFT_MIN)
    }

    fn success(&self, decay: Duration, now: Instant) -> f64 {
        1.0 - (1.0 - self.success) * left(self.ended, decay, now)
    }
}

/// What is left of something after a while, in (0, 1].
fn left(since: Instant, decay: Duration, now: Instant) -> f64 {
    (-now.saturating_duration_since(since).as_secs_f64() / decay.as_secs_f64().max(1e-9)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECAY: Duration = Duration::from_secs(10);

    #[allow(clippy::disallowed_methods, reason = "any instant will do as the tests' zero")]
    fn story(ends: &[(Class, f64)]) -> (Earned, Instant) {
        let zero = Instant::now();
        let mut earned = Earned::new(zero);
        let now = zero + Duration::from_secs(60);
        ends.iter().for_each(|&(class, latency)| earned.end(class, latency, DECAY, now));
        (earned, now)
    }

    #[test]
    fn a_failure_is_never_a_fast_answer() {
        let check = |ends: &[(Class, f64)], wanted: f64| {
            let (earned, now) = story(ends);
            let peak = earned.peak(DECAY, now).unwrap();
            assert!((peak - wanted).abs() < 1e-9, "{ends:?}: {peak}");
        };
        check(&[(Class::Failure, 1e-4)], 1.0);
        check(&[(Class::Success, 0.02), (Class::Failure, 1e-4)], 0.08);
        check(&[(Class::Success, 0.02), (Class::Failure, 2.5)], 2.5);
        check(&[(Class::Success, 0.02), (Class::Neutral, 1e-4)], 0.02);
        check(&[(Class::Failure, 1e-4); 20], 5.0);
        check(&[(Class::Failure, 8.0); 20], 8.0);
    }

    #[test]
    fn peaks_count_at_once_and_fade() {
        let (earned, now) = story(&[(Class::Success, 0.02), (Class::Success, 0.5), (Class::Success, 0.02)]);
        assert_eq!(earned.peak(DECAY, now), Some(0.5));
        let later = earned.peak(DECAY, now + DECAY).unwrap();
        assert!((later - 0.5 / std::f64::consts::E).abs() < 1e-9);
    }

    #[test]
    fn weight_is_lost_by_failures_and_slowness_and_comes_back() {
        let (earned, now) = story(&[(Class::Failure, 0.1); 10]);
        let (then, later) = (earned.left(DECAY, DECAY, now), earned.left(DECAY, DECAY, now + 4 * DECAY));
        assert!(then < 0.02 && later > 0.9, "{then} {later}");
        let (slow, now) = story(&[(Class::Success, 0.1); 50]);
        let pace = |usual: f64| slow.pace(Some(usual), DECAY, now);
        assert_eq!((pace(0.1), pace(0.05)), (1.0, 1.0));
        assert!((pace(0.025) - 0.0625).abs() < 1e-9 && pace(0.02) < 0.03);
        assert!(slow.pace(Some(0.02), DECAY, now + 3 * DECAY) > 0.9);
    }

    #[test]
    fn who_is_new_starts_slowly() {
        let (earned, _) = story(&[]);
        let after = |secs: u64| {
            earned.left(Duration::from_secs(30), DECAY, earned.joined + Duration::from_secs(secs))
        };
        assert_eq!([after(0), after(3), after(15), after(30), after(99)], [0.1, 0.1, 0.5, 1.0, 1.0]);
    }
}
