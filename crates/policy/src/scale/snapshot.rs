//! What the scaler sees. Whatever may be unknown is an `Option`: nothing is not zero.

use crate::capacity::{PerSecond, Service};
use spinwell_core::{Ratio, UnixMillis};
use std::time::Duration;

/// What is seen at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot<I> {
    /// When.
    pub now: UnixMillis,
    /// Everything of the kind that is scaled, also what was ordered and has not appeared.
    pub members: Vec<Member<I>>,
    /// What is known of the region as a whole.
    pub region: Region,
}

/// A node or gateway.
#[derive(Debug, Clone, PartialEq)]
pub struct Member<I> {
    /// Its name.
    pub id: I,
    /// How far it is.
    pub phase: Phase,
    /// Since when it is that far.
    pub since: UnixMillis,
    /// When it was ordered.
    pub ordered: UnixMillis,
    /// What it carries when it is never idle, as measured when it warmed up and since.
    pub capacity: Option<PerSecond>,
    /// The share of time that it is busy.
    pub utilization: Option<Ratio>,
    /// How long requests queue at it.
    pub queue_delay: Option<Duration>,
    /// Requests that it has not answered.
    pub in_flight: Option<u64>,
    /// What its removal would move: sequences that it keeps, say.
    pub keeps: u64,
}

impl<I> Member<I> {
    /// One that is that far since its order, and has reported nothing.
    #[must_use]
    pub fn new(id: I, phase: Phase, ordered: UnixMillis) -> Self {
        let (capacity, utilization, queue_delay, in_flight) = (None, None, None, None);
        Self { id, phase, since: ordered, ordered, capacity, utilization, queue_delay, in_flight, keeps: 0 }
    }
}

/// How far a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It was ordered.
    Pending,
    /// It has appeared, and loads its models.
    Warming,
    /// It gets requests.
    Serving,
    /// It is being removed.
    Draining,
    /// It was there and does not answer.
    Lost,
}

/// What is known of a region.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Region {
    /// Requests a second that arrived, those that were refused among them.
    pub offered: Option<PerSecond>,
    /// Requests a second that were refused or shed.
    pub refused: Option<PerSecond>,
    /// Latency of 95 % of the requests at most.
    pub latency_p95: Option<Duration>,
    /// The share of requests that are critical or of high priority.
    pub important: Option<Ratio>,
    /// What is expected to arrive a warm-up from now.
    pub forecast: Option<Forecast>,
    /// How long 95 % of the nodes took at most from their order until they served.
    pub warm_up_p95: Option<Duration>,
    /// How a node serves.
    pub service: Option<Service>,
    /// What one more node costs, and what it brings.
    pub worth: Option<Worth>,
}

/// What is expected to arrive a warm-up from now, and how wrong such expectations have been of late.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// Requests a second.
    pub arrivals: PerSecond,
    /// The mean absolute error of such forecasts.
    pub error: PerSecond,
    /// The same of expecting what arrives now.
    pub error_persistence: PerSecond,
}

impl Forecast {
    /// Whether it is no worse than expecting no change. A twentieth is chance: where nothing changes, both are right, and who sees nothing
    /// coming must not be given up for the few times that it did.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.error.get() <= 1.05 * self.error_persistence.get()
    }
}

/// Money over time.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct CentsPerHour(pub f64);

/// What one more node costs, and what the load is worth that it would carry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Worth {
    /// What it costs.
    pub node: CentsPerHour,
    /// What the load is worth that it would carry.
    pub load: CentsPerHour,
}
