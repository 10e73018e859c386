//! The vectorised step against a plain one: neuron by neuron, with all that ever happened kept in lists instead of
//! rings, counters and state vectors. Products that are added to something are rounded once, as everywhere in the
//! engine, so the bits are equal, not only the values.

use super::*;
use crate::spiking::encode::{self, Moment, Taps};
use crate::spiking::synapse::power;

/// Dt after which an interval counts as endless.
const RESTED: usize = 4096;

struct Scalar<'w> {
    weights: &'w LiquidWeights,
    /// Lines of all rows so far.
    rows: Vec<Vec<f32>>,
    references: Vec<f32>,
    potentials: Vec<f32>,
    excitation: Vec<f32>,
    inhibition: Vec<f32>,
    thresholds: Vec<f32>,
    fast: Vec<f32>,
    slow: Vec<f32>,
    /// Per neuron: the dt of all its spikes.
    spikes: Vec<Vec<usize>>,
    /// Per synapse: u and R.
    resources: Vec<(f32, f32)>,
    dt: usize,
}

impl<'w> Scalar<'w> {
    fn new(weights: &'w LiquidWeights) -> Self {
        let n = weights.neurons;
        Self {
            weights,
            rows: Vec::new(),
            references: Vec::new(),
            potentials: weights.initial_potentials.clone(),
            excitation: vec![0.0; n],
            inhibition: vec![0.0; n],
            thresholds: vec![0.0; n],
            fast: vec![0.0; n],
            slow: vec![0.0; n],
            spikes: vec![Vec::new(); n],
            resources: vec![(0.0, 1.0); weights.synapse_targets.len()],
            dt: 0,
        }
    }

    /// One row; the features after it.
    fn row(&mut self, inputs: &[f32]) -> Vec<f32> {
        let weights = self.weights;
        let row = self.rows.len();
        let lines = self.encode(inputs);
        self.rows.push(lines);
        let mut sums = vec![0.0f32; weights.neurons];
        for substep in 0..weights.substeps {
            self.arrivals(row, substep);
            self.recurrence();
            for (neuron, sum) in sums.iter_mut().enumerate() {
                self.neuron(neuron, substep);
                *sum += self.potentials[neuron];
            }
            self.dt += 1;
        }
        let share = 1.0 / weights.substeps as f32;
        let means = sums.iter().map(|sum| sum * share).collect();
        [self.fast.clone(), self.slow.clone(), self.potentials.clone(), means].concat()
    }

    fn encode(&mut self, inputs: &[f32]) -> Vec<f32> {
        if self.references.is_empty() {
            self.references = inputs.to_vec();
        }
        let mut all = Vec::new();
        for (input, reference) in inputs.iter().zip(&mut self.references) {
            let mut lines = vec![0.0; encode::lines_per_input(self.weights.encoding)];
            encode::write_lines(
                self.weights.encoding,
                self.weights.substeps,
                *input,
                Some(reference),
                &mut lines,
            );
            all.extend(lines);
        }
        all
    }

    /// What a tap hears in the newest row.
    fn heard(&self, tap: usize) -> f32 {
        let delay = self.weights.tap_delays[tap] as usize;
        match (self.rows.len() - 1).checked_sub(delay) {
            Some(row) => self.rows[row][self.weights.tap_lines[tap] as usize],
            None => encode::silence(self.weights.encoding),
        }
    }

    /// Spikes of inputs.
    fn arrivals(&mut self, row: usize, substep: usize) {
        let weights = self.weights;
        for place in 0..weights.fan_in {
            for neuron in 0..weights.neurons {
                let tap = neuron * weights.fan_in + place;
                let heard = self.heard(tap);
                let comes = match weights.encoding {
                    SpikeEncoding::Current | SpikeEncoding::Population => false,
                    SpikeEncoding::Latency | SpikeEncoding::Phase => heard == substep as f32,
                    SpikeEncoding::Delta => (substep as f32) < heard,
                    SpikeEncoding::Rate => self.drawn(tap, row, substep),
                };
                self.excitation[neuron] += if comes { weights.tap_weights[tap] } else { 0.0 };
            }
        }
    }

    /// Whether the rate encoding draws a spike: its hash is the encoder's own, whose statistics have their test.
    fn drawn(&self, tap: usize, row: usize, substep: usize) -> bool {
        let (neuron, place) = (tap / self.weights.fan_in, tap % self.weights.fan_in);
        let mut currents = vec![0.0; neuron + 1];
        let taps = Taps {
            heard: &vec![self.heard(tap); neuron + 1],
            weights: &vec![1.0; neuron + 1],
            delays: &vec![self.weights.tap_delays[tap]; neuron + 1],
            place: place as u32,
        };
        let moment = Moment { seed: self.weights.seed, row: row as u64, substep };
        encode::arrive(SpikeEncoding::Rate, moment, &taps, &mut currents);
        currents[neuron] > 0.0
    }

    /// Spikes of neurons, those of the last dt before those of the dt before whose axons are long.
    fn recurrence(&mut self) {
        for late in [0, 1] {
            for source in 0..self.weights.neurons {
                let fired = self.dt.checked_sub(1 + late).is_some_and(|dt| self.spikes[source].contains(&dt));
                if !fired {
                    continue;
                }
                let starts = &self.weights.synapse_starts;
                for synapse in starts[2 * source + late]..starts[2 * source + late + 1] {
                    self.transmit(source, synapse as usize);
                }
            }
        }
    }

