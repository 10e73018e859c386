//! One network that forgets by erasure, stepped in the eigenbasis of its Hamiltonian.
//!
//! The state σ of qubits 1 to n − 1 is kept as R = Re σ + Im σ, k × k with k = 2^(n−1). One input is four turns:
//! 1. *Inject*: R ← ψψᵀ ⊗ R. A basis state of all qubits is given by its parity p and the state x of qubits 1 to n − 1,
//!    qubit 0 being what makes up the parity; so R falls into four k × k blocks, and ψ only scales rows and columns.
//! 2. *Rotate* each block into the eigenbasis: R_pq ← Q_p·R_pq·Q_qᵀ.
//! 3. *Evolve*: e^(−iθ) on ρ_αβ is R_αβ ← cos θ·R_αβ − sin θ·R_βα, θ = (E_α − E_β)·t. An observable O is real in this
//!    basis, so that ⟨O⟩ = Σ O_αβ·(symmetric part of R)_αβ, and one product reads all observables at all times.
//! 4. *Rotate back* and sum over qubit 0.
//!
//! That is 12·k³ multiplications and a matrix per observable, whatever the number of parts that the evolution is read
//! in, where evolving the density operator part by part would take 32·k³ for each.

use super::eigen::{cosine_and_sine, diagonalise};
use super::network::{Network, observables, parity, states_by_parity};
use crate::kernel::{LANES, Panels, room};

/// Columns of the read-out matrix that are worked through at once: they stay in the second cache for all times.
const READ_OUT_COLUMNS: usize = 512;
/// Edge of the squares that are transposed at once.
const TILE: usize = 8;

/// A network ready to step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spectral {
    /// k.
    dimension: usize,
    /// What is read out after each part.
    observables: usize,
    /// Q_p of both parities p: a row per eigenvector.
    forward: [Panels<f64>; 2],
    /// Q_pᵀ.
    backward: [Panels<f64>; 2],
    /// Q_0ᵀ and Q_1ᵀ side by side, the rows of even and of odd x apart: both terms of the sum over qubit 0.
    home: [Panels<f64>; 2],
    /// After each part: cos E·t of both parities, then sin E·t of both.
    phases: Vec<Vec<f64>>,
    /// Observables × pairs α ≤ β of eigenvectors of parity 0, then of 1, cut into groups of columns.
    read_outs: Vec<Panels<f64>>,
}

/// Room that a step needs. It grows when first used.
#[derive(Debug, Clone, Default)]
pub(crate) struct Work {
    /// The state in the eigenbasis, by the parities of row and column.
    blocks: [[Rows; 2]; 2],
    scaled: Rows,
    turned: Rows,
    same: Rows,
    crossed: Rows,
    other: Rows,
    symmetric: Vec<f64>,
    sums: Vec<f64>,
}

impl Spectral {
    /// Prepares a network.
    pub(crate) fn new(network: &Network<'_>) -> Self {
        let states = states_by_parity(network.qubits - 1);
        let dimension = states.len();
        let sectors = [0, 1].map(|odd| {
            let states: Vec<usize> = states.iter().map(|&x| x << 1 | (odd ^ parity(x))).collect();
            let eigen = diagonalise(network.hamiltonian(&states), dimension);
            let signs: Vec<Vec<f64>> = states.iter().map(|&state| network.read_outs(state)).collect();
            (eigen, signs)
        });
        let vectors = [&sectors[0].0.vectors, &sectors[1].0.vectors];
        let back = vectors.map(|vectors| transposed(vectors, dimension));
        let half = dimension / 2;
        let home = [0, 1].map(|odd| {
            let rows = (odd * half..(odd + 1) * half)
                .flat_map(|x| back.iter().flat_map(move |back| &back[x * dimension..][..dimension]).copied());
            Panels::pack(&rows.collect::<Vec<f64>>(), half, 2 * dimension)
        });
        let phases = (1..=network.substeps).map(|part| {
            let time = network.evolution * part as f64 / network.substeps as f64;
            let energies = sectors.iter().flat_map(|(eigen, _)| &eigen.values);
            let pairs: Vec<[f64; 2]> = energies.map(|energy| cosine_and_sine(energy * time)).collect();
            (0..2).flat_map(|part| pairs.iter().map(move |pair| pair[part])).collect()
        });
        Self {
            dimension,
            observables: observables(network.qubits, network.correlations),
            phases: phases.collect(),
            read_outs: read_outs(vectors, [&sectors[0].1, &sectors[1].1], dimension),
            forward: vectors.map(|vectors| Panels::pack(vectors, dimension, dimension)),
            backward: [0, 1].map(|odd: usize| Panels::pack(&back[odd], dimension, dimension)),
            home,
        }
    }

