//! A whole step of a small network as a product with a real matrix.
//!
//! A step is linear in the state, and in the input's amplitudes it has three parts: with s and 1 − s the two
//! populations and √(s·(1−s)) the coherence of the prepared qubit,
//!
//! r' = \[(1−s)·M₀ + s·M₁ + √(s·(1−s))·M₂\]·r, and the features likewise.
//!
//! Parity halves it: M₀ and M₁ keep r's two sectors (row and column states of the same parity, or of different ones)
//! apart, M₂ exchanges them, and features see the first sector only. So there are two products, one for the first
//! sector and the features with \[(1−s)·r₊, s·r₊, √(s·(1−s))·r₋\], one for the second with + and − exchanged.

use super::network::positions_by_sector;
use crate::kernel::{Panels, States, room};

/// Parts of an input: two populations and a coherence.
const PARTS: usize = 3;
/// Streams that share a product: their vectors stay in the first cache.
const TOGETHER: usize = 12;

/// A tabulated network.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Transfer {
    /// Coordinates of a sector.
    half: usize,
    /// Maps that a step mixes.
    channels: usize,
    /// Read-outs of a step.
    features: usize,
    /// The first sector's new coordinates and the features.
    same: Panels<f64>,
    /// The second sector's new coordinates.
    crossed: Panels<f64>,
}

/// Where a stream's numbers hold what belongs to one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// First number of its state.
    pub(crate) state: usize,
    /// First of its features.
    pub(crate) features: usize,
}

/// What an input is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Mixture {
    /// Its two populations and its coherence.
    pub(crate) parts: [f64; PARTS],
    /// Shares of the maps that are mixed.
    pub(crate) shares: [f64; 2],
}

/// Room that a step needs. It grows when first used.
#[derive(Debug, Clone, Default)]
pub(crate) struct Work {
    same: Vec<f64>,
    crossed: Vec<f64>,
    outputs: Vec<f64>,
}

/// What is tabulated: a step of a state, row-major `dimension` × `dimension` with even states first.
pub(crate) trait Channel {
    /// Advances `state` by an input of the given amplitudes.
    fn step(&self, state: &mut [f64], input: [f64; 2], features: &mut [f64]);
}

impl Transfer {
    /// Tabulates the maps of one network, for each of the fields it can be under.
    pub(crate) fn tabulate(channels: &[impl Channel], dimension: usize, features: usize) -> Self {
        let order = positions_by_sector(dimension);
        let half = order.len() / 2;
        let columns = channels.len() * PARTS * half;
        let (mut same, mut crossed) = (vec![0.0; (half + features) * columns], vec![0.0; half * columns]);
        for (channel, map) in channels.iter().enumerate() {
            for (coordinate, &position) in order.iter().enumerate() {
                let responses = responses(map, position, dimension, features);
                let in_first = coordinate < half;
                for (part, (state, features)) in responses.iter().enumerate() {
                    let column = (channel * PARTS + part) * half + coordinate % half;
                    // Only the coherence exchanges the sectors.
                    if in_first == (part < 2) {
                        let rows = order[..half].iter().map(|&position| state[position]);
                        for (row, value) in rows.chain(features.iter().copied()).enumerate() {
                            same[row * columns + column] = value;
                        }
                    } else {
                        for (row, &position) in order[half..].iter().enumerate() {
                            crossed[row * columns + column] = state[position];
                        }
                    }
                }
            }
        }
        Self {
            half,
            channels: channels.len(),
            features,
            same: Panels::pack(&same, half + features, columns),
            crossed: Panels::pack(&crossed, half, columns),
        }
    }

    /// Coordinates of a sector.
    #[cfg(feature = "gpu")]
    pub(crate) fn half(&self) -> usize {
        self.half
    }

    /// Read-outs of a step.
    #[cfg(feature = "gpu")]
    pub(crate) fn features(&self) -> usize {
        self.features
    }

