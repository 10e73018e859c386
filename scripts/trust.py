#!/usr/bin/env python3
"""What trust costs a server: who asks, who may, what looks like an attack, a record of all of it, encryption at rest, and TLS.

`make bench-trust` runs it: a server with nothing of it, one with a ledger, and one with everything (API key, policies, detectors, ledger, encryption at rest, TLS) take
turns, ROUNDS times (3): 64 connections that ask as fast as they can for SECONDS (10), and an open loop of RATE requests a second (1,000) for as
long. Then the ledgers are verified, and the bare writer is put under load by an example of the crate `store`.
"""

import contextlib
import json
import pathlib
import statistics
import subprocess
import tempfile

import claims
from claims import say

SHARE, ALLOWED_US, LAG_MS, BYTES, ENTRIES, VERIFY_SECONDS = 0.85, 100, 200, 150, 20_000, 10


def main():
    args = claims.arguments(__doc__.splitlines()[0], "trust.md")
    rate, seconds, rounds = claims.number("RATE", 1000), claims.number("SECONDS", 10), claims.number("ROUNDS", 3)
    page = claims.Page("What trust costs", "make bench-trust", args.out)
    with tempfile.TemporaryDirectory(dir=claims.ROOT / "target") as work, contextlib.ExitStack() as open_:
        work = pathlib.Path(work)
        models = work / "models"
        claims.train(args.spinwell, models, "w1", "--family", "echo", "--trials", "1", "--set", "units=300,density=1,skip=off")
        claims.train(args.spinwell, models, "sparse", "--family", "echo", "--trials", "1", "--set", "units=300,density=0.1,skip=off")
        nothing = {"ledger_enabled": "false", "threats_enabled": "false"}
        servers = {"nothing": claims.Server(args.spinwell, models, work / "nothing", **nothing),
                   "ledger": claims.Server(args.spinwell, models, work / "ledger", threats_enabled="false"),
                   "everything": claims.Guarded(args.spinwell, models, work / "everything")}
        for server in servers.values():
            open_.enter_context(server)
        measured = {way: [] for way in servers}
        for number in range(rounds):
            for way, server in servers.items():
                say(f"round {number + 1} of {rounds}: {way}")
                closed = load(args.spinwell, server, "w1", seconds, "--protocol", "http", "--concurrency", 64)
                opened = load(args.spinwell, server, "sparse", seconds, "--protocol", "binary", "--rate", rate)
                measured[way].append((closed, opened))
        last = servers["everything"]
        metrics = last.metrics()
        last.process.terminate()
        last.process.wait(60)
        size = at_rest(work / "everything/ledger/gateway")
        verified = json.loads(subprocess.run([args.spinwell, "audit", "verify", "--data", work / "everything", "--json"], check=True, capture_output=True, text=True).stdout)
    speed = json.loads(subprocess.run([args.spinwell.parent / "examples/ledger_speed"], check=True, capture_output=True, text=True).stdout)
    report(page, measured, metrics, size, verified["logs"][0], speed, rate, seconds, rounds)


def load(spinwell, server, model, seconds, *options):
    secured = isinstance(server, claims.Guarded)
    url = f"https://{server.http}" if secured else server.http
    options = [*options, "--ca", server.ca, "--token", server.token] if secured else options
    return claims.Load(spinwell, url, model, *options, "--window", 64, "--duration", seconds, "--warmup", 2).end()


def at_rest(log):
    """Bytes of the log's own files, as they are and as the disk holds them; the journal is not among them, for it does not grow."""
    files = [path.stat() for part in ("batches", "tile") for path in (log / part).rglob("*") if path.is_file()]
    return sum(file.st_size for file in files), sum(file.st_blocks * 512 for file in files)


