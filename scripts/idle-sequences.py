#!/usr/bin/env python3
"""A million sequences, begun and left alone: what they take in memory and on the disk, and whether they go on.

`make idle-sequences` runs it. COUNT of sequences (1000000), each begun with one step of ROWS rows (4); SAMPLE of them go on
after they have left the memory and the server was started again (1000), beside the same sequences on a server on which
nothing else happened: the answers must be equal to the bit. CALLERS processes begin them by batch calls (2).
"""

import hashlib
import http.client
import itertools
import json
import multiprocessing
import pathlib
import random
import tempfile
import time

import claims
from claims import mb, say

BATCH = 512  # sequences begun in one batch call
PATIENCE = 1800  # seconds until all have left the memory
BOUND = 800e6  # bytes: twice sequences.memory_bytes (256 MiB), live accuracy (64 MiB), and what the server takes by itself
SETTLE = 30  # seconds after which the allocator has given back what is free: it waits for ten
AGAIN = {429, 503, 504}  # refused for now: asked again


def rows(number, step, count):
    """The rows of a step, as text of JSON: its own for each sequence and step."""
    return ",".join(f"[{15000 + (number * 7919 + step * 104729 + row * 1299709) % 16001 / 2}]" for row in range(count))


def request(number, step, count, start):
    begins = ',"sequence_start":true' if start else ""
    return f'{{"model":"taxi","series":[{rows(number, step, count)}],"sequence_id":"idle-{number}","sequence_step":{step}{begins}}}'


