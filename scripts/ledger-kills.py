#!/usr/bin/env python3
"""A server with a ledger that is killed (`kill -9`) at random points under load: what its callers saw is in the ledger, which reopens and verifies.

`make ledger-kills` runs it, and `make soak` does: SPINWELL_KILLS (200) of a server, and as many of a bare writer that takes events of administration, each after 5 to 600 ms
(KILL_SEED, 1, draws them). The checkpoint is kept after each kill: in the end the log must still hold every one of them.
"""

import http.client
import json
import pathlib
import random
import subprocess
import tempfile
import threading
import time

import claims
from claims import say

CALLERS, ROWS = 3, 64
# From the first call on. Seals are 40 ms apart and checkpoints a second, so this is before, between and behind them.
KILL_MS = (5, 600)


def main():
    args = claims.arguments(__doc__.splitlines()[0], "ledger-kills.md")
    kills, seed = claims.number("SPINWELL_KILLS", 200), claims.number("KILL_SEED", 1)
    draw = random.Random(seed)
    page = claims.Page("A ledger whose server is killed", "make ledger-kills" if kills == 200 else f"SPINWELL_KILLS={kills} make ledger-kills", args.out)
    (claims.ROOT / "target").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=claims.ROOT / "target") as work:
        work = pathlib.Path(work)
        predictions(args.spinwell, page, work, kills, draw)
        events(args.spinwell.parent / "examples/ledger_events", page, work / "events", kills, draw)
    build = "a debug build, which is slower" if args.spinwell.parent.name == "debug" else "a release build"
    page.add(f"{CALLERS} callers ask as fast as they are answered and write down each answer that came whole, with its receipt. Each kill comes {KILL_MS[0]} to {KILL_MS[1]} ms after",
             f"the server was ready, at a moment that seed {seed} draws; then it is started again on the same folder. It is {build}.",
             "A kill takes no power away: what the system was given it writes. Gaps are what a ledger admits behind a lost power, so there must be none.",
             "Events of administration are those of a writer alone, which waits for each to be on the disk: no call of a server makes one yet.")
    page.end()


def predictions(spinwell, page, work, kills, draw):
    models, data, seen = work / "models", work / "data", []
    claims.train(spinwell, models, "taxi", "--family", "linear", "--trials", "1")
    kept, starts = [], []
    for number in range(kills):
        if number % 20 == 0:
            say(f"kill {number + 1} of {kills}: {sum(map(len, seen)):,} answers so far")
        with_server = claims.Server(spinwell, models, data)
        server = with_server.__enter__()
        starts.append(server.ready_after)
        gone = threading.Event()
        logs = [[] for _ in range(CALLERS)]
        callers = [threading.Thread(target=call, args=(server.http, f"{number}-{caller}", log, gone)) for caller, log in enumerate(logs)]
        for caller in callers:
            caller.start()
        time.sleep(draw.uniform(*KILL_MS) / 1e3)
        server.kill()
        gone.set()
        for caller in callers:
            caller.join()
        seen += logs
        checkpoint = data / "ledger/gateway/checkpoint"
        if checkpoint.exists():
            kept.append(work / f"seen-{number}")
            kept[-1].write_bytes(checkpoint.read_bytes())
    with claims.Server(spinwell, models, data):
        pass
    say("verifying, with every checkpoint that was kept")
    arguments = [part for path in kept for part in ("--seen", path)]
    report = json.loads(subprocess.run([spinwell, "audit", "verify", "--data", data, "--json", *arguments], capture_output=True, text=True).stdout)
    log = report["logs"][0]
    exported = subprocess.run([spinwell, "audit", "export", "--data", data], check=True, capture_output=True, text=True).stdout
    ledger = {event["metadata"].get("uid"): event for event in map(json.loads, exported.splitlines())}
    answers = [answer for log in seen for answer in log]
    missing = [answer for answer in answers if not is_in(ledger, *answer)]
    page.check("the ledger reopens after every kill", f"{len(starts)} of {kills}, at most {max(starts):.1f} s until ready", len(starts) == kills)
    page.check("it verifies in the end, and holds every checkpoint that was there after a kill",
               f"{log.get('entries', 0):,} entries, {len(kept)} checkpoints" + ("" if report["holds"] else f": {log.get('error')}"), report["holds"])
    page.check("every prediction that a caller saw answered is in it, under its receipt", f"{len(answers):,} answers, {len(missing)} missing", len(answers) > kills and not missing)
    receipts = {receipt for _, receipt in answers}
    page.check("no two answers have one receipt", f"{len(receipts):,} receipts", len(receipts) == len(answers))
    page.check("it admits no gap, and every record is one prediction", f"{log.get('gaps')}; {log.get('records', 0):,} records", log.get("gaps") == [] and log["records"] == len(ledger))


def call(address, name, log, gone):
    """Asks until the server is gone, and notes the id and the receipt of each answer that came whole."""
    connection = http.client.HTTPConnection(address, timeout=30)
    number = 0
    try:
        while not gone.is_set():
            number += 1
            id = f"{name}-{number}"
            rows = [15000 + 50 * (row % 48) for row in range(ROWS)]
            body = json.dumps({"id": id, "inputs": [{"name": "series", "shape": [1, ROWS, 1], "datatype": "FP32", "data": rows}]})
            connection.request("POST", "/v2/models/taxi/infer", body)
            answer = connection.getresponse()
            document = json.loads(answer.read())
            if answer.status != 200:
                return
            log.append((id, document["parameters"]["receipt"]))
    # Cut off, before or within an answer.
    except (OSError, http.client.HTTPException, ValueError):
        return
    finally:
        connection.close()


def is_in(ledger, id, receipt):
    event = ledger.get(receipt)
    return event is not None and event["api"]["request"]["uid"] == id and event["status"] == "Success"


def events(program, page, folder, kills, draw):
    say(f"{kills} kills of a writer of events")
    # Each has numbers of its own: of the events that are there without an acknowledgement that anybody heard, none may be there twice either.
    acknowledged = []
    for number in range(kills):
        writer = subprocess.Popen([program, "write", folder, str(number * 1_000_000)], stdout=subprocess.PIPE, text=True)
        kill = threading.Timer(draw.uniform(*KILL_MS) / 1e3, writer.kill)
        kill.start()
        out = writer.stdout.read()
        kill.join()
        writer.wait()
        # A line without its end was not said.
        acknowledged += [int(line) for line in out.splitlines(keepends=True) if line.endswith("\n")]
    shown = subprocess.run([program, "read", folder], capture_output=True, text=True)
    there = [int(line) for line in shown.stdout.split()]
    lost = set(acknowledged) - set(there)
    page.check("no acknowledged event of administration is lost, none is there twice, and that log verifies",
               f"{len(acknowledged):,} acknowledged, {len(there):,} there, {len(lost)} lost" + shown.stderr, shown.returncode == 0 and not lost and len(acknowledged) > kills and len(set(there)) == len(there))


if __name__ == "__main__":
    main()
