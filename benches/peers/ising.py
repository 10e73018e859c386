"""The quantum networks that the peers simulate: fully connected transverse-field Ising, the same for numpy and qulacs.

H = Σ J_ij·X_i·X_j + h·Σ Z_i, J uniform in ±1/2, h = 0.7; qubit i is bit i of a basis state. An input s is written into
qubit 0 (ρ ← |ψ⟩⟨ψ| ⊗ Tr₀ ρ, |ψ⟩ = √(1−s)·|0⟩ + √s·|1⟩), then the network evolves in equal parts, and all ⟨Z_i⟩ and
⟨Z_i·Z_j⟩ are read after each.
"""

import peer
import numpy as np

FIELD = 0.7


class Network:
    """Eigenvalues and eigenvectors of one network's Hamiltonian, and how it is evolved and read."""

    def __init__(self, qubits, evolution, substeps, seed):
        generator = np.random.default_rng(seed)
        states = np.arange(1 << qubits)
        z = 1.0 - 2.0 * (states[:, None] >> np.arange(qubits) & 1)
        pairs = [(i, j) for i in range(qubits) for j in range(i + 1, qubits)]
        hamiltonian = np.diag(FIELD * z.sum(axis=1))
        for i, j in pairs:
            hamiltonian[states, states ^ (1 << i | 1 << j)] += generator.uniform(-0.5, 0.5)
        self.energies, self.basis = np.linalg.eigh(hamiltonian)
        self.part, self.substeps = evolution / substeps, substeps
        # Basis states × read-outs: the eigenvalues of all Z_i, then of all Z_i·Z_j.
        self.signs = np.column_stack([z, *(z[:, i] * z[:, j] for i, j in pairs)])

    def unitary(self):
        """e^(−iHt) of one part of the evolution."""
        return (self.basis * np.exp(-1j * self.part * self.energies)) @ self.basis.T


def single(qubits):
    """The network that is measured alone."""
    return Network(qubits, evolution=2.0, substeps=10, seed=qubits)


def bank():
    """Ten networks of four qubits from fast to slow."""
    return [Network(4, evolution, substeps=5, seed=100 + i) for i, evolution in enumerate(np.geomspace(1, 8, 10))]


def inputs(rows):
    """Numbers in [0, 1]."""
    return peer.inputs(rows, 0, 1)[:, 0]


def erased(state):
    """The trace over qubit 0, the lowest bit."""
    rest = len(state) // 2
    return np.trace(state.reshape(rest, 2, rest, 2), axis1=1, axis2=3)
