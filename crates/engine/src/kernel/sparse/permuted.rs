//! One stream by permutation: the values that 16 rows need are looked up in two registers instead of in memory.
//!
//! The vector is cut into blocks of 32 numbers, two registers. Within a block a *slot* takes the next entry of each of 16
//! rows: one permutation of the two registers puts the 16 values in their lanes. Rows that have fewer entries in the
//! block than others are padded with zero weights. Two panels of 16 rows go together, so that one's multiply-add does
//! not wait for the other's. At a density of 10 % about half of what is permuted is padding, and it is still four times
//! faster than loading the values one by one.
//!
//! What limits one stream is reading the weights. Up to four streams therefore go through the slots together.

use super::super::aligned::Aligned;
use super::super::{LANES, Real};
use super::{Joint, STREAMS};
use pulp::NullaryFnOnce;
use pulp::bytemuck::cast;
use pulp::x86::V4;
use pulp::{Simd, f32x16, u8x16};
use std::arch::x86_64::__m512;

/// Numbers of a block: what one permutation can choose from.
const BLOCK: usize = 2 * LANES;
/// Rows that go together.
const ROWS: usize = 2 * LANES;
/// A slot of 16 costs about as much as this many single loads.
const WORTH: usize = 2;

/// The slots of one block for one group of rows.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Segment {
    block: u32,
    /// Where its slots end; they begin where those of the segment before end.
    end: u32,
}

/// A matrix in slots.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Permuted {
    rows: usize,
    /// Where each group's segments end.
    groups: Vec<usize>,
    segments: Vec<Segment>,
    /// Slot after slot, the weights of 32 rows.
    weights: Aligned<f32>,
    /// The places within the block, for each weight.
    places: Aligned<u8>,
}

impl Permuted {
    /// `None` where most slots would be padding.
    pub(super) fn pack<R: Real>(joint: &Joint<R>, values: &[f32]) -> Option<Self> {
        let (mut groups, mut segments) = (Vec::new(), Vec::new());
        let (mut weights, mut places) = (Vec::<f32>::new(), Vec::<u8>::new());
        let blocks = joint.width.div_ceil(BLOCK);
        for first in (0..joint.rows()).step_by(ROWS) {
            let lanes = ROWS.min(joint.rows() - first);
            let mut rows: Vec<_> =
                (first..first + lanes).map(|row| entries(joint, values, row).peekable()).collect();
            // Inputs come first in every row and stand last in the vector: their blocks are visited before the others, and
            // the block that holds the last units as well is visited twice.
            let inputs = joint.rows() / BLOCK..blocks;
            for (block, is_input) in inputs.map(|block| (block, true)).chain((0..blocks).map(|b| (b, false)))
            {
                let begin = weights.len() / ROWS;
                for (lane, row) in rows.iter_mut().enumerate() {
                    let mut slot = begin;
                    let of_segment = |&(column, _): &(usize, f32)| {
                        column / BLOCK == block && (column >= joint.rows()) == is_input
                    };
                    while let Some((column, weight)) = row.next_if(of_segment) {
                        if weights.len() < (slot + 1) * ROWS {
                            weights.resize((slot + 1) * ROWS, 0.0);
                            places.resize((slot + 1) * ROWS, 0);
                        }
                        weights[slot * ROWS + lane] = weight;
                        places[slot * ROWS + lane] = (column % BLOCK) as u8;
                        slot += 1;
                    }
                }
                if weights.len() / ROWS > begin {
                    segments.push(Segment { block: block as u32, end: (weights.len() / ROWS) as u32 });
                }
            }
            groups.push(segments.len());
        }
        let pays = weights.len() / LANES * WORTH <= joint.values.len();
        pays.then(|| Self {
            rows: joint.rows(),
            groups,
            segments,
            weights: Aligned::new(&weights),
            places: Aligned::new(&places),
        })
    }

