//! One network: its basis states by parity, its Hamiltonian, and the signs that are read out.
//!
//! States of the qubits are numbered by their bits, qubit i being bit i. H conserves parity, the parity of the number
//! of ones: X_i·X_j flips two bits. Lists of states therefore hold the even ones first and the odd ones after them.

/// One network's parameters, units of 1/time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Network<'w> {
    /// Number of qubits.
    pub(crate) qubits: usize,
    /// J_ij, i < j, row after row.
    pub(crate) couplings: &'w [f64],
    /// h.
    pub(crate) field: f64,
    /// Time from one input to the next.
    pub(crate) evolution: f64,
    /// Equal parts of it, each of which is read out.
    pub(crate) substeps: usize,
    /// Whether correlations are read out too.
    pub(crate) correlations: bool,
}

impl Network<'_> {
    /// The Hamiltonian among `states`, row-major. It is real and symmetric.
    pub(crate) fn hamiltonian(&self, states: &[usize]) -> Vec<f64> {
        let mut flips = Vec::new();
        for i in 0..self.qubits {
            for j in i + 1..self.qubits {
                flips.push(1 << i | 1 << j);
            }
        }
        let mut matrix = Vec::with_capacity(states.len() * states.len());
        for &row in states {
            for &column in states {
                matrix.push(match flips.iter().position(|&flip| row ^ flip == column) {
                    Some(pair) => self.couplings[pair],
                    None if row == column => {
                        self.field * (0..self.qubits).map(|qubit| sign(row, qubit)).sum::<f64>()
                    }
                    None => 0.0,
                });
            }
        }
        matrix
    }

    /// The eigenvalues ±1 of what is read out, in the order of the features: Z_0, Z_1, .., Z_0·Z_1, Z_0·Z_2, ..
    pub(crate) fn read_outs(&self, state: usize) -> Vec<f64> {
        let single = (0..self.qubits).map(|qubit| sign(state, qubit));
        let pairs = (0..self.qubits)
            .flat_map(|i| (i + 1..self.qubits).map(move |j| sign(state, i) * sign(state, j)))
            .filter(|_| self.correlations);
        single.chain(pairs).collect()
    }

    /// Number of features of an input.
    pub(crate) fn features(&self) -> usize {
        self.substeps * observables(self.qubits, self.correlations)
    }
}

/// Number of quantities read out after each part of an evolution.
pub(crate) fn observables(qubits: usize, correlations: bool) -> usize {
    qubits + if correlations { qubits * (qubits - 1) / 2 } else { 0 }
}

/// All states of so many qubits, even ones first.
pub(crate) fn states_by_parity(qubits: usize) -> Vec<usize> {
    let (even, odd): (Vec<usize>, Vec<usize>) = (0..1 << qubits).partition(|&state| parity(state) == 0);
    [even, odd].concat()
}

/// 0 for an even number of ones, 1 for an odd one.
pub(crate) fn parity(state: usize) -> usize {
    state.count_ones() as usize & 1
}

/// The eigenvalue of Z_qubit.
fn sign(state: usize, qubit: usize) -> f64 {
    if state >> qubit & 1 == 0 { 1.0 } else { -1.0 }
}

/// Positions in a row-major square matrix over [`states_by_parity`] of `dimension` states: first where row and column
/// have the same parity, then the others; each half of them all.
pub(crate) fn positions_by_sector(dimension: usize) -> Vec<usize> {
    let half = dimension / 2;
    let (same, crossed): (Vec<usize>, Vec<usize>) = (0..dimension * dimension)
        .partition(|position| (position / dimension < half) == (position % dimension < half));
    [same, crossed].concat()
}
