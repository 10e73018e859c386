//! When requests should be sent.
//!
//! An open loop sends at times that nothing can delay, as users do: a server that stalls meets the requests that came in
//! the meantime, and their waiting counts. A closed loop sends when an answer is there, so it measures what a server can
//! do at most, and says little of what users would have waited.

use spinwell_core::Rng;
use std::time::Duration;

/// How requests of an open loop follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Arrivals {
    /// At random, as those of many independent users: gaps are exponential.
    Poisson,
    /// In equal steps.
    Constant,
}

/// When requests should be sent, counted from the start.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schedule {
    times: Vec<Duration>,
}

impl Schedule {
    /// The times of an open loop of `rate` requests a second, up to `end`, and `limit` of them at most.
    pub(crate) fn new(arrivals: Arrivals, rate: f64, end: Duration, limit: usize, seed: u64) -> Self {
        let mut rng = Rng::seeded(seed);
        let mut times = Vec::new();
        let mut seconds = 0.0;
        while times.len() < limit {
            seconds = match arrivals {
                Arrivals::Constant => times.len() as f64 / rate,
                // 1 - u lies in (0, 1]: its logarithm is finite.
                Arrivals::Poisson => seconds - (1.0 - rng.uniform()).ln() / rate,
            };
            if seconds >= end.as_secs_f64() {
                break;
            }
            times.push(Duration::from_secs_f64(seconds));
        }
        Self { times }
    }

    /// How many requests there are.
    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    /// When a request should be sent.
    pub(crate) fn at(&self, number: usize) -> Option<Duration> {
        self.times.get(number).copied()
    }

    /// How many requests should have been sent by `elapsed`.
    pub(crate) fn due(&self, elapsed: Duration) -> usize {
        self.times.partition_point(|time| *time <= elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_arrivals_are_equally_spaced_and_all_there() {
        let schedule = Schedule::new(Arrivals::Constant, 100.0, Duration::from_secs(2), usize::MAX, 1);
        assert_eq!(schedule.len(), 200);
        assert_eq!(schedule.at(199), Some(Duration::from_millis(1990)));
        assert_eq!(schedule.due(Duration::from_millis(995)), 100);
        assert_eq!(schedule.at(200), None);
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_its_spread_and_a_seed_repeats_them() {
        let of = |seed| Schedule::new(Arrivals::Poisson, 1000.0, Duration::from_secs(20), usize::MAX, seed);
        let schedule = of(7);
        assert_eq!(schedule, of(7));
        assert_ne!(schedule, of(8));
        // Of a Poisson count of mean 20,000 six deviations are 849.
        assert!(schedule.len().abs_diff(20_000) < 849, "{}", schedule.len());
        let gaps: Vec<f64> =
            schedule.times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.1, "an exponential deviates by its mean");
        assert_eq!(Schedule::new(Arrivals::Poisson, 10.0, Duration::from_secs(99), 5, 1).len(), 5);
    }
}
