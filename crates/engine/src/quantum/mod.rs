//! The quantum reservoir: a bank of small spin networks, simulated exactly.
//!
//! Many small networks beat one large one at the same cost, so a model holds a bank of them that hear the same input
//! at different speeds (Nakajima et al. 2019, "Boosting computational power through spatial multiplexing in quantum
//! reservoir computing"). A network is n qubits under the fully connected transverse-field Ising Hamiltonian
//!
//! H = Σ_{i<j} J_ij·X_i·X_j + h·Σ_i Z_i,  J_ij uniform in ±J/2,  ħ = 1,  |0⟩ the state with Z = +1
//!
//! (Fujii & Nakajima 2017, "Harnessing disordered-ensemble quantum dynamics for machine learning"). A row's input is
//! written into qubit 0 as a number s in [0, 1], then the network evolves for the time τ in V equal parts and ⟨Z_i⟩,
//! and where asked for ⟨Z_i·Z_j⟩, are read after each part (temporal multiplexing, same paper). What makes the past
//! fade is a choice, see [`QuantumMemory`].
//!
//! Three things make it fast without approximating anything:
//! * H keeps the parity Π Z_i and everything read out is even, so that all matrices fall into halves.
//! * A density operator ρ is stored as the real matrix R = Re ρ + Im ρ: its symmetric and antisymmetric parts give ρ
//!   back, and ⟨R, R'⟩ = Tr ρρ'. As H is real, going into its eigenbasis and back takes real products of R only, and
//!   evolution between them is phases ([`spectral`]).
//! * Up to four qubits a whole step, all parts of the evolution included, is one small real matrix ([`transfer`]).
//!
//! The read-outs are expectation values. A laboratory sees averages of a finite number of shots, which costs much of
//! the accuracy on noiseless series: [`QuantumSettings::shots`] shows how much, and no hardware of today would
//! reproduce the exact figures.

mod bank;
mod draw;
mod eigen;
mod loss;
mod network;
mod shots;
mod spectral;
#[cfg(test)]
mod tests;
mod transfer;

pub(crate) use bank::{Bank, Heard, Work};
pub(crate) use draw::BankWeights;
#[cfg(feature = "gpu")]
pub(crate) use {bank::Matrices, spectral::Spectral, transfer::Transfer};

use crate::kernel::LANES;

/// Most qubits of a network: beyond, a step costs eight times more with each, see [`cost`].
pub(crate) const QUBITS_MAX: usize = 8;
/// Most qubits of a network that forgets by loss, which has the matrices of one with a qubit more.
pub(crate) const DISSIPATIVE_QUBITS_MAX: usize = 4;
/// Most networks of a bank.
pub(crate) const RESERVOIRS_MAX: usize = 512;
/// Most parts of an evolution.
pub(crate) const SUBSTEPS_MAX: usize = 64;
/// Most bytes of a bank's matrices: what a model file may make a server allocate.
const BYTES_MAX: u64 = 1 << 30;
/// Largest magnitude of couplings, field and loss rate.
const STRENGTH_MAX: f64 = 100.0;
/// Longest evolution per input.
const EVOLUTION_MAX: f64 = 1000.0;
/// Up to this many qubits an erasing network's step is tabulated: twice as fast as in the eigenbasis at four, but
/// slower at five, where the table outgrows the cache.
const TRANSFER_QUBITS_MAX: usize = 4;

/// What makes a quantum reservoir forget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum QuantumMemory {
    /// Qubit 0 is erased and prepared anew: ρ ← |ψ_s⟩⟨ψ_s| ⊗ Tr₀ ρ with |ψ_s⟩ = √(1−s)·|0⟩ + √s·|1⟩ (Fujii &
    /// Nakajima 2017).
    Erasure,
    /// Every qubit decays to |0⟩ while it evolves, ρ' = −i[H, ρ] + rate·Σ_i D\[σ⁻_i\]ρ (local losses, Sannia et al.
    /// 2024, "Dissipation as a resource for quantum reservoir computing"). The input turns qubit 0 by the rotation
    /// R_y(2·asin √s), which takes |0⟩ to |ψ_s⟩, as is usual where the device is made of gates: a turn is
    /// instantaneous, so that the evolution stays the same map for every input. At most 4 qubits.
    Dissipation {
        /// Probability of decay per unit of time; about a tenth of the coupling leaves a useful memory.
        rate: f64,
    },
}

