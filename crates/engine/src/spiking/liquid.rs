//! A liquid and its state: one row of a stream is `substeps` steps of all neurons.
//!
//! Potentials and currents advance eight neurons at a time. Spikes are rare, so their propagation is event-driven:
//! only the synapses of neurons that fired are touched, source by source in ascending order, which fixes the order of
//! every sum and with it the bits, on every instruction set.
//!
//! A stream's state is plain numbers in one vector: counters, per-neuron arrays padded to eight, resources of
//! dynamic synapses, the remembered rows, and last the features of the newest row. Who fired in the last two dt is not
//! stored twice: it is read off the refractory counters.

use super::activity::{self, Activity, FREQUENCIES, TALLY, Tally};
use super::encode::{self, Moment, Taps};
use super::kuramoto::{self, OSCILLATORS};
use super::synapse::{RESTED, Synapses};
use super::weights::LiquidWeights;
use super::{SpikingSettings, draw};
use crate::kernel::dispatch;

/// Neurons that advance together: one 256-bit register each of everything a neuron has.
const LANES: usize = 8;

/// Eight neurons' worth of one quantity.
type Lanes = [f32; LANES];

/// Counted rows are kept in two numbers that 32 bits hold exactly: multiples of this, and the rest.
const ROWS_UNIT: f32 = 1_048_576.0;
/// Arrays of one number per neuron in the state, dynamic synapses apart.
const ARRAYS: usize = 9;
/// Features per neuron: both traces, the last potential, the mean potential.
pub(super) const FEATURES: usize = 4;
/// Rows counted (two numbers), and where in the ring the newest stands.
const CLOCK: usize = 3;

/// A liquid ready to step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Liquid {
    weights: LiquidWeights,
    /// The neurons' constants, eight side by side; padding never moves and never fires.
    membrane: Vec<Lanes>,
    excitation_decay: Vec<Lanes>,
    inhibition_decay: Vec<Lanes>,
    refractory: Vec<Lanes>,
    bias: Vec<f32>,
    /// Taps place by place, padded like neurons.
    tap_lines: Vec<u32>,
    tap_delays: Vec<u32>,
    tap_weights: Vec<f32>,
}

/// A stream's state by its parts.
struct Parts<'s> {
    clock: &'s mut [f32; CLOCK],
    tally: &'s mut [f32; TALLY],
    phases: &'s mut [f32; OSCILLATORS],
    rhythm: &'s mut [f32],
    neurons: Neurons<'s>,
    /// Per neuron: mean and variance of its potential.
    means: &'s mut [f32],
    variances: &'s mut [f32],
    synapses: Synapses<'s>,
    references: &'s mut [f32],
    ring: &'s mut [f32],
    features: &'s mut [f32],
}

struct Neurons<'s> {
    potentials: &'s mut [Lanes],
    excitation: &'s mut [Lanes],
    inhibition: &'s mut [Lanes],
    /// Dt of silence left.
    silence: &'s mut [Lanes],
    thresholds: &'s mut [Lanes],
    fast: &'s mut [Lanes],
    slow: &'s mut [Lanes],
}

/// What one row needs and nobody keeps: room that grows when first used.
#[derive(Debug, Clone, Default)]
pub(crate) struct Work {
    moment: Moment,
    /// Per tap, place by place: what its line holds of the row that it hears.
    heard: Vec<f32>,
    /// Per neuron: constant currents of the row.
    drive: Vec<f32>,
    /// Per neuron: sum of its potentials over the row.
    sums: Vec<f32>,
    /// Who fired in the last dt, and in the one before, ascending.
    fired: Vec<u32>,
    fired_before: Vec<u32>,
    spikes: usize,
}

/// A buffer of exactly this length.
fn exactly(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    buffer.resize(length, 0.0);
    buffer
}

impl Liquid {
    /// Draws a liquid of `settings`, which must be in range, for rows of `inputs` values.
    pub(crate) fn draw(settings: &SpikingSettings, inputs: usize) -> Self {
        debug_assert_eq!(settings.check(), Ok(()));
        Self::pack(draw::draw(settings, inputs))
    }

