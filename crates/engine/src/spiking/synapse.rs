//! Synapses that tire and recover: each spike uses a share u of resources R, which come back over D dt, and the share
//! itself grows with use and falls back over F dt.

use super::weights::LiquidWeights;

/// Neurons that have not fired for this many dt count as rested.
pub(super) const RESTED: f32 = 4096.0;

/// What dynamic synapses remember; empty where they are static.
pub(super) struct Synapses<'s> {
    /// Per neuron: dt since its last spike.
    pub(super) since: &'s mut [f32],
    /// Per neuron: dt between its last two spikes.
    pub(super) interval: &'s mut [f32],
    /// Per synapse: u, the share of the resources that the last spike used.
    pub(super) used: &'s mut [f32],
    /// Per synapse: R, the resources that were there for it.
    pub(super) resources: &'s mut [f32],
}

impl Synapses<'_> {
    /// Takes note of who fires.
    #[inline(always)]
    pub(super) fn time_spikes(&mut self, fired: &[u32]) {
        for since in self.since.iter_mut() {
            *since = (*since + 1.0).min(RESTED);
        }
        for &neuron in fired {
            self.interval[neuron as usize] = self.since[neuron as usize];
            self.since[neuron as usize] = 0.0;
        }
    }

    /// The current that a spike makes at a synapse, `interval` dt after the one before (Markram, Wang & Tsodyks 1998,
    /// eq. 1-3): u ← U + u·(1 − U)·e^(−Δ/F), R ← 1 + (R − u·R − 1)·e^(−Δ/D), with the old u in both, current A·u·R.
    #[inline(always)]
    pub(super) fn transmit(&mut self, weights: &LiquidWeights, synapse: usize, interval: u32) -> f32 {
        let (used, resources) = (self.used[synapse], self.resources[synapse]);
        let first_use = weights.synapse_use[synapse];
        let facilitated = power(weights.facilitation_decay[synapse], interval);
        let depressed = power(weights.depression_decay[synapse], interval);
        let u = (used * (1.0 - first_use)).mul_add(facilitated, first_use);
        let r = (resources - used * resources - 1.0).mul_add(depressed, 1.0);
        self.used[synapse] = u;
        self.resources[synapse] = r;
        weights.synapse_weights[synapse] * (u * r)
    }
}

/// A whole power by repeated squaring, always in the same order.
#[inline(always)]
pub(super) fn power(base: f32, exponent: u32) -> f32 {
    let (mut square, mut rest, mut product) = (base, exponent, 1.0);
    while rest > 0 {
        if rest & 1 == 1 {
            product *= square;
        }
        square *= square;
        rest >>= 1;
    }
    product
}
