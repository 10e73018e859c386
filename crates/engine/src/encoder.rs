//! From rows to features: standardise, remember, step the reservoirs, multiply, clip.
//!
//! Training and serving use this one path, so a model is judged with exactly the numbers it is served with. The
//! state of a stream is a fold of its rows from a fixed start; nothing else enters.
//!
//! Features stand in this order: recent lags (channel after channel), seasonal lags, products, then one block per
//! reservoir.

use crate::block::{Block, Heard, Of, State};
use crate::cohort::{Cohort, Remembers};
use crate::kernel::{LANES, Real, room};
use crate::spec::{Base, Hearing, LagForm, Lags, Products, Transform};
use std::ops::Range;

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
    /// Standard deviation of the standardised values' changes from row to row, positive.
    pub(crate) change: f64,
    /// Smallest and largest standardised training value.
    pub(crate) range: (f64, f64),
    /// Smallest and largest change, in units of [`Channel::change`].
    pub(crate) change_range: (f64, f64),
}

impl Channel {
    /// The standardised value, narrowed only after standardising in 64 bits.
    #[inline(always)]
    pub(crate) fn standardise<R: Real>(&self, value: f64) -> R {
        let z = (self.transform.apply(value) - self.mean) / self.deviation;
        R::narrow(z.clamp(-STANDARDISED_LIMIT, STANDARDISED_LIMIT))
    }

    /// Where a standardised value (or its change) lies between the smallest (0) and the largest (1) of training. It may
    /// lie a little outside: how much of that it can take is the reservoir's business.
    #[inline(always)]
    fn share(&self, z: f64, differenced: bool) -> f64 {
        let (low, high) = if differenced { self.change_range } else { self.range };
        (z - low) / (high - low)
    }

    /// The value whose standardised form is `z`.
    pub(crate) fn restore(&self, z: f64) -> f64 {
        self.transform.invert(self.mean + self.deviation * z)
    }
}

/// What turns the rows of a stream into features.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Encoder<R> {
    /// The channels of a row, targets first (unless a model hears its inputs alone).
    pub(crate) channels: Vec<Channel>,
    /// Lags among the features.
    pub(crate) lags: Lags,
    /// Products among the features.
    pub(crate) products: Option<Products>,
    /// What forecasts are corrections of, then the naive forecasts that are mixed in; decides which rows must be
    /// remembered.
    pub(crate) bases: Vec<Base>,
    /// Whether one readout serves all channels, each from its own lags.
    pub(crate) shared: bool,
    /// The season that [`Base::Season`] looks back by.
    pub(crate) season: usize,
    /// The reservoirs.
    pub(crate) blocks: Vec<Block<R>>,
    /// Smallest and largest training value of each feature; empty while they are being found, and for naive families.
    pub(crate) clip: Vec<(R, R)>,
}

/// What an encoder remembers of one stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Memory<R> {
    /// Rows seen.
    pub(crate) rows: usize,
    /// The newest standardised rows, a ring of a power of two of them.
    pub(crate) ring: Vec<R>,
    /// The state of each reservoir.
    pub(crate) states: Vec<State<R>>,
}

impl<R: Real> Encoder<R> {
    /// Rows that must have been seen before features and base exist.
    pub(crate) fn rows_needed(&self) -> usize {
        let base = if self.bases.contains(&Base::Season) { self.season } else { 1 };
        let products = self.products.map_or(1, |products| (products.taps - 1) * products.stride + 1);
        self.lags.depth().max(base).max(products)
    }

    /// Rows that the ring holds.
    pub(crate) fn ring_rows(&self) -> usize {
        let heard = self.blocks.iter().map(|block| block.hearing.depth()).max().unwrap_or(1);
        self.rows_needed().max(heard).next_power_of_two()
    }

    /// Number of features of a readout: of one channel where it is shared.
    pub(crate) fn features_len(&self) -> usize {
        let channels = if self.shared { 1 } else { self.channels.len() };
        let products = self.products.map_or(0, |products| products.features(channels));
        let blocks: usize = self.blocks.iter().map(Block::features_len).sum();
        self.lags.per_channel() * channels + products + blocks
    }

    /// How many vectors of features a row gives: one per target where the readout is shared.
    pub(crate) fn vectors(&self, targets: usize) -> usize {
        if self.shared { targets } else { 1 }
    }

