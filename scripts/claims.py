"""What the scripts share that hold the server to a claim: a server of ours, its memory, its metrics, and the page.

A script measures, adds rows and checks to a `Page`, and ends with `page.end()`: the page is printed and written, and the exit
status is 1 where a check does not hold.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
TAXI = ROOT / "examples/data/nab_nyc_taxi.csv"


def say(text):
    print(text, file=sys.stderr, flush=True)


def number(name, usual):
    """A whole number from the environment."""
    text = os.environ.get(name, str(usual))
    if not text.isdigit() or int(text) == 0:
        sys.exit(f"{name}={text}: a whole number from 1")
    return int(text)


def arguments(description, page):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--spinwell", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs/results" / page)
    args = parser.parse_args()
    args.spinwell = args.spinwell.absolute()
    return args


def train(spinwell, models, name, *options):
    """Trains on the taxi series, one step ahead, and gives what `train --json` says."""
    command = [spinwell, "train", TAXI, "--target", "value", "--time", "timestamp", "--season", "1", "--horizon", "1"]
    command += [*options, "--name", name, "--models", models, "--json"]
    say(f"training {name}: {' '.join(options)}")
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


PLANES = {"http": "inference, HTTP", "grpc": "inference, gRPC", "ops": "metrics and health", "address": "gateways", "agent": "agent checks"}


class Process:
    """A process of ours on free ports, stopped at the end of a `with`. Settings are keys with `_` for the dot."""

    def __init__(self, planes, log, *command, **settings):
        self.planes, self.log = planes, log
        self.command = [*command, *(part for plane in planes for part in (f"--{plane}", "127.0.0.1:0"))]
        self.env = {**os.environ, **{f"SPINWELL_{key.upper()}": str(value) for key, value in settings.items()}}

    def __enter__(self):
        begun = time.monotonic()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=log, text=True, env=self.env)
        self.said = []
        for line in self.process.stdout:
            self.said.append(line)
            if line.startswith("ready"):
                break
        else:
            sys.exit(f"the server did not start:\n{self.log.read_text()[-3000:]}")
        # Read on, or a server that says more would stand still.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        self.ready_after = time.monotonic() - begun
        said = "".join(self.said)
        for plane in self.planes:
            setattr(self, plane, re.search(rf"^serving (?:[a-z]*://)?([0-9.:]*) \({PLANES[plane]}\)", said, re.M).group(1))
        return self

    def __exit__(self, kind, *_):
        self.process.terminate()
        try:
            status = self.process.wait(120)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        if kind is None and status != 0:
            sys.exit(f"the server ended with status {status}:\n{self.log.read_text()[-3000:]}")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def rss(self):
        """Bytes of memory that the server holds."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s*(\d+) kB", status).group(1)) * 1024

    def cpu_seconds(self):
        """Seconds that processors have spent on it."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def page(self, path):
        """What is opened for a page of the operations plane."""
        return {"url": f"http://{self.ops}/{path}"}

    def metrics(self):
        """Every series by its name and labels as they stand on the page."""
        page = urllib.request.urlopen(**self.page("metrics"), timeout=30).read().decode()
        lines = (line.rpartition(" ") for line in page.splitlines() if line and not line.startswith("#"))
        return {series: float(value) for series, _, value in lines}


class Server(Process):
    """A server that is gateway and node at once."""

    def __init__(self, spinwell, models, data, **settings):
        command = [spinwell, "serve", "--models", models, "--data", data]
        super().__init__(("http", "grpc", "ops"), pathlib.Path(data).with_suffix(".log"), *command, **settings)


class Guarded(Server):
    """The same with its doors shut: TLS, callers who show a key, and nothing readable on the disk, or only those of them that are named."""

    def __init__(self, spinwell, models, data, parts=("tls", "access", "encryption"), **settings):
        say(f"what a guarded server needs: {', '.join(parts)}")
        run = lambda *words: subprocess.run([spinwell, *words], check=True, capture_output=True, text=True).stdout.strip()
        self.ca = self.token = None
        if "tls" in parts:
            pki = f"{data}-pki"
            run("pki", "init", "--dir", pki)
            run("pki", "issue", "edge", "bench", "--dir", pki)
            self.ca = f"{pki}/authority.pem"
            settings |= {"edge_certificate": f"{pki}/edge-bench/certificate.pem", "edge_key": f"{pki}/edge-bench/key.pem"}
        if "access" in parts:
            access = f"{data}-access"
            self.token = run("token", "create", "bench", "--role", "admin", "--dir", access)
            settings |= {"access_required": "true", "access_dir": access}
        if "encryption" in parts:
            root = f"{data}-root.key"
            run("keys", "create", root)
            settings |= {"encryption_root_key_file": root}
        super().__init__(spinwell, models, data, **settings)

    def load(self):
        """Where `spinwell bench` finds it, and what it shows."""
        secret = [*(["--ca", self.ca] if self.ca else []), *(["--token", self.token] if self.token else [])]
        return f"http{'s' if self.ca else ''}://{self.http}", secret

    def page(self, path):
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        request = urllib.request.Request(f"http{'s' if self.ca else ''}://{self.ops}/{path}", headers=headers)
        return {"url": request, "context": ssl.create_default_context(cafile=self.ca) if self.ca else None}


class Node(Process):
    """A node for gateways."""

    def __init__(self, spinwell, models, data, id, **settings):
        command = [spinwell, "node", "--id", id, "--models", models, "--data", data]
        super().__init__(("address", "ops"), pathlib.Path(data).with_suffix(".log"), *command, **settings)
        self.id = id


class Gateway(Process):
    """A gateway of nodes that run."""

    def __init__(self, spinwell, log, nodes, **settings):
        command = [spinwell, "gateway", "--data", pathlib.Path(log).with_suffix(".data"), *(part for node in nodes for part in ("--node", f"{node.id}={node.address}"))]
        super().__init__(("http", "grpc", "ops", "agent"), log, *command, **settings)


class Watch:
    """Samples a server's memory in the time of a `with`."""

    def __init__(self, server, every):
        self.server, self.every, self.samples, self.over = server, every, [], threading.Event()

    def __enter__(self):
        self.begun = time.monotonic()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return self

    def run(self):
        while True:
            self.samples.append((time.monotonic() - self.begun, self.server.rss()))
            if self.over.wait(self.every):
                return

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def most(self):
        return max(rss for _, rss in self.samples)


