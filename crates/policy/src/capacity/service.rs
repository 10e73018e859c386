//! What arrives, and how a node serves it.

use std::time::Duration;

/// So many a second: a finite number that is not negative.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct PerSecond(f64);

impl PerSecond {
    /// None at all.
    pub const ZERO: Self = Self(0.0);

    /// The rate, or `None` where `value` is negative, infinite or not a number.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        (value.is_finite() && value >= 0.0).then_some(Self(value))
    }

    /// The rate as a number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// What arrives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Requests a second.
    pub arrivals: PerSecond,
    /// Squared coefficient of variation of the time between arrivals (c_a²): 1 where requests know nothing of each other, more where they
    /// come in bursts.
    pub variability: f64,
}

impl Load {
    /// Requests that know nothing of each other.
    #[must_use]
    pub const fn poisson(arrivals: PerSecond) -> Self {
        Self { arrivals, variability: 1.0 }
    }
}

/// How a node serves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Service {
    /// How long a server takes, on average, for what it serves at once.
    pub time: Duration,
    /// Squared coefficient of variation of that time (c_s²): 0 where it is always the same, 1 where it is exponential.
    pub variability: f64,
    /// Requests that a server serves at once, on average, when there is enough to do.
    pub batch: f64,
    /// Servers of a node: its executors or graphics cards.
    pub servers: usize,
}

impl Service {
    /// What a node carries when it is never idle.
    #[must_use]
    pub fn capacity(&self) -> PerSecond {
        let rate = self.servers as f64 * self.batch / self.time.as_secs_f64();
        PerSecond::new(rate).unwrap_or(PerSecond::ZERO)
    }

    /// The same service by a node that carries so much, because it is faster or slower than the one that was measured.
    #[must_use]
    pub fn at(&self, capacity: PerSecond) -> Self {
        let slower = self.capacity().get() / capacity.get();
        let time = Duration::try_from_secs_f64(self.time.as_secs_f64() * slower).unwrap_or(Duration::MAX);
        Self { time, ..*self }
    }
}
