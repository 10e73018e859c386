//! Drawing a liquid: time constants, delayed inputs, synapses.
//!
//! A **random** liquid is heterogeneous where that was measured to help (time constants, biases, delays) and static
//! where nothing was won. Biases are uniform in 1 − gain/2 to 1 + gain/8, with the threshold at 1 and inputs that swing by about
//! ± gain: that spreads the thresholds over what a neuron may hear, most of them above its middle, where neurons fire
//! sparsely and each tells something else. With all biases near the threshold the error on Mackey-Glass is twice as large.

use super::kuramoto::{FREQUENCY_MAX, OSCILLATORS};
use super::weights::LiquidWeights;
use super::{SpikeEncoding, SpikingSettings, SpikingWiring, activity, column};
use spinwell_core::Rng;
use std::collections::BTreeMap;

/// Memory of the threshold's adaptation in dt.
const ADAPTATION_TIME: f64 = 100.0;
/// Memories of the two spike traces in dt: a row and five.
const TRACE_TIMES: [f64; 2] = [10.0, 50.0];
/// Swing of the oscillation that the phase encoding's neurons feel.
const OSCILLATION: f64 = 0.5;

/// Draws a liquid of `settings` for rows of `inputs` values.
pub(super) fn draw(settings: &SpikingSettings, inputs: usize) -> LiquidWeights {
    let rng = Rng::seeded(settings.seed);
    let mut weights = blank(settings, inputs);
    match settings.wiring {
        SpikingWiring::Random => {
            random_neurons(settings, &mut rng.fork(0), &mut weights);
            random_synapses(settings, &mut rng.fork(1), &mut weights);
        }
        SpikingWiring::Column => {
            column::neurons(&mut rng.fork(0), &mut weights);
            column::synapses(settings, &mut rng.fork(1), &mut weights);
        }
    }
    taps(settings, &mut rng.fork(2), &mut weights);
    activity::draw_rhythms(&mut weights);
    let mut oscillators = rng.fork(3);
    let drawn: [f64; OSCILLATORS] =
        std::array::from_fn(|_| oscillators.normal().clamp(-FREQUENCY_MAX, FREQUENCY_MAX));
    weights.oscillator_frequencies = drawn.map(|frequency| frequency as f32).to_vec();
    weights.oscillator_sensitivities =
        (0..OSCILLATORS).map(|_| oscillators.uniform_in(0.25, 0.75) as f32).collect();
    weights
}

/// Sizes and constants; nothing drawn yet.
fn blank(settings: &SpikingSettings, inputs: usize) -> LiquidWeights {
    let (n, column) = (settings.neurons, settings.wiring == SpikingWiring::Column);
    let trace_times = if column { column::TRACE_TIMES } else { TRACE_TIMES };
    let turn = |substep: usize| std::f64::consts::TAU * substep as f64 / settings.substeps as f64;
    let oscillation = (0..settings.substeps).map(|substep| (OSCILLATION * turn(substep).cos()) as f32);
    LiquidWeights {
        neurons: n,
        inputs,
        substeps: settings.substeps,
        encoding: settings.encoding,
        delay_max: settings.delay_max,
        fan_in: settings.fan_in,
        excitatory: (settings.excitatory * n as f64).round() as usize,
        seed: settings.seed,
        membrane: Vec::new(),
        excitation_decay: Vec::new(),
        inhibition_decay: Vec::new(),
        bias: Vec::new(),
        refractory: vec![2.0; n],
        initial_potentials: vec![0.0; n],
        reset_kept: if column { 0.0 } else { 1.0 },
        reset_to: if column { column::RESET as f32 } else { 0.0 },
        adaptation: settings.adaptation as f32,
        adaptation_decay: decay(ADAPTATION_TIME),
        trace_decays: trace_times.map(decay),
        tap_lines: Vec::new(),
        tap_delays: Vec::new(),
        tap_weights: Vec::new(),
        oscillation: if settings.encoding == SpikeEncoding::Phase {
            oscillation.collect()
        } else {
            Vec::new()
        },
        synapse_starts: vec![0],
        synapse_targets: Vec::new(),
        synapse_weights: Vec::new(),
        synapse_use: Vec::new(),
        depression_decay: Vec::new(),
        facilitation_decay: Vec::new(),
        rhythm_frequencies: Vec::new(),
        rhythm_decays: Vec::new(),
        rhythm_cosines: Vec::new(),
        rhythm_sines: Vec::new(),
        oscillator_frequencies: Vec::new(),
        oscillator_sensitivities: Vec::new(),
    }
}

/// What one dt leaves of something with a memory of `time` dt.
pub(super) fn decay(time: f64) -> f32 {
    (-1.0 / time).exp() as f32
}

/// A number whose logarithm is uniform.
fn log_uniform(rng: &mut Rng, low: f64, high: f64) -> f64 {
    rng.uniform_in(low.ln(), high.ln()).exp()
}

