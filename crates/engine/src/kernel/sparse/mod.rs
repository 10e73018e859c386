//! A sparse reservoir: recurrent weights in compressed rows, and a few dense columns for inputs and bias.
//!
//! A row's sum runs over the inputs, the bias, then the recurrent entries in column order, on every path:
//! * *many streams*: one stream per lane, so that an entry is one broadcast and a fused multiply-add for 16 streams
//!   ([`lanes`]);
//! * *a few streams, AVX-512*: 16 rows per register, and the values they need, 32 columns at a time, by permutation of two
//!   registers instead of 16 loads ([`permuted`]), for up to four streams while the weights are at hand;
//! * *one stream otherwise*, and where permuting would mostly permute padding: 16 rows side by side, lane by lane
//!   ([`panels`]).
//!
//! The last two pad rows with zero weights. A zero weight adds a zero, which changes no sum unless the sum is a negative
//! zero; states are kept free of those, see [`crate::echo`].

mod lanes;
mod panels;
#[cfg(target_arch = "x86_64")]
mod permuted;
mod rows;

pub(crate) use lanes::{LanesF32, LanesF64};
pub(crate) use rows::{Joint, SparseRows};

use super::{Real, Width};
use panels::Panels;
use std::sync::OnceLock;

/// Streams that one product takes.
pub(crate) const STREAMS: usize = 4;

/// Largest number of rows: what a model file may ask for.
pub(crate) const ROWS_MAX: usize = 4096;

/// A matrix ready to multiply.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sparse<R> {
    joint: Joint<R>,
    #[cfg(target_arch = "x86_64")]
    permuted: Option<permuted::Permuted>,
    /// Packed when first needed, which is never on most machines.
    panels: OnceLock<Panels<R>>,
}

