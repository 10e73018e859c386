//! One network whose qubits decay while they evolve: the Lindblad equation, solved exactly.
//!
//! In R = Re ρ + Im ρ the equation ρ' = −i[H, ρ] + γ·Σ_i (σ⁻_i·ρ·σ⁺_i − ½{n_i, ρ}), n_i = σ⁺_i·σ⁻_i, becomes real because
//! H and the σ are:
//!
//! R' = Rᵀ·H − H·Rᵀ + γ·Σ_i (σ⁻_i·R·σ⁺_i − ½{n_i, R}).
//!
//! Its propagator over one part of the evolution is an exponential, one matrix per parity sector (4^n / 2 rows).

use super::network::{Network, positions_by_sector, states_by_parity};
use super::transfer::Channel;
use crate::kernel::Panels;

/// Scaled matrices have at most this norm, at which [`TERMS`] terms of Taylor's series are exact to 1e-17.
const SCALED_NORM: f64 = 0.5;
/// Terms of Taylor's series.
const TERMS: u32 = 14;

/// A network ready to step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lossy {
    /// Basis states, even ones first.
    states: Vec<usize>,
    /// Positions of the coordinates in a row-major matrix over `states`, sector after sector.
    order: Vec<usize>,
    /// Where qubit 0 of a state points to the other way round, as an index into `states`.
    partners: Vec<usize>,
    /// The propagators of both sectors over one part.
    propagators: [Panels<f64>; 2],
    /// What each state contributes to each read-out.
    read_outs: Vec<Vec<f64>>,
    /// Parts of an evolution.
    substeps: usize,
}

impl Lossy {
    /// Prepares a network whose qubits decay at `rate`.
    pub(crate) fn new(network: &Network<'_>, rate: f64) -> Self {
        let states = states_by_parity(network.qubits);
        let mut index = vec![0; states.len()];
        states.iter().enumerate().for_each(|(place, &state)| index[state] = place);
        let order = positions_by_sector(states.len());
        let half = order.len() / 2;
        let hamiltonian = network.hamiltonian(&states);
        let time = network.evolution / network.substeps as f64;
        let propagators = [&order[..half], &order[half..]].map(|sector| {
            let mut generator = vec![0.0; half * half];
            let mut unit = vec![0.0; order.len()];
            for (column, &position) in sector.iter().enumerate() {
                unit[position] = 1.0;
                let change = change(&unit, &hamiltonian, rate, &states, &index);
                unit[position] = 0.0;
                for (row, &position) in sector.iter().enumerate() {
                    generator[row * half + column] = change[position] * time;
                }
            }
            Panels::pack(&exponential(generator, half), half, half)
        });
        Self {
            partners: states.iter().map(|state| index[state ^ 1]).collect(),
            read_outs: states.iter().map(|&state| network.read_outs(state)).collect(),
            substeps: network.substeps,
            order,
            propagators,
            states,
        }
    }

    /// Turns qubit 0 of rows and columns: |0⟩ to `a`·|0⟩ + `b`·|1⟩.
    fn turn(&self, state: &mut [f64], [a, b]: [f64; 2]) {
        let size = self.states.len();
        for (zero, &one) in self.partners.iter().enumerate().filter(|(place, _)| self.states[*place] & 1 == 0)
        {
            for other in 0..size {
                let (upper, lower) = (state[zero * size + other], state[one * size + other]);
                state[zero * size + other] = a * upper - b * lower;
                state[one * size + other] = b * upper + a * lower;
            }
            for other in 0..size {
                let (left, right) = (state[other * size + zero], state[other * size + one]);
                state[other * size + zero] = a * left - b * right;
                state[other * size + one] = b * left + a * right;
            }
        }
    }
}

