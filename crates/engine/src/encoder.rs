//! From rows to features: standardise, remember, step the reservoir, clip.
//!
//! Training and serving use this one path, so a model is judged with exactly the numbers it is served with. The
//! state of a stream is a fold of its rows from a fixed start; nothing else enters.

use crate::echo::Reservoir;
use crate::kernel::LANES;
use crate::spec::{Base, LagForm, Lags, Transform};

/// Standardised values are limited to this, so that a sensor's 1e300 stays a finite 32-bit number.
const STANDARDISED_LIMIT: f64 = 1e6;

/// One column of a row: what it is called and how it is standardised.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Channel {
    /// The column's name in the training file.
    pub(crate) name: String,
    /// Applied first.
    pub(crate) transform: Transform,
    /// Mean of the transformed training values.
    pub(crate) mean: f64,
    /// Standard deviation (population) of the transformed training values, positive.
    pub(crate) deviation: f64,
}

impl Channel {
    /// The standardised value, narrowed only after standardising in 64 bits.
    #[inline(always)]
    pub(crate) fn standardise(&self, value: f64) -> f32 {
        let z = (self.transform.apply(value) - self.mean) / self.deviation;
        z.clamp(-STANDARDISED_LIMIT, STANDARDISED_LIMIT) as f32
    }

    /// The value whose standardised form is `z`.
    pub(crate) fn restore(&self, z: f64) -> f64 {
        self.transform.invert(self.mean + self.deviation * z)
    }
}

/// What turns the rows of a stream into features.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Encoder {
    /// The channels of a row, targets first.
    pub(crate) channels: Vec<Channel>,
    /// Lags among the features.
    pub(crate) lags: Lags,
    /// What forecasts are corrections of; decides which rows must be remembered.
    pub(crate) base: Base,
    /// The season that [`Base::Season`] looks back by.
    pub(crate) season: usize,
    /// Offsets of the reservoir's seasonal inputs.
    pub(crate) seasonal_inputs: Vec<usize>,
    /// The reservoir, where the family has one.
    pub(crate) reservoir: Option<Reservoir>,
    /// Smallest and largest training value of each feature; empty while they are being found, and for naive families.
    pub(crate) clip: Vec<(f32, f32)>,
}

/// What an encoder remembers of one stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Memory {
    /// Rows seen.
    pub(crate) rows: usize,
    /// The newest standardised rows, a ring of a power of two of them.
    ring: Vec<f32>,
    /// The reservoir's vector: state, inputs, 1.
    vector: Vec<f32>,
}

impl Encoder {
    /// Rows that must have been seen before features and base exist.
    pub(crate) fn rows_needed(&self) -> usize {
        let base = match self.base {
            Base::Mean | Base::Last => 1,
            Base::Season => self.season,
        };
        self.lags.depth().max(base)
    }

    /// Rows that the ring holds.
    fn ring_rows(&self) -> usize {
        let inputs = self.seasonal_inputs.iter().max().map_or(1, |offset| offset + 1);
        self.rows_needed().max(inputs).next_power_of_two()
    }

    /// Features from lags alone.
    pub(crate) fn lag_features(&self) -> usize {
        self.lags.per_channel() * self.channels.len()
    }

    /// Number of features.
    pub(crate) fn features_len(&self) -> usize {
        self.lag_features() + self.reservoir.as_ref().map_or(0, Reservoir::units)
    }

    /// Features padded with zeros for the kernels.
    pub(crate) fn padded_len(&self) -> usize {
        self.features_len().next_multiple_of(LANES)
    }

    /// A stream that has seen nothing.
    pub(crate) fn fresh(&self) -> Memory {
        Memory {
            rows: 0,
            ring: vec![0.0; self.ring_rows() * self.channels.len()],
            vector: self.reservoir.as_ref().map_or_else(Vec::new, Reservoir::fresh),
        }
    }

    /// Remembers one row (one value per channel).
    #[inline(always)]
    fn remember(&self, memory: &mut Memory, row: impl Fn(usize) -> f64) {
        let width = self.channels.len();
        let mask = memory.ring.len() / width - 1;
        let slot = (memory.rows & mask) * width;
        for (index, channel) in self.channels.iter().enumerate() {
            memory.ring[slot + index] = channel.standardise(row(index));
        }
        memory.rows += 1;
    }

    /// The standardised value of `channel`, `offset` rows back; 0, the mean, before the stream began.
    #[inline(always)]
    pub(crate) fn past(&self, memory: &Memory, offset: usize, channel: usize) -> f32 {
        if offset >= memory.rows {
            return 0.0;
        }
        let width = self.channels.len();
        let mask = memory.ring.len() / width - 1;
        memory.ring[((memory.rows - 1 - offset) & mask) * width + channel]
    }

    /// Takes one row of each of a few streams. `row(s, c)` is the value of channel `c` in stream `s`.
    #[inline(always)]
    pub(crate) fn advance<const STREAMS: usize>(
        &self,
        memories: &mut [&mut Memory; STREAMS],
        row: impl Fn(usize, usize) -> f64,
        scratch: &mut [Vec<f32>; STREAMS],
    ) {
        for (stream, memory) in memories.iter_mut().enumerate() {
            self.remember(memory, |channel| row(stream, channel));
        }
        let Some(reservoir) = &self.reservoir else { return };
        for memory in memories.iter_mut() {
            self.write_inputs(reservoir, memory);
        }
        let mut vectors = memories.each_mut().map(|memory| memory.vector.as_mut_slice());
        let mut scratch = scratch.each_mut().map(|s| {
            s.resize(reservoir.scratch_len(), 0.0);
            s.as_mut_slice()
        });
        reservoir.step(&mut vectors, &mut scratch);
    }

