"""numpy and scipy: what somebody who knows them would write, step by step as a server has to."""

import collections

import peer
import numpy as np
import quantum_numpy
import scipy.linalg
import scipy.sparse
from peer import DENSITY, LEAK, STREAMS, Case

NUMPY, SCIPY = peer.version("numpy"), peer.version("scipy")
STEPS = 200


def weights(units, density):
    """Recurrent weights, dense or as compressed rows, one column of input weights and a bias, f32."""
    rng = np.random.default_rng(units)
    recurrent = rng.uniform(-1, 1, (units, units)) * (rng.uniform(size=(units, units)) < density)
    # The circular law: the spectral radius of independent entries is sd·√units.
    recurrent *= peer.SPECTRAL_RADIUS / np.sqrt(units * density / 3)
    recurrent = recurrent.astype(np.float32)
    if density < 1:
        recurrent = scipy.sparse.csr_array(recurrent)
    return recurrent, rng.uniform(-1, 1, units).astype(np.float32), rng.uniform(-0.2, 0.2, units).astype(np.float32)


def echo(units, density, streams):
    """Steps of `streams` networks side by side, each with its own input."""
    recurrent, heard, bias = weights(units, density)
    rows = peer.inputs(STEPS * streams).astype(np.float32).reshape(STEPS, streams)
    keep, renew = np.float32(1 - LEAK), np.float32(LEAK)

    def alone(state):
        for value in rows[:, 0]:
            state = keep * state + renew * np.tanh(recurrent @ state + heard * value + bias)
        return state

    def together(state):
        for values in rows:
            fresh = recurrent @ state
            fresh += heard[:, None] * values
            fresh += bias[:, None]
            np.tanh(fresh, out=fresh)
            fresh *= renew
            state = keep * state + fresh
        return state

    step = alone if streams == 1 else together
    start = np.zeros(units if streams == 1 else (units, streams), np.float32)
    package = NUMPY if density == 1 else SCIPY + " CSR"
    what = "per step" if streams == 1 else "per stream-step"
    return [Case(package, "f32", what, lambda: step(start), STEPS * streams, np.abs(step(start)).sum())]


def train(rows):
    """States of 500 sparse units by a loop, then a ridge fit of the next value by normal equations in f64."""
    recurrent, heard, bias = weights(500, DENSITY)
    series = peer.mackey_glass(rows + 1)
    values, targets = series[:-1, 0].astype(np.float32), series[1:, 0]
    keep, renew = np.float32(1 - LEAK), np.float32(LEAK)

    def fit():
        states = np.empty((rows, 501))
        states[:, 500] = 1.0
        state = np.zeros(500, np.float32)
        for row, value in zip(states, values):
            state = keep * state + renew * np.tanh(recurrent @ state + heard * value + bias)
            row[:500] = state
        learned = states[peer.WASHOUT :]
        gram = learned.T @ learned
        gram[np.diag_indices(500)] += peer.PENALTY
        return scipy.linalg.solve(gram, learned.T @ targets[peer.WASHOUT :], assume_a="pos")

    return [Case(f"{NUMPY}, {SCIPY}", "f32, f64", "per fit", fit, 1, np.abs(fit()).sum(), "states in f32, fit in f64")]


def spiking():
    """1,000 leaky integrate-and-fire neurons, 10 % connectivity, biases so that about 2 % fire in a step.

    Potentials, one synaptic current a neuron, a refractory time of 2; only the rows of neurons that fired are touched.
    """
    units, steps = 1000, 500
    rng = np.random.default_rng(7)
    sign = np.where(rng.uniform(size=units) < 0.8, 1.0, -4.0)
    made = rng.uniform(size=(units, units)) < DENSITY
    # Row by source, so that what a spike adds lies together.
    outgoing = (made * rng.gamma(2, 0.5, (units, units)) * sign[:, None] * 0.03).astype(np.float32)
    drive = rng.uniform(0.7, 1.12, units).astype(np.float32)
    membrane = (1 / np.exp(rng.uniform(np.log(5), np.log(20), units))).astype(np.float32)
    decay = np.exp(-1 / np.exp(rng.uniform(np.log(2), np.log(10), units))).astype(np.float32)
    rows = peer.inputs(steps, 0.0, 0.1).astype(np.float32)[:, 0]
    fired_in_all = []

    def run():
        potential, current = np.zeros(units, np.float32), np.zeros(units, np.float32)
        rest = np.zeros(units, np.int8)
        fired_in_all.clear()
        for value in rows:
            potential += membrane * (drive + value + current - potential) * (rest == 0)
            np.maximum(rest - 1, 0, out=rest)
            current *= decay
            fired = np.flatnonzero(potential > 1)
            potential[fired] -= 1
            rest[fired] = 2
            current += outgoing[fired].sum(axis=0)
            fired_in_all.append(len(fired))
        return potential

    checksum = np.abs(run()).sum()
    share = 100 * np.mean(fired_in_all) / units
    return [Case(NUMPY, "f32", "per dt", run, steps, checksum, f"event-driven, {share:.1f} % fire")]


