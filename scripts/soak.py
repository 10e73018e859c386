#!/usr/bin/env python3
"""Hours in minutes: a steady load, every request counted on both sides, and memory that stays where it is.

`make soak` runs it. SOAK_SECONDS (1200), RATE a second (2000), SAMPLE_SECONDS between two looks at the memory (10).
"""

import pathlib
import statistics
import tempfile

import claims
from claims import mb, say

# What may be called flat: less than this share of its mean in an hour, or less than this in the whole run. The second is for
# short runs, in which one page that an allocator takes looks like much in an hour.
GROWTH_AN_HOUR = 0.02
GROWTH_BYTES = 1e6


def slope(samples):
    """Bytes a second, by least squares."""
    times, sizes = zip(*samples)
    middle, mean = statistics.fmean(times), statistics.fmean(sizes)
    spread = sum((time - middle) ** 2 for time in times)
    return sum((time - middle) * (size - mean) for time, size in samples) / spread if spread else 0.0


def plot(samples, settled, path):
    """The memory over time as a picture: samples, and the line fitted to those after the first quarter."""
    width, height, left, bottom, top = 760, 260, 70, 40, 15
    last = samples[-1][0] or 1.0
    highest = max(size for _, size in samples) * 1.1
    x = lambda time: left + (width - left - 20) * time / last
    y = lambda size: height - bottom - (height - bottom - top) * size / highest
    line = " ".join(f"{x(time):.1f},{y(size):.1f}" for time, size in samples)
    rate, (first, end) = slope(settled), (settled[0][0], settled[-1][0])
    middle, mean = (statistics.fmean(part) for part in zip(*settled))
    fitted = [(time, mean + rate * (time - middle)) for time in (first, end)]
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{width}" height="{height}" fill="#ffffff"/>']
    for share in (0, 0.25, 0.5, 0.75, 1):
        size = highest / 1.1 * share
        parts += [f'<line x1="{left}" x2="{width - 20}" y1="{y(size):.1f}" y2="{y(size):.1f}" stroke="#dddddd"/>',
                  f'<text x="{left - 6}" y="{y(size) + 4:.1f}" text-anchor="end">{size / 1e6:.1f}</text>',
                  f'<text x="{x(last * share):.1f}" y="{height - 20}" text-anchor="middle">{last * share / 60:.1f}</text>']
    parts += [f'<text x="{left - 6}" y="{top - 3}" text-anchor="end">MB</text>',
              f'<text x="{width / 2}" y="{height - 4}" text-anchor="middle">minutes</text>',
              f'<polyline points="{line}" fill="none" stroke="#1f5fa8" stroke-width="1.5"/>',
              '<polyline points="' + " ".join(f"{x(time):.1f},{y(size):.1f}" for time, size in fitted)
              + '" fill="none" stroke="#c2461c" stroke-dasharray="5 4"/>', "</svg>"]
    path.write_text("\n".join(parts) + "\n")


def main():
    args = claims.arguments(__doc__.splitlines()[0], "soak.md")
    seconds, rate, every = claims.number("SOAK_SECONDS", 1200), claims.number("RATE", 2000), claims.number("SAMPLE_SECONDS", 10)
    page = claims.Page("Soak", "make soak", args.out)
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        models = work / "models"
        claims.train(args.spinwell, models, "taxi", "--family", "echo", "--set", "units=300,density=0.1,skip=off")
        with claims.Server(args.spinwell, models, work / "data") as server:
            say(f"{rate} a second for {seconds} s")
            with claims.Watch(server, every) as watch:
                load = claims.bench(args.spinwell, server.http, "taxi", "--protocol", "binary", "--window", 64, "--rate", rate,
                                    "--warmup", 0, "--duration", seconds, "--ops", server.ops)
    report(page, load, watch.samples, args.out.with_suffix(".svg"))


def report(page, load, samples, picture):
    lasted = load["seconds"]
    # After the load there is nothing to hold; the last sample may be from then.
    samples = [(time, size) for time, size in samples if time <= lasted]
    settled = [(time, size) for time, size in samples if time >= lasted / 4]
    if len(settled) < 3:
        claims.sys.exit("too few samples of the memory: a longer SOAK_SECONDS or a shorter SAMPLE_SECONDS")
    rate, mean = slope(settled), statistics.fmean(size for _, size in settled)
    an_hour, in_run = rate * 3600, rate * (settled[-1][0] - settled[0][0])
    ended = load["answered"] + load["refused"] + load["failed"]
    page.check("every request that was due was sent, and every one sent has ended: answered + refused + failed = sent",
               f"{load['answered']:,} + {load['refused']:,} + {load['failed']:,} = {load['sent']:,}; {load['unanswered']} unanswered, {load['never_sent']} never sent",
               ended == load["sent"] and load["unanswered"] == load["never_sent"] == 0)
    page.check("the server has counted exactly as many", f"{load['server_counted']:,}", load["server_counted"] == load["sent"])
    page.check("none failed and none was refused", f"{load['failed'] + load['refused']}", load["failed"] == load["refused"] == 0)
    page.check(f"memory is flat: a line through its last three quarters grows by less than {GROWTH_AN_HOUR:.0%} of the mean an hour, or by less than {mb(GROWTH_BYTES)} in them",
               f"mean {mb(mean)}, {an_hour / mean:+.2%} an hour, {in_run / 1e6:+.2f} MB in the run",
               an_hour < GROWTH_AN_HOUR * mean or in_run < GROWTH_BYTES)
    page.add("An echo-state network of 300 sparse units, one window of 64 rows a request, binary tensors over HTTP/1.1, open loop of",
             f"{load['rate']:,.0f} requests a second (Poisson arrivals) for {lasted:,.0f} s; memory is the server's VmRSS.")
    page.table(["answered/s", "P50 ms", "P99 ms", "P99.9 ms", "longest ms"],
               [[f"{load['requests_per_second']:,.1f}", *(f"{load['latency_ms'][share]:,.2f}" for share in ("p50", "p99", "p999", "max"))]])
    page.table(["memory at", *(f"{samples[round(place * (len(samples) - 1) / 4)][0]:,.0f} s" for place in range(5))],
               [["", *(mb(samples[round(place * (len(samples) - 1) / 4)][1]) for place in range(5))]])
    page.add(f"![memory over time, with the fitted line]({picture.name})")
    plot(samples, settled, picture)
    page.end()


if __name__ == "__main__":
    main()
