"""What the peers' scripts share: one thread, the clock, the same made-up data, and how a result is told.

Import it before numpy: thread pools are sized when a library is loaded.

A script is called with names of workloads and prints one JSON line for each way it can do each of them:
{"workload", "peer", "precision", "unit": "us", "value": median of a unit of work, "min": best, "what", "note", "checksum"}.
The checksum is of results, so that no work is left out unseen, and it is the same in every run.
"""

import argparse
import importlib.metadata
import json
import os
import statistics
import sys
import time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "QULACS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np

LEAK, SPECTRAL_RADIUS, DENSITY = 0.3, 0.9, 0.1
"""Of every echo state network here: leak 0.3 makes the step a tanh and a blend, whatever the peer."""
STREAMS = 64
WASHOUT, PENALTY = 100, 1e-6


def inputs(rows, low=-1.0, high=1.0):
    """A column of uniform random inputs, the same for everybody."""
    return np.random.default_rng(20261125).uniform(low, high, (rows, 1))


def mackey_glass(rows):
    """The Mackey-Glass series with delay 17 by Euler steps of 0.1, standardised."""
    per_row, warm = 10, 100
    delay = 17 * per_row
    series = [1.2] * (delay + 1)
    for t in range(delay, delay + (rows + warm) * per_row):
        late = series[t - delay]
        series.append(series[t] + (0.2 * late / (1.0 + late**10) - 0.1 * series[t]) / per_row)
    column = np.array(series[delay + warm * per_row :: per_row][:rows])
    return ((column - column.mean()) / column.std()).reshape(-1, 1)


def version(package):
    """A name with its installed version."""
    return f"{package} {importlib.metadata.version(package)}"


class Case:
    """One workload done in one way."""

    def __init__(self, peer, precision, what, work, units, checksum, note=""):
        self.peer, self.precision, self.what, self.note = peer, precision, what, note
        self.work, self.units, self.checksum = work, units, checksum
        """`work()` does so many units of work; `checksum` is of results that were computed before the clock starts."""

    def measure(self, workload, seconds):
        """Runs for about so many seconds after one run that does not count, at least three times."""
        self.work()
        took = []
        until = time.perf_counter() + seconds
        while len(took) < 3 or time.perf_counter() < until:
            start = time.perf_counter()
            self.work()
            took.append((time.perf_counter() - start) * 1e6 / self.units)
        checksum = float(self.checksum)
        if not np.isfinite(checksum) or checksum == 0.0:
            sys.exit(f"{workload}: {self.peer} computed nothing: checksum {checksum}")
        line = {
            "workload": workload, "peer": self.peer, "precision": self.precision, "unit": "us",
            "value": statistics.median(took), "min": min(took), "what": self.what, "note": self.note, "checksum": checksum,
        }
        print(json.dumps(line), flush=True)


def main(workloads):
    """Measures the workloads that are asked for; `workloads` gives for each name a function that makes its cases."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--list", action="store_true", help="names of the workloads, one a line")
    parser.add_argument("--seconds", type=float, default=0.5, help="about how long each case runs")
    args = parser.parse_args()
    if args.list:
        print("\n".join(workloads))
        return
    for name in args.names:
        if name not in workloads:
            sys.exit(f"unknown workload: {name}")
        for case in workloads[name]():
            case.measure(name, args.seconds)
