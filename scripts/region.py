"""A whole region of real processes on this machine: PostgreSQL, Consul, HAProxy, gateways, nodes and controls, each of which can be ended in
every way and started again as it was. All are gone at the end of a `with`.

Where the machine lets us make network namespaces, the last node and the last gateway live in one each, on the other end of a cable that can be
pulled, or cut off from the nodes alone.
"""

import contextlib
import csv
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import claims

GATEWAYS, NODES, CONTROLS = ("g1", "g2", "g3"), ("n1", "n2", "n3", "n4"), ("c1", "c2")
# Ways into the edge without TLS, which the load generator does not speak; rates are not limited there.
PLAIN = """
frontend plain_http
  bind "${FAULTS_HTTP}"
  default_backend gateways_http
frontend plain_grpc
  timeout client 1h
  bind "${FAULTS_GRPC}" proto h2
  default_backend gateways_grpc
"""


class NotSo(Exception):
    """A state that did not come in time."""


def until(what, is_so, within=60, every=0.02):
    """Waits for a state."""
    end = time.monotonic() + within
    while True:
        with contextlib.suppress(OSError):
            if is_so():
                return
        if time.monotonic() > end:
            raise NotSo(f"{what}: not so after {within} s")
        time.sleep(every)


def get(url):
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5).read().decode()


def free_port(*hosts):
    """A port that is free on these hosts, and that no outgoing connection takes while a process of ours is away."""
    for _ in range(1000):
        number = random.randrange(20000, 32000)
        with contextlib.suppress(OSError), contextlib.ExitStack() as held:
            for host in hosts or ("127.0.0.1",):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    held.enter_context(socket.socket(socket.AF_INET, kind)).bind((host, number))
            return number
    sys.exit("no port is free")


class Daemon:
    """A process of ours that can be ended in every way and started again as it was."""

    def __init__(self, name, command, logs, is_ready=None, **settings):
        self.name, self.command, self.log = name, [str(part) for part in command], logs / f"{name}.log"
        self.is_ready = is_ready or (lambda: re.search(r"^ready", self.said(), re.M))
        self.env = {**os.environ, **{key.upper(): str(value) for key, value in settings.items()}}

    def start(self):
        """Starts it, and gives the seconds until it is ready."""
        begun = time.monotonic()
        self.begin()
        self.until_ready()
        return time.monotonic() - begun

    def begin(self):
        self.from_byte = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env)

    def until_ready(self):
        until(f"{self.name} is ready", lambda: self.is_over() or self.is_ready())
        if self.is_over():
            raise NotSo(f"{self.name} did not start:\n{self.said()[-3000:]}")

    def said(self):
        with open(self.log, errors="replace") as log:
            log.seek(self.from_byte)
            return log.read()

    def is_over(self):
        return self.process.poll() is not None

    def kill(self, with_=signal.SIGKILL):
        self.process.send_signal(with_)
        self.process.wait(60)

    def stop(self):
        """Asks it to end, and gives the seconds that it took."""
        begun = time.monotonic()
        self.kill(signal.SIGTERM)
        return time.monotonic() - begun

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            # Nobody leaves a `with` that was not entered: what has begun and is not ready would go on for ever.
            if hasattr(self, "process"):
                self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if not self.is_over():
            for kind in (signal.SIGCONT, signal.SIGTERM):
                self.process.send_signal(kind)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.kill()


class Supervisor:
    """Starts processes again as soon as they end, in the time of a `with`. In a real region systemd does that: Spinwell's commands have nodes
    end, and count on somebody who starts them again."""

    def __init__(self, daemons):
        self.daemons, self.over = daemons, threading.Event()
        # Whom it has started again, in that order, when each had ended, and with which status.
        self.ended = []
        # Why it looks after nobody any more, where it does not.
        self.failed = None

    def __enter__(self):
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return self

    def run(self):
        try:
            while not self.over.wait(0.02):
                for daemon in filter(Daemon.is_over, self.daemons):
                    at, status = time.monotonic(), daemon.process.returncode
                    daemon.begin()
                    self.ended.append((daemon.name, at, status))
        except OSError as error:
            self.failed = error

    def again(self):
        """Whom it has started again by now, and when each had ended. All have to have ended in good order."""
        if self.failed:
            raise NotSo(f"a process cannot be started again: {self.failed}")
        if failed := [f"{name} ended with status {status}" for name, _, status in self.ended if status]:
            raise NotSo(", ".join(failed))
        return [(name, at) for name, at, _ in self.ended]

    def __exit__(self, *_):
        # Before anybody ends the processes for good, or they would be started again.
        self.over.set()
        self.thread.join()