    /// Numbers of its eigenvectors, phases and read-outs.
    #[cfg(feature = "gpu")]
    pub(crate) fn len(&self) -> usize {
        let k = self.dimension;
        2 * k * k + self.phases.len() * 4 * k + self.observables * k * (k + 1)
    }

    /// k.
    #[cfg(feature = "gpu")]
    pub(crate) fn dimension(&self) -> usize {
        self.dimension
    }

    /// What is read out after each part.
    #[cfg(feature = "gpu")]
    pub(crate) fn observables(&self) -> usize {
        self.observables
    }

    /// An entry of an eigenvector of one parity.
    #[cfg(feature = "gpu")]
    pub(crate) fn eigenvector(&self, parity: usize, number: usize, column: usize) -> f64 {
        self.forward[parity].entry(number, column)
    }

    /// After each part: cosines of both parities, then sines.
    #[cfg(feature = "gpu")]
    pub(crate) fn phases(&self) -> impl Iterator<Item = &Vec<f64>> {
        self.phases.iter()
    }

    /// What a pair of eigenvectors adds to an observable.
    #[cfg(feature = "gpu")]
    pub(crate) fn read_out(&self, observable: usize, pair: usize) -> f64 {
        self.read_outs[pair / READ_OUT_COLUMNS].entry(observable, pair % READ_OUT_COLUMNS)
    }

    /// Advances the state, row-major over the states of qubits 1 to n − 1 with the even ones first, by one input whose
    /// qubit is prepared with the amplitudes `input`.
    pub(crate) fn step(&self, state: &mut [f64], input: [f64; 2], features: &mut [f64], work: &mut Work) {
        self.rotate(state, input, work);
        self.read(work, features);
        self.evolve(&mut work.blocks);
        self.rotate_back(work, state);
    }

    /// The blocks R_pq in the eigenbasis. Row β of block `[q][p]` holds R_αβ for all α.
    fn rotate(&self, state: &[f64], input: [f64; 2], work: &mut Work) {
        let k = self.dimension;
        // ψ at the state that x makes up together with qubit 0, for both halves of x.
        let amplitudes = |p: usize| [input[p], input[1 - p]];
        let Work { blocks, scaled, turned, other, .. } = work;
        for rows in [&mut *scaled, turned, other].into_iter().chain(blocks.iter_mut().flatten()) {
            rows.shape(k, k);
        }
        for (q, blocks) in blocks.iter_mut().enumerate() {
            for (x, row) in state.chunks_exact(k).enumerate() {
                scale(row, amplitudes(q), scaled.row_mut(x));
            }
            multiply(&self.forward[q], &scaled.values, scaled.stride, other);
            other.transpose_into(k, turned, 0);
            for (p, block) in blocks.iter_mut().enumerate() {
                for beta in 0..k {
                    scale(&turned.row(beta)[..k], amplitudes(p), scaled.row_mut(beta));
                }
                multiply(&self.forward[p], &scaled.values, scaled.stride, block);
            }
        }
    }

    /// Reads all observables after each part of the evolution.
    fn read(&self, work: &mut Work, features: &mut [f64]) {
        let pairs = self.dimension * (self.dimension + 1);
        self.write_symmetric_parts(work);
        let Work { symmetric, other, .. } = work;
        other.shape(self.phases.len(), self.observables);
        features.fill(0.0);
        for (group, panels) in self.read_outs.iter().enumerate() {
            multiply(panels, &symmetric[group * READ_OUT_COLUMNS..], pairs, other);
            for (part, features) in features.chunks_exact_mut(self.observables).enumerate() {
                features.iter_mut().zip(other.row(part)).for_each(|(feature, part)| *feature += part);
            }
        }
    }