    /// Where the parts of the features stand: recent lags, seasonal lags, products, each reservoir. Parts may be empty.
    pub(crate) fn spans(&self) -> Vec<Range<usize>> {
        let channels = if self.shared { 1 } else { self.channels.len() };
        let products = self.products.map_or(0, |products| products.features(channels));
        let own = [self.lags.recent * channels, self.lags.seasonal.len() * channels, products];
        let mut end = 0;
        own.into_iter()
            .chain(self.blocks.iter().map(Block::features_len))
            .map(|length| {
                end += length;
                end - length..end
            })
            .collect()
    }

    /// Features padded with zeros for the kernels.
    pub(crate) fn padded_len(&self) -> usize {
        self.features_len().next_multiple_of(LANES)
    }

    /// A stream that has seen nothing.
    pub(crate) fn fresh(&self) -> Memory<R> {
        Memory {
            rows: 0,
            ring: vec![R::ZERO; self.ring_rows() * self.channels.len()],
            states: self.blocks.iter().map(Block::fresh).collect(),
        }
    }

    /// A memory of rows alone, without reservoirs.
    #[cfg(feature = "gpu")]
    pub(crate) fn fresh_ring(&self) -> Memory<R> {
        let ring = vec![R::ZERO; self.ring_rows() * self.channels.len()];
        Memory { rows: 0, ring, states: Vec::new() }
    }

