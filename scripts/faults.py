#!/usr/bin/env python3
"""What callers see when parts of a whole region fail: PostgreSQL, Consul, HAProxy, 3 gateways, 4 nodes, 2 controls, all for real on this machine.

`make cluster-faults` runs it (about 6 minutes). Under RATE stateless requests a second (1,000) and SEQUENCES sequences (2,000) at one step
a second each, one fault follows the other, each in a window of its own, and every request is looked at. Nodes are drained and rolled by the
commands for it, `spinwell cluster drain` and `restart`; the script only starts them again, as systemd would. KEEP=1 keeps the logs;
ONLY="drain a node,roll all nodes" takes some of the faults.

A fault that was asked for and could not be tried fails the run, and so do the claims that are about it alone.
"""

import contextlib
import csv
import dataclasses
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import claims
from claims import say
from region import CONTROLS, GATEWAYS, NODES, NotSo, Region, Supervisor, until

# Seconds of a window before its fault and after it.
CALM, AFTER = 6, 16
# Where more than this share of the requests of a tenth of a second take longer than this, the fault holds them up: several times what
# a busy machine makes of the usual latency.
LATE_MS, LATE_SHARE = 500, 0.05
# Streams that the sequences are spread over. An answer waits for those before it in its stream, so that one stream tells little.
STREAMS = 64
# For how long callers send a step again.
RECONNECT = 30


class Load:
    """`spinwell bench`, under way, with a line for each request."""

    def __init__(self, region, open_, name, *options):
        self.trace, self.out, self.err = (region.work / f"load-{name}.{kind}" for kind in ("csv", "json", "err"))
        command = [region.spinwell, "bench", "--model", "sparse", "--window", 64, "--warmup", 0, "--trace", self.trace, "--json", *options]
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=err)
        open_.callback(self.process.kill)

    def is_over(self):
        return self.process.poll() is not None

    def has_begun(self):
        return self.is_over() or "have begun" in self.err.read_text()

    def end(self, within):
        try:
            self.process.wait(within)
        except subprocess.TimeoutExpired:
            self.process.kill()
        if not (document := self.out.read_text()):
            raise NotSo(f"the load failed: {self.err.read_text()}")
        with open(self.trace, newline="") as trace:
            return json.loads(document), list(csv.DictReader(trace))


