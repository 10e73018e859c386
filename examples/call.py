#!/usr/bin/env python3
"""Calls a served model with the official Open Inference Protocol client, over HTTP and over gRPC.

    pip install 'tritonclient[http,grpc]'
    python examples/call.py --model taxi --csv examples/data/nab_nyc_taxi.csv --column value
"""
import argparse
import csv

import numpy as np
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient

arguments = argparse.ArgumentParser()
arguments.add_argument("--http", default="127.0.0.1:8000")
arguments.add_argument("--grpc", default="127.0.0.1:8001")
arguments.add_argument("--model", required=True)
arguments.add_argument("--csv", required=True)
arguments.add_argument("--column", required=True)
a = arguments.parse_args()

http = httpclient.InferenceServerClient(a.http)
grpc = grpcclient.InferenceServerClient(a.grpc)
facts = http.get_model_metadata(a.model)["properties"]
rows = int(facts["window_recommended"])
with open(a.csv, newline="") as file:
    values = [float(row[a.column]) for row in csv.DictReader(file)]
window = np.array(values[-rows:], dtype=np.float32).reshape(1, -1, 1)  # batch, time, channel
print(f"model {a.model}: horizon {facts['horizon']}, season {facts['season']}; sending the newest {window.shape[1]} rows")


def ask(client, module):
    tensor = module.InferInput("series", list(window.shape), "FP32")
    tensor.set_data_from_numpy(window)
    answer = client.infer(a.model, [tensor])
    return [answer.as_numpy(name) for name in ("forecast", "lower", "upper")]


over_http, over_grpc = ask(http, httpclient), ask(grpc, grpcclient)
forecast, lower, upper = over_http
for step in (0, forecast.shape[1] // 2, forecast.shape[1] - 1):
    print(f"  +{step + 1:<3} {forecast[0, step, 0]:>10.1f}   interval {lower[0, step, 0]:.1f} to {upper[0, step, 0]:.1f}")
same = all(np.array_equal(x, y) for x, y in zip(over_http, over_grpc))
print(f"HTTP and gRPC gave the same bits: {'yes' if same else 'NO'}")
raise SystemExit(0 if same else 1)
