//! The column of Maass, Natschläger & Markram (2002, "Real-time computing without stable states", Neural Computation 14):
//! neurons on a grid, near ones likelier to be connected, synapses that tire and recover.
//!
//! Currents are in units of the threshold of 15 mV (at 1 MΩ: 15 nA), times in ms, which are dt. What the paper leaves to
//! a simulator with finer steps is rounded: delays of 1.5 and 0.8 ms are 2 and 1 dt.

use super::SpikingSettings;
use super::draw::{decay, exponential, shuffle};
use super::weights::LiquidWeights;
use spinwell_core::Rng;

/// The readout's filter, and the slow one that random liquids have too.
pub(super) const TRACE_TIMES: [f64; 2] = [30.0, 50.0];
/// The column's threshold in mV (and, at 1 MΩ, in nA): the unit here.
const UNIT: f64 = 15.0;
/// 13.5 mV: where a neuron is put after a spike, and its constant current.
pub(super) const RESET: f64 = 13.5 / UNIT;
/// Neurons side by side in a column; it is as long as it has to be.
const SIDE: usize = 3;
/// Mean distance λ of connected neurons, in units of the grid.
const REACH: f64 = 2.0;

/// What the sides of a connection decide: its probability's factor C, its strength A in nA, and U, D, F of its dynamics
/// (D and F in ms).
struct Connection {
    likelihood: f64,
    strength: f64,
    dynamics: [f64; 3],
    late: bool,
}

/// The means of Maass et al. for a connection from and to an excitatory (or else inhibitory) neuron. Its delay is
/// 1.5 ms between excitatory neurons, which is 2 dt, and 0.8 ms otherwise, which is 1.
fn connection(from_excitatory: bool, to_excitatory: bool) -> Connection {
    let (likelihood, strength, dynamics) = match (from_excitatory, to_excitatory) {
        (true, true) => (0.3, 30.0, [0.5, 1100.0, 50.0]),
        (true, false) => (0.2, 60.0, [0.05, 125.0, 1200.0]),
        (false, true) => (0.4, -19.0, [0.25, 700.0, 20.0]),
        (false, false) => (0.1, -19.0, [0.32, 144.0, 60.0]),
    };
    Connection { likelihood, strength, dynamics, late: from_excitatory && to_excitatory }
}

/// Mean strength of an input synapse: 18 nA onto excitatory neurons, 9 nA onto inhibitory ones.
pub(super) fn input_strength(onto_excitatory: bool) -> f64 {
    if onto_excitatory { 18.0 / UNIT } else { 9.0 / UNIT }
}

pub(super) fn neurons(rng: &mut Rng, weights: &mut LiquidWeights) {
    let n = weights.neurons;
    weights.membrane = vec![1.0 - decay(30.0); n];
    weights.excitation_decay = vec![decay(3.0); n];
    weights.inhibition_decay = vec![decay(6.0); n];
    weights.bias = vec![RESET as f32; n];
    weights.refractory = (0..n).map(|i| if i < weights.excitatory { 3.0 } else { 2.0 }).collect();
    weights.initial_potentials = (0..n).map(|_| rng.uniform_in(RESET, 1.0) as f32).collect();
}

/// Near neurons are likelier to be connected: C·e^(−(d/λ)²). Excitatory and inhibitory neurons are mixed in space.
pub(super) fn synapses(settings: &SpikingSettings, rng: &mut Rng, weights: &mut LiquidWeights) {
    let n = settings.neurons;
    let mut places: Vec<usize> = (0..n).collect();
    shuffle(&mut places, rng);
    let excitatory = weights.excitatory;
    for source in 0..n {
        let mut late = Vec::new();
        for target in (0..n).filter(|&target| target != source) {
            let kind = connection(source < excitatory, target < excitatory);
            let near = (-squared_distance(places[source], places[target]) / REACH.powi(2)).exp();
            if rng.uniform() >= settings.density * kind.likelihood * near {
                continue;
            }
            let inhibition = if source < excitatory { 1.0 } else { settings.inhibition };
            let weight = settings.coupling * inhibition * kind.strength / UNIT * exponential(rng);
            let synapse = (target as u32, weight as f32, kind.dynamics.map(|mean| around(mean, rng)));
            if kind.late { late.push(synapse) } else { push_synapse(weights, synapse) }
        }
        weights.synapse_starts.push(weights.synapse_targets.len() as u32);
        late.into_iter().for_each(|synapse| push_synapse(weights, synapse));
        weights.synapse_starts.push(weights.synapse_targets.len() as u32);
    }
}

/// Synapses of a column on average: pairs by distance, times the mean likelihood of their kinds, which are mixed in space.
pub(super) fn synapses_expected(settings: &SpikingSettings) -> f64 {
    // The sum over all pairs of places in a row of so many, each with itself included.
    let along = |places: f64| -> f64 {
        let apart = (1..places.ceil() as usize).map(|distance| distance as f64);
        let pairs = apart.map(|distance| 2.0 * (places - distance) * (-(distance / REACH).powi(2)).exp());
        places + pairs.sum::<f64>()
    };
    let neurons = settings.neurons as f64;
    let near = along(SIDE as f64).powi(2) * along(neurons / (SIDE * SIDE) as f64) - neurons;
    let share = |excitatory: bool| if excitatory { settings.excitatory } else { 1.0 - settings.excitatory };
    let kinds = [(true, true), (true, false), (false, true), (false, false)];
    let likelihood = kinds.map(|(from, to)| share(from) * share(to) * connection(from, to).likelihood);
    settings.density * likelihood.iter().sum::<f64>() * near.max(0.0)
}

fn push_synapse(
    weights: &mut LiquidWeights,
    (target, weight, [used, depression, facilitation]): (u32, f32, [f64; 3]),
) {
    weights.synapse_targets.push(target);
    weights.synapse_weights.push(weight);
    weights.synapse_use.push(used.min(1.0) as f32);
    weights.depression_decay.push(decay(depression));
    weights.facilitation_decay.push(decay(facilitation));
}

/// A normal number whose deviation is half its mean; a negative one is replaced by one uniform in 0 to twice the mean.
fn around(mean: f64, rng: &mut Rng) -> f64 {
    let value = mean + 0.5 * mean * rng.normal();
    if value > 0.0 { value } else { rng.uniform_in(0.0, 2.0 * mean).max(f64::MIN_POSITIVE) }
}

/// Squared distance of two places in the column.
fn squared_distance(a: usize, b: usize) -> f64 {
    let at = |place: usize| {
        let (layer, within) = (place / (SIDE * SIDE), place % (SIDE * SIDE));
        [layer, within / SIDE, within % SIDE]
    };
    at(a).into_iter().zip(at(b)).map(|(x, y)| (x as f64 - y as f64).powi(2)).sum()
}