class Machines:
    """Machines of their own for the last node and the last gateway: a network namespace each, with one cable to a switch here. `why_not` says
    why there are none."""

    def __init__(self):
        self.switch, self.why_not = f"sw{os.getpid()}", None
        # Where the others are found from there: what serves everybody, and the nodes of this machine.
        self.net = f"10.213.{os.getpid() % 250}"
        self.here, self.nodes_here = f"{self.net}.1", f"{self.net}.2"
        self.addresses = {NODES[-1]: f"{self.net}.3", GATEWAYS[-1]: f"{self.net}.4"}

    def __enter__(self):
        try:
            self.ip(f"link add {self.switch} type bridge")
            for address in (self.here, self.nodes_here):
                self.ip(f"addr add {address}/24 dev {self.switch}")
            self.ip(f"link set {self.switch} up")
            for id, address in self.addresses.items():
                cable = f"{self.switch}{id}"
                self.ip(f"netns add {self.name(id)}")
                self.ip(f"link add {cable} type veth peer name cable netns {self.name(id)}")
                self.ip(f"link set {cable} master {self.switch} up")
                self.inside(id, f"addr add {address}/24 dev cable")
                self.inside(id, "link set cable up")
                self.inside(id, "link set lo up")
                # What comes from where nothing can be sent to is dropped as well.
                self.ip(f"netns exec {self.name(id)} tee /proc/sys/net/ipv4/conf/all/rp_filter", said="1")
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            self.__exit__()
            self.why_not = f"this machine lets us make no network namespace: {said.strip()}"
        except BaseException:
            self.__exit__()
            raise
        return self

    def name(self, id):
        return f"spinwell-faults-{os.getpid()}-{id}"

    def has(self, id):
        return id in self.addresses and not self.why_not

    def ip(self, command, said=None):
        subprocess.run(["ip", *command.split()], check=True, capture_output=True, text=True, input=said)

    def inside(self, id, command):
        self.ip(f"-n {self.name(id)} {command}")

    def plug(self, id, state):
        """Pulls the cable of a machine (`down`), or puts it back (`up`)."""
        self.inside(id, f"link set cable {state}")

    def part(self, id, is_parted):
        """Drops whatever goes from this machine to nodes and from nodes to it, or no more."""
        for nodes in (self.nodes_here, self.addresses[NODES[-1]]):
            self.inside(id, f"route {'add' if is_parted else 'del'} blackhole {nodes}/32")

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            for command in (*(f"netns del {self.name(id)}" for id in self.addresses), f"link del {self.switch}"):
                subprocess.run(["ip", *command.split()], capture_output=True)


