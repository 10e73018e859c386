"""Quantum reservoirs in numpy, complex128 or f64: the same maps as ours, without ours' halving by parity."""

import peer
import ising
import numpy as np
from peer import Case

NUMPY = peer.version("numpy")
INPUTS = 20


def prepared(state, value):
    """All qubits, after an input was written into qubit 0."""
    psi = np.sqrt([1 - value, value])
    return np.kron(state, np.outer(psi, psi))


def density_step(network, unitary, dagger, state):
    """Evolves a density matrix of all qubits and reads it out part by part."""
    features = []
    for _ in range(network.substeps):
        state = unitary @ state @ dagger
        features.append(state.diagonal().real @ network.signs)
    return state, np.concatenate(features)


def exact(qubits):
    """One network, in two ways that give the same features."""
    network = ising.single(qubits)
    unitary = network.unitary()
    dagger, rest = unitary.conj().T.copy(), 1 << (qubits - 1)
    start = np.zeros((rest, rest), complex)
    start[0, 0] = 1

    def conjugation(values):
        state = start
        for value in values:
            state, features = density_step(network, unitary, dagger, prepared(state, value))
            state = ising.erased(state)
        return features

    # As H is real, Re ρ + Im ρ holds all of ρ. In the eigenbasis evolution mixes it with its transpose element by
    # element, and an observable O reads Σ O_αβ·(Re ρ + Im ρ)_αβ.
    basis, gaps = network.basis, network.energies[:, None] - network.energies
    angles = network.part * np.arange(1, network.substeps + 1)[:, None, None] * gaps
    cosines, sines = np.cos(angles), np.sin(angles)
    observables = np.array([((basis.T * sign) @ basis).ravel() for sign in network.signs.T]).T.copy()

    def eigenbasis(values):
        state = start.real
        for value in values:
            inside = basis.T @ prepared(state, value) @ basis
            parts = cosines * inside - sines * inside.T
            features = (parts.reshape(network.substeps, -1) @ observables).ravel()
            state = sum(half @ parts[-1] @ half.T for half in (basis[::2], basis[1::2]))
        return features

    values = ising.inputs(INPUTS)
    timed = values[:3] if qubits > 6 else values
    cases = []
    ways = (
        (conjugation, "complex128", "density matrix, U·ρ·U† in each part"),
        (eigenbasis, "f64", "in the eigenbasis, as ours"),
    )
    for work, precision, note in ways:
        checksum = np.abs(work(values[:3])).sum()
        cases.append(Case(NUMPY, precision, "per input", lambda work=work: work(timed), len(timed), checksum, note))
    return cases


def bank(streams):
    """Ten networks of four qubits, each step tabulated as a real matrix of 8·8 + 50 rows and 3·64 columns."""
    tables = np.array([tabulate(network) for network in ising.bank()])
    members, coordinates = len(tables), tables.shape[2] // 3
    values = ising.inputs(INPUTS * streams).reshape(INPUTS, 1, 1, streams)
    weights = np.concatenate([1 - values, values, np.sqrt(values * (1 - values))], axis=1)[:, None]
    start = np.zeros((members, coordinates, streams))
    start[:, 0] = 1.0

    def run():
        state = start
        for weight in weights:
            told = (weight * state[:, None]).reshape(members, 3 * coordinates, streams)
            result = tables @ told
            state, features = result[:, :coordinates], result[:, coordinates:]
        return features

    what = "per input" if streams == 1 else "per stream-input"
    return [Case(NUMPY, "f64", what, run, INPUTS * streams, np.abs(run()).sum(), "a step as a real matrix, as ours")]


def tabulate(network):
    """Rows: new coordinates of the state, then features. Columns: its coordinates for each of the input's three parts.

    A step is linear in the state and in 1 − s, s and √(s·(1−s)).
    """
    unitary = network.unitary()
    dagger, rest = unitary.conj().T, len(unitary) // 2
    upper, lower = np.triu_indices(rest), np.tril_indices(rest, -1)

    def respond(matrix, value):
        state, features = density_step(network, unitary, dagger, prepared(matrix, value))
        state = ising.erased(state)
        return np.concatenate([state[upper].real, state[lower].imag, features])

    columns = [[], [], []]
    for (i, j), unit in [*((place, 1) for place in zip(*upper)), *((place, 1j) for place in zip(*lower))]:
        matrix = np.zeros((rest, rest), complex)
        matrix[j, i] = np.conj(unit)
        matrix[i, j] = unit
        zero, one, even = respond(matrix, 0.0), respond(matrix, 1.0), respond(matrix, 0.5)
        for column, response in zip(columns, (zero, one, 2 * even - zero - one)):
            column.append(response)
    return np.array([response for part in columns for response in part]).T
