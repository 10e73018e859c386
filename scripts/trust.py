#!/usr/bin/env python3
"""What trust costs a server: who asks, who may, what looks like an attack, a record of all of it, encryption at rest, and TLS.

`make bench-trust` runs it. In the closed loop 64 connections ask as fast as they can for SECONDS (10) a server with nothing of it, one with a ledger, and one with
everything (API key, policies, detectors, ledger, encryption at rest, TLS), ROUNDS times (3). In the open loop RATE requests a second (1,000) are asked for
SLICE seconds (3) of one server after another, with each part alone and with everything, always between two slices of the server with nothing, to
whose mean it is compared: what these machines do changes from one quarter of a minute to the next. SLICES such comparisons (12) are made of each. Then the
ledgers are verified, and the bare writer is put under load by an example of the crate `store`.
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
    slice_, slices = claims.number("SLICE", 3), claims.number("SLICES", 12)
    page = claims.Page("What trust costs", "make bench-trust", args.out)
    with tempfile.TemporaryDirectory(dir=claims.ROOT / "target") as work, contextlib.ExitStack() as open_:
        work = pathlib.Path(work)
        models = work / "models"
        claims.train(args.spinwell, models, "w1", "--family", "echo", "--trials", "1", "--set", "units=300,density=1,skip=off")
        claims.train(args.spinwell, models, "sparse", "--family", "echo", "--trials", "1", "--set", "units=300,density=0.1,skip=off")
        ledger, detectors = {"ledger_enabled": "false"}, {"threats_enabled": "false"}
        guarded = lambda name, *parts, **off: claims.Guarded(args.spinwell, models, work / name, parts, **off)
        servers = {"nothing": guarded("nothing", **ledger, **detectors),
                   "TLS": guarded("tls", "tls", **ledger, **detectors),
                   "keys, policies, detectors": guarded("doors", "access", **ledger),
                   "ledger": guarded("ledger", **detectors),
                   "ledger, encrypted": guarded("encrypted", "encryption", **detectors),
                   "everything": guarded("everything", "tls", "access", "encryption")}
        for server in servers.values():
            open_.enter_context(server)
        closed = {way: [] for way in ("nothing", "ledger", "everything")}
        for number in range(rounds):
            for way, loads in closed.items():
                say(f"closed loop, round {number + 1} of {rounds}: {way}")
                loads.append(load(args.spinwell, servers[way], "w1", seconds, "--protocol", "http", "--concurrency", 64))
        ask = lambda way: load(args.spinwell, servers[way], "sparse", slice_, "--protocol", "binary", "--rate", rate)
        ways = [way for way in servers if way != "nothing"]
        # Everything is asked twice a round, at both ends: it is what is claimed.
        order = ["everything", *ways]
        before = ask("nothing")
        opened, added = {"nothing": [before]} | {way: [] for way in ways}, {way: [] for way in ways}
        for number in range(slices):
            say(f"open loop, {number + 1} of {slices}")
            for way in order:
                with_, after = ask(way), ask("nothing")
                opened[way].append(with_)
                opened["nothing"].append(after)
                added[way].append(1e3 * (p50(with_) - (p50(before) + p50(after)) / 2))
                before = after
        last = servers["everything"]
        metrics = last.metrics()
        last.process.terminate()
        last.process.wait(60)
        size = at_rest(work / "everything/ledger/gateway")
        verified = json.loads(subprocess.run([args.spinwell, "audit", "verify", "--data", work / "everything", "--json"], check=True, capture_output=True, text=True).stdout)
    speed = json.loads(subprocess.run([args.spinwell.parent / "examples/ledger_speed"], check=True, capture_output=True, text=True).stdout)
    report(page, closed, opened, added, metrics, size, verified["logs"][0], speed, rate, (seconds, rounds, slice_, slices))


def load(spinwell, server, model, seconds, *options):
    url, secret = server.load()
    return claims.Load(spinwell, url, model, *options, *secret, "--window", 64, "--duration", seconds, "--warmup", 1).end()


def p50(load):
    return load["latency_ms"]["p50"]


def at_rest(log):
    """Bytes of the log's own files, as they are and as the disk holds them; the journal is not among them, for it does not grow."""
    files = [path.stat() for part in ("batches", "tile") for path in (log / part).rglob("*") if path.is_file()]
    return sum(file.st_size for file in files), sum(file.st_blocks * 512 for file in files)


def report(page, closed, opened, added, metrics, size, verified, speed, rate, lengths):
    seconds, rounds, slice_, slices = lengths
    span = lambda values, form: f"{form(statistics.median(values))} ({form(min(values))} to {form(max(values))})"
    for way, what in (("everything", "everything on"), ("ledger", "the ledger alone")):
        ratios = [with_["requests_per_second"] / without["requests_per_second"] for with_, without in zip(closed[way], closed["nothing"])]
        page.check(f"{what}: 64 connections, closed loop, at least {SHARE:.0%} of what is answered without", span(ratios, lambda v: f"{v:.1%}"), statistics.median(ratios) >= SHARE)
        page.check(f"{what}: {rate:,} a second, at most {ALLOWED_US} us added at P50", middle(added[way]), statistics.median(added[way]) <= ALLOWED_US)
    broken = sum(one["failed"] + one["unanswered"] + one["refused"] for loads in (closed, opened) for ones in loads.values() for one in ones)
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
    page.add("An echo-state network of 300 units, dense for the closed loop (JSON), sparse for the open one (binary tensors), windows of 64 rows. Closed loop:",
             f"{seconds} s each, {rounds} rounds, in which the servers take turns; medians, ratios of the same round. Open loop: each slice of {slice_} s stands between two of",
             "the server with nothing, and what it adds is the difference to their mean; medians, with the quartiles of all such differences in brackets. Everything is: an API key and",
             "policies for each request, detectors of attacks, a ledger with names encrypted, and TLS 1.3 on kept connections; nothing is a server without ledger and detectors, in the clear.",
             "Servers and load generator share the processors, and the load generator has TLS to do as well. The ledger binds every record to input and output by HMAC-SHA-256, and is forced",
             "to the disk 25 times a second. The load asks with the same window again and again, so that its commitments compress away; those of the writer alone are all different.")
    page.table(["closed loop with", "requests/s", "P99 ms"], [
        (way, *(f"{statistics.median(get(one) for one in loads):,.{digits}f}" for get, digits in ((lambda one: one["requests_per_second"], 0), (lambda one: one["latency_ms"]["p99"], 1))))
        for way, loads in closed.items()])
    page.table(["open loop with", "P50 ms", "P99 ms", "added at P50"], [
        (way, *(f"{statistics.median(one['latency_ms'][name] for one in loads):.3f}" for name in ("p50", "p99")), middle(added[way]) if way in added else "")
        for way, loads in opened.items()])
    page.end()


def middle(values):
    """Median and quartiles, in microseconds."""
    low, mid, high = statistics.quantiles(values, n=4)
    return f"{mid:.0f} us ({low:.0f} to {high:.0f})"


def lag_p99(metrics):
    """The upper end of the bucket that 99 of 100 batches are in or under, in milliseconds."""
    name = "spinwell_ledger_lag_seconds"
    wanted = 0.99 * metrics[f"{name}_count"]
    ends = [(float(series.split('le="')[1].split('"')[0]), count) for series, count in metrics.items() if series.startswith(f"{name}_bucket")]
    return 1e3 * min(end for end, count in ends if count >= wanted)


if __name__ == "__main__":
    main()
