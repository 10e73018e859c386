"""The network of esn.py as a runtime of MLServer."""

import numpy as np
from esn import EchoStateNetwork
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Echo(MLModel):
    async def load(self) -> bool:
        self.network = EchoStateNetwork()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        series = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32)
        outputs = self.network.forecast(series)
        named = zip(("forecast", "lower", "upper"), outputs)
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output(name, out) for name, out in named]
        )