    /// For each part of the evolution, R_αβ + R_βα as they are after it for all pairs α < β of one parity, and R_αα in
    /// its place among them: parity 0 first, β after β.
    fn write_symmetric_parts(&self, work: &mut Work) {
        let k = self.dimension;
        let pairs = k * (k + 1);
        let Work { blocks, symmetric, sums, .. } = work;
        let symmetric = room(symmetric, pairs * self.phases.len());
        let (sums, differences) = room(sums, 2 * k).split_at_mut(k);
        let mut start = 0;
        for (p, row) in blocks.iter().enumerate() {
            let block = &row[p];
            for beta in 0..k {
                let (sums, differences) = (&mut sums[..=beta], &mut differences[..=beta]);
                for (alpha, (sum, difference)) in sums.iter_mut().zip(differences.iter_mut()).enumerate() {
                    let (one, other) = (block.row(beta)[alpha], block.row(alpha)[beta]);
                    (*sum, *difference) = (one + other, one - other);
                }
                sums[beta] *= 0.5;
                for (phases, symmetric) in self.phases.iter().zip(symmetric.chunks_exact_mut(pairs)) {
                    let (cosines, sines) = (&phases[p * k..][..=beta], &phases[(2 + p) * k..][..=beta]);
                    let (cosine, sine) = (cosines[beta], sines[beta]);
                    let target = &mut symmetric[start..][..=beta];
                    for alpha in 0..=beta {
                        let (c, s) = (cosines[alpha], sines[alpha]);
                        let (sum, difference) = (sums[alpha], differences[alpha]);
                        target[alpha] =
                            cosine * (sum * c + difference * s) + sine * (sum * s - difference * c);
                    }
                }
                start += beta + 1;
            }
        }
    }

    /// The whole evolution. Diagonal entries stand still.
    fn evolve(&self, blocks: &mut [[Rows; 2]; 2]) {
        let k = self.dimension;
        let Some(phases) = self.phases.last() else { return };
        let (cosines, sines) = phases.split_at(2 * k);
        let turn = |one: &mut f64, other: &mut f64, alpha: usize, beta: usize| {
            let cosine = cosines[alpha] * cosines[beta] + sines[alpha] * sines[beta];
            let sine = sines[alpha] * cosines[beta] - cosines[alpha] * sines[beta];
            (*one, *other) = (cosine * *one - sine * *other, cosine * *other + sine * *one);
        };
        for (p, row) in blocks.iter_mut().enumerate() {
            let block = &mut row[p];
            for beta in 0..k {
                let (before, from) = block.values.split_at_mut(beta * block.stride);
                for alpha in 0..beta {
                    let other = &mut before[alpha * block.stride + beta];
                    turn(&mut from[alpha], other, p * k + alpha, p * k + beta);
                }
            }
        }
        let [[_, lower], [upper, _]] = blocks;
        for beta in 0..k {
            for (alpha, one) in upper.row_mut(beta)[..k].iter_mut().enumerate() {
                turn(one, &mut lower.row_mut(alpha)[beta], alpha, k + beta);
            }
        }
    }

    /// Back to the states of the qubits, with qubit 0 summed over.
    fn rotate_back(&self, work: &mut Work, state: &mut [f64]) {
        let (k, half) = (self.dimension, self.dimension / 2);
        let Work { blocks, turned, same, crossed, other, .. } = work;
        // What reaches entries whose row and column have the same parity, and what reaches the others.
        same.shape(k, 2 * k);
        crossed.shape(k, 2 * k);
        turned.shape(k, k);
        for (q, row) in blocks.iter().enumerate() {
            for (p, block) in row.iter().enumerate() {
                multiply(&self.backward[p], &block.values, block.stride, turned);
                turned.transpose_into(k, if p == q { &mut *same } else { &mut *crossed }, q * k);
            }
        }
        other.shape(half, half);
        for (odd, panels) in self.home.iter().enumerate() {
            for (odd_row, source) in [(odd, &*same), (1 - odd, &*crossed)] {
                multiply(panels, &source.values[odd_row * half * source.stride..], source.stride, other);
                let rows = state[odd_row * half * k..].chunks_exact_mut(k);
                for (row, target) in rows.take(half).enumerate() {
                    target[odd * half..][..half].copy_from_slice(&other.row(row)[..half]);
                }
            }
        }
    }
}

