#!/usr/bin/env python3
"""A model whose file is exchanged under load: no request fails, and none is answered by one file in the name of another.

`make reload` runs it, with an interpreter that has tritonclient. SECONDS of load (60), EVERY_MS between two exchanges (1000).

Two models with other weights take turns as version 1 of one name: the file is put in place of the other whole, then the server
is told to load. What each of them answers to each of some inputs is known from a server of its own. Every answer names the
hash of the model that gave it, so it is either exactly what that model answers to that input, or mixed.
"""

import http.client
import itertools
import json
import os
import pathlib
import shutil
import struct
import tempfile
import threading
import time
import urllib.request

import claims
from claims import say

INPUTS, ROWS, BATCH = 16, 64, 8
OUTPUTS = ("forecast", "lower", "upper")


def windows():
    taxi = [float(line.split(",")[1]) for line in claims.TAXI.read_text().splitlines()[1:]]
    return [taxi[100 * place : 100 * place + ROWS] for place in range(INPUTS)]


WINDOWS = windows()


def bits(values):
    return struct.pack(f"<{len(values)}f", *values)


class OverHttp:
    """Inference in JSON."""

    def __init__(self, server):
        self.connection = http.client.HTTPConnection(server.http, timeout=30)

    def post(self, path, body):
        self.connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def ask(self, places):
        tensor = {"name": "series", "shape": [1, ROWS, 1], "datatype": "FP32", "data": WINDOWS[places[0]]}
        status, body = self.post("/v2/models/taxi/infer", {"inputs": [tensor]})
        if status != 200:
            return [("failed", f"{status} {body[:200].decode(errors='replace')}")]
        document = json.loads(body)
        tensors = {one["name"]: bits(one["data"]) for one in document["outputs"]}
        return [(document["parameters"]["model_hash"], b"".join(tensors[name] for name in OUTPUTS))]


class BatchCalls(OverHttp):
    """Batch calls of several windows."""

    def ask(self, places):
        series = [{"id": str(place), "model": "taxi", "series": [[value] for value in WINDOWS[place]]} for place in places]
        status, body = self.post("/v1/predictions", {"requests": series})
        if status != 200:
            return [("failed", f"{status} {body[:200].decode(errors='replace')}")]
        flat = lambda value: [one for part in value for one in flat(part)] if isinstance(value, list) else [value]
        answers = []
        for result in json.loads(body)["results"]:
            if result["status"] != 200:
                answers.append(("failed", json.dumps(result)[:200]))
                continue
            answers.append((result["parameters"]["model_hash"], b"".join(bits(flat(result[name])) for name in OUTPUTS)))
        return answers


class OverGrpc:
    """Inference with the official client."""

    def __init__(self, server):
        import numpy
        import tritonclient.grpc

        self.client, self.inputs = tritonclient.grpc.InferenceServerClient(server.grpc), []
        for window in WINDOWS:
            tensor = tritonclient.grpc.InferInput("series", [1, ROWS, 1], "FP32")
            tensor.set_data_from_numpy(numpy.array(window, dtype=numpy.float32).reshape(1, ROWS, 1))
            self.inputs.append(tensor)

    def ask(self, places):
        from tritonclient.utils import InferenceServerException

        try:
            answer = self.client.infer("taxi", [self.inputs[places[0]]])
        except InferenceServerException as error:
            return [("failed", str(error)[:200])]
        model_hash = answer.get_response().parameters["model_hash"].string_param
        return [(model_hash, b"".join(answer.as_numpy(name).astype("<f4").tobytes() for name in OUTPUTS))]


KINDS = [("HTTP, JSON", OverHttp, 1), (f"batch calls of {BATCH}", BatchCalls, BATCH), ("gRPC", OverGrpc, 1)]


def truths(spinwell, models, work):
    """What each of the files answers to each input, from servers on which nothing changes."""
    known = {}
    for name in ("a", "b"):
        folder = work / f"alone-{name}"
        (folder / "taxi/1").mkdir(parents=True)
        shutil.copy(models / name / "1/model.spinwell", folder / "taxi/1")
        with claims.Server(spinwell, folder, work / f"data-{name}") as server:
            for _, kind, size in KINDS:
                client = kind(server)
                for place in range(INPUTS):
                    [(model_hash, answer), *_] = client.ask([place] * size)
                    assert known.setdefault((model_hash, place), answer) == answer, (kind, model_hash, answer)
    hashes = {model_hash for model_hash, _ in known}
    assert len(hashes) == 2 and "failed" not in hashes, hashes
    first, second = hashes
    assert all(known[first, place] != known[second, place] for place in range(INPUTS)), "the two files must answer differently"
    return known


class Count:
    def __init__(self):
        self.calls = self.answers = self.failed = self.mixed = self.two_in_a_call = 0
        self.by_hash, self.changes, self.first_trouble = {}, 0, None


def client(kind, size, server, known, count, over, offset):
    client, last = kind(server), None
    for number in itertools.count(offset):
        if over.is_set():
            return
        places = [(number + step) % INPUTS for step in range(size)]
        try:
            answers = client.ask(places)
        except OSError as error:
            answers, client = [("failed", repr(error))], kind(server)
        count.calls += 1
        count.answers += len(answers)
        hashes = {model_hash for model_hash, _ in answers}
        count.two_in_a_call += len(hashes) > 1
        for place, (model_hash, answer) in zip(places, answers):
            trouble = None
            if model_hash == "failed":
                count.failed += 1
                trouble = answer
            elif known.get((model_hash, place)) != answer:
                count.mixed += 1
                trouble = f"input {place} of {model_hash[:12]} is answered with other bits"
            count.first_trouble = count.first_trouble or trouble
            count.by_hash[model_hash] = count.by_hash.get(model_hash, 0) + 1
        count.changes += last is not None and last not in hashes
        last = answers[-1][0]