/// An exponential number of mean 1: the gamma distribution whose deviation is its mean.
pub(super) fn exponential(rng: &mut Rng) -> f64 {
    -(1.0 - rng.uniform()).ln()
}

/// How much a spike must bring so that a fibre's mean current is that of the steady encodings: all that is left of
/// its current in later dt, and, where a row has but one spike, the row's length.
fn charge(settings: &SpikingSettings, weights: &LiquidWeights, neuron: usize) -> f64 {
    let at_once = 1.0 - f64::from(weights.excitation_decay[neuron]);
    if settings.wiring == SpikingWiring::Column {
        return 1.0;
    }
    match settings.encoding {
        SpikeEncoding::Current | SpikeEncoding::Population => 1.0,
        SpikeEncoding::Rate | SpikeEncoding::Delta => at_once,
        SpikeEncoding::Latency | SpikeEncoding::Phase => at_once * settings.substeps as f64,
    }
}

/// What each neuron hears. A random choice leaves some pairs of past rows to many neurons and others to none, and which
/// pairs a series needs is not known: on NARMA10, where one pair is, errors between seeds then differ by a factor of
/// two. So lines and delays are dealt from decks: all single ones come equally often, and so do, for each of them, all
/// that may stand beside it.
fn taps(settings: &SpikingSettings, rng: &mut Rng, weights: &mut LiquidWeights) {
    let (lines, slots) = (weights.lines(), weights.slots());
    let mut first = Deck::of(lines * slots);
    let mut beside: BTreeMap<(usize, u32), Deck> = BTreeMap::new();
    for neuron in 0..settings.neurons {
        let strength = settings.gain * charge(settings, weights, neuron);
        let mut card = first.deal(rng);
        for place in 0..settings.fan_in {
            if place > 0 {
                card = beside.entry((place, card)).or_insert_with(|| Deck::of(lines * slots)).deal(rng);
            }
            weights.tap_lines.push(card % lines as u32);
            weights.tap_delays.push(card / lines as u32);
            let weight = match settings.wiring {
                SpikingWiring::Random => {
                    let size = rng.uniform_in(0.5, 1.5);
                    if rng.uniform() < 0.5 { -size } else { size }
                }
                SpikingWiring::Column => {
                    column::input_strength(neuron < weights.excitatory) * exponential(rng)
                }
            };
            weights.tap_weights.push((strength * weight) as f32);
        }
    }
}

/// Most cards of a deck: beyond it there are more of them than neurons to deal to, and chance is as even.
const CARDS_MAX: usize = 1024;

/// Numbers below a bound in random order, all of them before any comes again.
struct Deck {
    bound: usize,
    left: Vec<u32>,
}

impl Deck {
    fn of(bound: usize) -> Self {
        Self { bound, left: Vec::new() }
    }

    fn deal(&mut self, rng: &mut Rng) -> u32 {
        if self.bound > CARDS_MAX {
            return rng.below(self.bound as u64) as u32;
        }
        if self.left.is_empty() {
            self.left.extend(0..self.bound as u32);
            shuffle(&mut self.left, rng);
        }
        self.left.pop().expect("a deck has cards")
    }
}

/// Puts things in random order (Fisher & Yates).
pub(super) fn shuffle<T>(things: &mut [T], rng: &mut Rng) {
    for last in (1..things.len()).rev() {
        things.swap(last, rng.below(last as u64 + 1) as usize);
    }
}

fn random_neurons(settings: &SpikingSettings, rng: &mut Rng, weights: &mut LiquidWeights) {
    for _ in 0..settings.neurons {
        weights.membrane.push(1.0 - decay(log_uniform(rng, 5.0, 20.0)));
        weights.excitation_decay.push(decay(log_uniform(rng, 2.0, 10.0)));
        let bias = rng.uniform_in(1.0 - settings.gain / 2.0, 1.0 + settings.gain / 8.0);
        weights.bias.push(bias as f32);
    }
    weights.inhibition_decay.clone_from(&weights.excitation_decay);
}

/// Each pair with the same probability; weights from a gamma distribution of shape 2, scaled so that their sum over
/// a neuron's sources has the same deviation whatever the size.
fn random_synapses(settings: &SpikingSettings, rng: &mut Rng, weights: &mut LiquidWeights) {
    let n = settings.neurons;
    let scale = 0.6 * settings.coupling / (settings.density * n as f64).sqrt().max(f64::MIN_POSITIVE);
    for source in 0..n {
        for target in 0..n {
            if source != target && rng.uniform() < settings.density {
                let size = 0.5 * (exponential(rng) + exponential(rng));
                let sign = if source < weights.excitatory { 1.0 } else { -settings.inhibition };
                weights.synapse_targets.push(target as u32);
                weights.synapse_weights.push((scale * sign * size) as f32);
            }
        }
        // All of them arrive after one dt, none after two.
        let end = weights.synapse_targets.len() as u32;
        weights.synapse_starts.extend([end, end]);
    }
}