    #[inline(always)]
    fn write_inputs(&self, reservoir: &Reservoir, memory: &mut Memory) {
        let width = self.channels.len();
        let mut vector = std::mem::take(&mut memory.vector);
        let inputs = reservoir.inputs(&mut vector);
        for channel in 0..width {
            inputs[channel] = self.past(memory, 0, channel);
            for (index, &offset) in self.seasonal_inputs.iter().enumerate() {
                inputs[(index + 1) * width + channel] = self.past(memory, offset, channel);
            }
        }
        memory.vector = vector;
    }

    /// Inputs of a reservoir for `channels` channels and `seasonal` seasonal offsets.
    pub(crate) fn reservoir_inputs(channels: usize, seasonal: usize) -> usize {
        channels * (1 + seasonal)
    }

    /// Writes the features of the newest row, clipped to the encoder's ranges; the padding stays as it is.
    #[inline(always)]
    pub(crate) fn features(&self, memory: &Memory, features: &mut [f32]) {
        self.features_within(memory, &self.clip, features);
    }

    /// The same, clipped to `ranges`: one per feature, or none for no clipping.
    #[inline(always)]
    pub(crate) fn features_within(&self, memory: &Memory, ranges: &[(f32, f32)], features: &mut [f32]) {
        let mut at = 0;
        let relative = self.lags.form == LagForm::Relative;
        if self.lags.recent > 0 {
            for channel in 0..self.channels.len() {
                let level = self.past(memory, 0, channel);
                let reference = if relative { level } else { 0.0 };
                features[at] = level;
                at += 1;
                for offset in 1..self.lags.recent {
                    features[at] = self.past(memory, offset, channel) - reference;
                    at += 1;
                }
            }
            for channel in 0..self.channels.len() {
                let reference = if relative { self.past(memory, 0, channel) } else { 0.0 };
                for &offset in &self.lags.seasonal {
                    features[at] = self.past(memory, offset, channel) - reference;
                    at += 1;
                }
            }
        }
        if let Some(reservoir) = &self.reservoir {
            let units = reservoir.units();
            features[at..at + units].copy_from_slice(&memory.vector[..units]);
            at += units;
        }
        for (feature, &(low, high)) in features[..at].iter_mut().zip(ranges) {
            *feature = feature.clamp(low, high);
        }
    }

    /// The standardised base of the forecast of target `channel`, `step` rows ahead (from 1).
    #[inline(always)]
    pub(crate) fn base_of(&self, memory: &Memory, channel: usize, step: usize) -> f32 {
        match self.base {
            Base::Mean => 0.0,
            Base::Last => self.past(memory, 0, channel),
            Base::Season => self.past(memory, self.season * step.div_ceil(self.season) - step, channel),
        }
    }

    /// The reservoir's state, for measuring how fast it forgets.
    pub(crate) fn reservoir_state<'m>(&self, memory: &'m Memory) -> &'m [f32] {
        self.reservoir.as_ref().map_or(&[], |reservoir| &memory.vector[..reservoir.units()])
    }

    /// A memory like `memory` whose reservoir stands somewhere else: every unit at `value`.
    pub(crate) fn displaced(&self, memory: &Memory, value: f32) -> Memory {
        let mut displaced = memory.clone();
        if let Some(reservoir) = &self.reservoir {
            displaced.vector[..reservoir.units()].fill(value);
        }
        displaced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder(form: LagForm) -> Encoder {
        let channel =
            Channel { name: "v".to_owned(), transform: Transform::Identity, mean: 0.0, deviation: 1.0 };
        Encoder {
            channels: vec![channel],
            lags: Lags::around_season(2, 5, 2, 0, 1, form),
            base: Base::Season,
            season: 5,
            seasonal_inputs: vec![],
            reservoir: None,
            clip: vec![],
        }
    }

    fn after(encoder: &Encoder, values: &[f64]) -> Memory {
        let mut memory = encoder.fresh();
        for &value in values {
            encoder.advance(&mut [&mut memory], |_, _| value, &mut [Vec::new()]);
        }
        memory
    }

    #[test]
    fn lags_and_bases_are_the_rows_they_name() {
        let values: Vec<f64> = (0..20).map(f64::from).collect();
        for (form, wanted) in [
            (LagForm::Raw, [19.0, 18.0, 16.0, 15.0, 14.0]),
            (LagForm::Relative, [19.0, -1.0, -3.0, -4.0, -5.0]),
        ] {
            let encoder = encoder(form);
            let memory = after(&encoder, &values);
            let mut features = vec![0.0; encoder.padded_len()];
            encoder.features(&memory, &mut features);
            assert_eq!(features[..5], wanted);
            assert_eq!(encoder.base_of(&memory, 0, 1), 15.0);
            assert_eq!(encoder.base_of(&memory, 0, 5), 19.0);
            assert_eq!(encoder.base_of(&memory, 0, 6), 15.0);
        }
    }

    #[test]
    fn features_are_clipped_and_the_time_before_the_stream_is_the_mean() {
        let mut encoder = encoder(LagForm::Raw);
        encoder.clip = vec![(-1.0, 1.0); 5];
        let memory = after(&encoder, &[3.0]);
        let mut features = vec![0.0; encoder.padded_len()];
        encoder.features(&memory, &mut features);
        assert_eq!(features[..3], [1.0, 0.0, 0.0]);
        assert!(encoder.channels[0].standardise(1e300).is_finite());
    }
}
