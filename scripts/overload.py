#!/usr/bin/env python3
"""Three times as many requests as the server can answer, in an open loop.

`make overload` runs it. SECONDS of overload (30), UNITS of the model (1500, a tenth of them connected) and ROWS of a window
(512), which are to be so many that a machine cannot do more than 1,000 predictions a second. The load generator and what it costs
to refuse take from the same cores: the lighter the work, the larger is their share. Capacity is measured in a closed loop on the same server just before.
"""

import pathlib
import statistics
import tempfile
import time

import claims
from claims import mb, say

ROUNDS = 2
CALLERS = (4, 8, 16, 32, 64)  # more than fit are refused and ask again at once, which costs the others
TARGET_MS = 250  # limits.queue_target_ms, which is given to the server
REFUSALS = "spinwell_refusal_duration_seconds"


def refusals(before, after):
    """Of what the server refused meanwhile, by code: how many, within a millisecond, and an upper bound of the P99 in ms."""
    result = {}
    for series, count in after.items():
        if not series.startswith(f"{REFUSALS}_count"):
            continue
        code = series.split('"')[1]
        grown = lambda name: after[name] - before.get(name, 0.0)
        all_ = grown(series)
        if not all_:
            continue
        marks = [name for name in after if name.startswith(f"{REFUSALS}_bucket") and f'"{code}"' in name]
        ends = {float(name.split('le="')[1].split('"')[0]): grown(name) for name in marks}
        result[code] = (int(all_), ends)
    return result


def share_within(kinds, seconds):
    return sum(ends[seconds] for _, ends in kinds) / max(1, sum(count for count, _ in kinds))


def bound_of(kinds, share):
    """The first boundary within which that share is."""
    ends = sorted(kinds[0][1]) if kinds else []
    return next((end for end in ends if share_within(kinds, end) >= share), float("inf"))


def per_second(load):
    """Seconds of a run, without the last, which is not a whole one."""
    return load["per_second"][:-1]


def milliseconds(load, kind, share):
    figures = load[kind]
    return f"{figures[share]:,.2f}" if figures else "-"


def main():
    args = claims.arguments(__doc__.splitlines()[0], "overload.md")
    seconds, units, rows = claims.number("SECONDS", 30), claims.number("UNITS", 1500), claims.number("ROWS", 512)
    page = claims.Page("Overload", "make overload", args.out)
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        models = work / "models"
        claims.train(args.spinwell, models, "heavy", "--family", "echo", "--trials", "1", "--set", f"units={units},density=0.1,skip=off,penalty=0.001")
        with claims.Server(args.spinwell, models, work / "data", limits_queue_target_ms=TARGET_MS) as server:
            measure(args.spinwell, server, seconds, units, rows, page)
    page.end()