class Load:
    """`spinwell bench`, under way."""

    def __init__(self, spinwell, url, model, *options):
        self.command = [str(part) for part in (spinwell, "bench", "--url", url, "--model", model, "--json", *options)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(self.command, stdout=pipe, stderr=pipe, text=True)

    def end(self):
        """Its document. Failures are in it; where there is none, the load itself failed."""
        out, err = self.process.communicate()
        if not out:
            sys.exit(f"{' '.join(self.command)}:\n{err}")
        document = json.loads(out)
        document["status"] = self.process.returncode
        return document


def bench(*arguments):
    return Load(*arguments).end()


def mb(size):
    return f"{size / 1e6:,.1f} MB"


class Page:
    """A page of results, with claims that hold or do not."""

    def __init__(self, title, command, path):
        self.title, self.command, self.path = title, command, path
        self.commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=ROOT).stdout.strip()
        self.lines, self.checks = [], []

    def add(self, *lines):
        self.lines += [*lines, ""]

    def table(self, head, rows):
        self.add(*("| " + " | ".join(str(cell) for cell in row) + " |" for row in (head, ["---"] * len(head), *rows)))

    def check(self, claim, measured, holds):
        self.checks.append((claim, measured, holds))

    def end(self):
        processor = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
        head = [f"# {self.title}", "", f"Written by `{self.command}` on {datetime.date.today()}, commit {self.commit}; "
                f"{processor.group(1) if processor else 'unknown processor'}, {os.cpu_count()} logical cores, the load generator among them.", ""]
        rows = [f"| {claim} | {measured} | {'yes' if holds else '**NO**'} |" for claim, measured, holds in self.checks]
        head += ["| claim | measured | holds |", "|---|---|---|", *rows, ""]
        text = "\n".join(head + self.lines).rstrip() + "\n"
        partial = self.path.with_suffix(".partial")
        partial.write_text(text)
        os.replace(partial, self.path)
        print(text)
        sys.exit(0 if all(holds for *_, holds in self.checks) else 1)
