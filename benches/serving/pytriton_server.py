"""The network of esn.py behind pytriton. Arguments: HTTP port, gRPC port, metrics port."""

import sys

import numpy as np
from esn import EchoStateNetwork
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

http, grpc, metrics = map(int, sys.argv[1:4])
network = EchoStateNetwork()


@batch
def infer(series):
    forecast, lower, upper = network.forecast(series)
    return {"forecast": forecast, "lower": lower, "upper": upper}


config = TritonConfig(http_port=http, grpc_port=grpc, metrics_port=metrics, http_address="127.0.0.1", log_verbose=0)
with Triton(config=config) as triton:
    triton.bind(
        model_name="echo",
        infer_func=infer,
        inputs=[Tensor(name="series", dtype=np.float32, shape=(-1, 1))],
        outputs=[Tensor(name=name, dtype=np.float32, shape=(1, 1)) for name in ("forecast", "lower", "upper")],
        config=ModelConfig(max_batch_size=64, batching=True, batcher=DynamicBatcher(max_queue_delay_microseconds=500)),
    )
    triton.serve()
