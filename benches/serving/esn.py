"""The model that the peers serve: an echo-state network of 300 dense units with a linear readout in numpy, 32 bits.

The same work as ours: a window of rows drives a fresh state through a leaky tanh reservoir, the last state is read out. All
windows of a batch step together, one matrix product a row, which is the fastest way that numpy has.
"""

import numpy as np

UNITS = 300


class EchoStateNetwork:
    """A network with weights from a seed; their values do not change what a step costs."""

    def __init__(self, units=UNITS, leak=0.3, seed=42):
        generator = np.random.default_rng(seed)
        weights = generator.uniform(-1.0, 1.0, (units, units))
        weights *= 0.9 / np.abs(np.linalg.eigvals(weights)).max()
        self.weights = np.ascontiguousarray(weights.T, dtype=np.float32)
        self.inputs = generator.uniform(-1.0, 1.0, units).astype(np.float32)
        self.readout = (generator.standard_normal((units, 3)) * 0.01).astype(np.float32)
        self.leak = np.float32(leak)

    def forecast(self, windows):
        """[batch, time, 1] in, three arrays [batch, 1, 1] out: forecast, lower and upper end of an interval."""
        windows = np.asarray(windows, dtype=np.float32)
        batch, rows, _ = windows.shape
        rows_first = ((windows[:, :, 0] - 15000.0) / 7000.0).T.astype(np.float32)
        state = np.zeros((batch, len(self.inputs)), dtype=np.float32)
        for t in range(rows):
            drive = state @ self.weights
            drive += rows_first[t][:, None] * self.inputs
            np.tanh(drive, out=drive)
            state += self.leak * (drive - state)
        out = state @ self.readout
        return [np.ascontiguousarray(out[:, i]).reshape(batch, 1, 1) for i in range(3)]
