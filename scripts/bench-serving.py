#!/usr/bin/env python3
"""Serving, ours beside peers, in one run on one machine: the workloads W1 to W4 of docs/performance.md.

`make bench-serving` installs what it needs and runs it. The peers serve an echo-state network of the same size in numpy
(benches/serving), one server at a time, in rounds: ours, peer, peer, ours, ... Load generator and server share the machine.
Writes docs/results/serving.md, or the file given with --out.
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEERS = ROOT / "benches/serving"
ROWS = 64
CONNECTIONS = 64

LUA = """
local values = {}
for t = 1, ROWS do values[t] = string.format("%.1f", 15000 + 8000 * math.sin(t / 7.6)) end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"inputs":[{"name":"series","shape":[1,ROWS,1],"datatype":"FP32","data":[' .. table.concat(values, ",") .. ']}]}'
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('RESULT {"rate": %f, "p50": %f, "p99": %f, "errors": %d}\\n',
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.timeout + e.status))
end
""".replace("ROWS", str(ROWS))

TRITON_CONFIG = """
name: "NAME"
backend: "python"
max_batch_size: 64
input [ { name: "series" data_type: TYPE_FP32 dims: [ -1, 1 ] } ]
OUTPUTS
dynamic_batching { }
instance_group [ { count: 1 kind: KIND_CPU } ]
"""


def say(text):
    print(text, file=sys.stderr, flush=True)


def free_ports(count):
    import socket

    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def not_answered(one):
    return one["refused"] + one["failed"] + one["unanswered"] + one["never_sent"]


class NotStarted(Exception):
    """A peer does not run here."""


class Server:
    """A server process that is stopped with what it started."""

    def __init__(self, name, http, grpc, command, env=None, cwd=None, ready="/v2/health/ready"):
        self.name, self.http, self.grpc = name, f"127.0.0.1:{http}", f"127.0.0.1:{grpc}"
        self.command, self.env, self.cwd, self.ready = [str(part) for part in command], env, cwd, ready

    def __enter__(self):
        self.log = tempfile.TemporaryFile()
        env = {**os.environ, **(self.env or {})}
        self.process = subprocess.Popen(
            self.command, stdout=self.log, stderr=subprocess.STDOUT, env=env, cwd=self.cwd, start_new_session=True
        )
        for _ in range(1200):
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError, urllib.error.URLError):
                if urllib.request.urlopen(f"http://{self.http}{self.ready}", timeout=2).status == 200:
                    return self
            time.sleep(0.1)
        self.__exit__()
        self.log.seek(0)
        log = self.log.read().decode(errors="replace").strip()
        if self.name == "spinwell":
            sys.exit(f"{self.name} did not start:\n{log[-3000:]}")
        lines = [line.strip() for line in log.splitlines() if "Error" in line]
        raise NotStarted(self.name, (lines or log.splitlines() or ["it said nothing"])[-1])

    def is_alive(self):
        return self.process.poll() is None

    def __exit__(self, *_):
        if self.is_alive():
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Bench:
    def __init__(self, args, work):
        self.spinwell, self.venv, self.seconds, self.rounds = args.spinwell, args.venv.absolute(), args.seconds, args.rounds
        self.work = work
        # Peers that do not run here, with why.
        self.missing = {}
        (work / "load.lua").write_text(LUA)
        self.models = work / "models"
        for name, options in [
            ("dense", ["--family", "echo", "--set", "units=300,density=1,skip=off"]),
            ("sparse", ["--family", "echo", "--set", "units=300,density=0.1,skip=off"]),
            ("linear", ["--family", "linear", "--set", "lags=24"]),
        ]:
            say(f"training {name}")
            data = ROOT / "examples/data/nab_nyc_taxi.csv"
            command = [self.spinwell, "train", data, "--target", "value", "--time", "timestamp", "--season", "1"]
            command += ["--horizon", "1", *options, "--name", name, "--models", self.models, "--json"]
            subprocess.run(command, check=True, capture_output=True)
        self.prepare_triton()
        self.prepare_mlserver()

    # The servers.

    def ours(self, data=None):
        http, grpc, ops = free_ports(3)
        data = data or tempfile.mkdtemp(dir=self.work)
        command = [self.spinwell, "serve", "--data", data, "--models", self.models]
        command += ["--http", f"127.0.0.1:{http}", "--grpc", f"127.0.0.1:{grpc}", "--ops", f"127.0.0.1:{ops}"]
        server = Server("spinwell", http, grpc, command)
        server.ops = f"127.0.0.1:{ops}"
        return server

    def site_packages(self):
        return next(self.venv.glob("lib/python3.*/site-packages"))

    def prepare_triton(self):
        """The server binary and its python backend, as they lie in pytriton's wheel, without pytriton."""
        wheel = self.site_packages() / "pytriton/tritonserver"
        self.backends = self.work / "backends"
        shutil.copytree(wheel / "backends", self.backends)
        version = re.search(r"python(3\.\d+)", str(self.site_packages())).group(1)
        stub = wheel / "python_backend_stubs" / version / "triton_python_backend_stub"
        shutil.copy(stub, self.backends / "python")
        self.tritonserver = wheel / "bin/tritonserver"
        self.repository = self.work / "triton"
        answer = 'output [ { name: "forecast" data_type: TYPE_FP32 dims: [ 1, 1 ] }, '
        answer += '{ name: "lower" data_type: TYPE_FP32 dims: [ 1, 1 ] }, { name: "upper" data_type: TYPE_FP32 dims: [ 1, 1 ] } ]'
        echoed = 'output [ { name: "forecast" data_type: TYPE_FP32 dims: [ -1, 1 ] } ]'
        for name, outputs in [("echo", answer), ("identity", echoed)]:
            folder = self.repository / name / "1"
            folder.mkdir(parents=True)
            shutil.copy(PEERS / "triton_model.py", folder / "model.py")
            shutil.copy(PEERS / "esn.py", folder)
            config = TRITON_CONFIG.replace("NAME", name).replace("OUTPUTS", outputs)
            (folder.parent / "config.pbtxt").write_text(config)

    def peer_env(self):
        libraries = ":".join(str(path) for path in self.site_packages().glob("*.libs"))
        # One thread each in BLAS: two would fight over the one core.
        threads = {name: "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        return {
            **threads,
            "PATH": f"{self.venv}/bin:{os.environ['PATH']}",
            "LD_LIBRARY_PATH": libraries,
            "PYTHONPATH": str(PEERS),
        }

    def triton(self):
        http, grpc = free_ports(2)
        command = [self.tritonserver, "--model-repository", self.repository, "--backend-directory", self.backends]
        command += ["--http-port", http, "--grpc-port", grpc, "--http-address", "127.0.0.1", "--grpc-address", "127.0.0.1"]
        command += ["--allow-metrics", "false", "--http-thread-count", 2]
        return Server("tritonserver, python backend", http, grpc, command, self.peer_env())

    def pytriton(self):
        http, grpc, metrics = free_ports(3)
        command = [self.venv / "bin/python", PEERS / "pytriton_server.py", http, grpc, metrics]
        return Server("pytriton", http, grpc, command, self.peer_env(), ready="/v2/models/echo/ready")

    def prepare_mlserver(self):
        self.mlserver_folder = self.work / "mlserver"
        (self.mlserver_folder / "echo").mkdir(parents=True)
        model = {"name": "echo", "implementation": "mlserver_model.Echo", "max_batch_size": 64, "max_batch_time": 0.005}
        (self.mlserver_folder / "echo/model-settings.json").write_text(json.dumps(model))

    def mlserver(self):
        http, grpc, metrics = free_ports(3)
        settings = {"http_port": http, "grpc_port": grpc, "metrics_port": metrics, "host": "127.0.0.1", "parallel_workers": 0}
        (self.mlserver_folder / "settings.json").write_text(json.dumps({**settings, "debug": False}))
        command = [self.venv / "bin/mlserver", "start", self.mlserver_folder]
        return Server("MLServer", http, grpc, command, self.peer_env(), cwd=self.mlserver_folder)

    # The loads.

    def wrk(self, server, model):
        def run(seconds):
            command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", self.work / "load.lua"]
            command.append(f"http://{server.http}/v2/models/{model}/infer")
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            return json.loads(re.search(r"RESULT (.*)", output).group(1))

        run(2)
        return run(self.seconds)

    def bench(self, url, model, *options):
        """Our own load generator; its verdict is in the figures, so that a run with failures is shown and not hidden."""
        command = [self.spinwell, "bench", "--url", url, "--model", model, "--window", ROWS, "--json", *options]
        if "--duration" not in options:
            command += ["--duration", self.seconds]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        if not done.stdout:
            sys.exit(f"{' '.join(map(str, command))}:\n{done.stderr}")
        return json.loads(done.stdout)

    def closed_loop(self):
        """W1: the same work, closed loop; and next to none, against a model that answers what it is sent."""
        work = {"echo, 300 dense units": [(self.ours, "dense"), (self.triton, "echo"), (self.pytriton, "echo"), (self.mlserver, "echo")]}
        work["next to none"] = [(self.ours, "linear"), (self.triton, "identity")]
        results = {}
        for what, servers in work.items():
            for number in range(self.rounds):
                for start, model in servers if number % 2 == 0 else reversed(servers):
                    if start in self.missing:
                        continue
                    try:
                        with start() as server:
                            say(f"W1, {what}: round {number + 1} of {self.rounds}, {server.name}")
                            results.setdefault(what, {}).setdefault(server.name, []).append(self.wrk(server, model))
                    except NotStarted as error:
                        say(f"{error.args[0]} does not run here: {error.args[1]}")
                        self.missing[start] = error.args
        return results

    def open_loop(self):
        """W2: open loop, at three rates, by HTTP with binary tensors and by gRPC."""
        results = []
        with self.ours() as server:
            for rate in (1000, 5000, 10000):
                for protocol, url in (("binary", server.http), ("grpc", server.grpc)):
                    say(f"W2: {rate} a second over {protocol}")
                    results.append(self.bench(url, "sparse", "--protocol", protocol, "--rate", rate, "--ops", server.ops))
        return results

    def many_windows(self):
        """W3: 64 windows a call."""
        with self.ours() as server:
            say("W3: calls of 64 windows")
            options = ["--protocol", "binary", "--windows", 64, "--concurrency", 4, "--ops", server.ops]
            return self.bench(server.http, "sparse", *options)

    def sequences(self):
        """W4: steps of 10,000 live sequences, each on the disk before it is answered."""
        results = []
        with self.ours() as server:
            for load in (["--concurrency", 64], ["--concurrency", 256], ["--rate", 5000], ["--rate", 15000]):
                say(f"W4: 10,000 sequences, {' '.join(map(str, load))}")
                options = ["--protocol", "sequence", "--sequences", 10000, "--ops", server.ops, *load]
                results.append(self.bench(server.grpc, "sparse", *options))
        return results

    def hostile(self):
        """One small request that asks for a huge tensor, and a bad client among good ones."""
        results = {}
        for start, good, name in [(self.ours, "sparse", None), (self.triton, "echo", None), (self.pytriton, "echo", None), (self.mlserver, "echo", None)]:
            if start in self.missing:
                continue
            with start() as server:
                say(f"hostile requests: {server.name}")
                path = f"http://{server.http}/v2/models/{good}/infer"
                tensor = {"name": "series", "datatype": "FP32"}
                bomb = json.dumps({"inputs": [{**tensor, "shape": [1000000000000, 64], "data": [1.0]}]}).encode()
                answer = post(path, bomb)
                time.sleep(1.0)
                alive = server.is_alive() and post(path, good_body()) == 200
                failed = None
                if alive:
                    failed = self.bad_among_good(path)
                results[server.name] = {"bomb": answer, "alive": alive, **(failed or {})}
        return results

    def bad_among_good(self, path):
        """Good requests from three connections beside bad ones from one, for some seconds: how many good ones failed."""
        import threading

        bad = [
            b"{",
            json.dumps({"inputs": [{"name": "series", "datatype": "FP32", "shape": [1, ROWS, 3], "data": [1.0] * ROWS * 3}]}).encode(),
            json.dumps({"inputs": [{"name": "series", "datatype": "FP32", "shape": [1, 5, 1], "data": [None] * 5}]}).encode(),
            json.dumps({"inputs": [{"name": "other", "datatype": "BYTES", "shape": [1], "data": ["x"]}]}).encode(),
        ]
        counts, until = {"good": 0, "good_failed": 0, "bad": 0}, time.time() + 8
        lock = threading.Lock()

        def good_client():
            while time.time() < until:
                status = post(path, good_body())
                with lock:
                    counts["good"] += 1
                    counts["good_failed"] += status != 200

        def bad_client():
            number = 0
            while time.time() < until:
                post(path, bad[number % len(bad)])
                number += 1
                with lock:
                    counts["bad"] += 1

        threads = [threading.Thread(target=work) for work in (good_client, good_client, good_client, bad_client)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return counts


def good_body():
    values = [15000.0 + 100.0 * t for t in range(ROWS)]
    return json.dumps({"inputs": [{"name": "series", "datatype": "FP32", "shape": [1, ROWS, 1], "data": values}]}).encode()


def post(url, body):
    """The status of an answer; a word where there is none."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            response.read()
            return response.status
    except urllib.error.HTTPError as error:
        return error.code
    except Exception:
        return "no answer"


# The report.


def spread(values, digits=0):
    middle = statistics.median(values)
    return f"{middle:,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def report(results, machine):
    lines = ["# Speed of serving", "", machine, ""]
    lines += ["## W1: closed loop, 64 connections, JSON, one window of 64 rows a request", ""]
    lines += ["Requests a second and milliseconds, by `wrk`: the median of the rounds, with the least and the most.", ""]
    lines += ["| model | server | requests/s | P50 | P99 | ours to it | errors |", "|---|---|---|---|---|---|---|"]
    for what, servers in results["closed"].items():
        ours = [one["rate"] for one in servers["spinwell"]]
        for name, rounds in servers.items():
            rates = [one["rate"] for one in rounds]
            ratios = [mine / theirs for mine, theirs in zip(ours, rates)]
            ratio = "" if name == "spinwell" else f"**{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f})"
            p50, p99 = (statistics.median(one[key] for one in rounds) for key in ("p50", "p99"))
            errors = sum(one["errors"] for one in rounds)
            lines.append(f"| {what} | {name} | {spread(rates)} | {p50:.1f} | {p99:.1f} | {ratio} | {errors} |")
    for name, why in results["missing"]:
        lines += ["", f"{name} did not start here and is not in the tables: `{why}`."]
    head = "| offered/s | over | answered/s | failed | P50 | P95 | P99 | P99.9 | target |"
    targets = {1000: (1, 2, 5, 20), 5000: (1, 4, 10, 40), 10000: (2, 10, 25, 80)}
    lines += ["", "## W2: open loop, sparse network, one window of 64 rows a request", ""]
    lines += ["Milliseconds from when a request was due (Poisson arrivals).", "", head, "|---|---|---|---|---|---|---|---|---|"]
    for one in results["open"]:
        latency = one["latency_ms"]
        limits = targets[int(one["rate"])]
        found = [latency[key] for key in ("p50", "p95", "p99", "p999")]
        failed = not_answered(one)
        missed = [name for name, value, limit in zip(("P50", "P95", "P99", "P99.9"), found, limits) if value > limit]
        word = "met" if not missed and not failed else "**missed**: " + ", ".join(missed + (["failures"] if failed else []))
        cells = " | ".join(f"{value:.2f} / {limit}" for value, limit in zip(found, limits))
        lines.append(f"| {one['rate']:,.0f} | {one['protocol']} | {one['requests_per_second']:,.0f} | {failed} | {cells} | {word} |")
    one = results["many"]
    word = "met" if one["predictions_per_second"] >= 25000 else "**missed**"
    lines += ["", "## W3: calls of 64 windows, HTTP binary, sparse network", ""]
    lines += [f"{one['predictions_per_second']:,.0f} predictions/s (target 25,000: {word}), {one['requests_per_second']:,.0f} calls/s, "
              f"P50 {one['latency_ms']['p50']:.1f} ms, P99 {one['latency_ms']['p99']:.1f} ms, {not_answered(one)} failed."]
    lines += ["", "## W4: steps of 10,000 live sequences over `ModelStreamInfer`, step log on the disk before each answer", ""]
    lines += ["| load | steps/s | failed | P50 | P95 | P99 | P99.9 |", "|---|---|---|---|---|---|---|"]
    for one in results["sequences"]:
        load = f"{one['rate']:,.0f}/s offered" if one["rate"] else f"closed loop, {one['callers']} under way"
        cells = " | ".join(f"{one['latency_ms'][key]:.2f}" for key in ("p50", "p95", "p99", "p999"))
        failed = not_answered(one)
        lines.append(f"| {load} | {one['requests_per_second']:,.0f} | {failed} | {cells} |")
    lines += ["", "Target: at least 15,000 steps/s at a P99 of at most 10 ms.", ""]
    lines += ["## Hostile requests", ""]
    lines += ["One request of a few bytes whose shape is `[1000000000000, 64]`; then, where the server lives, bad requests from one",
              "client beside good ones from three, for 8 seconds.", ""]
    lines += ["| server | answer to the bomb | alive after it | good requests | of them failed | bad requests |", "|---|---|---|---|---|---|"]
    for name, one in results["hostile"].items():
        alive = "yes" if one["alive"] else "**no**"
        lines.append(f"| {name} | {one['bomb']} | {alive} | {one.get('good', '-')} | {one.get('good_failed', '-')} | {one.get('bad', '-')} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spinwell", type=pathlib.Path, required=True)
    parser.add_argument("--venv", type=pathlib.Path, required=True, help="a virtual environment with the peers")
    parser.add_argument("--seconds", type=int, default=10, help="measured seconds of each load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs/results/serving.md")
    args = parser.parse_args()
    args.spinwell = args.spinwell.absolute()
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(args, pathlib.Path(work))
        results = {
            "closed": bench.closed_loop(),
            "open": bench.open_loop(),
            "many": bench.many_windows(),
            "sequences": bench.sequences(),
            "hostile": bench.hostile(),
        }
        results["missing"] = list(bench.missing.values())
        processor = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT).stdout.strip()
        versions = subprocess.run(
            [bench.venv / "bin/pip", "list", "--disable-pip-version-check", "--format=json"], capture_output=True, text=True
        ).stdout
        versions = {one["name"].lower(): one["version"] for one in json.loads(versions)}
        peers = ", ".join(f"{name} {versions.get(name, '?')}" for name in ("nvidia-pytriton", "mlserver", "numpy"))
        machine = (
            f"Written by `make bench-serving` on {datetime.date.today()}, commit {commit}; {processor.group(1) if processor else 'unknown'},\n"
            f"{os.cpu_count()} logical cores, the load generator among them; {args.seconds} s a load, {args.rounds} rounds; {peers}."
        )
    page = report(results, machine)
    temporary = args.out.with_suffix(".partial")
    temporary.write_text(page)
    os.replace(temporary, args.out)
    print(page)


if __name__ == "__main__":
    main()
