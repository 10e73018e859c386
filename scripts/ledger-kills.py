#!/usr/bin/env python3
"""A server with a ledger that is killed (`kill -9`) at random points under load: what its callers and administrators saw is there, in a ledger that verifies.

`make ledger-kills` runs it, and `make soak` does: SPINWELL_KILLS (200) of a server, and as many of a bare writer that takes events of administration, each after 5 to 600 ms
(KILL_SEED, 1, draws them). The checkpoint is kept after each kill: in the end the log must still hold every one of them.
"""

import collections
import http.client
import itertools
import json
import pathlib
import random
import subprocess
import tempfile
import threading
import time
import typing

import claims
from claims import say

CALLERS, ADMINISTRATORS, ROWS = 3, 2, 64
# From the first call on. Seals are 40 ms apart and checkpoints a second, so this is before, between and behind them.
KILL_MS = (5, 600)
# OCSF's class of acts and of predictions.
API_ACTIVITY = 6003
# Who asks for predictions, as the ledger names him.
CALLER = "default/caller"


class Act(typing.NamedTuple):
    """Something that an administrator asks for, and what its caller and the ledger are told of it."""

    operation: str
    plane: str
    method: str
    path: str
    status: int
    # How a second event says it ended. What concerns a sequence has the first event alone.
    ended: str | None = None

    def events(self):
        place = f"{self.method} {self.path}"
        begun = (self.operation, place, "begun", "Unknown")
        return [begun] if self.ended is None else [begun, (self.operation, place, "ended", self.ended)]


STATE = "/v1/models/taxi/sequences/{sequence}/state"
# What an administrator does over and over. No act is like the one before it, or a doubled event could pass for the act in flight.
ACTS = (
    Act("SequenceWrite", "http", "PUT", STATE, 200),
    Act("ModelUnload", "http", "POST", "/v2/repository/models/{spare}/unload", 200, "Success"),
    Act("SequenceRead", "http", "GET", STATE, 200),
    Act("ModelLoad", "http", "POST", "/v2/repository/models/{spare}/load", 200, "Success"),
    Act("SequenceWrite", "http", "DELETE", STATE, 200),
    # A server that is one process has no node to drain. That is an act that failed, and is written down as one.
    Act("ClusterWrite", "ops", "POST", "/v1/admin/cluster/nodes/nobody/drain", 400, "Failure"),
)


def main():
    args = claims.arguments(__doc__.splitlines()[0], "ledger-kills.md")
    kills, seed = claims.number("SPINWELL_KILLS", 200), claims.number("KILL_SEED", 1)
    draw = random.Random(seed)
    page = claims.Page("A ledger whose server is killed", "make ledger-kills" if kills == 200 else f"SPINWELL_KILLS={kills} make ledger-kills", args.out)
    (claims.ROOT / "target").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=claims.ROOT / "target") as work:
        work = pathlib.Path(work)
        servers(args.spinwell, page, work, kills, draw)
        events(args.spinwell.parent / "examples/ledger_events", page, work / "events", kills, draw)
    build = "a debug build, which is slower" if args.spinwell.parent.name == "debug" else "a release build"
    page.add(f"{CALLERS} callers ask as fast as they are answered and write down each answer that came whole, with its receipt. Each kill comes {KILL_MS[0]} to {KILL_MS[1]} ms after",
             f"the server was ready, at a moment that seed {seed} draws; then it is started again on the same folder. It is {build}.",
             "A kill takes no power away: what the system was given it writes. Gaps are what a ledger admits behind a lost power, so there must be none.")
    page.add(f"The server asks who everybody is (`access.required`). Beside the callers {ADMINISTRATORS} administrators act without a pause, one act after the other: they put, read and remove",
             "the state of a sequence, unload and load a model of their own, and drain a node that does not exist, which fails and is an act all the same. Each has a key of his own",
             "in each round, so that his events are told from all others by his name. He notes each act before he asks for it; it is acknowledged when its answer came whole.",
             "What concerns a sequence has one event, on the disk before it is done; the others have a second one, of how they ended.")
    page.add("The last row is of a writer alone, which waits for each event to be on the disk, with five records before each.")
    page.end()


class Seen:
    """What the clients of all rounds saw."""

    def __init__(self):
        # The id and the receipt of each answer.
        self.answers = []
        # By administrator: his acts, each with its answer's status, or None where none came whole.
        self.acts = {}
        # Seconds until ready, after each start, and the checkpoints after each kill.
        self.starts, self.checkpoints = [], []


