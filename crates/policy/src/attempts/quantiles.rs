//! Quantiles of what was seen lately, in bounded memory.

use std::time::{Duration, Instant};

/// Bounds grow by this: a quantile is right to 10 %.
const GROWTH: f64 = 1.1;
/// From 0.1 ms to 100 s: ln(10⁶) ÷ ln(1.1).
const BUCKETS: usize = 146;
const LEAST_S: f64 = 1e-4;
/// What was seen counts half as much after so long.
const HALF_LIFE: Duration = Duration::from_secs(30);

/// Spans of time, counted by size, the older ones less.
#[derive(Debug, Clone)]
pub(super) struct Quantiles {
    counts: Box<[f32; BUCKETS]>,
    total: f64,
    halved: Instant,
    used: Instant,
}

impl Quantiles {
    pub(super) fn new(now: Instant) -> Self {
        Self { counts: Box::new([0.0; BUCKETS]), total: 0.0, halved: now, used: now }
    }

    pub(super) fn add(&mut self, span: Duration, now: Instant) {
        let since = now.saturating_duration_since(self.halved);
        if since >= HALF_LIFE {
            let left = 0.5f64.powf(since.as_secs_f64() / HALF_LIFE.as_secs_f64());
            self.counts.iter_mut().for_each(|count| *count *= left as f32);
            self.total *= left;
            self.halved = now;
        }
        let place = ((span.as_secs_f64() / LEAST_S).max(1.0).ln() / GROWTH.ln()) as usize;
        self.counts[place.min(BUCKETS - 1)] += 1.0;
        self.total += 1.0;
        self.used = self.used.max(now);
    }

    /// How many count.
    pub(super) fn total(&self) -> f64 {
        self.total
    }

    pub(super) fn used(&self) -> Instant {
        self.used
    }

    /// The upper bound of the bucket that holds the quantile; nothing of nothing.
    pub(super) fn quantile(&self, share: f64) -> Duration {
        let wanted = share * self.total;
        let mut seen = 0.0;
        for (place, count) in self.counts.iter().enumerate() {
            seen += f64::from(*count);
            if seen >= wanted && seen > 0.0 {
                return Duration::from_secs_f64(LEAST_S * GROWTH.powi(place as i32 + 1));
            }
        }
        Duration::ZERO
    }
}
