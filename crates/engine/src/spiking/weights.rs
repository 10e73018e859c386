//! The weights of a liquid as they stand in a file, and what must hold of them before they are computed with.
//!
//! Everything that was drawn, or computed with exp, ln, sine or cosine, stands here, so that a liquid that was loaded
//! gives the bits of the one that was saved. A file is not trusted: [`LiquidWeights::check`] bounds every length, index
//! and size, after which no step can leave its arrays or overflow.

use super::kuramoto::OSCILLATORS;
use super::{DELAY_MAX, FAN_IN_MAX, NEURONS_MAX, SUBSTEPS_MAX, SpikeEncoding, activity, encode};

/// No weight, bias or potential is larger: with decays below [`DECAY_MAX`] every sum then stays finite in 32 bits.
const MAGNITUDE_MAX: f32 = 1e6;
/// No decay is slower.
const DECAY_MAX: f32 = 0.999_99;
/// Longest refractory period in dt.
const REFRACTORY_MAX: f32 = 1e4;
/// Most numbers that a stream remembers of past rows.
const RING_MAX: usize = 1 << 22;

/// The weights of a liquid of N neurons. Neurons 0 to `excitatory` − 1 excite, the others inhibit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LiquidWeights {
    /// N.
    pub(crate) neurons: usize,
    /// Values of a row.
    pub(crate) inputs: usize,
    /// Steps (dt) of a row.
    pub(crate) substeps: usize,
    /// How values reach the neurons.
    pub(crate) encoding: SpikeEncoding,
    /// Longest axonal delay in rows.
    pub(crate) delay_max: usize,
    /// Delayed inputs (taps) of a neuron.
    pub(crate) fan_in: usize,
    /// How many neurons, the first ones, are excitatory.
    pub(crate) excitatory: usize,
    /// Which spikes the rate encoding draws.
    pub(crate) seed: u64,

    /// N: share of the way to its resting place that a potential goes in one dt, 1 − e^(−1/τ_m).
    pub(crate) membrane: Vec<f32>,
    /// N: what is left of an excitatory or input current after one dt, e^(−1/τ_s).
    pub(crate) excitation_decay: Vec<f32>,
    /// N: the same of an inhibitory current.
    pub(crate) inhibition_decay: Vec<f32>,
    /// N: constant currents.
    pub(crate) bias: Vec<f32>,
    /// N: dt, at least 1, that a neuron is silent after a spike.
    pub(crate) refractory: Vec<f32>,
    /// N: potentials before the first row.
    pub(crate) initial_potentials: Vec<f32>,
    /// Share of what is above the threshold that a neuron keeps after a spike: 1 subtracts the threshold.
    pub(crate) reset_kept: f32,
    /// What is added to it: where a potential is put that keeps nothing.
    pub(crate) reset_to: f32,
    /// What a spike adds to its neuron's threshold.
    pub(crate) adaptation: f32,
    /// What is left of that after one dt.
    pub(crate) adaptation_decay: f32,
    /// What is left of the fast and of the slow spike trace after one dt.
    pub(crate) trace_decays: [f32; 2],

    /// N × fan_in, neuron by neuron: the line that a tap hears, of those that the encoding makes of a row.
    pub(crate) tap_lines: Vec<u32>,
    /// N × fan_in: by how many rows it hears it later.
    pub(crate) tap_delays: Vec<u32>,
    /// N × fan_in: the current it makes of it, gain included.
    pub(crate) tap_weights: Vec<f32>,
    /// A current that all neurons feel in each dt of a row; empty if there is none.
    pub(crate) oscillation: Vec<f32>,

    /// 2·N + 1: where the synapses of each neuron begin, first those whose spikes arrive after one dt, then, of the
    /// same neuron, those whose spikes arrive after two.
    pub(crate) synapse_starts: Vec<u32>,
    /// The neuron that a synapse reaches.
    pub(crate) synapse_targets: Vec<u32>,
    /// The current that a spike makes there, negative if it inhibits; of a dynamic synapse, all it can make.
    pub(crate) synapse_weights: Vec<f32>,
    /// U of dynamic synapses: the share of the resources that the first spike uses. Empty if synapses are static.
    pub(crate) synapse_use: Vec<f32>,
    /// e^(−1/D): what is left of their depression after one dt.
    pub(crate) depression_decay: Vec<f32>,
    /// e^(−1/F): what is left of their facilitation after one dt.
    pub(crate) facilitation_decay: Vec<f32>,

    /// The 32 frequencies that the population's rhythm is compared with, in cycles per row, ascending.
    pub(crate) rhythm_frequencies: Vec<f32>,
    /// 32: what one dt leaves of a memory of that frequency.
    pub(crate) rhythm_decays: Vec<f32>,
    /// 32: real part of its rotation in one dt, decay included.
    pub(crate) rhythm_cosines: Vec<f32>,
    /// 32: imaginary part.
    pub(crate) rhythm_sines: Vec<f32>,
    /// 8: natural frequencies of the Kuramoto oscillators.
    pub(crate) oscillator_frequencies: Vec<f32>,
    /// 8: how much the population's rate hurries each of them.
    pub(crate) oscillator_sensitivities: Vec<f32>,
}

