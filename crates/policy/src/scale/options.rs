//! What the scaler goes by.

use crate::capacity::{Goal, Measure, PerSecond};
use spinwell_core::Ratio;
use std::time::Duration;

/// How long is waited after a failure: twice as long after each that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackOff {
    /// After the first.
    pub first: Duration,
    /// At most.
    pub most: Duration,
}

impl BackOff {
    /// After so many failures in a row.
    #[must_use]
    pub fn after(&self, failures: u32) -> Duration {
        let doubled = 2u32.saturating_pow(failures.saturating_sub(1));
        self.first.saturating_mul(doubled).min(self.most)
    }
}

/// What the scaler goes by. Defaults are for nodes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// `min_nodes`: there are never meant to be fewer.
    pub min: usize,
    /// `max_nodes`: there are never meant to be more.
    pub max: usize,
    /// `target_utilization`: after a step nodes should be no busier than that.
    pub target_utilization: Ratio,
    /// `scale_up_threshold`: nodes that are as busy as that are too few, whatever their number.
    pub scale_up_threshold: Ratio,
    /// `scale_down_threshold`: at nodes that are no busier than that, [`Self::hysteresis`] is not asked for.
    pub scale_down_threshold: Ratio,
    /// One fewer must do for so much more than what is expected, as a part of it, so that the next moment does not ask for it back.
    pub hysteresis: Ratio,
    /// What a node carries that has not measured it yet, in predictions a second.
    pub capacity_each: PerSecond,
    /// What callers are promised of latency.
    pub goal: Goal,
    /// The share of requests that may be refused.
    pub refused_most: Ratio,
    /// How long requests may queue at nodes, on average. Half of the promised latency is for the rest of the way.
    pub queue_delay_most: Duration,
    /// Nothing is added for so long after a removal. For so long after an addition nothing is added that no model asks for.
    pub up_cool_down: Duration,
    /// Nothing is removed for so long after an addition.
    pub down_cool_down: Duration,
    /// So long lies between two removals.
    pub down_pace: Duration,
    /// For so long one fewer must have been enough, at every look, before it is removed.
    pub down_after: Duration,
    /// Over so long arrivals are averaged where moments do not matter: for the loss of a node, and for fewer of them.
    pub smooths: Duration,
    /// So many times the usual error is added to what is expected.
    pub caution: f64,
    /// How long a node takes from its order until it serves, while that was not measured.
    pub warm_up: Duration,
    /// A node that has not served so long after its order has failed, and so has a removal that takes as long. Three times a warm-up as it
    /// was measured, where that is longer.
    pub patience: Duration,
    /// After failed additions and removals.
    pub back_off: BackOff,
    /// Records that are kept, at most.
    pub history_most: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            min: 3,
            max: 20,
            target_utilization: ratio(0.66),
            scale_up_threshold: ratio(0.80),
            scale_down_threshold: ratio(0.40),
            hysteresis: ratio(0.10),
            // 500 a second are 66 % of it.
            capacity_each: PerSecond::new(500.0 / 0.66).unwrap_or(PerSecond::ZERO),
            goal: Goal { percentile: ratio(0.95), within: Duration::from_millis(50), of: Measure::Latency },
            refused_most: ratio(0.001),
            queue_delay_most: Duration::from_millis(25),
            up_cool_down: Duration::from_secs(30),
            down_cool_down: Duration::from_secs(120),
            down_pace: Duration::from_secs(60),
            down_after: Duration::from_secs(60),
            smooths: Duration::from_secs(60),
            caution: 1.0,
            warm_up: Duration::from_secs(60),
            patience: Duration::from_secs(300),
            back_off: BackOff { first: Duration::from_secs(10), most: Duration::from_secs(300) },
            history_most: 1_000,
        }
    }
}

impl Options {
    /// How far ahead a forecast has to look: until what is ordered now serves.
    #[must_use]
    pub fn horizon(&self, warm_up_p95: Option<Duration>) -> Duration {
        warm_up_p95.unwrap_or(self.warm_up)
    }

    /// How long is waited for something that was ordered.
    pub(super) fn patience(&self, warm_up_p95: Option<Duration>) -> Duration {
        self.patience.max(3 * self.horizon(warm_up_p95))
    }

    /// The defaults for gateways (`min_gateways`, `max_gateways`), of which each carries so much.
    #[must_use]
    pub fn for_gateways(capacity_each: PerSecond) -> Self {
        Self { min: 3, max: 10, capacity_each, ..Self::default() }
    }
}

fn ratio(value: f64) -> Ratio {
    Ratio::new(value).unwrap_or(Ratio::ZERO)
}