    /// What a coordinate of a sector adds to a line by one part of the input, under the first map. Lines are the new
    /// coordinates of the first sector, those of the second, then the features.
    #[cfg(feature = "gpu")]
    pub(crate) fn coefficient(&self, part: usize, coordinate: usize, line: usize) -> f64 {
        let column = part * self.half + coordinate;
        match line.checked_sub(self.half) {
            None => self.same.entry(line, column),
            Some(line) if line < self.half => self.crossed.entry(line, column),
            Some(line) => self.same.entry(line, column),
        }
    }

    /// Advances the states of several streams, in each first sector first, by one product for each sector.
    pub(crate) fn step(
        &self,
        states: &mut impl States<Number = f64>,
        place: Place,
        mixture: impl Fn(usize) -> Mixture,
        work: &mut Work,
    ) {
        let (half, columns) = (self.half, self.channels * PARTS * self.half);
        let streams = states.count();
        let same_rows = self.same.padded_rows();
        let Work { same, crossed, outputs } = work;
        for first in (0..streams).step_by(TOGETHER) {
            let count = TOGETHER.min(streams - first);
            let (same, crossed) = (room(same, count * columns), room(crossed, count * columns));
            let inputs = same.chunks_exact_mut(columns).zip(crossed.chunks_exact_mut(columns));
            for (offset, (same, crossed)) in inputs.enumerate() {
                let state = &states.get(first + offset)[place.state..][..2 * half];
                let Mixture { parts, shares } = mixture(first + offset);
                let (kept, exchanged) = state.split_at(half);
                let targets = same.chunks_exact_mut(half).zip(crossed.chunks_exact_mut(half));
                for (index, (same, crossed)) in targets.enumerate() {
                    let share = shares[index / PARTS] * parts[index % PARTS];
                    let (kept, exchanged) =
                        if index % PARTS < 2 { (kept, exchanged) } else { (exchanged, kept) };
                    same.iter_mut().zip(kept).for_each(|(target, value)| *target = share * value);
                    crossed.iter_mut().zip(exchanged).for_each(|(target, value)| *target = share * value);
                }
            }
            let stride = same_rows.max(self.crossed.padded_rows());
            let outputs = room(outputs, count * stride);
            self.crossed.multiply(count, |stream| &crossed[stream * columns..], outputs, stride);
            for (offset, output) in outputs.chunks_exact(stride).enumerate() {
                let state = &mut states.get_mut(first + offset)[place.state..];
                state[half..2 * half].copy_from_slice(&output[..half]);
            }
            self.same.multiply(count, |stream| &same[stream * columns..], outputs, stride);
            for (offset, output) in outputs.chunks_exact(stride).enumerate() {
                let numbers = states.get_mut(first + offset);
                numbers[place.state..][..half].copy_from_slice(&output[..half]);
                let features = self.features;
                numbers[place.features..][..features].copy_from_slice(&output[half..][..features]);
            }
        }
    }
}

/// What becomes of a unit coordinate under each part of an input: state and features.
fn responses(
    map: &impl Channel,
    position: usize,
    dimension: usize,
    features: usize,
) -> [(Vec<f64>, Vec<f64>); PARTS] {
    let respond = |input: [f64; 2]| {
        let (mut state, mut read) = (vec![0.0; dimension * dimension], vec![0.0; features]);
        state[position] = 1.0;
        map.step(&mut state, input, &mut read);
        (state, read)
    };
    let (zero, one) = (respond([1.0, 0.0]), respond([0.0, 1.0]));
    let mut both = respond([0.5f64.sqrt(); 2]);
    // An even superposition has half of each population and half a coherence.
    let coherence = |both: &mut [f64], zero: &[f64], one: &[f64]| {
        let populations = zero.iter().zip(one).map(|(zero, one)| zero + one);
        both.iter_mut().zip(populations).for_each(|(both, populations)| *both = 2.0 * *both - populations);
    };
    coherence(&mut both.0, &zero.0, &one.0);
    coherence(&mut both.1, &zero.1, &one.1);
    [zero, one, both]
}