def servers(spinwell, page, work, kills, draw):
    models, data, access = work / "models", work / "data", work / "access"
    for name in ("taxi", *map(spare, range(ADMINISTRATORS))):
        claims.train(spinwell, models, name, "--family", "linear", "--trials", "1")
    start = lambda: claims.Server(spinwell, models, data, access_required="true", access_dir=access)
    key = lambda name, role: headers(spinwell, access, name, role)
    caller, seen = key("caller", "predictor"), Seen()
    with start() as server:
        state = state_of(server.http, caller, seen.answers)
    for number in range(kills):
        if number % 20 == 0:
            say(f"kill {number + 1} of {kills}: {len(seen.answers):,} answers and {sum(map(len, seen.acts.values())):,} acts so far")
        administrators = [f"administrator-{number}-{index}" for index in range(ADMINISTRATORS)]
        keys = [key(name, "admin") for name in administrators]
        server = start().__enter__()
        seen.starts.append(server.ready_after)
        gone, answers = threading.Event(), [[] for _ in range(CALLERS)]
        clients = [threading.Thread(target=call, args=(server.http, caller, f"{number}-{index}", log, gone)) for index, log in enumerate(answers)]
        for index, name in enumerate(administrators):
            acts = seen.acts[f"default/{name}"] = []
            clients.append(threading.Thread(target=administer, args=(server, keys[index], name, spare(index), state, acts, gone)))
        for client in clients:
            client.start()
        time.sleep(draw.uniform(*KILL_MS) / 1e3)
        server.kill()
        gone.set()
        for client in clients:
            client.join()
        seen.answers += itertools.chain(*answers)
        checkpoint = data / "ledger/gateway/checkpoint"
        if checkpoint.exists():
            seen.checkpoints.append(work / f"seen-{number}")
            seen.checkpoints[-1].write_bytes(checkpoint.read_bytes())
    with start() as server:
        seen.starts.append(server.ready_after)
    compare(spinwell, page, data, kills, seen)


def compare(spinwell, page, data, kills, seen):
    """Holds what the clients saw against the ledger."""
    say("verifying, with every checkpoint that was kept")
    arguments = [part for path in seen.checkpoints for part in ("--seen", path)]
    report = json.loads(subprocess.run([spinwell, "audit", "verify", "--data", data, "--json", *arguments], capture_output=True, text=True).stdout)
    log = report["logs"][0]
    exported = subprocess.run([spinwell, "audit", "export", "--data", data], check=True, capture_output=True, text=True).stdout
    records, events = {}, []
    for event in map(json.loads, exported.splitlines()):
        # A prediction names its model.
        if "ai_model" in event:
            records[event["metadata"]["uid"]] = event
        else:
            events.append(event)
    missing = [answer for answer in seen.answers if not is_in(records, *answer)]
    # The first start is not after a kill.
    reopened = seen.starts[1:]
    page.check("the ledger reopens after every kill", f"{len(reopened)} of {kills}, at most {max(reopened):.1f} s until ready", len(reopened) == kills)
    page.check("it verifies in the end, and holds every checkpoint that was there after a kill",
               f"{log.get('entries', 0):,} entries, {len(seen.checkpoints)} checkpoints" + ("" if report["holds"] else f": {log.get('error')}"), report["holds"])
    page.check("every prediction that a caller saw answered is in it, under its receipt and his name",
               f"{len(seen.answers):,} answers, {len(missing)} missing", len(seen.answers) > kills and not missing)
    receipts = {receipt for _, receipt in seen.answers}
    page.check("no two answers have one receipt", f"{len(receipts):,} receipts", len(receipts) == len(seen.answers))
    page.check("it admits no gap, every record is one prediction, and every event is exported", f"{log.get('gaps')}; {log.get('records', 0):,} records, {log.get('events', 0):,} events",
               log.get("gaps") == [] and log["records"] == len(records) and log["events"] == len(events))
    compare_acts(page, kills, seen.acts, events)