def measure(spinwell, server, seconds, units, rows, page):
    def start(*options):
        return claims.Load(spinwell, server.http, "heavy", "--protocol", "binary", "--window", rows, *options)

    rounds = []
    for number in range(ROUNDS):
        for callers in CALLERS:
            say(f"capacity: round {number + 1} of {ROUNDS}, {callers} under way")
            rounds.append((callers, start("--concurrency", callers, "--warmup", 2, "--duration", max(5, seconds // 4)).end()))
    by_callers = {callers: statistics.median(one["requests_per_second"] for own, one in rounds if own == callers) for callers, _ in rounds}
    callers, capacity = max(by_callers.items(), key=lambda item: item[1])
    connections = int(2 * capacity) + 128

    def offered(share, duration, *options):
        return start("--rate", f"{share * capacity:.2f}", "--duration", duration, "--connections", connections, *options)

    say(f"capacity {capacity:.0f}/s with {callers} under way; just under it")
    near = offered(0.9, max(5, seconds // 2), "--warmup", 3).end()
    say("normal load: half of it")
    usual = offered(0.5, max(5, seconds // 3), "--warmup", 2).end()
    say(f"overload: {3 * capacity:.0f}/s for {seconds} s")
    resting, before = server.rss(), server.metrics()
    with claims.Watch(server, 0.25) as watch:
        load, due = offered(3, seconds, "--warmup", 0), time.monotonic() + seconds
        time.sleep(max(0.0, due - time.monotonic()))
        # Begins while the last requests of the overload are under way: it meets what the overload leaves behind.
        normal = offered(0.5, max(8, seconds // 3), "--warmup", 0)
        over, normal = load.end(), normal.end()
    refused = refusals(before, server.metrics())
    report(page, locals())


def report(page, m):
    capacity, over, near, usual, normal, seconds = (m[name] for name in ("capacity", "over", "near", "usual", "normal", "seconds"))
    kinds = list(m["refused"].values())
    within = share_within(kinds, 0.001)
    # What is answered while the load lasts; the queue's rest, which is answered after it, is not counted.
    goodput = sum(one["answered"] for one in over["per_second"][:seconds]) / seconds
    spent = sum(one["answered"] for one in over["per_second"])
    p99_over, p99_near = (one["latency_ms"]["p99"] for one in (over, near))
    allowed = p99_near + TARGET_MS
    broken = sum(one["failed"] + one["unanswered"] + one["never_sent"] for one in (near, over, usual, normal))
    after = per_second(normal)[2:]
    p99_usual = max(one["p99_ms"] for one in per_second(usual))
    p99_after = max(one["p99_ms"] for one in after)
    refused_after = sum(one["refused"] for one in after)
    grown = m["watch"].most() - m["resting"]
    page.check("the model is heavy: at most 1,000 predictions/s", f"{capacity:,.1f}/s", capacity <= 1000)
    page.check("goodput is at least 90 % of capacity", f"{goodput:,.1f} of {capacity:,.1f}/s: {goodput / capacity:.1%}", goodput >= 0.9 * capacity)
    page.check("refused requests are told so within 1 ms (P99), from the last byte in to the first byte out, in the server",
               f"{within:.2%} within 1 ms; P99 at most {bound_of(kinds, 0.99) * 1e3:g} ms", within >= 0.99)
    page.check(f"admitted requests keep their P99: that of a load just under capacity (90 %) and the queue's target of {TARGET_MS} ms, no more",
               f"{p99_over:,.0f} ms; {p99_near:,.0f} + {TARGET_MS} = {allowed:,.0f} ms", p99_over <= allowed)
    page.check("from the 2nd second after the overload on, half of capacity is served as before it: no refusals, no second's P99 above twice the worst before",
               f"{refused_after} refused; {p99_after:,.0f} ms, before {p99_usual:,.0f} ms", refused_after == 0 and p99_after <= 2 * p99_usual)
    page.check("memory is bounded: less than 64 MB above the server's before the overload", f"{mb(m['resting'])}, then at most {mb(m['watch'].most())}", grown < 64e6)
    page.check("nothing is lost: no request failed other than by a refusal for now, none unanswered, none never sent", str(broken), broken == 0)
    page.add(f"An echo-state network of {m['units']} sparse units, windows of {m['rows']} rows as binary tensors over HTTP/1.1, one server. Capacity: the median of",
             f"{ROUNDS} closed loops with {m['callers']} requests under way. Then open loops (Poisson arrivals), latencies from when a request was due, as the client saw them:")
    rows = [(name, f"{one['rate']:,.1f}", f"{one['requests_per_second']:,.1f}", one["refused"],
             *(milliseconds(one, "latency_ms", share) for share in ("p50", "p99")),
             *(milliseconds(one, "refused_ms", share) for share in ("p50", "p99")))
            for name, one in [("just under capacity", near), ("normal", usual), (f"overload, {seconds} s", over), ("normal, right after it", normal)]]
    page.table(["load", "offered/s", "answered/s", "refused", "answered P50 ms", "P99 ms", "refused, seen by the client: P50 ms", "P99 ms"], rows)
    page.add(f"Goodput counts what was answered within the {seconds} s; of the overload's requests {spent - goodput * seconds:.0f} more were answered after it.",
             "What the client saw of a refusal holds its own waiting for a processor too, for it shares the cores with executors that are all",
             f"busy; so the claim is about the server's own figure, `{REFUSALS}`: from when the last byte was read to when the answer is",
             "handed over to be written. It does not hold what the kernel makes the server's thread wait before it reads. By code:")
    rows = [(code, count, f"{share_within([(count, ends)], 0.001):.2%}", *(f"{bound_of([(count, ends)], share) * 1e3:g}" for share in (0.5, 0.99)))
            for code, (count, ends) in m["refused"].items()]
    page.table(["code", "refused", "within 1 ms", "P50 at most, ms", "P99 at most, ms"], rows)
    page.add("Answers in each second of the overload: " + ", ".join(str(one["answered"]) for one in over["per_second"]) + ".",
             "Their P99 in ms: " + ", ".join(f"{one['p99_ms']:.0f}" for one in over["per_second"]) + ".",
             "After it: " + ", ".join(f"{one['answered']} ({one['p99_ms']:.0f} ms" + (f", {one['refused']} refused" if one["refused"] else "") + ")" for one in normal["per_second"]) + ".")


if __name__ == "__main__":
    main()
