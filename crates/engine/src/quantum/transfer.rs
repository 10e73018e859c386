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
use crate::kernel::{LANES, Panels};

/// Parts of an input: two populations and a coherence.
const PARTS: usize = 3;

/// A tabulated network.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Transfer {
    /// Coordinates of a sector.
    half: usize,
    /// Maps that a step mixes.
    channels: usize,
    /// The first sector's new coordinates and the features.
    same: Panels<f64>,
    /// The second sector's new coordinates.
    crossed: Panels<f64>,
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
            same: Panels::pack(&same, half + features, columns),
            crossed: Panels::pack(&crossed, half, columns),
        }
    }

    /// Advances the state, first sector first, by an input of the given parts. Maps are mixed by `shares`.
    pub(crate) fn step(
        &self,
        state: &mut [f64],
        parts: [f64; PARTS],
        shares: [f64; 2],
        features: &mut [f64],
    ) {
        let half = self.half;
        let (first, second) = state.split_at_mut(half);
        let mut inputs = vec![0.0; 2 * self.channels * PARTS * half];
        let (same, crossed) = inputs.split_at_mut(self.channels * PARTS * half);
        let targets = same.chunks_exact_mut(half).zip(crossed.chunks_exact_mut(half));
        for (index, (same, crossed)) in targets.enumerate() {
            let share = shares[index / PARTS] * parts[index % PARTS];
            let (kept, exchanged) = if index % PARTS < 2 { (&*first, &*second) } else { (&*second, &*first) };
            same.iter_mut().zip(kept).for_each(|(target, value)| *target = share * value);
            crossed.iter_mut().zip(exchanged).for_each(|(target, value)| *target = share * value);
        }
        let mut outputs = vec![0.0; self.same.padded_rows().max(half.next_multiple_of(LANES))];
        self.crossed.multiply([crossed], &mut [&mut outputs]);
        second.copy_from_slice(&outputs[..half]);
        self.same.multiply([same], &mut [&mut outputs]);
        first.copy_from_slice(&outputs[..half]);
        features.copy_from_slice(&outputs[half..][..features.len()]);
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