/// A bank of quantum reservoirs before its random couplings are drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantumSettings {
    /// Qubits of each network, 2 to 8, or 2 to 4 with dissipation.
    pub qubits: usize,
    /// Networks, 1 to 512. Where a row has more inputs than that, there are as many networks as inputs.
    pub reservoirs: usize,
    /// Equal parts of an evolution, each of which is read out, 1 to 64.
    pub substeps: usize,
    /// Whether ⟨Z_i·Z_j⟩ is read out beside ⟨Z_i⟩.
    pub correlations: bool,
    /// Time between inputs in the fastest network of each input.
    pub evolution_min: f64,
    /// Time between inputs in the slowest network of each input; those between are in equal ratios.
    pub evolution_max: f64,
    /// J: couplings are uniform in ± half of it, times 1, 2 and 0.7 in turn.
    pub coupling: f64,
    /// h, the transverse field.
    pub field: f64,
    /// How much of qubit 0's range the inputs sweep, in (0, 1], around its middle, in every other network from the
    /// first: s = ½ + swing·(input − ½). Wide swings are answered by strongly nonlinear features.
    pub swing_max: f64,
    /// The same in the networks between: narrow swings are remembered more linearly and longer.
    pub swing_min: f64,
    /// What makes the networks forget.
    pub memory: QuantumMemory,
    /// Shots that a read-out is the average of; `None` for exact expectation values. Only the read-out is noisy:
    /// the average over shots of the state itself does not depend on their number.
    pub shots: Option<u64>,
    /// How far another reservoir's drive shifts the field, in [0, 1]: from h·(1 − drive) to h·(1 + drive). Above 0 a
    /// step costs twice as much.
    pub drive: f64,
    /// Which random couplings and which shots.
    pub seed: u64,
}

impl Default for QuantumSettings {
    fn default() -> Self {
        Self {
            qubits: 4,
            reservoirs: 20,
            substeps: 5,
            correlations: true,
            evolution_min: 1.0,
            evolution_max: 8.0,
            coupling: 1.0,
            field: 0.7,
            swing_max: 0.9,
            swing_min: 0.3,
            memory: QuantumMemory::Erasure,
            shots: None,
            drive: 0.0,
            seed: 1,
        }
    }
}

impl QuantumSettings {
    /// Half the networks of the default, at half its cost.
    #[must_use]
    pub fn fast() -> Self {
        Self { reservoirs: 10, ..Self::default() }
    }

