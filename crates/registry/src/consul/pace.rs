//! How often something is tried: a token bucket for what succeeds, a growing wait for what fails.

use spinwell_core::Rng;
use std::time::{Duration, Instant};

/// Tries that are made at once before the rate holds. Two, so that the change that follows a change is seen at once.
const BURST: f64 = 2.0;
/// One try in so long, in the long run. A registry in which something flaps all the time is asked no more often.
const REFILL: Duration = Duration::from_millis(500);
/// The first wait after a failure.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Doublings after which a wait no longer grows: the limit is reached long before.
const DOUBLINGS_MAX: u32 = 16;

/// A token bucket.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    tokens: f64,
    counted_at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn full(now: Instant) -> Self {
        Self { tokens: BURST, counted_at: now }
    }

    /// Takes a token and says from when it counts: `now` while there are some, else when it will have come in.
    pub(super) fn take(&mut self, now: Instant) -> Instant {
        let passed = now.saturating_duration_since(self.counted_at);
        self.tokens = (self.tokens + passed.as_secs_f64() / REFILL.as_secs_f64()).min(BURST) - 1.0;
        self.counted_at = self.counted_at.max(now);
        if self.tokens >= 0.0 { now } else { now + REFILL.mul_f64(-self.tokens) }
    }
}

/// Waits after failures: doubled with each, by half at random, so that many processes do not come back as one.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    failures: u32,
    wait_max: Duration,
}

impl Backoff {
    /// No failure yet, and no wait longer than `wait_max`.
    pub(super) fn new(wait_max: Duration) -> Self {
        Self { failures: 0, wait_max }
    }

    /// The wait after one more failure.
    pub(super) fn after_failure(&mut self, rng: &mut Rng) -> Duration {
        let doubled = FIRST_WAIT.saturating_mul(1 << self.failures.min(DOUBLINGS_MAX));
        self.failures = self.failures.saturating_add(1);
        doubled.min(self.wait_max).mul_f64(rng.uniform_in(0.5, 1.0))
    }

    /// What failed has succeeded.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::tests::zero;
    use proptest::prelude::*;
    use spinwell_core::Rng;

    #[test]
    fn two_at_once_then_two_a_second() {
        let start = zero();
        let at = |ms| start + Duration::from_millis(ms);
        let mut bucket = Bucket::full(start);
        for (now, from) in [(0, 0), (0, 0), (0, 500), (500, 1000), (5000, 5000), (5000, 5000), (5000, 5500)] {
            assert_eq!(bucket.take(at(now)), at(from), "taken at {now} ms");
        }
    }

    #[test]
    fn waits_double_up_to_the_limit_and_begin_again() {
        let mut backoff = Backoff::new(Duration::from_secs(2));
        let mut rng = Rng::seeded(1);
        for top in [200, 400, 800, 1600, 2000, 2000] {
            let wait = backoff.after_failure(&mut rng);
            let top = Duration::from_millis(top);
            assert!((top / 2..=top).contains(&wait), "{wait:?} of {top:?}");
        }
        backoff.reset();
        assert!(backoff.after_failure(&mut rng) <= FIRST_WAIT);
    }

    proptest! {
        #[test]
        fn no_second_holds_more_than_the_burst_and_the_rate(gaps in prop::collection::vec(0..2000u64, 1..60)) {
            let start = zero();
            let mut bucket = Bucket::full(start);
            let (mut now, mut taken) = (start, Vec::new());
            for gap in gaps {
                // Whoever takes a token waits until it counts before taking the next.
                now = bucket.take(now + Duration::from_millis(gap));
                taken.push(now);
            }
            for (index, first) in taken.iter().enumerate() {
                let within = taken[index..].iter().filter(|at| **at < *first + Duration::from_secs(1)).count();
                prop_assert!(within <= 4, "{within} in a second");
            }
        }

        #[test]
        fn no_wait_passes_the_limit(failures in 0..100usize, seed: u64) {
            let mut backoff = Backoff::new(Duration::from_secs(5));
            let mut rng = Rng::seeded(seed);
            for _ in 0..failures {
                prop_assert!(backoff.after_failure(&mut rng) <= Duration::from_secs(5));
            }
        }
    }
}