@dataclasses.dataclass
class Window:
    """What became of the loads around one fault."""

    name: str
    did: str
    fault_us: float
    stateless: tuple
    steps: tuple
    # Seconds until others had taken the place of what was killed, by its role.
    took: dict

    def bad(self, load):
        """Requests that ended after the fault's beginning without an answer, by code; those that never ended among them."""
        document, lines = load
        codes = {}
        for line in lines:
            if line["code"] and int(line["ended_us"]) >= self.fault_us:
                codes[line["code"]] = codes.get(line["code"], 0) + 1
        for kind in ("unanswered", "never_sent"):
            if document[kind]:
                codes[kind.replace("_", " ")] = document[kind]
        return codes

    def after(self, load):
        return [line for line in load[1] if int(line["ended_us"]) >= self.fault_us]

    def failing_s(self, load):
        """From the fault until the last request became due that failed."""
        return max(((int(line["due_us"]) - self.fault_us) / 1e6 for line in self.after(load) if line["code"]), default=0.0)

    def worst_ms(self, load):
        return max(((int(line["ended_us"]) - int(line["due_us"])) / 1e3 for line in self.after(load)), default=0.0)

    def recovered_ms(self, load):
        """From the fault until a second began in which nearly all requests were answered, and soon."""
        slots = {}
        for line in load[1]:
            due, ended = int(line["due_us"]), int(line["ended_us"])
            slot = slots.setdefault(int((due - self.fault_us) // 1e5), [0, 0])
            slot[0] += 1
            slot[1] += bool(line["code"]) or ended - due > LATE_MS * 1e3
        late = {number for number, (all_, late) in slots.items() if late > LATE_SHARE * all_}
        # The slot in which the fault falls is the first that it can disturb.
        return 100 * next(number for number in range(10000) if late.isdisjoint(range(number, number + 10)))

    def silence_ms(self, load):
        """The longest time without any answer."""
        ends = sorted(int(line["ended_us"]) for line in self.after(load) if not line["code"])
        return max((later - earlier for earlier, later in zip([self.fault_us, *ends], ends)), default=0.0) / 1e3

    def counted(self, calm):
        """Steps lost, steps doubled, and answers with other bits than those of the calm run; and how many could be held against it."""
        lost = doubled = differ = compared = 0
        broken = set()
        for line in self.steps[1]:
            key, step = (line["sequence"], line["step"]), int(line["step"])
            if not line["code"]:
                compared += key in calm
                differ += key in calm and calm[key] != line["answer"]
            elif line["sequence"] in broken:
                continue
            elif line["expected_step"]:
                # All before this step had been answered.
                lost += max(0, step - int(line["expected_step"]))
                doubled += max(0, int(line["expected_step"]) - step)
                broken.add(line["sequence"])
            elif line["code"] in ("SPW-SEQUENCE-UNKNOWN", "SPW-SEQUENCE-EXPIRED"):
                lost += step - 1
                broken.add(line["sequence"])
            elif line["code"] == "client-answer-of-another-step":
                doubled += 1
        return lost, doubled, differ, compared


def now_us():
    return time.time() * 1e6


def kill_node(region):
    begun, node = now_us(), region.nodes[0]
    node.kill()
    time.sleep(5)
    return begun, f"{node.name} killed with SIGKILL; started again after 5 s, ready in {node.start():.2f} s"


def freeze_node(region):
    begun, node = now_us(), region.nodes[1]
    node.process.send_signal(signal.SIGSTOP)
    time.sleep(5)
    node.process.send_signal(signal.SIGCONT)
    return begun, f"{node.name} stopped with SIGSTOP for 5 s"


def kill_gateway(region):
    begun, gateway = now_us(), region.gateways[0]
    gateway.kill()
    time.sleep(3)
    return begun, f"{gateway.name} killed with SIGKILL; started again after 3 s, ready in {gateway.start():.2f} s"


def kill_control(region):
    leader = region.leader()
    begun = now_us()
    leader.kill()
    until("another control leads", region.leader, within=20)
    led = (now_us() - begun) / 1e6
    region.took["control"] = led
    next_, ready = region.leader(), leader.start()
    return begun, f"{leader.name}, which led, killed with SIGKILL; {next_.name} led {led:.2f} s later; {leader.name} started again, ready in {ready:.2f} s"


def restart_consul(region):
    begun = now_us()
    region.consul.stop()
    time.sleep(3)
    return begun, f"ended with SIGTERM, away for 3 s, led again {region.consul.start():.1f} s after its start"


def restart_postgres(region):
    begun = now_us()
    # As a crash: without a word to its clients, and with its log to be replayed.
    region.postgres.kill(signal.SIGQUIT)
    time.sleep(2)
    return begun, f"ended at once with SIGQUIT, away for 2 s, took connections {region.postgres.start():.1f} s after its start"


def drain_node(region):
    node, gateway = region.nodes[2], region.gateways[0]
    with Supervisor(region.nodes) as supervisor:
        begun, since = now_us(), time.monotonic()
        said = region.told("cluster", "drain", node.name, "--url", gateway.ops, within=10)
        until(f"{node.name} has ended", supervisor.again, within=30)
        node.until_ready()
        ready = time.monotonic()
        until("all gateways have it again", region.is_connected, within=30)
        [(ended, at)] = one_each(supervisor, [node])
    return begun, (f"`spinwell cluster drain {node.name}` at {gateway.name} said: {'; '.join(said)}. {ended} ended in good order {at - since:.1f} s after that was "
                   f"asked; started again at once, ready in {ready - at:.2f} s")


def roll_nodes(region):
    control = region.controls[0]
    with Supervisor(region.nodes) as supervisor:
        begun, since = now_us(), time.monotonic()
        said = region.told("cluster", "restart", "--url", control.ops, "--timeout", ROLL_NODE_S, within=ROLL_S)
        took = time.monotonic() - since
        ended = one_each(supervisor, region.nodes)
    ends = ", ".join(f"{name} after {at - since:.1f} s" for name, at in ended)
    return begun, f"`spinwell cluster restart` at {control.name} took {took:.1f} s and said: {'; '.join(said)}. Ended in good order and started again at once: {ends}"


def one_each(supervisor, nodes):
    """When the nodes ended, where each of them did once, and no other did."""
    ended = supervisor.again()
    if sorted(name for name, _ in ended) != [node.name for node in nodes]:
        raise NotSo(f"not each of {', '.join(node.name for node in nodes)} ended once: {', '.join(name for name, _ in ended) or 'none'}")
    return ended


def cut_node(region):
    begun = now_us()
    region.machines.plug(NODES[-1], "down")
    time.sleep(8)
    region.machines.plug(NODES[-1], "up")
    return begun, f"{NODES[-1]} lives in a network namespace; its cable pulled for 8 s, from everybody"


def cut_gateway(region):
    begun = now_us()
    region.machines.part(GATEWAYS[-1], True)
    time.sleep(8)
    region.machines.part(GATEWAYS[-1], False)
    return begun, f"{GATEWAYS[-1]} lives in a network namespace; for 8 s all that it sends to nodes and they to it is dropped, callers and Consul reach it"


FAULTS = {"kill -9 a node": kill_node, "SIGSTOP a node for 5 s": freeze_node, "kill -9 a gateway": kill_gateway, "kill -9 control": kill_control,
          "restart Consul": restart_consul, "restart PostgreSQL": restart_postgres, "drain a node": drain_node, "roll all nodes": roll_nodes,
          "cut a node off": cut_node, "cut a gateway off": cut_gateway}
# Seconds for a node to start anew, and for all of them, at most. Control gives up before the script does: a plan that went on without
# anybody who starts nodes again would take the region away from the faults that follow.
ROLL_NODE_S, ROLL_S = 15, 60
# Rolling takes longer.
LONGER = {"roll all nodes": 14}
# Where nothing may fail that can be tried again.
LOSES_NOTHING = ("kill -9 a node", "kill -9 control", "SIGSTOP a node for 5 s", "drain a node", "roll all nodes", "cut a node off")
# By when no request fails any more that goes to a gateway without nodes: a node's silence is noticed after 1 s, the gateway is not ready 1 s
# later, HAProxy asks each second.
LEFT_ALONE_S = 3.5
# By when another control leads: the lease of one that is lost ends after 2 s.
LEADS_S = 3
# By when all is as before, for both loads: where the loss is seen at once, and where it is silent.
RECOVERS_MS = {"kill -9 a node": 1000, "kill -9 a gateway": 1000, "SIGSTOP a node for 5 s": 2000, "cut a node off": 2000}


def why_not(region, name):
    if name in ("cut a node off", "cut a gateway off"):
        return region.machines.why_not
    return None


def window(region, number, name, fault, seconds, rate, sequences):
    """Both loads, and the fault in them."""
    region.settle()
    say(f"{name}: {seconds} s")
    common = ("--duration", seconds, "--seed", number)
    # No load outlives its window, also where the fault fails: the next one would count it in.
    with contextlib.ExitStack() as open_:
        steps = Load(region, open_, f"{number}-steps", "--url", region.grpc, "--protocol", "sequence", "--sequences", sequences, "--rate", sequences,
                     "--connections", STREAMS, "--reconnect", RECONNECT, *common)
        until("all sequences have begun", steps.has_begun, within=120)
        stateless = Load(region, open_, f"{number}-stateless", "--url", region.http, "--protocol", "binary", "--rate", rate, *common)
        time.sleep(CALM)
        fault_us, did = fault(region)
        if steps.is_over() or stateless.is_over():
            raise NotSo(f"the load ended before this was done: {did}")
        within = seconds + RECONNECT + 60
        one = Window(name, did, fault_us, stateless.end(within), steps.end(within), dict(region.took))
    say(f"  {did}; " + "; ".join(f"{len(load[1])} ended, worst {one.worst_ms(load):.0f} ms, {one.bad(load) or 'none failed'}" for load in (one.stateless, one.steps)))
    return one


def main():
    args = claims.arguments(__doc__.splitlines()[0], "faults.md")
    rate, sequences = claims.number("RATE", 1000), claims.number("SEQUENCES", 2000)
    only = os.environ.get("ONLY", ",".join(FAULTS)).split(",")
    if unknown := set(only) - set(FAULTS):
        sys.exit(f"ONLY: {', '.join(unknown)} is none of: {', '.join(FAULTS)}")
    chosen = {name: fault for name, fault in FAULTS.items() if name in only}
    command = "make cluster-faults" if len(chosen) == len(FAULTS) else f"ONLY={shlex.quote(','.join(chosen))} make cluster-faults"
    page = claims.Page("Faults in a region", command, args.out)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    work = pathlib.Path(tempfile.mkdtemp(prefix="spinwell-faults-"))
    try:
        with contextlib.ExitStack() as open_:
            region = Region(args.spinwell, work, open_)
            length = lambda name: CALM + AFTER + LONGER.get(name, 0)
            longest = max(map(length, chosen)) + 2
            calm = window(region, 1, "nothing", lambda _: (now_us(), "for comparison"), longest, rate, sequences)
            windows, untried = [calm], {}
            for number, (name, fault) in enumerate(chosen.items(), 2):
                try:
                    if why := why_not(region, name):
                        untried[name] = why
                    else:
                        windows.append(window(region, number, name, fault, length(name), rate, sequences))
                except NotSo as error:
                    # The next fault may be told apart from this one all the same, where everybody is there again.
                    say(f"  {error}")
                    untried[name] = str(error).splitlines()[0]
    except NotSo as error:
        sys.exit(str(error))
    finally:
        say(f"logs are in {work}") if os.environ.get("KEEP") else shutil.rmtree(work, ignore_errors=True)
    was_not = "".join(f"; {name} was not: {why}" for name, why in untried.items())
    page.check("every fault could be tried", f"{len(windows) - 1} of {len(chosen)}{was_not}", not untried)
    counted = counted_of(windows)
    of_all(page, windows, untried, counted)
    of_one_each(page, windows, untried)
    report(page, windows, untried, counted, rate, sequences)


def in_words(codes):
    return ", ".join(f"{count:,} {code}" for code, count in sorted(codes.items())) or "0"


def of_all(page, windows, untried, counted):
    """Claims on all faults that were tried."""
    total = [sum(counts[index] for counts in counted.values()) for index in range(4)]
    page.check("no acknowledged step is lost, none is doubled", f"{total[0]} lost, {total[1]} doubled", total[0] == total[1] == 0)
    page.check("every answer has the bits of the calm run's", f"{total[2]} of {total[3]:,} differ", total[2] == 0)
    failed_steps = {one.name: one.bad(one.steps) for one in windows if one.bad(one.steps)}
    page.check("every step is answered in the end", "; ".join(f"{name}: {in_words(codes)}" for name, codes in failed_steps.items()) or "all", not failed_steps)
    lossless = [one for one in windows if one.name in LOSES_NOTHING]
    missing = [name for name in untried if name in LOSES_NOTHING]
    failed = {one.name: one.bad(one.stateless) for one in lossless if one.bad(one.stateless)}
    if lossless or missing:
        measured = "; ".join(f"{name}: {in_words(codes)}" for name, codes in failed.items()) or "0"
        measured += f" in {len(lossless)} of {len(lossless) + len(missing)} faults" + (f", not tried: {', '.join(missing)}" if missing else "")
        page.check("loss of control, and loss, drain and roll of nodes fail no stateless request", measured, not failed and not missing)


def of_one_each(page, windows, untried):
    """Claims on one fault each. Where it was asked for and not tried, its claims do not hold."""
    tried = {one.name: one for one in windows}
    aims = [("kill -9 control", f"another control leads within {LEADS_S} s of the loss of the one that led", another_leads),
            *((name, f"recovers from '{name}' within {aim:,} ms", recovers) for name, aim in RECOVERS_MS.items()),
            ("cut a gateway off", f"no stateless request goes to a gateway without nodes after {LEFT_ALONE_S} s", is_left_alone)]
    for name, claim, measure in aims:
        if one := tried.get(name):
            page.check(claim, *measure(one))
        elif name in untried:
            page.check(claim, "not tried", False)


def another_leads(one):
    return f"{one.took['control']:.2f} s", one.took["control"] <= LEADS_S


def is_left_alone(one):
    last = one.failing_s(one.stateless)
    return f"the last that failed was due after {last:.2f} s", last <= LEFT_ALONE_S


def recovers(one):
    took = [one.recovered_ms(load) for load in (one.stateless, one.steps)]
    # What was never answered is in no tenth of a second.
    never = sum(one.bad(load).get(kind, 0) for load in (one.stateless, one.steps) for kind in ("unanswered", "never sent"))
    measured = f"stateless {took[0]:,} ms, steps {took[1]:,} ms" + (f", {never:,} never answered" if never else "")
    return measured, max(took) <= RECOVERS_MS[one.name] and not never


def counted_of(windows):
    calm = {(line["sequence"], line["step"]): line["answer"] for line in windows[0].steps[1] if not line["code"]}
    return {one.name: one.counted(calm) for one in windows}


def report(page, windows, untried, counted, rate, sequences):
    page.add(f"HAProxy (deploy/haproxy, gateways found by DNS), Consul (deploy/consul, one agent, no ACL), PostgreSQL with fsync, {len(GATEWAYS)} gateways,",
             f"{len(NODES)} nodes and {len(CONTROLS)} controls with certificates between them. Stateless: {rate:,} requests a second, windows of 64 rows as binary tensors over HTTP/1.1.",
             f"Steps: {sequences:,} sequences, one step a second each, numbered, over {STREAMS} gRPC streams. Both open loop (Poisson arrivals), through HAProxy",
             f"in the clear; latencies count from when a request was due. A window has {CALM} s of calm, the fault, and the rest.",
             "All of it and the load generators share the processors.")
    page.add(f"**failed**: refused or failed for good, or never answered. **again**: steps that callers sent again, because their stream was lost or the answer said so.",
             "**lost**, **doubled**: by what the region expected next where it contradicted; **bits**: answers that differ from the calm run's of the same step.",
             f"**worst**: the longest latency after the fault. **recovered**: from the fault until, for a second, {1 - LATE_SHARE:.0%} of the requests that became due were",
             f"answered within {LATE_MS} ms, by tenths of a second.",
             "**silence**: the longest time without any answer.")
    cells = lambda one, load: (f"{one.worst_ms(load):,.0f}", f"{one.recovered_ms(load):,.0f}", f"{one.silence_ms(load):,.0f}")
    rows = [(one.name, in_words(one.bad(one.stateless)), *cells(one, one.stateless), in_words(one.bad(one.steps)), f"{one.steps[0]['sent_again']:,}",
             *counted[one.name][:3], *cells(one, one.steps)) for one in windows]
    rows += [(name, why, *[""] * 11) for name, why in untried.items()]
    page.table(["fault", "stateless: failed", "worst ms", "recovered ms", "silence ms", "steps: failed", "again", "lost", "doubled", "bits", "worst ms",
                "recovered ms", "silence ms"], rows)
    page.add("What was done, and why steps were sent again:")
    page.add(*(f"- **{one.name}**: {one.did}. Sent again: {in_words(one.steps[0]['sent_again_after'])}." for one in windows))
    page.end()


if __name__ == "__main__":
    main()
