//! The random wiring: time constants, delays, weights and connections as the settings say.

use super::*;
use std::collections::BTreeMap;

/// Mean and four standard errors of it.
fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, 4.0 * (variance / n).sqrt())
}

fn drawn() -> LiquidWeights {
    draw(&SpikingSettings { neurons: 1920, coupling: 1.0, ..SpikingSettings::default() }, 2)
}

/// Of two lines at sixteen delays a neuron hears one first, and all of them are first equally often.
#[test]
fn lines_and_delays_are_dealt_evenly() {
    let weights = drawn();
    let mut first: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    for (line, delay) in weights.tap_lines.iter().zip(&weights.tap_delays).step_by(weights.fan_in) {
        *first.entry((*line, *delay)).or_default() += 1;
    }
    assert_eq!(first.len(), 32);
    assert!(first.values().all(|&times| times == 60), "{first:?}");
    // Beside each of them all others come as often, as far as 60 hands go into 32 cards.
    let mut beside: BTreeMap<[u32; 4], usize> = BTreeMap::new();
    for (lines, delays) in weights.tap_lines.chunks(2).zip(weights.tap_delays.chunks(2)) {
        *beside.entry([lines[0], delays[0], lines[1], delays[1]]).or_default() += 1;
    }
    assert_eq!(beside.len(), 32 * 32);
    assert!(beside.values().all(|times| (1..=2).contains(times)));
}

#[test]
fn constants_lie_where_the_settings_say() {
    let weights = drawn();
    let tau = |share: &f32| -1.0 / (1.0 - f64::from(*share)).ln();
    let membranes: Vec<f64> = weights.membrane.iter().map(tau).collect();
    assert!(membranes.iter().all(|tau| (4.999..20.001).contains(tau)));
    let logarithms: Vec<f64> = membranes.iter().map(|tau| tau.ln()).collect();
    let (centre, error) = mean(&logarithms);
    assert!((centre - 10f64.ln()).abs() < error, "log-uniform in 5 to 20: {centre}");
    let synapses: Vec<f64> =
        weights.excitation_decay.iter().map(|&decay| -1.0 / f64::from(decay).ln()).collect();
    assert!(synapses.iter().all(|tau| (1.999..10.001).contains(tau)));
    assert_eq!(weights.excitation_decay, weights.inhibition_decay);
    // Gain 8: biases from 1 − 4 to 1 + 1.
    let biases: Vec<f64> = weights.bias.iter().map(|&bias| f64::from(bias)).collect();
    assert!(biases.iter().all(|bias| (-3.0..=2.0).contains(bias)));
    let (centre, error) = mean(&biases);
    assert!((centre + 0.5).abs() < error, "{centre}");
    assert!(weights.refractory.iter().all(|&dt| dt == 2.0));
    // Input weights: gain times 0.5 to 1.5, either sign as often.
    let sizes: Vec<f64> = weights.tap_weights.iter().map(|&weight| f64::from(weight) / 8.0).collect();
    assert!(sizes.iter().all(|size| (0.5..=1.5).contains(&size.abs())));
    let (centre, error) = mean(&sizes);
    assert!(centre.abs() < error, "{centre}");
}

/// A tenth of all pairs, four fifths of sources excitatory, inhibition four times as strong, and a sum over sources whose
/// size does not depend on their number: 0.6·coupling/√(0.1·N).
#[test]
fn connections_are_those_of_the_settings() {
    let weights = drawn();
    let n = weights.neurons;
    assert_eq!(weights.excitatory, n * 4 / 5);
    let pairs = (n * (n - 1)) as f64;
    let share = weights.synapse_targets.len() as f64 / pairs;
    assert!((share - 0.1).abs() < 4.0 * (0.1 * 0.9 / pairs).sqrt(), "{share}");
    let scale = 0.6 / (0.1 * n as f64).sqrt();
    let relative: Vec<f64> =
        weights.synapse_weights.iter().map(|&weight| f64::from(weight) / scale).collect();
    let (exciting, inhibiting) = relative.split_at(weights.synapse_starts[2 * weights.excitatory] as usize);
    for (weights, wanted) in [(exciting, 1.0), (inhibiting, -4.0)] {
        let (centre, error) = mean(weights);
        assert!((centre - wanted).abs() < error, "{centre} instead of {wanted}");
    }
    for source in 0..n {
        let [start, end, late] = std::array::from_fn(|at| weights.synapse_starts[2 * source + at] as usize);
        assert!(end == late && !weights.synapse_targets[start..end].contains(&(source as u32)));
    }
}
