//! The echo-state reservoir: a fixed random recurrent network that is only listened to.
//!
//! x ← (1 − a)·x + a·tanh(W·x + W_in·u + b)   (Jaeger 2001; leaky form: Lukoševičius 2012, eq. 2-3)
//!
//! with u the standardised channels of the row and, where asked for, the values one season before the targets.
//!
//! A stream's vector is its state, room for the inputs, and the constant 1, so that a step is one product. Streams step
//! alone, one beside the other (dense weights, which are then read once for several of them), or one per lane (sparse
//! weights). The bits are the same: a unit's sum always has the same order, and a state is never a negative zero, the
//! one value that a zero weight could change.

#[cfg(test)]
mod testing;
mod weights;

pub(crate) use weights::{Recurrent, Weights};

use crate::kernel::{self, Joint, LANES, Panels, Real, Sparse, States, Width, dispatch, room, tanh_in_place};
use crate::spec::EchoSettings;

/// Inputs are clipped to this many standard deviations: beyond it a unit is saturated anyway.
const INPUT_LIMIT: f64 = 4.0;

/// A reservoir ready to step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Echo<R> {
    weights: Weights<R>,
    kernel: Kernel<R>,
}

/// State, inputs and bias in one product.
#[derive(Debug, Clone, PartialEq)]
enum Kernel<R> {
    Dense(Panels<R>),
    Sparse(Box<Sparse<R>>),
}

/// Room that steps need. It grows when first used.
#[derive(Debug, Clone, Default)]
pub(crate) struct Work<R> {
    padded: Vec<R>,
    drives: Vec<R>,
}

impl<R: Real> Echo<R> {
    /// Draws a reservoir of `settings` for `inputs` input values a step.
    pub(crate) fn draw(settings: &EchoSettings, inputs: usize) -> Self {
        Self::new(Weights::draw(settings, inputs))
    }

    /// Packs weights for the kernels.
    pub(crate) fn new(weights: Weights<R>) -> Self {
        let (units, extra) = (weights.units, weights.inputs + 1);
        let kernel = match &weights.recurrent {
            Recurrent::Sparse(rows) => {
                Kernel::Sparse(Box::new(Sparse::pack(Joint::new(rows, &weights.input))))
            }
            Recurrent::Dense(matrix) => {
                let rows = matrix.chunks_exact(units).zip(weights.input.chunks_exact(extra));
                let joined: Vec<R> = rows.flat_map(|(a, b)| a.iter().chain(b).copied()).collect();
                Kernel::Dense(Panels::pack(&joined, units, units + extra))
            }
        };
        Self { weights, kernel }
    }

    /// The weights as they stand in a file.
    pub(crate) fn weights(&self) -> &Weights<R> {
        &self.weights
    }

    /// Units of the reservoir.
    pub(crate) fn units(&self) -> usize {
        self.weights.units
    }

    /// Inputs of a step.
    pub(crate) fn inputs_len(&self) -> usize {
        self.weights.inputs
    }

    /// Numbers of a stream's vector.
    pub(crate) fn vector_len(&self) -> usize {
        self.weights.units + self.weights.inputs + 1
    }

    /// Whether many streams step one per lane.
    pub(crate) fn prefers_lanes(&self) -> bool {
        matches!(self.kernel, Kernel::Sparse(_))
    }

    /// From how many streams on one stream per lane is faster; none where it never is.
    pub(crate) fn lanes_from(&self) -> Option<usize> {
        match &self.kernel {
            Kernel::Sparse(sparse) => Some(sparse.lanes_from()),
            _ => None,
        }
    }

    /// A stream's vector before its first row: the state (zeros), room for the inputs, and the constant 1.
    pub(crate) fn fresh(&self) -> Vec<R> {
        let mut vector = vec![R::ZERO; self.vector_len()];
        if let Some(last) = vector.last_mut() {
            *last = R::ONE;
        }
        vector
    }

    /// Puts the inputs of the next step into a stream's vector.
    #[inline(always)]
    pub(crate) fn hear(&self, vector: &mut [R], inputs: &[R]) {
        for (slot, &input) in vector[self.weights.units..].iter_mut().zip(inputs) {
            *slot = within_limit(input);
        }
    }

