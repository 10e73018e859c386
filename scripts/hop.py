#!/usr/bin/env python3
"""What a gateway in a process of its own adds to a request.

`make bench-hop` runs it. The same open loop of RATE requests a second (1,000), SECONDS long (10), ROUNDS times (3), at a server that
is gateway and node at once, at a gateway before a node, and at both with certificates between them.
"""

import contextlib
import pathlib
import statistics
import subprocess
import tempfile

import claims
from claims import say

ALLOWED_US = 150


def main():
    args = claims.arguments(__doc__.splitlines()[0], "hop.md")
    rate, seconds, rounds = claims.number("RATE", 1000), claims.number("SECONDS", 10), claims.number("ROUNDS", 3)
    page = claims.Page("The hop from gateway to node", "make bench-hop", args.out)
    with tempfile.TemporaryDirectory() as work, contextlib.ExitStack() as open_:
        work = pathlib.Path(work)
        models = work / "models"
        claims.train(args.spinwell, models, "sparse", "--family", "echo", "--trials", "1", "--set", "units=300,density=0.1,skip=off")
        ways = {"in one process": [open_.enter_context(claims.Server(args.spinwell, models, work / "alone"))]}
        node = open_.enter_context(claims.Node(args.spinwell, models, work / "clear", "n1"))
        ways["gateway and node"] = [open_.enter_context(claims.Gateway(args.spinwell, work / "gateway.log", [node])), node]
        ways["gateway and node, TLS with certificates"] = certified(args.spinwell, models, work, open_)
        measured = {way: [] for way in ways}
        for number in range(rounds):
            for way, processes in ways.items():
                say(f"round {number + 1} of {rounds}: {way}")
                measured[way].append(one(args.spinwell, processes, rate, seconds))
    report(page, measured, rate, seconds, rounds)


def certified(spinwell, models, work, open_):
    """A gateway and a node that know each other by certificates."""
    pki = lambda *command: subprocess.run([spinwell, "pki", *command, "--dir", work / "pki"], check=True, capture_output=True)
    pki("init")
    folders = {role: work / f"of-{role}" for role in ("node", "gateway")}
    for (role, folder), id in zip(folders.items(), ("n1", "g1")):
        pki("issue", role, id, "--out", folder)
    node = open_.enter_context(claims.Node(spinwell, models, work / "certified", "n1", tls_dir=folders["node"]))
    gateway = claims.Gateway(spinwell, work / "certified-gateway.log", [node], gateway_id="g1", tls_dir=folders["gateway"])
    return [open_.enter_context(gateway), node]


def one(spinwell, processes, rate, seconds):
    """The figures of one load, and the processors' time a request in each process."""
    load = claims.Load(spinwell, processes[0].http, "sparse", "--protocol", "binary", "--window", 64, "--rate", rate, "--duration", seconds, "--warmup", 2)
    before = [process.cpu_seconds() for process in processes]
    document = load.end()
    spent = [process.cpu_seconds() - start for process, start in zip(processes, before)]
    # The warm-up's requests are in the time and not in the count.
    requests = rate * (seconds + 2)
    document["cpu_us"] = [each / requests * 1e6 for each in spent]
    return document


def report(page, measured, rate, seconds, rounds):
    median = lambda way, share: statistics.median(one["latency_ms"][share] for one in measured[way])
    first, *others = measured
    for way in others:
        added = [1e3 * (one["latency_ms"]["p50"] - alone["latency_ms"]["p50"]) for one, alone in zip(measured[way], measured[first])]
        middle = statistics.median(added)
        page.check(f"{way}: at most {ALLOWED_US} us added at P50", f"{middle:.0f} us ({min(added):.0f} to {max(added):.0f})", middle <= ALLOWED_US)
    broken = sum(one["failed"] + one["unanswered"] + one["never_sent"] + one["refused"] for ones in measured.values() for one in ones)
    page.check("no request failed or was refused", str(broken), broken == 0)
    page.add(f"An echo-state network of 300 sparse units, windows of 64 rows as binary tensors over HTTP/1.1, open loop of {rate:,} a second",
             f"(Poisson arrivals) for {seconds} s; medians of {rounds} rounds, in which the ways take turns. Differences are of the same round.",
             "All processes and the load generator share the processors, so that a second process is also a second thing to wake.")
    rows = []
    for way, ones in measured.items():
        cpu = [statistics.median(each) for each in zip(*(one["cpu_us"] for one in ones))]
        rows.append((way, *(f"{median(way, share):.3f}" for share in ("p50", "p95", "p99")), " + ".join(f"{each:.0f}" for each in cpu)))
    page.table(["way", "P50 ms", "P95 ms", "P99 ms", "processor time a request, us (gateway + node)"], rows)
    page.end()


if __name__ == "__main__":
    main()