/// Scales the first half of a row by one factor and the second by another.
fn scale(row: &[f64], [first, second]: [f64; 2], target: &mut [f64]) {
    let half = row.len() / 2;
    target[..half].iter_mut().zip(row).for_each(|(target, value)| *target = value * first);
    target[half..].iter_mut().zip(&row[half..]).for_each(|(target, value)| *target = value * second);
}

/// Multiplies as many rows of `inputs`, a stride apart, as there are outputs.
fn multiply(panels: &Panels<f64>, inputs: &[f64], stride: usize, outputs: &mut Rows) {
    let input = |row: usize| &inputs[row * stride..];
    panels.multiply(outputs.count, input, &mut outputs.values, outputs.stride);
}

fn transposed(matrix: &[f64], size: usize) -> Vec<f64> {
    (0..size * size).map(|position| matrix[position % size * size + position / size]).collect()
}

/// Σ_x Q_αx·sign_x·Q_βx for each observable and each pair α ≤ β of one parity.
fn read_outs(vectors: [&Vec<f64>; 2], signs: [&Vec<Vec<f64>>; 2], dimension: usize) -> Vec<Panels<f64>> {
    let observables = signs[0][0].len();
    let mut rows: Vec<Vec<f64>> = vec![Vec::with_capacity(dimension * (dimension + 1)); observables];
    for (vectors, signs) in vectors.into_iter().zip(signs) {
        let panels = Panels::pack(vectors, dimension, dimension);
        let (mut signed, mut products) = (Rows::new(dimension, dimension), Rows::new(dimension, dimension));
        for (observable, row) in rows.iter_mut().enumerate() {
            for (alpha, vector) in vectors.chunks_exact(dimension).enumerate() {
                let target = signed.row_mut(alpha).iter_mut().zip(vector).zip(signs);
                target.for_each(|((target, value), signs)| *target = value * signs[observable]);
            }
            multiply(&panels, &signed.values, signed.stride, &mut products);
            for beta in 0..dimension {
                row.extend_from_slice(&products.row(beta)[..=beta]);
            }
        }
    }
    let pairs = dimension * (dimension + 1);
    let groups = (0..pairs).step_by(READ_OUT_COLUMNS).map(|start| {
        let columns = READ_OUT_COLUMNS.min(pairs - start);
        let group: Vec<f64> = rows.iter().flat_map(|row| &row[start..][..columns]).copied().collect();
        Panels::pack(&group, observables, columns)
    });
    groups.collect()
}

/// Rows of a matrix, spaced so that products can be written to them and columns walked down without all of them
/// falling into the same lines of the cache.
#[derive(Debug, Clone, Default)]
struct Rows {
    count: usize,
    stride: usize,
    values: Vec<f64>,
}

impl Rows {
    fn new(rows: usize, columns: usize) -> Self {
        let mut new = Self::default();
        new.shape(rows, columns);
        new
    }

    /// Makes room for so many rows and columns; what is in them is of no use.
    fn shape(&mut self, rows: usize, columns: usize) {
        self.count = rows;
        self.stride = columns.next_multiple_of(LANES) + TILE;
        room(&mut self.values, rows * self.stride);
    }

    fn row(&self, index: usize) -> &[f64] {
        &self.values[index * self.stride..][..self.stride]
    }

    fn row_mut(&mut self, index: usize) -> &mut [f64] {
        &mut self.values[index * self.stride..][..self.stride]
    }

    /// Writes the transpose of the first `size` rows and columns from a column of `target` on.
    fn transpose_into(&self, size: usize, target: &mut Rows, column: usize) {
        for first in (0..size).step_by(TILE) {
            for row in 0..size {
                let values = &self.row(row)[first..size.min(first + TILE)];
                for (offset, &value) in values.iter().enumerate() {
                    target.values[(first + offset) * target.stride + column + row] = value;
                }
            }
        }
    }
}
