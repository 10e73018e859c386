//! How long requests wait at nodes that serve one queue.
//!
//! The probability of waiting is Erlang's second formula (A. K. Erlang 1917), from his first by the recursion
//! B(k) = a·B(k−1) / (k + a·B(k−1)), which does not overflow (Cooper, "Introduction to Queueing Theory", 2nd ed., ch. 3):
//! C = B / (1 − ρ·(1 − B)). Who waits in an M/M/c queue waits for an exponential time of mean m / (c·(1 − ρ)). For other arrivals and
//! services that mean is multiplied by (c_a² + c_s²) / 2: Kingman's heavy-traffic formula for one server (Math. Proc. Camb. Phil. Soc. 57,
//! 1961), carried to several by Allen and Cunneen (Allen, "Probability, Statistics, and Queueing Theory", 2nd ed., §5.3). The mean is exact
//! for M/M/c and M/G/1; the exponential shape is exact for M/M/c alone, and the tests hold both against simulated queues.
//!
//! Nodes do not share one queue in truth; a good balancer comes close to it. Requests that are served together count as one customer, whose
//! arrivals are as many times rarer.

use super::{Load, Service};
use spinwell_core::Ratio;
use std::time::Duration;

/// Halvings in the search for a percentile: a double has no more bits.
const HALVINGS: usize = 64;

/// A queue in which what arrives can be served.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Queue {
    utilization: f64,
    wait_probability: f64,
    /// How long those wait who wait, on average, in seconds.
    waiting: f64,
    /// The part of a service that is always the same, in seconds.
    constant: f64,
    /// The mean of the part that is exponential, in seconds.
    random: f64,
}

impl Queue {
    /// The queue at so many nodes; `None` where they cannot serve what arrives, and the queue would grow for ever.
    #[must_use]
    pub fn new(nodes: usize, service: &Service, load: Load) -> Option<Self> {
        let servers = nodes.checked_mul(service.servers)?;
        let time = service.time.as_secs_f64();
        let busy = load.arrivals.get() / service.batch * time;
        let utilization = busy / servers as f64;
        // Also where something is not a number.
        if servers == 0 || !(0.0..1.0).contains(&utilization) {
            return None;
        }
        let blocked = erlang_b(servers, busy);
        let variation = service.variability.max(0.0).sqrt();
        let varies = 0.5 * (load.variability.max(0.0) + service.variability.max(0.0));
        Some(Self {
            utilization,
            wait_probability: blocked / (1.0 - utilization * (1.0 - blocked)),
            waiting: varies * time / (servers as f64 * (1.0 - utilization)),
            constant: time * (1.0 - variation).max(0.0),
            random: time * variation,
        })
    }

    /// The share of time that servers are busy.
    #[must_use]
    pub fn utilization(&self) -> Ratio {
        Ratio::new(self.utilization).unwrap_or(Ratio::ZERO)
    }

    /// The share of requests that wait at all.
    #[must_use]
    pub fn wait_probability(&self) -> Ratio {
        Ratio::new(self.wait_probability).unwrap_or(Ratio::ZERO)
    }

    /// How long a request waits on average, those among them that do not wait.
    #[must_use]
    pub fn wait_mean(&self) -> Duration {
        seconds(self.wait_probability * self.waiting)
    }

    /// How long that share of the requests waits at most.
    #[must_use]
    pub fn wait(&self, percentile: Ratio) -> Duration {
        let late = 1.0 - percentile.get();
        if self.wait_probability <= late {
            return Duration::ZERO;
        }
        seconds(self.waiting * (self.wait_probability / late).ln())
    }

    /// How long that share of the requests takes at most, waiting and being served.
    ///
    /// A service is taken for a constant time and an exponential one that together have its mean and its variation: exact for
    /// c_s² of 0 and 1. Above 1 the exponential part alone has the right variation, and its mean is too long, which errs on the safe side.
    #[must_use]
    pub fn latency(&self, percentile: Ratio) -> Duration {
        let late = 1.0 - percentile.get();
        let scale = self.constant + self.random + self.waiting;
        let (mut low, mut high) = (0.0, scale);
        while self.slower_than(high) > late && high.is_finite() {
            high *= 2.0;
        }
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if self.slower_than(middle) > late { low = middle } else { high = middle }
        }
        seconds(high)
    }

    /// The share of requests that wait longer than that.
    #[must_use]
    pub fn waits_longer(&self, than: Duration) -> Ratio {
        Ratio::new(self.wait_probability * tail(than.as_secs_f64(), self.waiting)).unwrap_or(Ratio::ZERO)
    }

    /// The share of requests that take longer than that, waiting and being served.
    #[must_use]
    pub fn takes_longer(&self, than: Duration) -> Ratio {
        Ratio::new(self.slower_than(than.as_secs_f64())).unwrap_or(Ratio::ZERO)
    }

    fn slower_than(&self, seconds: f64) -> f64 {
        let Self { wait_probability, waiting, random, constant, .. } = *self;
        let left = seconds - constant;
        if left < 0.0 {
            return 1.0;
        }
        let waits = sum_tail(left, waiting, random);
        ((1.0 - wait_probability) * tail(left, random) + wait_probability * waits).clamp(0.0, 1.0)
    }
}

/// Erlang's first formula: the share of requests that find all servers busy and leave, where `busy` servers would be needed on average.
fn erlang_b(servers: usize, busy: f64) -> f64 {
    (1..=servers).fold(1.0, |blocked, server| busy * blocked / (server as f64 + busy * blocked))
}

/// The probability that an exponential time of that mean is longer than so many seconds.
fn tail(seconds: f64, mean: f64) -> f64 {
    if mean > 0.0 { (-seconds / mean).exp() } else { 0.0 }
}

/// The same of the sum of two of them.
fn sum_tail(seconds: f64, one: f64, other: f64) -> f64 {
    let apart = one - other;
    if apart.abs() <= 1e-6 * one.max(other) {
        // Two alike: Erlang's distribution of two phases.
        let mean = one.max(other);
        return if mean > 0.0 { (1.0 + seconds / mean) * tail(seconds, mean) } else { 0.0 };
    }
    (one * tail(seconds, one) - other * tail(seconds, other)) / apart
}

fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or(Duration::MAX)
}