impl Channel for Lossy {
    fn step(&self, state: &mut [f64], input: [f64; 2], features: &mut [f64]) {
        self.turn(state, input);
        let half = self.order.len() / 2;
        let observables = features.len() / self.substeps;
        let mut sectors: Vec<f64> = self.order.iter().map(|&position| state[position]).collect();
        let mut output = vec![0.0; self.propagators[0].padded_rows()];
        for features in features.chunks_exact_mut(observables) {
            for (propagator, sector) in self.propagators.iter().zip(sectors.chunks_exact_mut(half)) {
                let stride = output.len();
                propagator.multiply(1, |_| &*sector, &mut output, stride);
                sector.copy_from_slice(&output[..half]);
            }
            features.fill(0.0);
            let diagonal = self
                .order
                .iter()
                .zip(&sectors)
                .filter(|(position, _)| **position % (self.states.len() + 1) == 0);
            for ((_, population), signs) in diagonal.zip(&self.read_outs) {
                features.iter_mut().zip(signs).for_each(|(feature, sign)| *feature += sign * population);
            }
        }
        self.order.iter().zip(&sectors).for_each(|(&position, &value)| state[position] = value);
    }
}

/// R' of the equation above.
fn change(matrix: &[f64], hamiltonian: &[f64], rate: f64, states: &[usize], index: &[usize]) -> Vec<f64> {
    let size = states.len();
    let qubits = size.trailing_zeros() as usize;
    let mut change = vec![0.0; size * size];
    for row in 0..size {
        for column in 0..size {
            let turning: f64 = (0..size)
                .map(|k| {
                    matrix[k * size + row] * hamiltonian[k * size + column]
                        - hamiltonian[row * size + k] * matrix[column * size + k]
                })
                .sum();
            let (a, b) = (states[row], states[column]);
            let fed: f64 = (0..qubits)
                .filter(|qubit| (a | b) >> qubit & 1 == 0)
                .map(|qubit| matrix[index[a | 1 << qubit] * size + index[b | 1 << qubit]])
                .sum();
            let ones = f64::from(a.count_ones() + b.count_ones());
            change[row * size + column] = turning + rate * (fed - 0.5 * ones * matrix[row * size + column]);
        }
    }
    change
}

/// e^matrix by scaling, Taylor's series and squaring (Moler & Van Loan 2003, "Nineteen dubious ways", method 3).
fn exponential(mut matrix: Vec<f64>, size: usize) -> Vec<f64> {
    let norm = matrix.chunks_exact(size).map(|row| row.iter().map(|v| v.abs()).sum()).fold(0.0, f64::max);
    let (mut scale, mut squarings) = (1.0, 0);
    while norm * scale > SCALED_NORM {
        scale *= 0.5;
        squarings += 1;
    }
    matrix.iter_mut().for_each(|value| *value *= scale);
    let mut result = vec![0.0; size * size];
    result.iter_mut().step_by(size + 1).for_each(|diagonal| *diagonal = 1.0);
    let panels = Panels::pack(&matrix, size, size);
    // Horner's scheme: I + A/1·(I + A/2·(I + ..)).
    for term in (1..=TERMS).rev() {
        result = product(&panels, &result, size);
        result.iter_mut().for_each(|value| *value /= f64::from(term));
        result.iter_mut().step_by(size + 1).for_each(|diagonal| *diagonal += 1.0);
    }
    for _ in 0..squarings {
        result = product(&Panels::pack(&result, size, size), &result, size);
    }
    result
}

/// The product of two square matrices, the left one packed.
fn product(left: &Panels<f64>, right: &[f64], size: usize) -> Vec<f64> {
    let mut result = vec![0.0; size * size];
    let (mut column, mut output) = (vec![0.0; size], vec![0.0; left.padded_rows()]);
    for index in 0..size {
        column.iter_mut().enumerate().for_each(|(row, value)| *value = right[row * size + index]);
        let stride = output.len();
        left.multiply(1, |_| &column, &mut output, stride);
        output[..size].iter().enumerate().for_each(|(row, &value)| result[row * size + index] = value);
    }
    result
}