impl<R: Real> Sparse<R> {
    /// Packs a matrix whose vector is a state with inputs and a constant behind it.
    pub(crate) fn pack(joint: Joint<R>) -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            permuted: R::as_narrow(&joint.values).and_then(|values| permuted::Permuted::pack(&joint, values)),
            panels: OnceLock::new(),
            joint,
        }
    }

    /// Rows including padding: the length of an output.
    pub(crate) fn padded_rows(&self) -> usize {
        self.joint.rows().next_multiple_of(super::LANES)
    }

    /// Numbers that the copy of a vector needs, see [`Sparse::multiply`].
    pub(crate) fn padded_columns(&self) -> usize {
        self.joint.width.next_power_of_two().max(32)
    }

    /// From how many streams on lanes are faster than streams one after the other, or by permutations in fours;
    /// `usize::MAX` where they never are. In lanes 64 windows cost together what 45 cost in fours, and fewer cost hardly less,
    /// since registers of lanes are not filled; a ring, whose rows have one entry, gains nothing from lanes. Where values are
    /// loaded one by one, a register of 16 lanes costs as much as 2 streams.
    pub(crate) fn lanes_from(&self) -> usize {
        #[cfg(target_arch = "x86_64")]
        if super::avx512().is_some() && self.permuted.is_some() {
            return if self.joint.values.len() < 3 * self.joint.rows() { usize::MAX } else { 49 };
        }
        3
    }

    /// `output = matrix · vector` for up to [`STREAMS`] streams. `padded` has room for copies of the vectors, and `outputs`
    /// for [`Sparse::padded_rows`] numbers of each.
    ///
    /// # Panics
    /// Where there are more streams, or one of the slices is too short.
    pub(crate) fn multiply<'v>(
        &self,
        streams: usize,
        vector: impl Fn(usize) -> &'v [R],
        padded: &mut [R],
        outputs: &mut [R],
    ) {
        assert!(streams <= STREAMS);
        let (columns, rows) = (self.padded_columns(), self.padded_rows());
        let (padded, outputs) = (&mut padded[..streams * columns], &mut outputs[..streams * rows]);
        for (stream, padded) in padded.chunks_exact_mut(columns).enumerate() {
            let vector = vector(stream);
            padded[..vector.len()].copy_from_slice(vector);
        }
        #[cfg(target_arch = "x86_64")]
        if let (Some(simd), Some(permuted)) = (super::avx512(), &self.permuted)
            && let (Some(padded), Some(outputs)) = (R::as_narrow(padded), R::as_narrow_mut(outputs))
        {
            return permuted.multiply(simd, streams, padded, outputs);
        }
        let panels = self.panels.get_or_init(|| Panels::pack(&self.joint));
        super::dispatch(
            #[inline(always)]
            || {
                for (padded, output) in padded.chunks_exact(columns).zip(outputs.chunks_exact_mut(rows)) {
                    panels.multiply(padded, output);
                }
            },
        );
    }

    /// The same for many streams at once: number i of stream s stands at i · stride + s, in `vectors` as in `outputs`.
    ///
    /// # Panics
    /// Where one of the slices is too short.
    pub(crate) fn multiply_lanes(&self, vectors: &[R], width: Width, outputs: &mut [R]) {
        R::multiply_lanes(&self.joint, vectors, width, outputs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::Rng;

    fn joint<R: Real>(rows: usize, inputs: usize, density: f64, rng: &mut Rng) -> Joint<R> {
        let mut sparse = SparseRows { starts: vec![0], columns: vec![], values: vec![] };
        for _ in 0..rows {
            for column in 0..rows {
                if rng.uniform() < density {
                    sparse.columns.push(column as u32);
                    sparse.values.push(R::narrow(rng.normal()));
                }
            }
            sparse.starts.push(sparse.values.len() as u32);
        }
        assert!(sparse.is_well_formed());
        let dense: Vec<R> = (0..rows * (inputs + 1)).map(|_| R::narrow(rng.normal())).collect();
        Joint::new(&sparse, &dense)
    }

    /// Entry after entry with one rounding each: what every path must give to the bit.
    fn exact<R: Real>(joint: &Joint<R>, vector: &[R]) -> Vec<R> {
        (0..joint.rows())
            .map(|row| {
                joint.row(row).fold(R::ZERO, |sum, (column, weight)| weight.fused(vector[column], sum))
            })
            .collect()
    }

    fn check<R: Real>(rows: usize, inputs: usize, density: f64) {
        let mut rng = Rng::seeded(rows as u64);
        let joint = joint::<R>(rows, inputs, density, &mut rng);
        let sparse = Sparse::pack(joint.clone());
        let length = rows + inputs + 1;
        for (streams, active) in [(16, 16), (32, 16), (32, 32), (48, 48), (64, 64)] {
            let vectors: Vec<Vec<R>> =
                (0..streams).map(|_| (0..length).map(|_| R::narrow(rng.normal())).collect()).collect();
            let lanes: Vec<R> = (0..length * streams).map(|i| vectors[i % streams][i / streams]).collect();
            let mut outputs = vec![R::ONE; rows * streams];
            let width = Width { stride: streams, active };
            sparse.multiply_lanes(&lanes, width, &mut outputs);
            for (stream, vector) in vectors.iter().enumerate().take(active) {
                let exact = exact(&joint, vector);
                for some in 1..=STREAMS.min(active - stream) {
                    let mut padded = vec![R::ZERO; some * sparse.padded_columns()];
                    let mut apart = vec![R::ONE; some * sparse.padded_rows()];
                    // The last of some is the one looked at.
                    let of = |place: usize| &*vectors[stream + some - 1 - place];
                    sparse.multiply(some, of, &mut padded, &mut apart);
                    let own = &apart[(some - 1) * sparse.padded_rows()..][..rows];
                    assert_eq!(exact, own, "{rows} rows, {some} streams, density {density}");
                }
                let lane: Vec<R> = (0..rows).map(|row| outputs[row * streams + stream]).collect();
                assert_eq!(exact, lane, "{rows} rows, {streams} streams, density {density}");
            }
        }
    }

    #[test]
    fn streams_take_lanes_from_where_these_are_faster() {
        let mut rng = Rng::seeded(1);
        let (usual, ring) =
            (joint::<f32>(300, 1, 0.1, &mut rng), joint::<f32>(300, 1, 1.0 / 300.0, &mut rng));
        let (usual, ring) = (Sparse::pack(usual), Sparse::pack(ring));
        let wide = Sparse::pack(joint::<f64>(300, 1, 0.1, &mut rng));
        crate::kernel::with_each(|| {
            let has_permutations =
                crate::kernel::InstructionSet::in_use() == crate::kernel::InstructionSet::Avx512;
            assert_eq!(usual.lanes_from(), if has_permutations { 49 } else { 3 });
            assert_eq!(ring.lanes_from(), if has_permutations { usize::MAX } else { 3 });
            assert_eq!(wide.lanes_from(), 3);
        });
    }

    #[test]
    fn every_path_and_instruction_set_gives_the_same_bits() {
        crate::kernel::with_each(|| {
            for (rows, inputs, density) in
                [(1, 1, 1.0), (27, 2, 0.3), (90, 1, 0.1), (200, 40, 0.02), (64, 0, 0.0), (130, 3, 0.6)]
            {
                check::<f32>(rows, inputs, density);
                check::<f64>(rows, inputs, density);
            }
        });
    }
}