impl LiquidWeights {
    /// Lines that the encoding makes of a row.
    pub(super) fn lines(&self) -> usize {
        self.inputs * encode::lines_per_input(self.encoding)
    }

    /// Rows that a stream remembers.
    pub(super) fn slots(&self) -> usize {
        self.delay_max + 1
    }

    /// Whether inputs come as currents that last a row, not as spikes.
    pub(crate) fn is_steady(&self) -> bool {
        encode::is_steady(self.encoding)
    }

    /// Whether synapses tire and recover.
    pub(crate) fn is_dynamic(&self) -> bool {
        !self.synapse_use.is_empty()
    }

    /// Says what is wrong with weights that a file holds, if something is.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if !(1..=NEURONS_MAX).contains(&self.neurons)
            || !(1..=SUBSTEPS_MAX).contains(&self.substeps)
            || !(1..=FAN_IN_MAX).contains(&self.fan_in)
            || self.delay_max > DELAY_MAX
            || self.excitatory > self.neurons
            || self.inputs == 0
            || ring_len(self.encoding, self.inputs, self.delay_max).is_none()
        {
            return Err("the spiking reservoir's sizes are out of range");
        }
        self.check_neurons()?;
        self.check_taps()?;
        self.check_synapses()?;
        self.check_rhythms()
    }

    fn check_neurons(&self) -> Result<(), &'static str> {
        let n = self.neurons;
        let scalars = [self.reset_kept, self.reset_to, self.adaptation, self.adaptation_decay];
        let lengths = [&self.excitation_decay, &self.inhibition_decay, &self.membrane, &self.bias];
        if lengths.iter().any(|values| values.len() != n)
            || self.refractory.len() != n
            || self.initial_potentials.len() != n
        {
            return Err("the spiking reservoir's neurons differ in number");
        }
        let sound = within(&self.membrane, 0.0, 1.0)
            && within(&self.excitation_decay, 0.0, DECAY_MAX)
            && within(&self.inhibition_decay, 0.0, DECAY_MAX)
            && within(&self.bias, -MAGNITUDE_MAX, MAGNITUDE_MAX)
            && within(&self.refractory, 1.0, REFRACTORY_MAX)
            && self.refractory.iter().all(|dt| dt.fract() == 0.0)
            && within(&self.initial_potentials, -MAGNITUDE_MAX, MAGNITUDE_MAX)
            && within(&scalars, 0.0, 100.0)
            && within(&[self.reset_kept], 0.0, 1.0)
            && within(&[self.adaptation_decay], 0.0, DECAY_MAX)
            && within(&self.trace_decays, 0.0, DECAY_MAX);
        if sound { Ok(()) } else { Err("a neuron of the spiking reservoir is out of range") }
    }

    fn check_taps(&self) -> Result<(), &'static str> {
        let taps = self.neurons * self.fan_in;
        let oscillates = self.encoding == SpikeEncoding::Phase;
        if self.tap_lines.len() != taps
            || self.tap_delays.len() != taps
            || self.tap_weights.len() != taps
            || self.oscillation.len() != if oscillates { self.substeps } else { 0 }
        {
            return Err("the spiking reservoir's inputs differ in number");
        }
        let lines = self.lines();
        let sound = self.tap_lines.iter().all(|&line| (line as usize) < lines)
            && self.tap_delays.iter().all(|&delay| delay as usize <= self.delay_max)
            && within(&self.tap_weights, -MAGNITUDE_MAX, MAGNITUDE_MAX)
            && within(&self.oscillation, -MAGNITUDE_MAX, MAGNITUDE_MAX);
        if sound { Ok(()) } else { Err("an input of the spiking reservoir is out of range") }
    }

    fn check_synapses(&self) -> Result<(), &'static str> {
        let (n, synapses) = (self.neurons, self.synapse_targets.len());
        let starts = &self.synapse_starts;
        let dynamic = if self.is_dynamic() { synapses } else { 0 };
        let ordered = starts.len() == 2 * n + 1
            && starts.first() == Some(&0)
            && starts.last().is_some_and(|&end| end as usize == synapses)
            && starts.windows(2).all(|pair| pair[0] <= pair[1]);
        if !ordered
            || synapses > n * n
            || self.synapse_weights.len() != synapses
            || self.synapse_use.len() != dynamic
            || self.depression_decay.len() != dynamic
            || self.facilitation_decay.len() != dynamic
        {
            return Err("the spiking reservoir's synapses differ in number");
        }
        let inhibits = starts.get(2 * self.excitatory).map_or(synapses, |&start| start as usize);
        let (exciting, inhibiting) = self.synapse_weights.split_at(inhibits);
        // A spike that arrives after two dt is recognised by a refractory period that still lasts.
        let late_are_seen =
            (0..n).all(|i| starts[2 * i + 1] == starts[2 * i + 2] || self.refractory[i] >= 2.0);
        let sound = self.synapse_targets.iter().all(|&target| (target as usize) < n)
            && within(exciting, 0.0, MAGNITUDE_MAX)
            && within(inhibiting, -MAGNITUDE_MAX, 0.0)
            && within(&self.synapse_use, 0.0, 1.0)
            && within(&self.depression_decay, 0.0, 1.0)
            && within(&self.facilitation_decay, 0.0, 1.0)
            && late_are_seen;
        if sound { Ok(()) } else { Err("a synapse of the spiking reservoir is out of range") }
    }

    fn check_rhythms(&self) -> Result<(), &'static str> {
        let bank = activity::FREQUENCIES;
        let rhythms =
            [&self.rhythm_frequencies, &self.rhythm_decays, &self.rhythm_cosines, &self.rhythm_sines];
        let oscillators = [&self.oscillator_frequencies, &self.oscillator_sensitivities];
        if rhythms.iter().any(|values| values.len() != bank)
            || oscillators.iter().any(|values| values.len() != OSCILLATORS)
        {
            return Err("the spiking reservoir's rhythms differ in number");
        }
        let shrinks = self
            .rhythm_cosines
            .iter()
            .zip(&self.rhythm_sines)
            .all(|(cosine, sine)| cosine * cosine + sine * sine <= DECAY_MAX * DECAY_MAX);
        let sound = within(&self.rhythm_frequencies, 0.0, SUBSTEPS_MAX as f32)
            && within(&self.rhythm_decays, 0.0, DECAY_MAX)
            && shrinks
            && oscillators.iter().all(|values| within(values, -10.0, 10.0));
        if sound { Ok(()) } else { Err("a rhythm of the spiking reservoir is out of range") }
    }
}

/// Numbers that a stream remembers of past rows; `None` where they are more than it may.
pub(super) fn ring_len(encoding: SpikeEncoding, inputs: usize, delay_max: usize) -> Option<usize> {
    let lines = inputs.checked_mul(encode::lines_per_input(encoding))?;
    lines.checked_mul(delay_max.checked_add(1)?).filter(|&numbers| numbers <= RING_MAX)
}

/// Whether all values are numbers from `low` to `high`.
fn within(values: &[f32], low: f32, high: f32) -> bool {
    values.iter().all(|value| (low..=high).contains(value))
}