    /// `output = matrix · vector` for up to [`STREAMS`] streams; vectors follow each other, padded to whole blocks, and so do
    /// outputs, padded to whole panels.
    ///
    /// # Panics
    /// Where there are more streams, or one of the slices is too short.
    pub(super) fn multiply(&self, simd: V4, streams: usize, vectors: &[f32], outputs: &mut [f32]) {
        assert!(streams <= STREAMS);
        let columns = vectors.len() / streams.max(1);
        let rows = self.rows.next_multiple_of(LANES);
        let mut first = 0;
        while first < streams {
            let (vectors, outputs) = (&vectors[first * columns..], &mut outputs[first * rows..]);
            first += match streams - first {
                1 => self.some::<1>(simd, columns, vectors, outputs),
                2 | 3 => self.some::<2>(simd, columns, vectors, outputs),
                _ => self.some::<STREAMS>(simd, columns, vectors, outputs),
            };
        }
    }

    /// The product for `COUNT` streams.
    #[inline(always)]
    fn some<const COUNT: usize>(
        &self,
        simd: V4,
        columns: usize,
        vectors: &[f32],
        outputs: &mut [f32],
    ) -> usize {
        let rows = self.rows.next_multiple_of(LANES);
        let vectors: [&[f32]; COUNT] = std::array::from_fn(|stream| &vectors[stream * columns..][..columns]);
        let outputs = &mut outputs[..COUNT * rows];
        simd.vectorize(Product { simd, matrix: self, vectors, outputs, rows });
        COUNT
    }
}

/// Place in the vector and value of a row's entries.
fn entries<'j, R: Real>(
    joint: &'j Joint<R>,
    values: &'j [f32],
    row: usize,
) -> impl Iterator<Item = (usize, f32)> + 'j {
    let entries = joint.starts[row]..joint.starts[row + 1];
    let columns = joint.columns[entries.clone()].iter().map(|&column| column as usize);
    columns.zip(values[entries].iter().copied())
}

struct Product<'p, const COUNT: usize> {
    simd: V4,
    matrix: &'p Permuted,
    vectors: [&'p [f32]; COUNT],
    outputs: &'p mut [f32],
    /// Numbers of an output.
    rows: usize,
}

impl<const COUNT: usize> NullaryFnOnce for Product<'_, COUNT> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { simd, matrix, vectors, outputs, rows } = self;
        let vectors = vectors.map(|vector| V4::as_simd_f32s(vector).0.as_chunks::<2>().0);
        let (weights, _) = V4::as_simd_f32s(&matrix.weights).0.as_chunks::<2>();
        let (places, _) = matrix.places.as_chunks::<LANES>().0.as_chunks::<2>();
        let mut segments = matrix.segments.iter();
        let (mut slot, mut before) = (0, 0);
        for (group, &end) in matrix.groups.iter().enumerate() {
            let mut sums = [[simd.splat_f32x16(0.0); 2]; COUNT];
            for segment in segments.by_ref().take(end - before) {
                let block: [[__m512; 2]; COUNT] =
                    std::array::from_fn(|stream| vectors[stream][segment.block as usize].map(cast));
                let range = slot..segment.end as usize;
                slot = segment.end as usize;
                for (weights, places) in weights[range.clone()].iter().zip(&places[range]) {
                    for half in 0..2 {
                        let places: u8x16 = cast(places[half]);
                        let places = cast(simd.convert_u8x16_to_u32x16(places));
                        for stream in 0..COUNT {
                            let [low, high] = block[stream];
                            let values: f32x16 = cast(simd.avx512f._mm512_permutex2var_ps(low, places, high));
                            sums[stream][half] =
                                simd.mul_add_f32x16(weights[half], values, sums[stream][half]);
                        }
                    }
                }
            }
            before = end;
            for (output, sums) in outputs.chunks_exact_mut(rows).zip(sums) {
                for (output, sum) in output[group * ROWS..].chunks_exact_mut(LANES).zip(sums) {
                    output.copy_from_slice(&cast::<f32x16, [f32; LANES]>(sum));
                }
            }
        }
    }
}
