//! The weighted score of four factors.
//!
//! Each factor is a share: how busy nodes are, how busy they will be one warm-up ahead, what is left of a node's worth after its cost, and
//! how much of the traffic is important. Of a factor that nobody knows, the weight goes to the others.

use super::figures::Figures;
use super::snapshot::Region;
use spinwell_core::Ratio;

const WEIGHTS: [f64; 4] = [0.4, 0.3, 0.2, 0.1];
/// Above it nodes grow by half.
const AGGRESSIVE: f64 = 0.8;
/// Above it nodes grow by one.
const CONSERVATIVE: f64 = 0.6;
/// Below it nodes shrink by one.
const IDLE: f64 = 0.3;

/// The score and what it is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// How busy nodes are.
    pub utilization: Option<Ratio>,
    /// How busy those that serve or come will be one warm-up ahead.
    pub trend: Option<Ratio>,
    /// One less what a node costs of what it brings.
    pub cost: Option<Ratio>,
    /// The share of important traffic.
    pub business: Option<Ratio>,
    /// The weighted mean; nothing where no factor is known.
    pub total: Option<Ratio>,
}

/// What a score says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Half as many again.
    GrowByHalf,
    /// One more.
    GrowByOne,
    /// As many as there are.
    Hold,
    /// One fewer.
    ShrinkByOne,
}

impl Score {
    pub(super) fn of(figures: &Figures, region: &Region) -> Self {
        let cost = region.worth.and_then(|worth| share(1.0 - worth.node.0 / worth.load.0));
        let utilization = figures.utilization.and_then(share);
        let trend = figures.utilization_ahead.and_then(share);
        Self::new([utilization, trend, cost, region.important])
    }

    /// The score of factors in the order of its fields.
    #[must_use]
    pub fn new(factors: [Option<Ratio>; 4]) -> Self {
        let known =
            || factors.iter().zip(WEIGHTS).filter_map(|(factor, weight)| Some((factor.as_ref()?, weight)));
        let sum: f64 = known().map(|(factor, weight)| factor.get() * weight).sum();
        let weight: f64 = known().map(|(_, weight)| weight).sum();
        let total = share(sum / weight);
        let [utilization, trend, cost, business] = factors;
        Self { utilization, trend, cost, business, total }
    }

    /// What it says.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match self.total.map(Ratio::get) {
            Some(total) if total > AGGRESSIVE => Advice::GrowByHalf,
            Some(total) if total > CONSERVATIVE => Advice::GrowByOne,
            Some(total) if total < IDLE => Advice::ShrinkByOne,
            _ => Advice::Hold,
        }
    }

    /// So many nodes after a step of that size upwards, which is at least one.
    #[must_use]
    pub(super) fn grown(&self, nodes: usize) -> usize {
        match self.advice() {
            Advice::GrowByHalf => nodes + nodes.div_ceil(2).max(1),
            Advice::GrowByOne | Advice::Hold | Advice::ShrinkByOne => nodes + 1,
        }
    }
}

/// A number as a share, as far as it is one; what is not a number is unknown.
fn share(value: f64) -> Option<Ratio> {
    Ratio::new(value.clamp(0.0, 1.0))
}
