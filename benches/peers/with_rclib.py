"""rclib, reservoirs in C++ with Eigen, f64, always stored sparse: `predict` over a long series, single steps, `fit`, RLS."""

import peer
import numpy as np
import rclib
from peer import DENSITY, LEAK, SPECTRAL_RADIUS, Case
from rclib import readouts, reservoirs

NAME = peer.version("rclib")
STEPS = 1000


def network(units, density):
    """What it calls sparsity is the share of weights that are there."""
    model = rclib.ESN()
    model.add_reservoir(
        reservoirs.RandomSparse(units, SPECTRAL_RADIUS, density, LEAK, 1.0, include_bias=True, seed=1)
    )
    model.set_readout(readouts.Ridge(peer.PENALTY, include_bias=True))
    return model


def echo(units, density, note=""):
    """`predict` computes the readout too, one product with as many numbers as there are units."""
    rows = peer.inputs(STEPS)
    one_by_one = [row.reshape(1, 1) for row in rows]
    model = network(units, density)
    model.fit(rows[:300], rows[:300])
    alone = model.get_reservoir(0)

    def step():
        for row in one_by_one:
            state = alone.advance(row)
        return state

    def run():
        return model.predict(rows)

    return [
        Case(f"{NAME} run", "f64", "per step", run, STEPS, np.abs(run()).sum(), note),
        Case(f"{NAME} single step", "f64", "per step", step, STEPS, np.abs(step()).sum(), note),
    ]


def train(rows):
    """The weights are drawn before the clock starts."""
    series = peer.mackey_glass(rows + 1)
    model = network(500, DENSITY)

    def fit():
        model.reset_reservoirs()
        model.fit(series[:-1], series[1:], peer.WASHOUT)
        return model._cpp_model.getReadout().getWeights()

    return [Case(NAME, "f64", "per fit", fit, 1, np.abs(fit()).sum())]


def recursive_least_squares():
    rng = np.random.default_rng(3)
    features, wanted = rng.normal(size=(50, 1, 300)), rng.normal(size=(50, 1, 1))
    readout = rclib._rclib.RlsReadout(0.999, 1.0, False)

    def learn():
        # It goes on from what it knows; the work of a row stays the same.
        for row, truth in zip(features, wanted):
            readout.partialFit(row, truth)

    learn()
    checksum = np.abs(readout.predict(features[:, 0])).sum()
    return [Case(NAME, "f64", "per row", learn, len(features), checksum)]


WORKLOADS = {
    "echo-100-dense-1": lambda: echo(100, 1.0) + echo(100, DENSITY, "only 10 % of the weights"),
    "echo-300-sparse-1": lambda: echo(300, DENSITY),
    "echo-500-sparse-1": lambda: echo(500, DENSITY),
    "echo-1000-sparse-1": lambda: echo(1000, DENSITY),
    "rls-300": recursive_least_squares,
    "train-4000": lambda: train(4000),
    "train-10000": lambda: train(10000),
}

if __name__ == "__main__":
    peer.main(WORKLOADS)
