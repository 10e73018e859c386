//! Independent checks of the liquid: against fine integration of its equation, against formulas, against a plain
//! scalar step, and against the statistics of the paper it was taken from.

mod column;
mod encoders;
mod forged;
mod neurons;
mod population;
mod random;
mod scalar;

use super::draw::{decay, draw};
use super::weights::LiquidWeights;
use super::{Liquid, SpikeEncoding, SpikingSettings, SpikingWiring, Work};
use spinwell_core::Rng;

/// Neurons that share all constants (membrane and synapse 10 and 5 dt, no bias), without synapses; neuron i hears, with
/// weight 1 and no delay, line i of those there are.
fn bare(neurons: usize, inputs: usize, encoding: SpikeEncoding, substeps: usize) -> LiquidWeights {
    let settings = SpikingSettings {
        neurons,
        substeps,
        encoding,
        delay_max: 0,
        density: 0.0,
        fan_in: 1,
        ..SpikingSettings::default()
    };
    let mut weights = draw(&settings, inputs);
    let lines = weights.lines() as u32;
    weights.membrane.fill(1.0 - decay(10.0));
    weights.excitation_decay.fill(decay(5.0));
    weights.inhibition_decay.fill(decay(5.0));
    weights.bias.fill(0.0);
    weights.tap_weights.fill(1.0);
    weights.tap_lines = (0..neurons as u32).map(|neuron| neuron % lines).collect();
    weights
}

/// One of a neuron's features.
#[derive(Clone, Copy)]
enum Feature {
    Fast,
    Potential,
    Mean,
}

/// That feature of all neurons.
fn of<'s>(liquid: &Liquid, state: &'s [f32], feature: Feature) -> &'s [f32] {
    let n = liquid.weights().neurons;
    let place = match feature {
        Feature::Fast => 0,
        Feature::Potential => 2,
        Feature::Mean => 3,
    };
    &liquid.features(state)[place * n..(place + 1) * n]
}

/// Rows of uniform values.
fn noise(rows: usize, inputs: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut rng = Rng::seeded(seed);
    (0..rows).map(|_| (0..inputs).map(|_| rng.uniform() as f32).collect()).collect()
}

/// Settings of every encoding and wiring, with all that a neuron can have.
fn every_kind() -> Vec<SpikingSettings> {
    let mut kinds = Vec::new();
    for encoding in SpikeEncoding::ALL {
        let seed = kinds.len() as u64;
        kinds.push(SpikingSettings {
            neurons: 37,
            encoding,
            delay_max: 5,
            coupling: 1.0,
            adaptation: 0.1,
            fan_in: 3,
            seed,
            ..SpikingSettings::default()
        });
        let classic = SpikingSettings::classic();
        kinds.push(SpikingSettings { neurons: 61, encoding, delay_max: 2, fan_in: 2, seed, ..classic });
    }
    kinds
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}