    /// Remembers one row (one value per channel).
    #[inline(always)]
    pub(crate) fn remember(&self, memory: &mut Memory<R>, row: impl Fn(usize) -> f64) {
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
    pub(crate) fn past(&self, memory: &Memory<R>, offset: usize, channel: usize) -> R {
        if offset >= memory.rows {
            return R::ZERO;
        }
        let width = self.channels.len();
        let mask = memory.ring.len() / width - 1;
        memory.ring[((memory.rows - 1 - offset) & mask) * width + channel]
    }

    /// Takes one row of each stream. `row(s, c)` is the value of channel `c` in stream `s`.
    #[inline(always)]
    pub(crate) fn advance<H: Remembers<R>>(
        &self,
        streams: &mut [H],
        row: impl Fn(usize, usize) -> f64,
        cohort: &mut Cohort<R>,
    ) {
        for (stream, memory) in streams.iter_mut().enumerate() {
            self.remember(memory.memory_mut(), |channel| row(stream, channel));
        }
        for index in 0..self.blocks.len() {
            if cohort.steps(index) {
                self.step_block(index, streams, cohort);
            }
        }
    }

    /// Gives one block of each stream its inputs and steps it.
    #[inline(always)]
    fn step_block<H: Remembers<R>>(&self, index: usize, streams: &mut [H], cohort: &mut Cohort<R>) {
        let (block, count) = (&self.blocks[index], streams.len());
        let inputs_len = block.inputs_len();
        let inputs = room(&mut cohort.inputs, count * inputs_len);
        for (stream, inputs) in streams.iter().zip(inputs.chunks_exact_mut(inputs_len)) {
            self.listen(block, stream.memory(), inputs);
        }
        if let Some(lanes) = cohort.lanes_of(index, count) {
            return block.step_lanes(count, lanes);
        }
        let Cohort { inputs, drives, rows, work, .. } = cohort;
        let (drives, rows) = (room(drives, count), room(rows, count));
        for ((stream, drive), rows) in streams.iter().zip(&mut *drives).zip(&mut *rows) {
            let memory = stream.memory();
            *drive = drive_before(&self.blocks[..index], &memory.states[..index]);
            *rows = memory.rows;
        }
        block.step(&mut Of { streams, block: index }, &Heard { inputs, drives, rows }, work);
    }

    /// Writes what a reservoir hears: each channel's newest value, then its seasonal ones.
    #[inline(always)]
    pub(crate) fn listen(&self, block: &Block<R>, memory: &Memory<R>, inputs: &mut [R]) {
        let (width, hearing) = (self.channels.len(), &block.hearing);
        let standard = |offset: usize, channel: usize| {
            let value = self.past(memory, offset, channel);
            if !hearing.differenced {
                return value;
            }
            if offset + 1 >= memory.rows {
                return R::ZERO;
            }
            let change = (value - self.past(memory, offset + 1, channel)).widen();
            R::narrow(change / self.channels[channel].change)
        };
        let heard = |offset: usize, channel: usize| match block.hears_shares() {
            false => standard(offset, channel),
            true => {
                let z = standard(offset, channel).widen();
                R::narrow(self.channels[channel].share(z, hearing.differenced))
            }
        };
        for channel in 0..width {
            inputs[channel] = heard(0, channel);
            for (index, &offset) in hearing.seasonal.iter().enumerate() {
                inputs[(index + 1) * width + channel] = heard(offset, channel);
            }
        }
    }

    /// Writes the features of the newest row, clipped to the encoder's ranges, one padded vector after the other; the
    /// padding stays as it is.
    #[inline(always)]
    pub(crate) fn features(&self, memory: &Memory<R>, features: &mut [R]) {
        self.features_within(memory, &self.clip, features);
    }

    /// The same, clipped to `ranges`: one per feature, or none for no clipping.
    #[inline(always)]
    pub(crate) fn features_within(&self, memory: &Memory<R>, ranges: &[(R, R)], features: &mut [R]) {
        if self.shared {
            for (channel, features) in features.chunks_exact_mut(self.padded_len()).enumerate() {
                let (recent, rest) = features.split_at_mut(self.lags.recent);
                self.write_channel_lags(memory, channel, recent, &mut rest[..self.lags.seasonal.len()]);
                limit(features, ranges);
            }
            return;
        }
        let mut at = self.lags.per_channel() * self.channels.len();
        self.write_lags(memory, &mut features[..at]);
        if let Some(products) = &self.products {
            let written = products.features(self.channels.len());
            products.write(
                self.channels.len(),
                |tap, channel| self.past(memory, tap, channel),
                &mut features[at..],
            );
            at += written;
        }
        for (block, state) in self.blocks.iter().zip(&memory.states) {
            at += block.write_features(state, &mut features[at..]);
        }
        limit(&mut features[..at], ranges);
    }

    #[inline(always)]
    fn write_lags(&self, memory: &Memory<R>, features: &mut [R]) {
        let (recent, seasonal) = (self.lags.recent, self.lags.seasonal.len());
        if recent == 0 {
            return;
        }
        let (recents, seasonals) = features.split_at_mut(recent * self.channels.len());
        let channels = recents.chunks_exact_mut(recent).zip(seasonals.chunks_exact_mut(seasonal.max(1)));
        if seasonal == 0 {
            for (channel, recents) in recents.chunks_exact_mut(recent).enumerate() {
                self.write_channel_lags(memory, channel, recents, &mut []);
            }
            return;
        }
        for (channel, (recents, seasonals)) in channels.enumerate() {
            self.write_channel_lags(memory, channel, recents, seasonals);
        }
    }

    /// The lags of one channel.
    #[inline(always)]
    fn write_channel_lags(&self, memory: &Memory<R>, channel: usize, recent: &mut [R], seasonal: &mut [R]) {
        let level = self.past(memory, 0, channel);
        let reference = if self.lags.form == LagForm::Relative { level } else { R::ZERO };
        recent[0] = level;
        for (offset, feature) in recent.iter_mut().enumerate().skip(1) {
            *feature = self.past(memory, offset, channel) - reference;
        }
        for (feature, &offset) in seasonal.iter_mut().zip(&self.lags.seasonal) {
            *feature = self.past(memory, offset, channel) - reference;
        }
    }

    /// The standardised base of the forecast of target `channel`, `step` rows ahead (from 1).
    #[inline(always)]
    pub(crate) fn base_of(&self, memory: &Memory<R>, channel: usize, step: usize) -> R {
        self.naive(self.bases[0], memory, channel, step)
    }

    /// The standardised naive forecast of target `channel`, `step` rows ahead (from 1).
    #[inline(always)]
    pub(crate) fn naive(&self, base: Base, memory: &Memory<R>, channel: usize, step: usize) -> R {
        match base {
            Base::Mean => R::ZERO,
            Base::Last => self.past(memory, 0, channel),
            Base::Season => self.past(memory, self.season * step.div_ceil(self.season) - step, channel),
        }
    }

    /// The largest difference between the reservoirs of two memories, over all their features.
    pub(crate) fn distance(&self, a: &Memory<R>, b: &Memory<R>) -> f64 {
        let pairs = self.blocks.iter().zip(a.states.iter().zip(&b.states));
        pairs.map(|(block, (a, b))| block.distance(a, b)).fold(0.0, f64::max)
    }

    /// A memory like `memory` whose reservoirs stand somewhere else: `towards` in [−1, 1] says where.
    pub(crate) fn displaced(&self, memory: &Memory<R>, towards: f64) -> Memory<R> {
        let mut displaced = memory.clone();
        for (block, state) in self.blocks.iter().zip(&mut displaced.states) {
            block.displace(state, towards);
        }
        displaced
    }
}

/// Keeps features within the ranges of training.
#[inline(always)]
fn limit<R: Real>(features: &mut [R], ranges: &[(R, R)]) {
    for (feature, &(low, high)) in features.iter_mut().zip(ranges) {
        *feature = feature.limited(low, high);
    }
}

/// What the reservoirs before a quantum one say about the strength of its field; one half where none speaks.
fn drive_before<R: Real>(blocks: &[Block<R>], states: &[State<R>]) -> f64 {
    blocks.iter().zip(states).rev().find_map(|(block, state)| block.drive(state)).unwrap_or(0.5)
}

impl Hearing {
    /// Rows that must be remembered for it.
    pub(crate) fn depth(&self) -> usize {
        self.seasonal.iter().max().map_or(1, |offset| offset + 1) + usize::from(self.differenced)
    }