    /// What is wrong with the settings, if anything.
    ///
    /// # Errors
    /// The range that a setting must lie in.
    pub fn check(&self) -> Result<(), &'static str> {
        let within = |value: f64, low: f64, high: f64| value >= low && value <= high;
        let (qubits_max, rate) = match self.memory {
            QuantumMemory::Erasure => (QUBITS_MAX, 0.0),
            QuantumMemory::Dissipation { rate } => (DISSIPATIVE_QUBITS_MAX, rate),
        };
        let conditions = [
            ((2..=qubits_max).contains(&self.qubits), "qubits must be 2 to 8, or 2 to 4 with dissipation"),
            ((1..=RESERVOIRS_MAX).contains(&self.reservoirs), "quantum reservoirs must be 1 to 512"),
            ((1..=SUBSTEPS_MAX).contains(&self.substeps), "substeps must be 1 to 64"),
            (
                within(self.evolution_min, f64::MIN_POSITIVE, EVOLUTION_MAX)
                    && within(self.evolution_max, self.evolution_min, EVOLUTION_MAX),
                "evolution times must be above 0 and at most 1000, the shortest first",
            ),
            (within(self.coupling, 0.0, STRENGTH_MAX), "the coupling must be 0 to 100"),
            (
                within(self.swing_min, f64::MIN_POSITIVE, 1.0) && within(self.swing_max, self.swing_min, 1.0),
                "swings must be above 0 and at most 1, the smallest first",
            ),
            (within(self.field, 0.0, STRENGTH_MAX), "the field must be 0 to 100"),
            (within(rate, 0.0, STRENGTH_MAX), "the loss rate must be 0 to 100"),
            (self.shots != Some(0), "shots must be at least 1"),
            (within(self.drive, 0.0, 1.0), "the drive must be 0 to 1"),
        ];
        match conditions.iter().find(|(holds, _)| !holds) {
            Some((_, message)) => Err(message),
            None => Ok(()),
        }
    }

    /// What is wrong with a bank of these settings for rows of `inputs` values, if anything.
    pub(crate) fn check_for(&self, inputs: usize) -> Result<(), &'static str> {
        self.check()?;
        if !(1..=RESERVOIRS_MAX).contains(&inputs) {
            return Err("a quantum bank takes 1 to 512 inputs");
        }
        if self.cost(inputs).bytes > BYTES_MAX {
            return Err(
                "a quantum bank's matrices would take more than 1 GiB: use fewer qubits, reservoirs or substeps",
            );
        }
        Ok(())
    }

    /// Read-outs of one network per input.
    fn features_per_reservoir(&self) -> usize {
        self.substeps * network::observables(self.qubits, self.correlations)
    }

    /// Read-outs of a bank for rows of `inputs` values.
    pub(crate) fn features_len(&self, inputs: usize) -> usize {
        self.reservoirs.max(inputs) * self.features_per_reservoir()
    }

    /// Numbers that the state of one network consists of.
    fn coordinates_per_reservoir(&self) -> usize {
        match self.memory {
            QuantumMemory::Erasure => 1 << (2 * (self.qubits - 1)),
            QuantumMemory::Dissipation { .. } => 1 << (2 * self.qubits),
        }
    }

    /// Whether a network's whole step is one table.
    pub(crate) fn is_tabulated(&self) -> bool {
        self.qubits <= TRANSFER_QUBITS_MAX
    }

    /// What a valid bank for rows of `inputs` values costs.
    pub(crate) fn cost(&self, inputs: usize) -> QuantumCost {
        let channels = if self.drive > 0.0 { 2 } else { 1 };
        let networks = self.reservoirs.max(inputs) * channels;
        match self.memory {
            QuantumMemory::Erasure => cost(self.qubits, networks, self.substeps),
            QuantumMemory::Dissipation { .. } => {
                let (coordinates, read_outs) =
                    (self.coordinates_per_reservoir(), self.features_per_reservoir());
                tabulated_cost(coordinates as f64, read_outs as f64).times(networks as f64)
            }
        }
    }
}

/// What a bank costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QuantumCost {
    /// Bytes of its matrices and of one stream's state.
    pub(crate) bytes: u64,
    /// Multiplications per input.
    pub(crate) multiplications: u64,
    /// Coordinates of a stream's state, and read-outs.
    pub(crate) coordinates: u64,
}

/// The same before rounding, so that absurd sizes give an absurd cost instead of an overflow.
struct Cost {
    numbers: f64,
    multiplications: f64,
    coordinates: f64,
}

impl Cost {
    fn times(&self, networks: f64) -> QuantumCost {
        let bytes = size_of::<f64>() as f64 * self.numbers * networks;
        QuantumCost {
            bytes: bytes as u64,
            multiplications: (self.multiplications * networks) as u64,
            coordinates: (self.coordinates * networks) as u64,
        }
    }
}

/// What a bank of undriven erasing networks with correlations read out would cost, of any size.
pub(crate) fn cost(qubits: usize, reservoirs: usize, substeps: usize) -> QuantumCost {
    let (n, substeps) = (qubits as f64, substeps as f64);
    let dimension = (n - 1.0).exp2();
    let (coordinates, observables) = (dimension * dimension, n * (n + 1.0) / 2.0);
    let cost = if qubits <= TRANSFER_QUBITS_MAX {
        tabulated_cost(coordinates, substeps * observables)
    } else {
        let read_outs = padded(observables) * (coordinates + dimension);
        Cost {
            numbers: 6.0 * coordinates + read_outs + coordinates + substeps * observables,
            multiplications: 12.0 * coordinates * dimension + substeps * read_outs,
            coordinates: coordinates + substeps * observables,
        }
    };
    cost.times(reservoirs as f64)
}

fn tabulated_cost(coordinates: f64, features: f64) -> Cost {
    let half = coordinates / 2.0;
    let table = (padded(half + features) + padded(half)) * 3.0 * half;
    let stream = coordinates + features;
    Cost { numbers: table + stream, multiplications: table, coordinates: stream }
}

fn padded(rows: f64) -> f64 {
    let together = LANES as f64;
    (rows / together).ceil() * together
}