    fn transmit(&mut self, source: usize, synapse: usize) {
        let weights = self.weights;
        let mut current = weights.synapse_weights[synapse];
        if weights.is_dynamic() {
            let spikes = &self.spikes[source];
            let before = spikes.len().checked_sub(2).map(|at| spikes[at]);
            let interval = before.map_or(RESTED, |dt| (spikes[spikes.len() - 1] - dt).min(RESTED)) as u32;
            let (u, r) = self.resources[synapse];
            let first = weights.synapse_use[synapse];
            let u_now =
                (u * (1.0 - first)).mul_add(power(weights.facilitation_decay[synapse], interval), first);
            let r_now = (r - u * r - 1.0).mul_add(power(weights.depression_decay[synapse], interval), 1.0);
            self.resources[synapse] = (u_now, r_now);
            current *= u_now * r_now;
        }
        let target = weights.synapse_targets[synapse] as usize;
        if source < weights.excitatory {
            self.excitation[target] += current;
        } else {
            self.inhibition[target] += current;
        }
    }

    fn neuron(&mut self, i: usize, substep: usize) {
        let weights = self.weights;
        let mut drive = weights.bias[i];
        if encode::is_steady(weights.encoding) {
            for tap in i * weights.fan_in..(i + 1) * weights.fan_in {
                drive = weights.tap_weights[tap].mul_add(self.heard(tap), drive);
            }
        }
        let common = weights.oscillation.get(substep).copied().unwrap_or(0.0);
        let current = (drive + common) + (self.excitation[i] + self.inhibition[i]);
        let silent = self.spikes[i].last().is_some_and(|dt| self.dt - dt <= weights.refractory[i] as usize);
        let mut v = self.potentials[i];
        let mut fires = false;
        if !silent {
            v = weights.membrane[i].mul_add(current - v, v);
            fires = v > 1.0 + self.thresholds[i];
        }
        if fires {
            v += (weights.reset_kept - 1.0).mul_add(v, weights.reset_to - weights.reset_kept);
            self.spikes[i].push(self.dt);
        }
        let spike = if fires { 1.0 } else { 0.0 };
        self.potentials[i] = v;
        self.thresholds[i] = weights.adaptation_decay.mul_add(self.thresholds[i], weights.adaptation * spike);
        self.excitation[i] *= weights.excitation_decay[i];
        self.inhibition[i] *= weights.inhibition_decay[i];
        self.fast[i] = weights.trace_decays[0].mul_add(self.fast[i], spike);
        self.slow[i] = weights.trace_decays[1].mul_add(self.slow[i], spike);
    }
}

#[test]
fn the_vectorised_step_gives_the_bits_of_a_plain_one() {
    for settings in every_kind() {
        let inputs = 2;
        let liquid = Liquid::draw(&settings, inputs);
        let mut scalar = Scalar::new(liquid.weights());
        let mut state = liquid.fresh();
        let rows = noise(40, inputs, 11);
        for (row, values) in rows.iter().enumerate() {
            liquid.step(&mut state, values, &mut Work::default());
            let wanted = scalar.row(values);
            assert_eq!(bits(liquid.features(&state)), bits(&wanted), "{settings:?} row {row}");
        }
        let spikes: usize = scalar.spikes.iter().map(Vec::len).sum();
        assert!(spikes > 2 * settings.neurons, "{settings:?}: {spikes} spikes prove little");
        let rate = spikes as f32 / (settings.neurons * rows.len() * settings.substeps) as f32;
        assert!((liquid.activity(&state).rate - rate).abs() < 1e-5 * rate, "{settings:?}");
        let dynamic = settings.wiring == SpikingWiring::Column;
        assert_eq!(scalar.resources.iter().any(|&pair| pair != (0.0, 1.0)), dynamic, "{settings:?}");
    }
}

#[test]
fn whole_powers_are_powers() {
    for base in [0.0f32, 0.3, 0.951, 0.999_09, 1.0] {
        for exponent in [0, 1, 2, 3, 7, 100, 4095, 4096] {
            let wanted = f64::from(base).powi(exponent);
            let got = f64::from(power(base, exponent as u32));
            // Each of two dozen roundings costs half a unit in the last place, doubled by every later squaring.
            assert!((got - wanted).abs() <= 5e-4 * wanted + 1e-38, "{base}^{exponent}: {got} {wanted}");
        }
    }
}

/// A state is all there is: a liquid from the same weights goes on from it with the same bits.
#[test]
fn a_liquid_goes_on_from_a_saved_state_with_the_same_bits() {
    for settings in every_kind() {
        let liquid = Liquid::draw(&settings, 2);
        let rows = noise(40, 2, 12);
        let mut state = liquid.fresh();
        rows[..17].iter().for_each(|row| liquid.step(&mut state, row, &mut Work::default()));
        let saved = bits(&state);
        rows[17..].iter().for_each(|row| liquid.step(&mut state, row, &mut Work::default()));
        let other = Liquid::new(liquid.weights().clone()).unwrap();
        let mut restored: Vec<f32> = saved.iter().map(|&word| f32::from_bits(word)).collect();
        rows[17..].iter().for_each(|row| other.step(&mut restored, row, &mut Work::default()));
        assert_eq!(bits(&restored), bits(&state), "{settings:?}");
        assert_ne!(bits(&restored), saved);
    }
}