    /// Inputs of a reservoir for `channels` channels.
    pub(crate) fn inputs(&self, channels: usize) -> usize {
        channels * (1 + self.seasonal.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder(form: LagForm) -> Encoder<f32> {
        let channel = Channel {
            name: "v".to_owned(),
            transform: Transform::Identity,
            mean: 0.0,
            deviation: 1.0,
            change: 1.0,
            range: (-2.0, 2.0),
            change_range: (-2.0, 2.0),
        };
        Encoder {
            channels: vec![channel],
            lags: Lags::around_season(2, 5, 2, 0, 1, form),
            products: None,
            bases: vec![Base::Season],
            shared: false,
            season: 5,
            blocks: vec![],
            clip: vec![],
        }
    }

    fn after(encoder: &Encoder<f32>, values: &[f64]) -> Memory<f32> {
        let mut memory = encoder.fresh();
        for &value in values {
            encoder.advance(&mut [&mut memory], |_, _| value, &mut Cohort::default());
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
            let shared = Encoder { shared: true, ..encoder.clone() };
            shared.features(&memory, &mut features);
            assert_eq!((&features[..5], shared.features_len()), (&wanted[..], 5));
            assert_eq!(encoder.base_of(&memory, 0, 1), 15.0);
            assert_eq!(encoder.base_of(&memory, 0, 5), 19.0);
            assert_eq!(encoder.base_of(&memory, 0, 6), 15.0);
        }
    }

    #[test]
    fn products_are_all_of_two_and_three_factors_without_repetition() {
        let mut encoder = encoder(LagForm::Raw);
        encoder.lags = Lags::none();
        encoder.bases = vec![Base::Last];
        encoder.products = Some(Products { taps: 2, stride: 3, order: 3 });
        let memory = after(&encoder, &[9.0, 2.0, 9.0, 9.0, 5.0]);
        let mut features = vec![0.0; encoder.padded_len()];
        encoder.features(&memory, &mut features);
        // The taps are 5 and 2.
        assert_eq!(features[..encoder.features_len()], [25.0, 10.0, 4.0, 125.0, 50.0, 20.0, 8.0]);
        assert_eq!(encoder.rows_needed(), 4);
    }

    #[test]
    fn features_are_clipped_and_the_time_before_the_stream_is_the_mean() {
        let mut encoder = encoder(LagForm::Raw);
        encoder.clip = vec![(-1.0, 1.0); 5];
        let memory = after(&encoder, &[3.0]);
        let mut features = vec![0.0; encoder.padded_len()];
        encoder.features(&memory, &mut features);
        assert_eq!(features[..3], [1.0, 0.0, 0.0]);
        assert!(encoder.channels[0].standardise::<f32>(1e300).is_finite());
    }
}
