//! The matrix itself, as a file holds it and as it is multiplied.

use super::super::Real;

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

/// Dense columns and a sparse square matrix side by side, row by row in the order of the sums: first the dense columns,
/// which in the vector stand behind the state, then the sparse entries.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Joint<R> {
    /// Where each row's entries begin; one more than there are rows.
    pub(crate) starts: Vec<usize>,
    /// Place in the vector of each entry.
    pub(crate) columns: Vec<u32>,
    /// Value of each entry.
    pub(crate) values: Vec<R>,
    /// Length of the vector.
    pub(crate) width: usize,
}

impl<R: Real> Joint<R> {
    /// Joins a sparse matrix and a row-major dense one of as many rows.
    pub(crate) fn new(sparse: &SparseRows<R>, dense: &[R]) -> Self {
        let rows = sparse.rows();
        let extra = dense.len() / rows.max(1);
        let mut joint =
            Self { starts: vec![0], columns: Vec::new(), values: Vec::new(), width: rows + extra };
        for row in 0..rows {
            joint.columns.extend((rows..rows + extra).map(|column| column as u32));
            joint.values.extend(&dense[row * extra..][..extra]);
            let entries = sparse.starts[row] as usize..sparse.starts[row + 1] as usize;
            joint.columns.extend(&sparse.columns[entries.clone()]);
            joint.values.extend(&sparse.values[entries]);
            joint.starts.push(joint.values.len());
        }
        joint
    }

    /// Rows of the matrix.
    pub(crate) fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Place in the vector and value of a row's entries.
    pub(crate) fn row(&self, row: usize) -> impl ExactSizeIterator<Item = (usize, R)> + Clone + '_ {
        let entries = self.starts[row]..self.starts[row + 1];
        let columns = self.columns[entries.clone()].iter().map(|&column| column as usize);
        columns.zip(self.values[entries].iter().copied())
    }
}
