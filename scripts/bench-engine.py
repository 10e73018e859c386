#!/usr/bin/env python3
"""Measures the engine's kernels beside their peers, in one run, and writes docs/results/engine-speed.md.

Everything runs on one thread but for whole trainings (train-whole-..), which take all that the machine has.

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
CALLED = {"avx512": "AVX-512", "avx2": "AVX2"}
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
ALL_THREADS = "train-whole"
# Workloads without operations or bytes to count, and why.
WITHOUT_LIMIT = {
    "interval-update": "none: some hundred scalar operations that wait for each other, and branches",
    "train-whole-4000": "none: fits, steps and scoring, whose shares change with the series",
    "train-whole-10000": "none: as train-whole-4000",
}


def lines(command):
    """The JSON lines of a program; the end of everything where it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"failed with {done.returncode}: {' '.join(map(str, command))}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def available(args):
    """The instruction sets that this machine has, best first."""
    has = lambda which: subprocess.run([args.engine, "--simd", which], stderr=subprocess.DEVNULL, check=False).returncode == 0
    sets = [which for which in SETS if has(which)]
    return sets or sys.exit(f"this machine has none of {', '.join(SETS)}")


def measure(args, sets):
    """Per workload ours and, by name, the peers: a list of figures each, one per round."""
    listed = {line["name"]: line for line in lines([args.engine, "--list"])}
    ours = {name: line for name, line in listed.items() if name in LIMITS or fnmatch.fnmatch(name, args.only)}
    scripts = {}
    for script in sorted(PEERS.glob("with_*.py")):
        listed = subprocess.run([args.python, script, "--list"], stdout=subprocess.PIPE, text=True, check=True)
        scripts[script] = [name for name in listed.stdout.split() if name in ours]
    own, others = {}, {}
    for number in range(args.rounds):
        for name in ours:
            print(f"\rround {number + 1} of {args.rounds}: {name:24}", end="", file=sys.stderr, flush=True)
            for which in sets:
                command = [args.engine, "--simd", which, "--seconds", str(args.seconds), name]
                own.setdefault((name, which), []).append(lines(command)[0])
            for script, names in scripts.items():
                if name in names:
                    for line in lines([args.python, script, "--seconds", str(args.seconds), name]):
                        key = ", ".join(filter(None, [line["peer"], line["precision"], line["note"]]))
                        others.setdefault(name, {}).setdefault(key, []).append(line["value"])
    print(file=sys.stderr)
    return ours, own, others