class Region:
    """All processes, up until the end of the `with`."""

    def __init__(self, spinwell, work, open_):
        self.spinwell, self.work, self.logs = spinwell, work, work / "logs"
        # Seconds until others had taken the place of what was killed.
        self.took = {}
        self.logs.mkdir()
        self.machines = open_.enter_context(Machines())
        claims.train(spinwell, work / "models", "sparse", "--family", "echo", "--trials", "1", "--set", "units=300,density=0.1,skip=off")
        self.pki("init")
        self.postgres = open_.enter_context(self.new_postgres())
        subprocess.run([self.programs / "createdb", *self.postgres_at(), "spinwell"], check=True)
        self.consul = open_.enter_context(self.new_consul())
        self.nodes = [open_.enter_context(self.new_node(id)) for id in NODES]
        self.agent_port = free_port(*(self.host_of(id) for id in GATEWAYS if not self.machines.has(id)))
        self.gateways = [open_.enter_context(self.new_gateway(id)) for id in GATEWAYS]
        self.haproxy = open_.enter_context(self.new_haproxy())
        self.controls = [open_.enter_context(self.new_control(id)) for id in CONTROLS]
        self.settle()

    def told(self, *command, within):
        """Runs a command of `spinwell` to its end, and gives what it printed."""
        command = [str(part) for part in command]
        try:
            ran = subprocess.run([self.spinwell, *command], capture_output=True, text=True, timeout=within)
        except subprocess.TimeoutExpired:
            raise NotSo(f"`spinwell {' '.join(command)}` had not ended after {within} s") from None
        if ran.returncode:
            raise NotSo(f"`spinwell {' '.join(command)}` ended with status {ran.returncode}: {' '.join(ran.stderr.split())}")
        return ran.stdout.strip().splitlines()

    def pki(self, *command):
        subprocess.run([self.spinwell, "pki", *command, "--dir", self.work / "pki"], check=True, capture_output=True)

    def host_of(self, gateway):
        """Gateways have a host each, because HAProxy asks all agents on one port."""
        return self.machines.addresses[gateway] if self.machines.has(gateway) else f"127.0.0.1{gateway[1:]}"

    def host_of_node(self, node):
        if self.machines.why_not:
            return "127.0.0.1"
        return self.machines.addresses.get(node, self.machines.nodes_here)

    def hosts(self):
        """Where programs of this machine listen that the other machines call too."""
        return ["127.0.0.1"] if self.machines.why_not else ["127.0.0.1", self.machines.here]

    def seen_from(self, id):
        """On which machine a process runs: how a command is begun there, and where programs of this machine are found from there."""
        if self.machines.has(id):
            return ["ip", "netns", "exec", self.machines.name(id)], self.machines.here
        return [], "127.0.0.1"

    def postgres_at(self):
        return ["-h", "127.0.0.1", "-p", str(self.postgres_port), "-U", "spinwell"]

    def new_postgres(self):
        found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
        self.programs = (found[-1] if found else pathlib.Path(shutil.which("postgres") or sys.exit("needs PostgreSQL"))).parent
        data = self.work / "postgres"
        data.mkdir()
        # PostgreSQL does not run as root.
        other = []
        if os.geteuid() == 0:
            self.work.chmod(0o755)
            shutil.chown(data, "postgres", "postgres")
            other = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        initdb = [*other, self.programs / "initdb", "-D", data, "-U", "spinwell", "-A", "trust"]
        subprocess.run(initdb, check=True, capture_output=True, cwd=data)
        with open(data / "pg_hba.conf", "a") as rules:
            rules.write(f"host all all {self.machines.net}.0/24 trust\n")
        self.postgres_port = free_port(*self.hosts())
        command = [*other, self.programs / "postgres", "-D", data, "-p", self.postgres_port, "-h", ",".join(self.hosts()), "-k", data, "-c", "fsync=on"]
        return Daemon("postgres", command, self.logs, lambda: not subprocess.run([self.programs / "pg_isready", *self.postgres_at()], capture_output=True).returncode)

    def new_consul(self):
        """deploy/consul/agent.hcl, as an agent that is the whole of its Consul and asks for no token."""
        config = (claims.ROOT / "deploy/consul/agent.hcl").read_text()
        config = re.sub(r"^(data_dir|retry_join|bind_addr|client_addr)\b.*\n", "", config, flags=re.M)
        config = re.sub(r"^(ports|acl) \{.*?^\}\n", "", config, flags=re.M | re.S)
        (self.work / "agent.hcl").write_text(config)
        ports = {name: free_port(*self.hosts()) for name in ("http", "dns", "server", "serf-lan")}
        self.consul_http, self.consul_dns = ports["http"], ports["dns"]
        ours = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", claims.ROOT / "target")) / "tools/consul"
        command = [ours if ours.exists() else "consul", "agent", "-server", "-bootstrap", "-node", "faults", "-bind", "127.0.0.1", "-client", " ".join(self.hosts()),
                   "-config-file", self.work / "agent.hcl", "-data-dir", self.work / "consul", "-serf-wan-port", -1, "-grpc-port", -1,
                   "-hcl", "performance { raft_multiplier = 1 }", *(part for name, port in ports.items() for part in (f"-{name}-port", port))]
        return Daemon("consul", command, self.logs, lambda: '"Node"' in get(f"http://127.0.0.1:{self.consul_http}/v1/health/service/consul"))

    def settings(self, id, role, host, own="127.0.0.1"):
        folder = self.work / f"of-{id}"
        self.pki("issue", role, id, "--san", own, "--out", folder)
        return {"spinwell_registry_kind": "consul", "spinwell_registry_consul_url": f"http://{host}:{self.consul_http}", "spinwell_tls_dir": folder}

    def new_node(self, id):
        (prefix, here), own = self.seen_from(id), self.host_of_node(id)
        ports = [free_port(*([] if prefix else [own])), free_port()]
        command = [*prefix, self.spinwell, "node", "--id", id, "--address", f"{own}:{ports[0]}", "--ops", f"127.0.0.1:{ports[1]}",
                   "--data", self.work / id, "--models", self.work / "models"]
        return Daemon(id, command, self.logs, **self.settings(id, "node", here, own), spinwell_node_executors=1,
                      spinwell_store_url=f"postgres://spinwell@{here}:{self.postgres_port}/spinwell")

    def new_gateway(self, id):
        (prefix, here), host = self.seen_from(id), self.host_of(id)
        ports = {plane: free_port(*([] if prefix else [host])) for plane in ("http", "grpc", "ops")} | {"agent": self.agent_port}
        # Only this machine can reach the others.
        command = [*prefix, self.spinwell, "gateway", "--id", id, "--data", self.work / id, *(["--insecure"] if prefix else []), *(part for plane, port in ports.items() for part in (f"--{plane}", f"{host}:{port}"))]
        gateway = Daemon(id, command, self.logs, **self.settings(id, "gateway", here, host), spinwell_cluster_min_nodes=len(NODES))
        gateway.ops = f"http://{host}:{ports['ops']}"
        return gateway

    def new_control(self, id):
        port = free_port()
        command = [self.spinwell, "control", "--id", id, "--ops", f"127.0.0.1:{port}", "--data", self.work / id]
        control = Daemon(id, command, self.logs, **self.settings(id, "control", "127.0.0.1"),
                         spinwell_store_url=f"postgres://spinwell@127.0.0.1:{self.postgres_port}/spinwell")
        control.ops = f"http://127.0.0.1:{port}"
        return control

    def leader(self):
        """The control that leads, where one does and says so."""
        for control in self.controls:
            with contextlib.suppress(OSError):
                if not control.is_over() and json.loads(get(f"{control.ops}/v1/admin/control"))["leads"]:
                    return control
        return None

    def new_haproxy(self):
        make = ("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out edge.pem"
                " && cat key.pem >>edge.pem")
        subprocess.run(make, shell=True, check=True, capture_output=True, cwd=self.work)
        (self.work / "plain.cfg").write_text(PLAIN)
        self.http, self.grpc, tls, operations = (f"127.0.0.1:{free_port()}" for _ in range(4))
        self.edge_says = f"http://{operations}/;csv"
        command = [shutil.which("haproxy") or "/usr/sbin/haproxy", "-db", "-f", claims.ROOT / "deploy/haproxy/haproxy.cfg", "-f", self.work / "plain.cfg"]
        return Daemon("haproxy", command, self.logs, lambda: get(self.edge_says), spinwell_edge_bind=tls, spinwell_edge_certificate=self.work / "edge.pem",
                      spinwell_edge_dns=f"127.0.0.1:{self.consul_dns}", spinwell_edge_agent_port=self.agent_port, spinwell_edge_ops_bind=operations,
                      spinwell_edge_socket=self.work / "admin.sock", faults_http=self.http, faults_grpc=self.grpc)

    def is_connected(self):
        wanted = f'spinwell_cluster_nodes{{state="connected"}} {len(NODES)}'
        return all(wanted in get(f"{gateway.ops}/metrics").splitlines() for gateway in self.gateways)

    def is_settled(self):
        rows = [row for row in csv.DictReader(get(self.edge_says).splitlines()) if row["svname"].startswith("gateway")]
        up = sum(row["status"] == "UP" for row in rows)
        passing = get(f"http://127.0.0.1:{self.consul_http}/v1/health/service/spinwell-node?passing").count('"spinwell-id"')
        return up == 2 * len(GATEWAYS) and passing >= len(NODES) and self.is_connected() and self.leader()

    def settle(self):
        until("everybody is there", self.is_settled, within=90, every=0.2)
