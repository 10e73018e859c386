//! A sparse matrix times one stream's state, each row's sum in column order.

use super::{LANES, Real};

/// A sparse square matrix in compressed-row form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SparseRows<R> {
    /// Where each row's entries begin; one more than there are rows.
    pub(crate) starts: Vec<u32>,
    /// Column of each entry, ascending within a row.
    pub(crate) columns: Vec<u32>,
    /// Value of each entry.
    pub(crate) values: Vec<R>,
}

impl<R> SparseRows<R> {
    /// Rows of the matrix.
    pub(crate) fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether starts ascend, rows fit the entries and columns lie inside a square matrix: true for everything
    /// we build, checked for what a file says.
    pub(crate) fn is_well_formed(&self) -> bool {
        let entries = self.values.len();
        self.starts.first() == Some(&0)
            && self.starts.last().is_some_and(|&end| end as usize == entries)
            && self.columns.len() == entries
            && self.starts.windows(2).all(|pair| pair[0] <= pair[1])
            && self.columns.iter().all(|&column| (column as usize) < self.starts.len() - 1)
    }
}

/// Largest number of rows: a column then fits 12 bits, which lets the kernel mask an index instead of checking it.
pub(crate) const ROWS_MAX: usize = 4096;

/// A state with room for every column a [`SparsePanels`] may name.
pub(crate) type WideState<R> = [R; ROWS_MAX];

/// A sparse matrix in panels of 16 rows, each padded with zero weights to its longest row, so that 16 sums advance
/// together and each still runs over its own columns in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SparsePanels<R> {
    /// Where each panel's entries begin; one more than there are panels.
    starts: Vec<usize>,
    /// Column of each entry, 16 rows side by side.
    columns: Vec<[u16; LANES]>,
    /// Weight of each entry, 16 rows side by side.
    weights: Vec<[R; LANES]>,
}

impl<R: Real> SparsePanels<R> {
    /// Packs a well-formed matrix of at most [`ROWS_MAX`] rows.
    pub(crate) fn pack(matrix: &SparseRows<R>) -> Self {
        let rows = matrix.rows();
        let mut packed = Self { starts: vec![0], columns: Vec::new(), weights: Vec::new() };
        for first in (0..rows).step_by(LANES) {
            let entries = |lane: usize| match first + lane {
                row if row < rows => matrix.starts[row] as usize..matrix.starts[row + 1] as usize,
                _ => 0..0,
            };
            let longest = (0..LANES).map(|lane| entries(lane).len()).max().unwrap_or(0);
            for place in 0..longest {
                let entry =
                    |lane: usize| Some(entries(lane).start + place).filter(|&e| e < entries(lane).end);
                packed
                    .columns
                    .push(std::array::from_fn(|lane| entry(lane).map_or(0, |e| matrix.columns[e] as u16)));
                packed
                    .weights
                    .push(std::array::from_fn(|lane| entry(lane).map_or(R::ZERO, |e| matrix.values[e])));
            }
            packed.starts.push(packed.columns.len());
        }
        packed
    }

    /// `output += matrix · state`; the output is padded to a multiple of 16.
    #[inline(always)]
    pub(crate) fn multiply_add(&self, state: &WideState<R>, output: &mut [R]) {
        let (output, _) = output.as_chunks_mut::<LANES>();
        for (panel, output) in output.iter_mut().enumerate() {
            let range = self.starts[panel]..self.starts[panel + 1];
            let mut sums = *output;
            for (columns, weights) in self.columns[range.clone()].iter().zip(&self.weights[range]) {
                for lane in 0..LANES {
                    let value = state[usize::from(columns[lane]) & (ROWS_MAX - 1)];
                    sums[lane] = weights[lane].fused(value, sums[lane]);
                }
            }
            *output = sums;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::dispatch;
    use spinwell_core::Rng;

    #[test]
    fn agrees_with_the_dense_product_and_with_itself_undispatched() {
        let mut rng = Rng::seeded(5);
        let rows = 27;
        let mut sparse = SparseRows { starts: vec![0], columns: vec![], values: vec![] };
        let mut dense = vec![0.0f64; rows * rows];
        for row in 0..rows {
            for column in 0..rows {
                if rng.uniform() < 0.3 {
                    let value = rng.normal() as f32;
                    sparse.columns.push(column as u32);
                    sparse.values.push(value);
                    dense[row * rows + column] = f64::from(value);
                }
            }
            sparse.starts.push(sparse.values.len() as u32);
        }
        assert!(sparse.is_well_formed());
        let mut state = [0.0; ROWS_MAX];
        state[..rows].fill_with(|| rng.normal() as f32);
        let panels = SparsePanels::pack(&sparse);
        let (mut fast, mut plain) = (vec![1.0; 32], vec![1.0; 32]);
        dispatch(
            #[inline(always)]
            || panels.multiply_add(&state, &mut fast),
        );
        panels.multiply_add(&state, &mut plain);
        assert_eq!(fast, plain);
        for row in 0..rows {
            let exact: f64 =
                1.0 + (0..rows).map(|c| dense[row * rows + c] * f64::from(state[c])).sum::<f64>();
            assert!((f64::from(fast[row]) - exact).abs() < 1e-4, "row {row}");
        }
    }
}