def costs(args):
    """The table of whole models: what they are said to cost and what they take."""
    done = subprocess.run([args.engine, "--seconds", str(args.seconds / 3), "--cost"], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


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


def table(heads, rows):
    return "\n".join([row(heads), "|" + "---|" * len(heads), *rows])


def judged(target, figures, others, limits):
    """Whether a target is met, the figure that says so, and by which factor it is exceeded or missed."""
    name, _, kind, wanted = target
    value = median_of(figures, "value")
    if kind == "us":
        return value <= wanted, f"{amount(value)} us", wanted / value
    if kind == "share":
        share = median_of(figures, "gflops") / limits["peak-f32"]
        return share >= wanted, f"{100 * share:.0f} %", share / wanted
    peer, least = wanted
    ratio = min(statistics.median(ratios(figures, v)) for k, v in others[name].items() if peer in k)
    return ratio >= least, f"{ratio:.1f} x", ratio / least


def targets(sets, own, others, limits):
    """The rows of the table of targets, and by instruction set what is missed."""
    rows, missed = [], {which: [] for which in sets}
    for target in TARGETS:
        name, wanted = target[:2]
        if (name, sets[0]) not in own:
            continue
        cells = [name, wanted]
        for which in sets:
            met, told, factor = judged(target, own[name, which], others, limits[which])
            cells += [told, "yes" if met else f"**no**, by {1 / factor:.2f} x"]
            if not met:
                missed[which].append(f"{name} ({wanted}): {told}")
        rows.append(row(cells))
    return rows, missed


def roofline(sets, ours, own, limits):
    """What each workload needs, and which share of the limit that binds it gets."""
    rows = []
    for name, facts in ours.items():
        if name in LIMITS:
            continue
        shares = [share_of_limit(name, own[name, which], limits[which]) for which in sets]
        if shares[0][0] is None:
            rows.append(row([name, "-", "-", "-", *[WITHOUT_LIMIT[name] for _ in sets[:1]], *["" for _ in sets[1:]]]))
            continue
        count = lambda key: amount(facts[key]) if facts[key] else "-"
        bits = "64" if name.startswith(WIDE) else "32"
        told = [f"{100 * share:.0f} % ({binds})" for share, binds in shares]
        rows.append(row([name, count("flops"), bits, count("bytes"), *told]))
    return rows


def report(args, sets, ours, own, others, whole_models):
    first = {name: own[name, sets[0]] for name in ours}
    of_set = lambda which, name: median_of(own[name, which], "gflops") or median_of(own[name, which], "gbytes")
    limits = {which: {name: of_set(which, name) for name in LIMITS} for which in sets}
    said, missed = targets(sets, own, others, limits)
    compared = []
    for name in ours:
        for index, (peer, values) in enumerate(others.get(name, {}).items()):
            ratio = ratios(first[name], values)
            low, middle, high = ratio[0], statistics.median(ratio), ratio[-1]
            shown = [name, amount(median_of(first[name], "value"))] if index == 0 else ["", ""]
            spread = f"**{middle:.1f}** ({low:.1f} to {high:.1f})"
            compared.append(row([*shown, peer, amount(statistics.median(values)), spread]))
    threads = f"{os.cpu_count()} threads"
    paths = []
    for name in ours:
        if name not in LIMITS and len(sets) > 1:
            fast, slow = first[name], own[name, sets[1]]
            ratio = statistics.median(s["value"] / f["value"] for f, s in zip(fast, slow))
            cells = [amount(median_of(figures, "value")) for figures in (fast, slow)]
            called = f"{name}, {threads}" if name.startswith(ALL_THREADS) else name
            paths.append(row([called, *cells, f"{ratio:.2f}"]))
    whole = [row([name, amount(median_of(first[name], "value") / 1000)]) for name in ours if name.startswith(ALL_THREADS)]
    peaks = [
        row([name, unit, *(amount(limits[which][name]) for which in sets)])
        for name, unit in zip(LIMITS, ("GFLOP/s", "GFLOP/s", "GB/s", "GB/s"))
    ]
    called = [CALLED[which] for which in sets]
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, text=True, check=True)
    text = f"""# Speed of the engine

Written by `make bench-engine` on {datetime.date.today()}, commit {commit.stdout.strip()}; {platform.machine()}, {cpu},
{os.cpu_count()} logical cores. Everything on one thread, but for `{ALL_THREADS}-*`, which trains on all of them.

## Limits of this machine

{table(["limit", "unit", *called], peaks)}

`peak-*` are fused multiply-adds without memory, in 32 and 64 bits; `read-*` reads from the second cache and from memory.

## Targets

{table(["workload", "target", *(head for which in called for head in (which, "met"))], said)}

A machine without AVX-512 is stood in for by this one, held to AVX2; the peers, and faer in `train-*`, take what the
processor has in both columns.

## Shares of the limits

{table(["workload", "operations", "bits", "bytes", *(f"share, {which}" for which in called)], roofline(sets, ours, own, limits))}

Operations and bytes are of one step (input, row, dt, fit) of one stream and what the mathematics needs: operations on
weights that are not zero, weights read once a step (by all streams together, where there are several). Permuting sparse
rows also moves padding, which is no work and not counted. The share is of the limit that binds, as measured above for the
same instruction set; weights beyond the second cache can reach no full share of it. `train-*` counts the products of the
Gram matrix and its factorisation and not the steps before them.

## Beside peers

Times in microseconds a step, input, row or fit, ours on {called[0]}. A ratio is the peer's time over ours, the median of {args.rounds} rounds
with the smallest and the largest: above 1, ours is faster. `-1` is one stream, `-64` the time of one of 64 streams together.

{table(["workload", "ours", "peer", "its time", "ratio"], compared)}

ReservoirPy, rclib and qulacs compute in 64 bits; our echo steps here in 32, what models use unless a series is free of
noise, our quantum banks in 64. A peer's 32-bit variant stands beside it where there is one. `train-4000` and `train-10000` are the states of 500 sparse units
and one ridge regression in 64 bits, which is what the others call a fit.

## What `spinwell train` does beyond a fit

With the same reservoir and one fixed penalty: three forward folds, baselines, validation in the served arithmetic,
intervals, contraction, the final fit. Alone among these figures it uses all threads ({threads}), for its candidates.

{table(["workload", "milliseconds"], whole)}

## Instruction sets

{table(["workload", *(f"{which}, us" for which in called), "ratio"], paths)}

The bits are equal on both and on the portable path (`crates/engine/tests/it/batches.rs`).

## Whole models, and what they are said to cost

Written by `engine_speed --cost` in the same run, on {called[0]}. *Said* is the computed cost divided by the measured one.

{whole_models}
"""
    if args.only == "*":
        Path(args.out).write_text(text)
    return text, missed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="target/release/examples/engine_speed", help="our program")
    parser.add_argument("--python", default="target/venv-peers/bin/python", help="an interpreter that has the peers")
    parser.add_argument("--only", default="*", help="workloads to run, as a pattern; the results file stays as it is")
    parser.add_argument("--out", default=str(RESULT), help="the results file")
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("ROUNDS", "3")))
    parser.add_argument("--seconds", type=float, default=0.3, help="about how long each figure runs")
    parser.add_argument("--json", action="store_true", help="print all figures as one JSON document instead of tables")
    args = parser.parse_args()
    sets = available(args)
    ours, own, others = measure(args, sets)
    text, missed = report(args, sets, ours, own, others, costs(args) if args.only == "*" else "")
    if args.json:
        figures = [{"set": which, "rounds": figures, **figures[0]} for (_, which), figures in own.items()]
        print(json.dumps({"ours": figures, "peers": others, "missed": missed}))
    else:
        print(text)
        for which, names in missed.items():
            print(f"targets missed on {CALLED[which]}: {'; '.join(names) or 'none'}")


if __name__ == "__main__":
    main()
