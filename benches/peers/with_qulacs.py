"""qulacs, C++: the exact networks as a density matrix under gates, the same map and couplings as the numpy cases."""

import peer
import numpy as np
import quantum_numpy
from peer import Case
from qulacs import DensityMatrix, gate

NAME = peer.version("qulacs")


def exact(qubits):
    """Erasure is full amplitude damping of qubit 0 and a turn; a part of the evolution is one dense gate on all qubits."""
    inputs = peer.inputs(quantum_numpy.INPUTS, 0, 1)[: 2 if qubits > 6 else 10, 0]
    signs = peer.zz_signs(qubits)
    part = gate.DenseMatrix(list(range(qubits)), peer.ising(qubits, np.random.default_rng(qubits), quantum_numpy.EVOLUTION / quantum_numpy.SUBSTEPS))
    erase = gate.AmplitudeDampingNoise(0, 1.0)

    def run(values):
        state = DensityMatrix(qubits)
        for value in values:
            erase.update_quantum_state(state)
            # qulacs turns the other way round than the textbook: RY(-θ) takes |0⟩ to √(1−s)·|0⟩ + √s·|1⟩.
            gate.RY(0, -2 * np.arcsin(np.sqrt(value))).update_quantum_state(state)
            features = []
            for _ in range(quantum_numpy.SUBSTEPS):
                part.update_quantum_state(state)
                features.append(state.get_matrix().diagonal().real @ signs)
        return np.concatenate(features)

    checksum = np.abs(run(peer.inputs(quantum_numpy.INPUTS, 0, 1)[:3, 0])).sum()
    return [Case(NAME, "complex128", "per input", lambda: run(inputs), len(inputs), checksum)]


WORKLOADS = {"quantum-6-1": lambda: exact(6), "quantum-8-1": lambda: exact(8)}

if __name__ == "__main__":
    peer.main(WORKLOADS)