def recursive_least_squares():
    width, rows, forgetting = 300, 50, 0.999
    rng = np.random.default_rng(3)
    features, wanted = rng.normal(size=(rows, width)), rng.normal(size=rows)
    cases = []

    def obvious():
        inverse, learned = np.eye(width), np.zeros(width)
        for row, truth in zip(features, wanted):
            gain = inverse @ row
            certainty = forgetting + row @ gain
            learned += gain * ((truth - row @ learned) / certainty)
            inverse = (inverse - np.outer(gain, gain) / certainty) / forgetting
        return learned

    def in_place():
        # Fortran order, so that BLAS writes into it.
        inverse, learned = np.eye(width, order="F"), np.zeros(width)
        for row, truth in zip(features, wanted):
            gain = inverse @ row
            certainty = forgetting + row @ gain
            learned += gain * ((truth - row @ learned) / certainty)
            inverse = scipy.linalg.blas.dger(-1 / certainty, gain, gain, a=inverse, overwrite_a=1)
            inverse *= 1 / forgetting
        return learned

    for package, work, note in ((NUMPY, obvious, ""), (SCIPY, in_place, "BLAS rank-1 update in place")):
        cases.append(Case(package, "f64", "per row", work, rows, np.abs(work()).sum(), note))
    return cases


def interval():
    """One row of a prediction interval: score it, move eight experts (DtACI) and the scale, give the next half-width."""
    experts, window, rows, miss, span = 8, 500, 500, 0.05, 500
    steps = 0.001 * 2.0 ** np.arange(experts)
    spread = (1 - miss) ** 2 * miss**3 + miss**2 * (1 - miss) ** 3
    rate = np.sqrt(3 / span * (np.log(experts * span) + 2) / spread)
    errors = np.random.default_rng(9).normal(size=window + rows)
    first, errors = np.abs(errors[:window]), np.abs(errors[window:])

    def run(share_above, quantile, remember):
        levels, trusted = np.full(experts, miss), np.full(experts, 1 / experts)
        scale, halves = 1.0, 0.0
        for error in errors:
            score = error / scale
            beta = share_above(score)
            beyond = beta - levels
            trusted = trusted * np.exp(-rate * np.maximum(miss * beyond, (miss - 1) * beyond))
            trusted = trusted / trusted.sum() * (1 - 1 / (2 * span)) + 1 / (2 * span * experts)
            levels = levels + steps * (miss - (beyond < 0))
            remember(score)
            scale = max(0.94 * scale + 0.06 * error, 1e-9)
            halves += scale * quantile(min(max(trusted @ levels, 0.0), 1.0))
        return halves

    def sliding():
        scores = collections.deque(first, maxlen=window)

        def quantile(level):
            rank = min(int((window + 1) * (1 - level)), window - 1)
            return np.partition(np.array(scores), rank)[rank]

        return run(lambda score: np.mean(np.array(scores) >= score), quantile, scores.append)

    def frozen():
        ascending = np.sort(first)

        def quantile(level):
            return ascending[min(int((window + 1) * (1 - level)), window - 1)]

        return run(lambda score: 1 - np.searchsorted(ascending, score) / window, quantile, lambda score: None)

    return [
        Case(NUMPY, "f64", "per row", frozen, rows, frozen(), "scores frozen in the model, as ours"),
        Case(NUMPY, "f64", "per row", sliding, rows, sliding(), "sliding window of 500, as published"),
    ]


WORKLOADS = {
    "echo-100-dense-1": lambda: echo(100, 1, 1),
    "echo-300-dense-1": lambda: echo(300, 1, 1),
    "echo-1000-dense-1": lambda: echo(1000, 1, 1),
    "echo-300-sparse-1": lambda: echo(300, DENSITY, 1),
    "echo-500-sparse-1": lambda: echo(500, DENSITY, 1),
    "echo-1000-sparse-1": lambda: echo(1000, DENSITY, 1),
    "echo-300-dense-64": lambda: echo(300, 1, STREAMS),
    "echo-1000-dense-64": lambda: echo(1000, 1, STREAMS),
    "echo-300-sparse-64": lambda: echo(300, DENSITY, STREAMS),
    "echo-500-sparse-64": lambda: echo(500, DENSITY, STREAMS),
    "quantum-10x4-1": lambda: quantum_numpy.bank(1),
    "quantum-10x4-64": lambda: quantum_numpy.bank(STREAMS),
    "quantum-6-1": lambda: quantum_numpy.exact(6),
    "quantum-8-1": lambda: quantum_numpy.exact(8),
    "lif-1000-1": spiking,
    "rls-300": recursive_least_squares,
    "interval-update": interval,
    "train-4000": lambda: train(4000),
    "train-10000": lambda: train(10000),
}

if __name__ == "__main__":
    peer.main(WORKLOADS)