def report(page, measured, metrics, size, verified, speed, rate, seconds, rounds):
    span = lambda values, form: f"{form(statistics.median(values))} ({form(min(values))} to {form(max(values))})"
    for way, what in (("everything", "everything on"), ("ledger", "the ledger alone")):
        pairs = list(zip(measured[way], measured["nothing"]))
        ratios = [with_[0]["requests_per_second"] / without[0]["requests_per_second"] for with_, without in pairs]
        added = [1e3 * (with_[1]["latency_ms"]["p50"] - without[1]["latency_ms"]["p50"]) for with_, without in pairs]
        page.check(f"{what}: 64 connections, closed loop, at least {SHARE:.0%} of what is answered without", span(ratios, lambda v: f"{v:.1%}"), statistics.median(ratios) >= SHARE)
        page.check(f"{what}: {rate:,} a second, at most {ALLOWED_US} us added at P50", span(added, lambda v: f"{v:.0f} us"), statistics.median(added) <= ALLOWED_US)
    broken = sum(one["failed"] + one["unanswered"] + one["refused"] for ones in measured.values() for pair in ones for one in pair)
    page.check("no request failed or was refused", str(broken), broken == 0)
    records = verified["records"]
    page.check("every request is in the ledger, which verifies", f"{records:,} records", verified["holds"] and records == metrics["spinwell_ledger_records_total"])
    found = sum(count for series, count in metrics.items() if series.startswith("spinwell_threat_findings_total"))
    page.check("the load looks like no attack", f"{found:.0f} findings", found == 0)
    bytes_, blocks = (each / records for each in size)
    page.check(f"at most {BYTES} bytes a prediction at rest", f"{bytes_:.0f}; {blocks:.0f} in the disk's blocks", bytes_ <= BYTES)
    lag = lag_p99(metrics)
    page.check(f"from a record to its sealed batch on the disk, P99 at most {LAG_MS} ms", f"at most {lag:g} ms", lag <= LAG_MS)
    page.check(f"the writer alone takes at least {ENTRIES:,} records a second, fsync on", f"{speed['records_per_second']:,.0f}; lag P99 {speed['lag_p99_ms']:.0f} ms, {speed['bytes_per_record']:.0f} bytes each",
               speed["records_per_second"] >= ENTRIES and speed["lag_p99_ms"] <= LAG_MS)
    page.check(f"a ledger of {speed['verified_entries']:,} entries verifies in seconds", f"{speed['verify_seconds']:.1f} s", speed["verify_seconds"] <= VERIFY_SECONDS)
    page.add(f"An echo-state network of 300 units, dense for the closed loop (JSON), sparse for the open one (binary tensors), windows of 64 rows, {seconds} s",
             f"each; medians of {rounds} rounds, in which the servers take turns. Ratios and differences are of the same round. Everything is: an API key and",
             "policies for each request, detectors of attacks, a ledger with names encrypted, and TLS 1.3 on kept connections; nothing is a server without ledger and detectors, in the clear.",
             "Server and load generator share the processors. The ledger binds every record to input and output by HMAC-SHA-256, and is forced to the",
             "disk 25 times a second. The load asks with the same window again and again, so that its commitments compress away; those of the writer alone are all",
             "different.")
    rows = [(way, *(f"{statistics.median(get(pair) for pair in pairs):,.{digits}f}" for get, digits in (
        (lambda pair: pair[0]["requests_per_second"], 0), (lambda pair: pair[0]["latency_ms"]["p99"], 1), (lambda pair: pair[1]["latency_ms"]["p50"], 3),
        (lambda pair: pair[1]["latency_ms"]["p99"], 3)))) for way, pairs in measured.items()]
    page.table(["with", "closed loop, requests/s", "its P99 ms", "open loop, P50 ms", "its P99 ms"], rows)
    page.end()


def lag_p99(metrics):
    """The upper end of the bucket that 99 of 100 batches are in or under, in milliseconds."""
    name = "spinwell_ledger_lag_seconds"
    wanted = 0.99 * metrics[f"{name}_count"]
    ends = [(float(series.split('le="')[1].split('"')[0]), count) for series, count in metrics.items() if series.startswith(f"{name}_bucket")]
    return 1e3 * min(end for end, count in ends if count >= wanted)


if __name__ == "__main__":
    main()
