"""qulacs, C++: the exact networks as a density matrix under gates, the same map and couplings as the numpy cases."""

import peer
import ising
import numpy as np
from peer import Case
from qulacs import DensityMatrix, gate

NAME = peer.version("qulacs")


def exact(qubits):
    """Erasure is full amplitude damping of qubit 0 and a turn; a part of the evolution is one dense gate on all qubits."""
    network = ising.single(qubits)
    part = gate.DenseMatrix(list(range(qubits)), network.unitary())
    erase = gate.AmplitudeDampingNoise(0, 1.0)

    def run(values):
        state = DensityMatrix(qubits)
        for value in values:
            erase.update_quantum_state(state)
            # RotY turns as the textbook does: by θ it takes |0⟩ to cos θ/2·|0⟩ + sin θ/2·|1⟩.
            gate.RotY(0, 2 * np.arcsin(np.sqrt(value))).update_quantum_state(state)
            features = []
            for _ in range(network.substeps):
                part.update_quantum_state(state)
                features.append(state.get_matrix().diagonal().real @ network.signs)
        return np.concatenate(features)

    values = ising.inputs(20)
    timed = values[: 1 if qubits > 6 else 10]
    checksum = np.abs(run(values[:3])).sum()
    return [Case(NAME, "complex128", "per input", lambda: run(timed), len(timed), checksum, "a dense gate in each part")]


WORKLOADS = {"quantum-6-1": lambda: exact(6), "quantum-8-1": lambda: exact(8)}

if __name__ == "__main__":
    peer.main(WORKLOADS)
