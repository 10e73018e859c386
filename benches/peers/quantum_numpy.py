"""Quantum reservoirs in numpy, complex128 or f64: the same maps as ours, without ours' halving by parity.

An input s is written into qubit 0 (ρ ← |ψ⟩⟨ψ| ⊗ Tr₀ ρ, |ψ⟩ = √(1−s)·|0⟩ + √s·|1⟩), the network evolves in equal parts,
and all ⟨Z_i⟩ and ⟨Z_i·Z_j⟩ are read after each.
"""

import peer
import numpy as np
from peer import MEMBER_QUBITS, MEMBER_SUBSTEPS, MEMBERS, Case

NUMPY = peer.version("numpy")
INPUTS = 20
EVOLUTION, SUBSTEPS = 2.0, 10


def density_step(state, amplitudes, unitary, dagger, substeps, signs):
    """One input of a density matrix of all qubits; qubit 0 is the lowest bit."""
    rest = len(state) // 2
    erased = np.trace(state.reshape(rest, 2, rest, 2), axis1=1, axis2=3)
    state = np.kron(erased, np.outer(amplitudes, amplitudes))
    features = []
    for _ in range(substeps):
        state = unitary @ state @ dagger
        features.append(state.diagonal().real @ signs)
    return state, np.concatenate(features)


def amplitudes_of(values):
    return np.sqrt(np.column_stack([1 - values, values]))


def exact(qubits):
    """One network whose density matrix is stepped as it stands, and the same by the Kraus form that needs less work."""
    unitary = peer.ising(qubits, np.random.default_rng(qubits), EVOLUTION / SUBSTEPS)
    dagger, signs = unitary.conj().T.copy(), peer.zz_signs(qubits)
    inputs = amplitudes_of(peer.inputs(INPUTS, 0, 1)[:, 0])
    rest = 1 << (qubits - 1)

    def conjugation(rows):
        state = np.zeros((2 * rest, 2 * rest), complex)
        state[0, 0] = 1
        for amplitudes in rows:
            state, features = density_step(state, amplitudes, unitary, dagger, SUBSTEPS, signs)
        return features

    # σ' = Σ_a K_a·σ·K_a†, K_a = √(1−s)·U_a0 + √s·U_a1 of the whole evolution; features from the observables
    # carried back in time, whose blocks are weighted by the amplitudes.
    whole = np.linalg.matrix_power(unitary, SUBSTEPS).reshape(rest, 2, rest, 2).transpose(1, 3, 0, 2)
    observables, power = [], np.eye(2 * rest)
    for _ in range(SUBSTEPS):
        power = unitary @ power
        for sign in signs.T:
            carried = (power.conj().T * sign) @ power
            observables.append(carried.reshape(rest, 2, rest, 2).transpose(1, 3, 0, 2))
    # Tr(O·σ) with Hermitian O and σ is the sum of products of real and of imaginary parts.
    zero, one, both = (
        np.array([np.concatenate([part.real.ravel(), part.imag.ravel()]) for part in parts])
        for parts in (
            [o[0, 0] for o in observables], [o[1, 1] for o in observables], [o[0, 1] + o[1, 0] for o in observables],
        )
    )
    stacked = np.concatenate([zero, one, both])

    def kraus(rows):
        state = np.zeros((rest, rest), complex)
        state[0, 0] = 1
        for a, b in rows:
            parts = stacked @ np.concatenate([state.real.ravel(), state.imag.ravel()])
            zeros, ones, coherences = parts.reshape(3, -1)
            features = a * a * zeros + b * b * ones + a * b * coherences
            first, second = a * whole[0, 0] + b * whole[0, 1], a * whole[1, 0] + b * whole[1, 1]
            state = first @ state @ first.conj().T + second @ state @ second.conj().T
        return features

    cases = []
    for work, note in ((conjugation, "density matrix, U·ρ·U† in each part"), (kraus, "Kraus form, observables carried back")):
        rows = inputs[: 3 if qubits > 6 else INPUTS]
        checksum = np.abs(work(inputs[:3])).sum()
        cases.append(Case(NUMPY, "complex128", "per input", lambda work=work, rows=rows: work(rows), len(rows), checksum, note))
    return cases


def bank(streams):
    """Ten networks of four qubits, each step tabulated as a real matrix of 8·8 + 50 rows and 3·64 columns."""
    rng = np.random.default_rng(4)
    rest = 1 << (MEMBER_QUBITS - 1)
    signs = peer.zz_signs(MEMBER_QUBITS)
    upper, lower = np.triu_indices(rest), np.tril_indices(rest, -1)
    evolutions = np.geomspace(1, 8, MEMBERS)
    tables = np.array([tabulate(peer.ising(MEMBER_QUBITS, rng, t / MEMBER_SUBSTEPS), signs, upper, lower) for t in evolutions])
    values = peer.inputs(INPUTS * streams, 0, 1).reshape(INPUTS, 1, 1, streams)
    parts = np.concatenate([1 - values, values, np.sqrt(values * (1 - values))], axis=1)[:, :, :, :]
    start = np.zeros((MEMBERS, rest * rest, streams))
    start[:, 0] = 1.0

    def run():
        state = start
        for part in parts:
            told = (state[:, None] * part).reshape(MEMBERS, 3 * rest * rest, streams)
            result = tables @ told
            state, features = result[:, : rest * rest], result[:, rest * rest :]
        return features

    what = "per input" if streams == 1 else "per stream-input"
    return [Case(NUMPY, "f64", what, run, INPUTS * streams, np.abs(run()).sum(), "a step as a tabulated real matrix")]


def tabulate(unitary, signs, upper, lower):
    """Rows: the new coordinates of σ, then the features. Columns: σ's coordinates for each of the input's three parts."""
    dagger = unitary.conj().T
    rest = len(unitary) // 2

    def coordinates(matrix):
        return np.concatenate([matrix[upper].real, matrix[lower].imag])

    def respond(matrix, amplitudes):
        state = np.kron(matrix, np.eye(2))  # its trace over qubit 0 is twice the matrix
        state, features = density_step(state / 2, amplitudes, unitary, dagger, MEMBER_SUBSTEPS, signs)
        erased = np.trace(state.reshape(rest, 2, rest, 2), axis1=1, axis2=3)
        return np.concatenate([coordinates(erased), features])

    columns = [[], [], []]
    for coordinate in range(rest * rest):
        matrix = np.zeros((rest, rest), complex)
        if coordinate < len(upper[0]):
            i, j = upper[0][coordinate], upper[1][coordinate]
            matrix[i, j] = matrix[j, i] = 1
        else:
            i, j = lower[0][coordinate - len(upper[0])], lower[1][coordinate - len(upper[0])]
            matrix[i, j], matrix[j, i] = 1j, -1j
        zero, one = respond(matrix, np.array([1.0, 0.0])), respond(matrix, np.array([0.0, 1.0]))
        even = respond(matrix, np.sqrt([0.5, 0.5]))
        for column, response in zip(columns, (zero, one, 2 * even - zero - one)):
            column.append(response)
    return np.array([response for part in columns for response in part]).T
