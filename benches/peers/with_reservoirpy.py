"""ReservoirPy: `Reservoir.run` over a long series, single steps, `ESN.fit`, `RLS` and `LIF`, as its guide uses them.

It computes in f64. Told `dtype=float32` it still begins from an f64 state, which slows it down; the f32 cases here put
an f32 state in, which its interface allows but does not tell of, because that is the fastest it can be.
"""

import peer
import numpy as np
from peer import DENSITY, LEAK, SPECTRAL_RADIUS, Case
from reservoirpy import ESN
from reservoirpy.mat_gen import uniform
from reservoirpy.nodes import LIF, RLS, Reservoir, Ridge

NAME = peer.version("reservoirpy")
STEPS = 400


def reservoir(units, density, dtype=np.float64):
    return Reservoir(
        units, lr=LEAK, sr=SPECTRAL_RADIUS, rc_connectivity=density, input_connectivity=1.0, bias=uniform, dtype=dtype, seed=1
    )


def echo(units, density):
    rows = peer.inputs(STEPS)
    cases = []
    for precision, dtype in (("f64", np.float64), ("f32", np.float32)):
        node = reservoir(units, density, dtype)
        own = rows.astype(dtype)
        node.run(own[:1])
        node.state = {"out": np.zeros(units, dtype)}
        checksum = np.abs(node.run(own)[-1]).sum()
        cases.append(Case(f"{NAME} run", precision, "per step", lambda node=node, own=own: node.run(own), STEPS, checksum))
    stepped = reservoir(units, density)

    def step():
        for row in rows:
            answer = stepped(row)
        return answer

    cases.append(Case(f"{NAME} single step", "f64", "per step", step, STEPS, np.abs(step()).sum()))
    return cases


def train(rows):
    """The weights are drawn before the clock starts."""
    series = peer.mackey_glass(rows + 1)
    model = ESN(reservoir=reservoir(500, DENSITY), readout=Ridge(ridge=peer.PENALTY))

    model.fit(series[:300], series[1:301])

    def fit():
        model.reset()
        model.fit(series[:-1], series[1:], warmup=peer.WASHOUT)
        return model.readout.Wout

    return [Case(NAME, "f64", "per fit", fit, 1, np.abs(fit()).sum())]


def recursive_least_squares():
    rng = np.random.default_rng(3)
    features, wanted = rng.normal(size=(50, 300)), rng.normal(size=(50, 1))
    node = RLS(alpha=1.0, forgetting=0.999, fit_bias=False)

    def learn():
        # partial_fit goes on from what it knows; the work of a row stays the same.
        return node.partial_fit(features, wanted)

    return [Case(NAME, "f64", "per row", learn, len(features), np.abs(learn()).sum())]


def spiking():
    """Its neurons have neither synaptic currents nor a refractory time, and all synapses are multiplied every step."""
    node = LIF(1000, inhibitory=0.2, threshold=1.0, lr=0.1, sr=0.3, input_scaling=0.32, rc_connectivity=DENSITY,
               input_connectivity=1.0, seed=1)
    rows = peer.inputs(500, 0.0, 1.0)
    spikes = node.run(rows)
    share = 100 * spikes[100:].mean()
    return [Case(NAME, "f64", "per dt", lambda: node.run(rows), len(rows), spikes.sum(), f"simpler neurons, {share:.1f} % fire")]


WORKLOADS = {
    "echo-100-dense-1": lambda: echo(100, 1.0),
    "echo-300-dense-1": lambda: echo(300, 1.0),
    "echo-1000-dense-1": lambda: echo(1000, 1.0),
    "echo-300-sparse-1": lambda: echo(300, DENSITY),
    "echo-500-sparse-1": lambda: echo(500, DENSITY),
    "echo-1000-sparse-1": lambda: echo(1000, DENSITY),
    "lif-1000-1": spiking,
    "rls-300": recursive_least_squares,
    "train-4000": lambda: train(4000),
    "train-10000": lambda: train(10000),
}

if __name__ == "__main__":
    peer.main(WORKLOADS)
