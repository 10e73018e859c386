#!/usr/bin/env python3
"""Measures the engine's kernels beside their peers, in one run and on one thread, and writes docs/results/engine-speed.md.

Ours and the peers take turns, ROUNDS times (3 unless said otherwise); a figure is the median of the rounds, a ratio the
median of the rounds' ratios with their smallest and largest. Every ratio is peer ÷ ours: above 1, ours is faster.
"""

import argparse
import datetime
import fnmatch
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

PEERS = Path("benches/peers")
RESULT = Path("docs/results/engine-speed.md")
SETS = ("avx512", "avx2")
# Workload, what design §10 asks, the figure that is compared (a time in µs, a share of the peak, or a ratio to a peer).
TARGETS = [
    ("echo-500-sparse-1", "at most 6 us", "us", 6.0),
    ("echo-500-sparse-64", "at most 2 us", "us", 2.0),
    ("echo-100-dense-1", "at most 1 us", "us", 1.0),
    ("echo-1000-dense-64", "at least 60 % of peak f32", "share", 0.6),
    ("quantum-10x4-1", "at most 80 us", "us", 80.0),
    ("quantum-8-1", "at least 15 x numpy's density matrix", "ratio", ("density matrix", 15.0)),
    ("lif-1000-1", "at most 10 us", "us", 10.0),
    ("rls-300", "at most 60 us", "us", 60.0),
    ("interval-update", "at most 1 us", "us", 1.0),
    ("train-4000", "at least 3 x ReservoirPy", "ratio", ("reservoirpy", 3.0)),
    ("train-4000", "at least rclib", "ratio", ("rclib", 1.0)),
    ("train-10000", "at least 3 x ReservoirPy", "ratio", ("reservoirpy", 3.0)),
    ("train-10000", "at least rclib", "ratio", ("rclib", 1.0)),
]
LIMITS = ("peak-f32", "peak-f64", "read-l2", "read-memory")
WIDE = ("quantum", "rls", "interval", "train")


def lines(command):
    """The JSON lines of a program; the end of everything where it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"failed with {done.returncode}: {' '.join(map(str, command))}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def measure(args):
    """Per workload ours and, by name, the peers: a list of figures each, one per round."""
    ours = [line["name"] for line in lines([args.engine, "--list"])]
    ours = [name for name in ours if name in LIMITS or fnmatch.fnmatch(name, args.only)]
    scripts = {}
    for script in sorted(PEERS.glob("with_*.py")):
        listed = subprocess.run([args.python, script, "--list"], stdout=subprocess.PIPE, text=True, check=True)
        scripts[script] = [name for name in listed.stdout.split() if name in ours]
    own, others = {}, {}
    for number in range(args.rounds):
        for name in ours:
            print(f"\rround {number + 1} of {args.rounds}: {name:24}", end="", file=sys.stderr, flush=True)
            for which in SETS:
                command = [args.engine, "--simd", which, "--seconds", str(args.seconds), name]
                own.setdefault((name, which), []).append(lines(command)[0])
            for script, names in scripts.items():
                if name in names:
                    for line in lines([args.python, script, "--seconds", str(args.seconds), name]):
                        key = ", ".join(filter(None, [line["peer"], line["precision"], line["note"]]))
                        others.setdefault(name, {}).setdefault(key, []).append(line["value"])
    print(file=sys.stderr)
    return ours, own, others


def median_of(figures, key):
    values = [figure[key] for figure in figures if figure[key] is not None]
    return statistics.median(values) if values else None


def share_of_limit(name, figures, limits):
    """The achieved share of the limit that binds: arithmetic, or reading weights from the second cache."""
    peak = limits["peak-f64" if name.startswith(WIDE) else "peak-f32"]
    arithmetic, reading = median_of(figures, "gflops"), median_of(figures, "gbytes")
    shares = [(arithmetic / peak, "arithmetic")] if arithmetic else []
    shares += [(reading / limits["read-l2"], "second cache")] if reading else []
    return max(shares) if shares else (None, "")


def ratios(ours, peer):
    return sorted(other / own["value"] for own, other in zip(ours, peer))


def row(cells):
    return "| " + " | ".join(cells) + " |"


def amount(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def report(args, ours, own, others):
    first = {name: own[name, SETS[0]] for name in ours}
    limits = {name: median_of(first[name], "gflops") or median_of(first[name], "gbytes") for name in LIMITS}
    said, missed = [], []
    for name, wanted, kind, target in TARGETS:
        if name not in first:
            continue
        value = median_of(first[name], "value")
        share, binds = share_of_limit(name, first[name], limits)
        if kind == "us":
            met, told = value <= target, f"{amount(value)} us"
        elif kind == "share":
            share = median_of(first[name], "gflops") / limits["peak-f32"]
            met, told, binds = share >= target, f"{100 * share:.0f} %", "arithmetic"
        else:
            peer, least = target
            ratio = min(statistics.median(ratios(first[name], v)) for k, v in others[name].items() if peer in k)
            met, told = ratio >= least, f"{ratio:.1f} x"
        if not met:
            missed.append(name)
        told_share = f"{100 * share:.0f} % ({binds})" if share else "-"
        said.append(row([name, told, wanted, "yes" if met else "**no**", told_share]))
    compared = []
    for name in ours:
        for index, (peer, values) in enumerate(others.get(name, {}).items()):
            ratio = ratios(first[name], values)
            low, middle, high = ratio[0], statistics.median(ratio), ratio[-1]
            shown = [name, amount(median_of(first[name], "value"))] if index == 0 else ["", ""]
            spread = f"**{middle:.1f}** ({low:.1f} to {high:.1f})"
            compared.append(row([*shown, peer, amount(statistics.median(values)), spread]))
    paths = []
    for name in ours:
        if (name, "avx2") in own:
            fast, slow = first[name], own[name, "avx2"]
            ratio = statistics.median(s["value"] / f["value"] for f, s in zip(fast, slow))
            cells = [median_of(fast, "value"), median_of(slow, "value")]
            paths.append(row([name, *map(amount, cells), f"{ratio:.2f}"]))
    whole = [
        row([name, amount(median_of(first[name], "value") / 1000)]) for name in ours if name.startswith("train-whole")
    ]
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, text=True, check=True)
    text = f"""# Speed of the engine