def steps(connection, numbers, step, count, start):
    """Takes the step of all these sequences and gives each one's answer: its bits and where its state came from."""
    answers, waiting = {}, list(numbers)
    until = time.monotonic() + 120
    while waiting:
        body = '{"requests":[' + ",".join(request(number, step, count, start) for number in waiting) + "]}"
        connection.request("POST", "/v1/predictions", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise SystemExit(f"a batch call was answered {answer.status}: {text[:300].decode(errors='replace')}")
        again = []
        for number, result in zip(waiting, json.loads(text)["results"]):
            if result["status"] == 200:
                answers[number] = (json.dumps([result[name] for name in ("forecast", "lower", "upper")]), result["parameters"]["state_source"])
            elif result["status"] in AGAIN and time.monotonic() < until:
                again.append(number)
            else:
                raise SystemExit(f"sequence {number} was not taken on: {json.dumps(result)[:300]}")
        waiting = again
    return answers


def begin(http_address, first, last, count, done):
    connection = http.client.HTTPConnection(http_address, timeout=120)
    for low in range(first, last, BATCH):
        numbers = range(low, min(low + BATCH, last))
        steps(connection, numbers, 1, count, True)
        with done.get_lock():
            done.value += len(numbers)


def begin_all(server, total, callers, count, samples):
    """Begins all, and notes the server's memory on the way."""
    done, begun = multiprocessing.Value("Q", 0), time.monotonic()
    edges = [total * place // callers for place in range(callers + 1)]
    processes = [multiprocessing.Process(target=begin, args=(server.http, low, high, count, done)) for low, high in itertools.pairwise(edges)]
    for process in processes:
        process.start()
    shown = 0
    while any(process.is_alive() for process in processes):
        time.sleep(0.5)
        samples.append((time.monotonic() - begun, done.value, server.rss(), in_memory(server)))
        if done.value - shown >= total / 10:
            shown = done.value
            say(f"{shown:,} begun in {samples[-1][0]:.0f} s, {mb(samples[-1][2])}, {samples[-1][3]:,} in memory")
    if any(process.exitcode for process in processes):
        raise SystemExit("a caller failed")
    return time.monotonic() - begun


def in_memory(server):
    return int(server.metrics()["spinwell_sequences_in_memory"])


def size_of(folder):
    """Bytes that the files below take on the disk."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def wait_until(what, is_so, patience=PATIENCE):
    say(f"waiting until {what}")
    begun = time.monotonic()
    while not is_so():
        if time.monotonic() - begun > patience:
            raise SystemExit(f"not within {patience} s: {what}")
        time.sleep(0.5)
    return time.monotonic() - begun


def digest(answers):
    return hashlib.sha256(json.dumps(sorted((number, bits) for number, (bits, _) in answers.items())).encode()).hexdigest()


def go_on(server, sample):
    """Two more steps of each, the second from memory; in calls of a few, as they would come."""
    connection, answers, sources, longest = http.client.HTTPConnection(server.http, timeout=120), {}, [], 0.0
    for step in (2, 3):
        for low in range(0, len(sample), 10):
            begun = time.monotonic()
            part = steps(connection, sample[low : low + 10], step, 1, False)
            longest = max(longest, time.monotonic() - begun)
            answers.update({(step, number): answer for number, answer in part.items()})
            sources += [source for _, source in part.values() if step == 2]
    return answers, sources, longest * 1e3


def main():
    args = claims.arguments(__doc__.splitlines()[0], "idle-sequences.md")
    total, count, callers = claims.number("COUNT", 1_000_000), claims.number("ROWS", 4), claims.number("CALLERS", 2)
    sample = sorted(random.Random(7).sample(range(total), min(total, claims.number("SAMPLE", 1000))))
    page = claims.Page("Idle sequences", "make idle-sequences", args.out)
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        models, data, samples, m = work / "models", work / "data", [], {}
        claims.train(args.spinwell, models, "taxi", "--family", "echo", "--set", "units=300,density=0.1,skip=off")
        # All that is not used leaves the memory with the next copy, where it need not wait for five minutes.
        settings = {"sequences_snapshot_interval_ms": 5000}
        with claims.Server(args.spinwell, models, data, **settings) as server:
            m["empty"] = server.rss()
            m["took"] = begin_all(server, total, callers, count, samples)
            m["begun"], m["left"] = server.rss(), in_memory(server)
            # Idle for five minutes, a state leaves the memory whether or not it is needed for others.
            m["idle_after"] = wait_until("all have left the memory", lambda: in_memory(server) == 0)
            m["at_once"] = server.rss()
            time.sleep(SETTLE)
            m["paged"], m["staying"] = server.rss(), in_memory(server)
            stopped = time.monotonic()
        m["stopped"] = time.monotonic() - stopped
        m["disk"] = size_of(data)
        with claims.Server(args.spinwell, models, data, **settings) as server:
            m["ready"], m["started"] = server.ready_after, server.rss()
            answers, sources, m["longest"] = go_on(server, sample)
            m["after"] = server.rss()
        say("the same on a server on which nothing else happened")
        with claims.Server(args.spinwell, models, work / "beside") as server:
            for low in range(0, len(sample), BATCH):
                steps(http.client.HTTPConnection(server.http, timeout=120), sample[low : low + BATCH], 1, count, True)
            beside, live, _ = go_on(server, sample)
    report(page, total, count, callers, sample, samples, m, answers, sources, beside, live)


def report(page, total, count, callers, sample, samples, m, answers, sources, beside, live):
    of = lambda source, all_: sum(one == source for one in all_)
    ours, theirs = digest(answers), digest(beside)
    page.check(f"all {total:,} sequences were begun and acknowledged", f"{samples[-1][1]:,} in {m['took']:.0f} s, {total / m['took']:,.0f}/s", samples[-1][1] == total)
    page.check(f"meanwhile the server holds at most {mb(BOUND)}", mb(max(rss for _, _, rss, _ in samples)), max(rss for _, _, rss, _ in samples) <= BOUND)
    page.check("all leave the memory", f"{m['left']:,} in memory after the last was begun, {m['staying']:,} after {m['idle_after']:.0f} s more", m["staying"] == 0)
    page.check(f"{len(sample):,} of them, drawn at random, go on from the disk after the server was started again",
               f"{of('snapshot', sources):,} from the disk", of("snapshot", sources) == len(sample))
    page.check("and answer two more steps with the same bits as on a server that was never idle",
               f"{ours[:16]} and {theirs[:16]}", ours == theirs and of("live", live) == len(sample) and len(answers) == 2 * len(sample))
    page.check("the server starts again with them within 10 s", f"{m['ready']:.2f} s", m["ready"] < 10)
    page.check("an idle sequence takes at most 256 bytes of memory", f"{(m['paged'] - m['empty']) / total:,.0f} bytes; after the start {max(0, m['started'] - m['empty']) / total:,.0f}",
               m["paged"] - m["empty"] <= 256 * total and m["started"] - m["empty"] <= 256 * total)
    page.add(f"Begun by {callers} callers in batch calls of {BATCH} with one step of {count} rows each, on an echo-state network of 300 sparse units, with the step",
             "log on the disk before each answer; then left alone. States are copied every 5 s (the default is a minute), so that the run is short.")
    page.table(["when", "memory of the server", "above the empty one, bytes a sequence"],
               [(when, mb(m[key]), f"{(m[key] - m['empty']) / total:,.0f}") for when, key in
                [("empty", "empty"), ("all begun", "begun"), ("all out of memory", "at_once"), (f"{SETTLE} s later", "paged"), ("started again", "started"), (f"{len(sample):,} have gone on", "after")]])
    most = max(samples, key=lambda one: one[2])
    page.add(f"While they were begun the server held at most {mb(most[2])} (with {most[3]:,} states in memory). Data folder: {mb(m['disk'])}, {m['disk'] / total:,.0f} bytes a sequence.",
             f"The stop took {m['stopped']:.1f} s, the start {m['ready']:.2f} s. A batch call of 10 sequences on the disk took at most {m['longest']:.0f} ms.")
    tenths = [next((one for one in samples if one[1] >= total * place / 10), samples[-1]) for place in range(1, 11)]
    page.table(["begun", "after s", "memory", "in memory"], [(f"{done:,}", f"{at:.0f}", mb(rss), f"{live:,}") for at, done, rss, live in tenths])
    page.end()


if __name__ == "__main__":
    main()