    /// Advances streams by the inputs they have heard.
    pub(crate) fn step(&self, vectors: &mut impl States<Number = R>, work: &mut Work<R>) {
        let Work { padded, drives } = work;
        let (streams, units) = (vectors.count(), self.weights.units);
        match &self.kernel {
            Kernel::Dense(panels) => {
                let length = panels.padded_rows();
                let drives = room(drives, streams * length);
                let shared = &*vectors;
                panels.multiply(streams, |stream| shared.get(stream), drives, length);
                for (stream, drives) in drives.chunks_exact_mut(length).enumerate() {
                    self.renew(&mut vectors.get_mut(stream)[..units], drives);
                }
            }
            Kernel::Sparse(sparse) => {
                let most = streams.min(kernel::SPARSE_STREAMS);
                let length = sparse.padded_rows();
                let (padded, drives) =
                    (room(padded, most * sparse.padded_columns()), room(drives, most * length));
                for first in (0..streams).step_by(kernel::SPARSE_STREAMS) {
                    let some = most.min(streams - first);
                    let shared = &*vectors;
                    sparse.multiply(some, |stream| shared.get(first + stream), padded, drives);
                    for (stream, drives) in drives.chunks_exact_mut(length).take(some).enumerate() {
                        self.renew(&mut vectors.get_mut(first + stream)[..units], drives);
                    }
                }
            }
        }
    }

    /// Advances streams that stand one per lane: number i of stream s is `vectors[i · stride + s]`.
    ///
    /// # Panics
    /// Where the weights are dense, see [`Echo::prefers_lanes`].
    pub(crate) fn step_lanes(&self, vectors: &mut [R], width: Width, work: &mut Work<R>) {
        let Kernel::Sparse(sparse) = &self.kernel else { unreachable!("dense weights take streams apart") };
        let Width { stride, active } = width;
        let drives = room(&mut work.drives, self.weights.units * stride);
        sparse.multiply_lanes(vectors, width, drives);
        let rows = vectors.chunks_exact_mut(stride).zip(drives.chunks_exact_mut(stride));
        dispatch(
            #[inline(always)]
            || {
                for (state, drives) in rows.take(self.weights.units) {
                    self.blend(&mut state[..active], &mut drives[..active]);
                }
            },
        );
    }

    /// x ← (1 − a)·x + a·tanh(drive).
    fn renew(&self, state: &mut [R], drives: &mut [R]) {
        dispatch(
            #[inline(always)]
            || self.blend(state, drives),
        );
    }

    #[inline(always)]
    fn blend(&self, state: &mut [R], drives: &mut [R]) {
        let leak = self.weights.leak;
        for drives in drives.as_chunks_mut::<LANES>().0 {
            tanh_in_place(drives);
        }
        for (state, &drive) in state.iter_mut().zip(drives.iter()) {
            // Adding zero turns a negative zero into a positive one.
            *state = leak.fused(drive - *state, *state) + R::ZERO;
        }
    }
}

/// The value, or the nearest that a unit can tell from others.
#[inline(always)]
pub(crate) fn within_limit<R: Real>(input: R) -> R {
    input.limited(R::narrow(-INPUT_LIMIT), R::narrow(INPUT_LIMIT))
}

#[cfg(test)]
mod tests {
    use super::testing::{row_major, settings};
    use super::*;
    use crate::kernel::One;

    #[test]
    fn a_step_is_the_equation_in_64_bits_to_the_precision_of_32() {
        for density in [1.0, 0.2] {
            let weights = Weights::<f32>::draw(&settings(density), 2);
            let matrix = row_major(&weights);
            let reservoir = Echo::new(weights.clone());
            let mut vector = reservoir.fresh();
            let mut work = Work::default();
            let mut exact = vec![0.0f64; 60];
            for step in 0..50 {
                let inputs = [(step as f32 * 0.3).sin(), -0.5];
                reservoir.hear(&mut vector, &inputs);
                reservoir.step(&mut One(&mut vector), &mut work);
                let before = exact.clone();
                for unit in 0..60 {
                    let row = &weights.input[unit * 3..][..3];
                    let drive: f64 = (0..60).map(|c| matrix[unit * 60 + c] * before[c]).sum::<f64>()
                        + f64::from(row[0]) * f64::from(inputs[0])
                        + f64::from(row[1]) * f64::from(inputs[1])
                        + f64::from(row[2]);
                    exact[unit] = 0.6 * before[unit] + 0.4 * drive.tanh();
                }
            }
            for unit in 0..60 {
                assert!(
                    (f64::from(vector[unit]) - exact[unit]).abs() < 1e-5,
                    "density {density}, unit {unit}"
                );
            }
        }
    }
}