    /// A liquid from weights that a file holds; says what is wrong with them if they cannot be computed with.
    pub(crate) fn new(weights: LiquidWeights) -> Result<Self, &'static str> {
        weights.check()?;
        Ok(Self::pack(weights))
    }

    fn pack(weights: LiquidWeights) -> Self {
        let padded = weights.neurons.next_multiple_of(LANES);
        let lanes = |values: &[f32], padding: f32| {
            let mut values = values.to_vec();
            values.resize(padded, padding);
            values.as_chunks().0.to_vec()
        };
        fn by_place<T: Copy + Default>(taps: &[T], fan_in: usize, padded: usize) -> Vec<T> {
            let mut packed = vec![T::default(); fan_in * padded];
            for (neuron, taps) in taps.chunks_exact(fan_in).enumerate() {
                for (place, &tap) in taps.iter().enumerate() {
                    packed[place * padded + neuron] = tap;
                }
            }
            packed
        }
        let mut bias = weights.bias.clone();
        bias.resize(padded, 0.0);
        Self {
            membrane: lanes(&weights.membrane, 0.0),
            excitation_decay: lanes(&weights.excitation_decay, 0.0),
            inhibition_decay: lanes(&weights.inhibition_decay, 0.0),
            refractory: lanes(&weights.refractory, 1.0),
            bias,
            tap_lines: by_place(&weights.tap_lines, weights.fan_in, padded),
            tap_delays: by_place(&weights.tap_delays, weights.fan_in, padded),
            tap_weights: by_place(&weights.tap_weights, weights.fan_in, padded),
            weights,
        }
    }

    /// The weights as they stand in a file.
    pub(crate) fn weights(&self) -> &LiquidWeights {
        &self.weights
    }

    /// Values of a row.
    pub(crate) fn inputs_len(&self) -> usize {
        self.weights.inputs
    }

    /// Number of features.
    pub(crate) fn features_len(&self) -> usize {
        FEATURES * self.weights.neurons
    }

    fn padded(&self) -> usize {
        self.bias.len()
    }

    /// Lengths of the state's parts, in order: clock, tally, phases, resonators, per-neuron arrays, neurons' and
    /// synapses' dynamic parts, references, ring, features.
    fn lengths(&self) -> [usize; 10] {
        let (weights, padded) = (&self.weights, self.padded());
        let dynamic = if weights.is_dynamic() { padded } else { 0 };
        let references = if encode::has_references(weights.encoding) { weights.inputs } else { 0 };
        [
            CLOCK,
            TALLY,
            OSCILLATORS,
            2 * FREQUENCIES,
            ARRAYS * padded,
            2 * dynamic,
            2 * weights.synapse_use.len(),
            references,
            weights.slots() * weights.lines(),
            self.features_len(),
        ]
    }

    /// A stream's state before its first row.
    pub(crate) fn fresh(&self) -> Vec<f32> {
        let weights = &self.weights;
        let mut state = vec![0.0; self.lengths().iter().sum()];
        let parts = self.split(&mut state);
        parts.neurons.potentials.as_flattened_mut()[..weights.neurons]
            .copy_from_slice(&weights.initial_potentials);
        parts.synapses.since.fill(RESTED);
        parts.synapses.interval.fill(RESTED);
        parts.synapses.resources.fill(1.0);
        parts.ring.fill(encode::silence(weights.encoding));
        state
    }

    #[inline(always)]
    fn split<'s>(&self, state: &'s mut [f32]) -> Parts<'s> {
        const FITS: &str = "the lengths are those of the state";
        let mut rest = state;
        let mut parts = self.lengths().map(|length| {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(length);
            rest = after;
            part
        });
        let [clock, tally, phases, rhythm, arrays, timing, resources, references, ring, features] =
            parts.each_mut().map(std::mem::take);
        let padded = self.padded();
        let mut arrays = arrays.chunks_exact_mut(padded);
        let mut array = || arrays.next().unwrap_or_default();
        let (used, resources) = resources.split_at_mut(resources.len() / 2);
        let (since, interval) = timing.split_at_mut(timing.len() / 2);
        Parts {
            clock: clock.try_into().expect(FITS),
            tally: tally.try_into().expect(FITS),
            phases: phases.try_into().expect(FITS),
            rhythm,
            neurons: Neurons {
                potentials: array().as_chunks_mut().0,
                excitation: array().as_chunks_mut().0,
                inhibition: array().as_chunks_mut().0,
                silence: array().as_chunks_mut().0,
                thresholds: array().as_chunks_mut().0,
                fast: array().as_chunks_mut().0,
                slow: array().as_chunks_mut().0,
            },
            means: &mut array()[..self.weights.neurons],
            variances: &mut array()[..self.weights.neurons],
            synapses: Synapses { since, interval, used, resources },
            references,
            ring,
            features,
        }
    }

    /// Advances a stream by one row of values in [0, 1].
    pub(crate) fn step(&self, state: &mut [f32], inputs: &[f32], work: &mut Work) {
        dispatch(
            #[inline(always)]
            || self.step_row(state, inputs, work),
        );
    }

    #[inline(always)]
    fn step_row(&self, state: &mut [f32], inputs: &[f32], row: &mut Work) {
        let weights = &self.weights;
        let mut parts = self.split(state);
        let rows = (parts.clock[1] as u64).wrapping_mul(ROWS_UNIT as u64).wrapping_add(parts.clock[0] as u64);
        self.remember(&mut parts, inputs, rows);
        self.hear(&parts, rows, row);
        let mut tally = Tally::of(parts.tally);
        for substep in 0..weights.substeps {
            row.moment.substep = substep;
            self.deliver(row, &mut parts);
            self.advance(row, &mut parts.neurons);
            if weights.is_dynamic() {
                parts.synapses.time_spikes(&row.fired);
            }
            let share = row.fired.len() as f32 / weights.neurons as f32;
            row.spikes += row.fired.len();
            tally.hear(share);
            let level = tally.level();
            let mut pace = [0.0; OSCILLATORS];
            for (i, pace) in pace.iter_mut().enumerate() {
                *pace = weights.oscillator_sensitivities[i].mul_add(level, weights.oscillator_frequencies[i]);
            }
            kuramoto::advance(parts.phases, &pace);
        }
        self.finish(&mut parts, row, tally);
    }

    /// Encodes the row and puts it into the ring. The ring runs backwards: a row that came d rows earlier stands d
    /// places on.
    #[inline(always)]
    fn remember(&self, parts: &mut Parts<'_>, inputs: &[f32], rows: u64) {
        let weights = &self.weights;
        let slots = weights.slots();
        let newest = (parts.clock[2] as usize % slots + slots - 1) % slots;
        parts.clock[2] = newest as f32;
        let each = encode::lines_per_input(weights.encoding);
        let lines = &mut parts.ring[newest * weights.lines()..][..weights.lines()];
        if rows == 0 {
            for (reference, input) in parts.references.iter_mut().zip(inputs) {
                *reference = encode::limited(*input);
            }
        }
        for (index, (&input, lines)) in inputs.iter().zip(lines.chunks_exact_mut(each)).enumerate() {
            let reference = parts.references.get_mut(index);
            encode::write_lines(weights.encoding, weights.substeps, input, reference, lines);
        }
    }

    /// What each tap hears in this row, and the neurons' constant currents.
    #[inline(always)]
    fn hear(&self, parts: &Parts<'_>, rows: u64, row: &mut Work) {
        let (weights, padded) = (&self.weights, self.padded());
        let (newest, slots, lines) = (parts.clock[2] as usize, weights.slots(), weights.lines());
        let heard = exactly(&mut row.heard, weights.fan_in * padded);
        for ((heard, &line), &delay) in heard.iter_mut().zip(&self.tap_lines).zip(&self.tap_delays) {
            let slot = newest + delay as usize;
            let slot = if slot >= slots { slot - slots } else { slot };
            *heard = parts.ring[slot * lines + line as usize];
        }
        let drive = exactly(&mut row.drive, padded);
        drive.copy_from_slice(&self.bias);
        if encode::is_steady(weights.encoding) {
            for (heard, tap_weights) in heard.chunks_exact(padded).zip(self.tap_weights.chunks_exact(padded))
            {
                for ((drive, &heard), &weight) in drive.iter_mut().zip(heard).zip(tap_weights) {
                    *drive = weight.mul_add(heard, *drive);
                }
            }
        }
        exactly(&mut row.sums, padded).fill(0.0);
        row.moment = Moment { seed: weights.seed, row: rows, substep: 0 };
        row.fired.clear();
        row.fired_before.clear();
        // However many fire, listing them takes no more room than this.
        row.fired.reserve(padded);
        row.fired_before.reserve(padded);
        row.spikes = 0;
        // A neuron fired in the last dt if its silence is still whole, one dt earlier if one dt of it has passed.
        let silence = parts.neurons.silence.as_flattened();
        for (neuron, (&left, &whole)) in silence.iter().zip(&weights.refractory).enumerate() {
            if left > 0.0 {
                if left == whole {
                    row.fired.push(neuron as u32);
                } else if left == whole - 1.0 {
                    row.fired_before.push(neuron as u32);
                }
            }
        }
    }

    /// Brings to the neurons' currents what arrives in this dt: spikes of the inputs, of the last dt's neurons, and of those
    /// of the dt before whose axons are long.
    #[inline(always)]
    fn deliver(&self, row: &mut Work, parts: &mut Parts<'_>) {
        let (weights, padded) = (&self.weights, self.padded());
        let excitation = parts.neurons.excitation.as_flattened_mut();
        let inhibition = parts.neurons.inhibition.as_flattened_mut();
        if !encode::is_steady(weights.encoding) {
            for place in 0..weights.fan_in {
                let range = place * padded..(place + 1) * padded;
                let taps = Taps {
                    heard: &row.heard[range.clone()],
                    weights: &self.tap_weights[range.clone()],
                    delays: &self.tap_delays[range],
                    place: place as u32,
                };
                encode::arrive(weights.encoding, row.moment, &taps, excitation);
            }
        }
        for (list, late) in [(&row.fired, 0), (&row.fired_before, 1)] {
            for &source in list {
                let source = source as usize;
                // A forged state may make the padding fire, which has no synapses.
                let Some(starts) = weights.synapse_starts.get(2 * source + late..2 * source + late + 2)
                else {
                    continue;
                };
                let range = starts[0] as usize..starts[1] as usize;
                let currents = if source < weights.excitatory { &mut *excitation } else { &mut *inhibition };
                if weights.is_dynamic() {
                    let interval = parts.synapses.interval[source] as u32;
                    for synapse in range {
                        let current = parts.synapses.transmit(weights, synapse, interval);
                        currents[weights.synapse_targets[synapse] as usize] += current;
                    }
                } else {
                    let synapses =
                        weights.synapse_targets[range.clone()].iter().zip(&weights.synapse_weights[range]);
                    for (&target, &weight) in synapses {
                        currents[target as usize] += weight;
                    }
                }
            }
        }
    }

    /// One dt of all neurons; lists who fires.
    #[inline(always)]
    fn advance(&self, row: &mut Work, neurons: &mut Neurons<'_>) {
        let weights = &self.weights;
        let common = weights.oscillation.get(row.moment.substep).copied().unwrap_or(0.0);
        let [fast_decay, slow_decay] = weights.trace_decays;
        let (forgotten, put) = (weights.reset_kept - 1.0, weights.reset_to - weights.reset_kept);
        let (adaptation, adaptation_decay) = (weights.adaptation, weights.adaptation_decay);
        std::mem::swap(&mut row.fired, &mut row.fired_before);
        row.fired.clear();
        let (drives, _) = row.drive.as_chunks::<LANES>();
        let (sums, _) = row.sums.as_chunks_mut::<LANES>();
        for (chunk, (drive, sums)) in drives.iter().zip(sums).enumerate() {
            let (membrane, refractory) = (self.membrane[chunk], self.refractory[chunk]);
            let (excitation_decay, inhibition_decay) =
                (self.excitation_decay[chunk], self.inhibition_decay[chunk]);
            let (mut excitation, mut inhibition) = (neurons.excitation[chunk], neurons.inhibition[chunk]);
            let (mut potential, mut silence, mut threshold) =
                (neurons.potentials[chunk], neurons.silence[chunk], neurons.thresholds[chunk]);
            let (mut fast, mut slow, mut sum) = (neurons.fast[chunk], neurons.slow[chunk], *sums);
            let (drive, mut fires) = (*drive, [0.0f32; LANES]);
            for lane in 0..LANES {
                let awake = 1.0 - silence[lane].min(1.0);
                let current = (drive[lane] + common) + (excitation[lane] + inhibition[lane]);
                let v = (awake * membrane[lane]).mul_add(current - potential[lane], potential[lane]);
                let above: f32 = if v > 1.0 + threshold[lane] { 1.0 } else { 0.0 };
                let fire = awake * above;
                fires[lane] = fire;
                potential[lane] = fire.mul_add(forgotten.mul_add(v, put), v);
                silence[lane] = fire.mul_add(refractory[lane], (silence[lane] - 1.0).max(0.0));
                threshold[lane] = adaptation_decay.mul_add(threshold[lane], adaptation * fire);
                excitation[lane] *= excitation_decay[lane];
                inhibition[lane] *= inhibition_decay[lane];
                fast[lane] = fast_decay.mul_add(fast[lane], fire);
                slow[lane] = slow_decay.mul_add(slow[lane], fire);
                sum[lane] += potential[lane];
            }
            neurons.potentials[chunk] = potential;
            neurons.silence[chunk] = silence;
            neurons.thresholds[chunk] = threshold;
            neurons.excitation[chunk] = excitation;
            neurons.inhibition[chunk] = inhibition;
            neurons.fast[chunk] = fast;
            neurons.slow[chunk] = slow;
            *sums = sum;
            let any = fires.iter().fold(0u32, |any, fire| any | fire.to_bits());
            if any != 0 {
                let mut mask = 0u32;
                for (lane, fire) in fires.iter().enumerate() {
                    // The bits of 1.0 hold a one here, those of 0.0 do not.
                    mask |= (fire.to_bits() >> 29) << lane;
                }
                while mask != 0 {
                    row.fired.push(chunk as u32 * LANES as u32 + mask.trailing_zeros());
                    mask &= mask - 1;
                }
            }
        }
    }

    /// Counts the row and writes its features.
    #[inline(always)]
    fn finish(&self, parts: &mut Parts<'_>, row: &Work, mut tally: Tally) {
        let weights = &self.weights;
        let n = weights.neurons;
        let duration = weights.substeps as f32;
        let weight = activity::weight_of_row(row.moment.row);
        let rate = row.spikes as f32 / (n as f32 * duration);
        let distance = tally.count(rate, weight);
        activity::ring(weights, parts.rhythm, distance);
        let potentials = &parts.neurons.potentials.as_flattened()[..n];
        let mean = potentials.iter().sum::<f32>() / n as f32;
        activity::observe(&mut tally.mean, &mut tally.variance, mean, weight);
        for ((mean, variance), &potential) in
            parts.means.iter_mut().zip(parts.variances.iter_mut()).zip(potentials)
        {
            activity::observe(mean, variance, potential, weight);
        }
        *parts.tally = tally.values();
        let sources = [
            parts.neurons.fast.as_flattened(),
            parts.neurons.slow.as_flattened(),
            parts.neurons.potentials.as_flattened(),
            &row.sums,
        ];
        for (features, source) in parts.features.chunks_exact_mut(n).zip(sources) {
            features.copy_from_slice(&source[..n]);
        }
        let share = 1.0 / duration;
        parts.features[3 * n..].iter_mut().for_each(|sum| *sum *= share);
        let counted = parts.clock[0] + 1.0;
        parts.clock[0] = if counted >= ROWS_UNIT { 0.0 } else { counted };
        parts.clock[1] += if counted >= ROWS_UNIT { 1.0 } else { 0.0 };
    }

    /// The features of a stream's newest row: of all neurons the fast traces, then the slow traces, the potentials, and
    /// the mean potentials.
    pub(crate) fn features<'s>(&self, state: &'s [f32]) -> &'s [f32] {
        &state[state.len() - self.features_len()..]
    }

    /// What the population says to what follows it, in [0, 1]: half its rate, as a share of a spike per neuron every
    /// ten dt, and half the height of its Kuramoto oscillators' mean on the circle.
    pub(crate) fn drive(&self, state: &[f32]) -> f32 {
        let tally = state[CLOCK..].first_chunk().map(Tally::of);
        let phases = state[CLOCK + TALLY..].first_chunk();
        let (Some(tally), Some(phases)) = (tally, phases) else { return 0.0 };
        let (_, height) = dispatch(
            #[inline(always)]
            || kuramoto::order(phases),
        );
        (0.5 * tally.level() + 0.25 * (1.0 + height)).clamp(0.0, 1.0)
    }

    /// What the population has been doing.
    pub(crate) fn activity(&self, state: &[f32]) -> Activity {
        let (n, padded) = (self.weights.neurons, self.padded());
        let Some(tally) = state[CLOCK..].first_chunk().map(Tally::of) else { return Activity::default() };
        let rhythm = &state[CLOCK + TALLY + OSCILLATORS..][..2 * FREQUENCIES];
        let variances = &state[CLOCK + TALLY + OSCILLATORS + 2 * FREQUENCIES + (ARRAYS - 1) * padded..][..n];
        activity::read(&self.weights, tally, variances, rhythm)
    }
}