def main():
    args = claims.arguments(__doc__.splitlines()[0], "reload.md")
    seconds, every = claims.number("SECONDS", 60), claims.number("EVERY_MS", 1000)
    page = claims.Page("Reload under load", "make reload", args.out)
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        models = work / "trained"
        for name, seed in (("a", "1"), ("b", "2")):
            claims.train(args.spinwell, models, name, "--family", "echo", "--trials", "1", "--seed", seed, "--set", "units=300,density=0.1,skip=off")
        known = truths(args.spinwell, models, work)
        served = work / "models"
        (served / "taxi/1").mkdir(parents=True)
        shutil.copy(models / "a/1/model.spinwell", served / "taxi/1")
        with claims.Server(args.spinwell, served, work / "data") as server:
            counts, reloads, loads = run(args.spinwell, server, models, served, known, seconds, every / 1e3)
    report(page, seconds, every, counts, reloads, loads)


def run(spinwell, server, models, served, known, seconds, every):
    counts, over = {name: Count() for name, *_ in KINDS}, threading.Event()
    threads = [threading.Thread(target=client, args=(kind, size, server, known, counts[name], over, 5 * place))
               for place, (name, kind, size) in enumerate(KINDS)]
    say(f"{seconds} s under load, the file exchanged every {every:g} s")
    # Beside those that look at every bit, what puts the server under load: all of its requests must be answered.
    load = lambda url, protocol, rate: claims.Load(spinwell, url, "taxi", "--protocol", protocol, "--window", ROWS, "--rate", rate, "--warmup", 0, "--duration", seconds)
    loads = {"spinwell bench, HTTP binary": load(server.http, "binary", 400), "spinwell bench, gRPC": load(server.grpc, "grpc", 400)}
    for thread in threads:
        thread.start()
    reloads, begun = [], time.monotonic()
    for number in itertools.count(1):
        due = begun + number * every
        if due >= begun + seconds:
            break
        time.sleep(max(0.0, due - time.monotonic()))
        name = "ab"[number % 2]
        partial = served / "taxi/1/.next"
        shutil.copy(models / name / "1/model.spinwell", partial)
        os.replace(partial, served / "taxi/1/model.spinwell")
        started = time.monotonic()
        request = urllib.request.Request(f"http://{server.http}/v2/repository/models/taxi/load", b"{}", {"Content-Type": "application/json"})
        assert urllib.request.urlopen(request, timeout=30).status == 200
        reloads.append((time.monotonic() - started) * 1e3)
    time.sleep(max(0.0, begun + seconds - time.monotonic()))
    over.set()
    for thread in threads:
        thread.join()
    return counts, reloads, {name: load.end() for name, load in loads.items()}


def report(page, seconds, every, counts, reloads, loads):
    total = lambda what: sum(getattr(count, what) for count in counts.values())
    broken = sum(one["failed"] + one["refused"] + one["unanswered"] + one["never_sent"] for one in loads.values())
    failed, mixed, two, changes = (total(what) for what in ("failed", "mixed", "two_in_a_call", "changes"))
    answered = total("answers") + sum(one["answered"] for one in loads.values())
    page.check("no request failed or was refused", f"{failed + broken} of {answered:,}", failed + broken == 0)
    page.check("no answer is mixed: each has the bits of the file whose hash it names", f"{mixed} of {total('answers'):,} that were compared", mixed == 0)
    page.check("no batch call is answered by two files", str(two), two == 0)
    # A client that never sees the other file would have proven nothing.
    seen = min(count.changes for count in counts.values())
    page.check("every client saw the files take turns, for at least half of the exchanges", f"{seen} of {len(reloads)}", seen >= len(reloads) / 2 > 0)
    page.add(f"{len(reloads)} exchanges in {seconds} s, one every {every} ms; a load took {sum(reloads) / len(reloads):.1f} ms, at most {max(reloads):.1f} ms.",
             "Two echo-state networks of 300 sparse units, windows of 64 rows.")
    page.table(["client", "calls", "answers compared", "failed", "mixed", "calls with two files", "changes seen"],
               [(name, f"{one.calls:,}", f"{one.answers:,}", one.failed, one.mixed, one.two_in_a_call, one.changes) for name, one in counts.items()])
    page.table(["load beside them", "offered/s", "answered", "failed", "P50 ms", "P99 ms", "longest ms"],
               [(name, f"{one['rate']:,.0f}", f"{one['answered']:,}", one["failed"] + one["refused"] + one["unanswered"] + one["never_sent"],
                 *(f"{one['latency_ms'][share]:.1f}" for share in ("p50", "p99", "max"))) for name, one in loads.items()])
    trouble = [f"{name}: {one.first_trouble}" for name, one in counts.items() if one.first_trouble]
    trouble += [f"{name}: {one['failures']}" for name, one in loads.items() if one["failures"]]
    if trouble:
        page.add("The first trouble of each: " + "; ".join(trouble))
    page.end()


if __name__ == "__main__":
    main()