Written by `make bench-engine` on {datetime.date.today()}, commit {commit.stdout.strip()}; {platform.machine()}, {cpu},
{os.cpu_count()} logical cores, everything on one thread. Measured limits of this machine: {limits['peak-f32']:.0f} GFLOP/s in 32 bits,
{limits['peak-f64']:.0f} in 64, {limits['read-l2']:.0f} GB/s from the second cache, {limits['read-memory']:.0f} GB/s from memory.

## Targets

{row(["workload", "measured", "target", "met", "share of the limit"])}
|---|---|---|---|---|
{chr(10).join(said)}

The share counts what the mathematics needs: operations on weights that are not zero, weights read once a step.
Permuting sparse rows also moves padding, which is no work and not counted. Limits are of AVX-512.

## Beside peers

Times in microseconds a step, input, row or fit. A ratio is the peer's time over ours, the median of {args.rounds} rounds with the
smallest and the largest: above 1, ours is faster. `-1` is one stream, `-64` the time of one of 64 streams together.

{row(["workload", "ours", "peer", "its time", "ratio"])}
|---|---|---|---|---|
{chr(10).join(compared)}

ReservoirPy, rclib and qulacs compute in 64 bits; our echo steps here in 32, what models use unless a series is free of
noise, our quantum banks in 64. A peer's 32-bit variant stands beside it where there is one. `train-4000` and `train-10000` are the states of 500 sparse units
and one ridge regression in 64 bits, which is what the others call a fit.

## What `spinwell train` does beyond a fit

With the same reservoir and one fixed penalty: three forward folds, baselines, validation in the served arithmetic,
intervals, contraction, the final fit. Alone among these figures it uses all threads, for its candidates.

{row(["workload", "milliseconds"])}
|---|---|
{chr(10).join(whole)}

## Instruction sets

{row(["workload", "AVX-512, us", "AVX2, us", "ratio"])}
|---|---|---|---|
{chr(10).join(paths)}

The bits are equal on both and on the portable path (`crates/engine/tests/it/batches.rs`).
"""
    if args.only == "*":
        RESULT.write_text(text)
    return text, missed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="target/release/examples/engine_speed", help="our program")
    parser.add_argument("--python", default="target/venv-peers/bin/python", help="an interpreter that has the peers")
    parser.add_argument("--only", default="*", help="workloads to run, as a pattern; the results file stays as it is")
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("ROUNDS", "3")))
    parser.add_argument("--seconds", type=float, default=0.3, help="about how long each figure runs")
    parser.add_argument("--json", action="store_true", help="print all figures as one JSON document instead of tables")
    args = parser.parse_args()
    ours, own, others = measure(args)
    text, missed = report(args, ours, own, others)
    if args.json:
        figures = [{"set": which, "rounds": figures, **figures[0]} for (_, which), figures in own.items()]
        print(json.dumps({"ours": figures, "peers": others, "missed": missed}))
    else:
        print(text)
        print(f"targets missed: {', '.join(missed) or 'none'}")


if __name__ == "__main__":
    main()