def compare_acts(page, kills, acts, events):
    there = collections.defaultdict(list)
    for event in events:
        # Findings of the detectors are events as well, and nobody asked for them.
        if event["class_uid"] == API_ACTIVITY:
            there[event["actor"]["user"]["name"]].append((event["api"]["operation"], event["api"]["service"]["name"], event["unmapped"]["phase"], event["status"]))
    # The state that administrators put was read by a caller.
    strangers = sum(len(of) for name, of in there.items() if name not in acts and name != CALLER)
    lost, begun, ended, told = 0, 0, 0, []
    for name, log in acts.items():
        acknowledged, in_flight = owed(log)
        lost += (collections.Counter(acknowledged) - collections.Counter(there[name])).total()
        strangers += (collections.Counter(there[name]) - collections.Counter(acknowledged + in_flight)).total()
        rest = [phase for _, _, phase, _ in there[name][len(acknowledged):]]
        begun, ended = begun + ("begun" in rest), ended + ("ended" in rest)
        told += tells(log, there[name])
    answered = collections.Counter(act.operation for log in acts.values() for act, status in log if status is not None)
    unusual = sum(status not in (None, act.status) for log in acts.values() for act, status in log)
    by_operation = ", ".join(f"{count:,} {operation}" for operation, count in sorted(answered.items()))
    page.check("every act of an administrator that was acknowledged is in it: begun, and how it ended, under his name and in order",
               f"{answered.total():,} acts ({by_operation}), {lost} of their {len(told) // 2:,} events lost, {unusual} answers unusual",
               all(is_whole(log, there[name]) for name, log in acts.items()) and not lost and not unusual and all(answered[act.operation] > kills / 2 for act in ACTS))
    page.check("of acts that were not, it has at most the one that each administrator had in flight at the kill",
               f"{begun} of {len(acts)} were begun, {ended} of them had ended; {strangers} events are of nothing that was asked", not strangers)
    page.check("the comparison tells each event of an acknowledged act that is taken out of the export, or is there twice",
               f"{sum(told):,} of {len(told):,} told", len(told) > 0 and all(told))


def owed(log):
    """The events that the ledger must have of one administrator, and those that it may have behind them: of the act that he had in flight."""
    acknowledged = [event for act, status in log if status is not None for event in act.events()]
    return acknowledged, [event for act, status in log if status is None for event in act.events()]


def is_whole(log, there):
    acknowledged, in_flight = owed(log)
    rest = there[len(acknowledged):]
    return there[:len(acknowledged)] == acknowledged and rest == in_flight[:len(rest)]


def tells(log, there):
    """For each event of an acknowledged act, whether a ledger that lacks it is told from a whole one, and whether one that has it twice is."""
    for place, event in enumerate(owed(log)[0]):
        before, behind = there[:place], there[place + 1:]
        yield not is_whole(log, before + behind)
        yield not is_whole(log, before + [event, event] + behind)


def spare(index):
    """The model that this administrator unloads and loads."""
    return f"spare-{index}"


def headers(spinwell, access, name, role):
    """A new key."""
    command = [spinwell, "token", "create", name, "--role", role, "--dir", access]
    return {"authorization": "Bearer " + subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()}


def state_of(address, key, log):
    """A state for administrators to put: that of a sequence of one step, whose answer is noted as well."""
    connection = http.client.HTTPConnection(address, timeout=30)
    log.append(ask(connection, key, "first", sequence_id="first", sequence_start=True))
    connection.request("GET", STATE.format(sequence="first"), headers=key)
    state = connection.getresponse().read()
    connection.close()
    return state


def ask(connection, key, id, **parameters):
    """The id and the receipt of an answer that came whole."""
    rows = [15000 + 50 * (row % 48) for row in range(ROWS)]
    inputs = [{"name": "series", "shape": [1, ROWS, 1], "datatype": "FP32", "data": rows}]
    connection.request("POST", "/v2/models/taxi/infer", json.dumps({"id": id, "parameters": parameters, "inputs": inputs}), key)
    answer = connection.getresponse()
    document = json.loads(answer.read())
    if answer.status != 200:
        raise ValueError(document)
    return id, document["parameters"]["receipt"]


def call(address, key, name, log, gone):
    """Asks until the server is gone, and notes each answer that came whole."""
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        for number in itertools.count(1):
            if gone.is_set():
                return
            log.append(ask(connection, key, f"{name}-{number}"))
    # Cut off, before or within an answer.
    except (OSError, http.client.HTTPException, ValueError):
        return
    finally:
        connection.close()


def administer(server, key, name, spare, state, log, gone):
    """Acts until the server is gone. Notes each act before asking for it, and its answer's status once that came whole."""
    planes = {plane: http.client.HTTPConnection(getattr(server, plane), timeout=30) for plane in ("http", "ops")}
    try:
        for number in itertools.count():
            if gone.is_set():
                return
            act = ACTS[number % len(ACTS)]
            act = act._replace(path=act.path.format(sequence=f"{name}-{number // len(ACTS)}", spare=spare))
            log.append([act, None])
            connection = planes[act.plane]
            connection.request(act.method, act.path, state if act.method == "PUT" else None, key)
            answer = connection.getresponse()
            answer.read()
            log[-1][1] = answer.status
    except (OSError, http.client.HTTPException):
        return
    finally:
        for connection in planes.values():
            connection.close()


def is_in(records, id, receipt):
    event = records.get(receipt)
    return event is not None and (event["api"]["request"]["uid"], event["status"], event["actor"]["user"]["name"]) == (id, "Success", CALLER)


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
