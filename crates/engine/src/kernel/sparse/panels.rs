//! One stream without permutations: 16 rows side by side, each padded with zero weights to the longest of them.

use super::super::{LANES, Real};
use super::Joint;

/// A matrix in panels of 16 rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Panels<R> {
    /// Where each panel's entries begin; one more than there are panels.
    starts: Vec<usize>,
    /// Place in the vector of each entry, 16 rows side by side.
    columns: Vec<[u32; LANES]>,
    /// Weight of each entry, 16 rows side by side.
    weights: Vec<[R; LANES]>,
}

impl<R: Real> Panels<R> {
    pub(super) fn pack(joint: &Joint<R>) -> Self {
        let mut packed = Self { starts: vec![0], columns: Vec::new(), weights: Vec::new() };
        for first in (0..joint.rows()).step_by(LANES) {
            let lanes = LANES.min(joint.rows() - first);
            let longest = (first..first + lanes).map(|row| joint.row(row).len()).max().unwrap_or(0);
            let begin = packed.weights.len();
            packed.columns.resize(begin + longest, [0; LANES]);
            packed.weights.resize(begin + longest, [R::ZERO; LANES]);
            for lane in 0..lanes {
                for (place, (column, weight)) in joint.row(first + lane).enumerate() {
                    packed.columns[begin + place][lane] = column as u32;
                    packed.weights[begin + place][lane] = weight;
                }
            }
            packed.starts.push(packed.weights.len());
        }
        packed
    }

    /// `output = matrix · vector`; the length of the vector, a power of two, is beyond every column.
    #[inline(always)]
    pub(super) fn multiply(&self, vector: &[R], output: &mut [R]) {
        // Masked, an index needs no check.
        let mask = vector.len() - 1;
        for (panel, output) in output.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let range = self.starts[panel]..self.starts[panel + 1];
            let mut sums = [R::ZERO; LANES];
            for (columns, weights) in self.columns[range.clone()].iter().zip(&self.weights[range]) {
                for lane in 0..LANES {
                    sums[lane] = weights[lane].fused(vector[columns[lane] as usize & mask], sums[lane]);
                }
            }
            *output = sums;
        }
    }
}
