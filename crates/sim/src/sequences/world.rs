//! The nodes, gateways, callers and the log, and the loop that lets things happen to them.

use super::callers::Caller;
use super::gateways::Gateway;
use super::history::{Answer, Answered, History};
use super::log::{Append, Appended, Log, Read, Wanted};
use super::node::{Do, Node};
use super::scenario::{Fault, Plant, Scenario};
use super::state::State;
use super::turns::Step;
use crate::agenda::Agenda;
use spinwell_core::{NodeId, Rng, UnixMillis};
use spinwell_policy::shards;
use std::collections::BTreeMap;
use std::time::Duration;

const POLL_PERIOD: Duration = Duration::from_millis(250);
const KEEP_PERIOD: Duration = Duration::from_millis(700);
const PRUNE_PERIOD: Duration = Duration::from_secs(1);
/// How long entries stay that copies hold.
const PRUNED_AFTER: Duration = Duration::from_secs(2);
/// How long a node waits for the log before it sends a call again.
const CALL_TIMEOUT: Duration = Duration::from_millis(400);
/// How long after the last caller has stopped a run goes on.
const AFTER: Duration = Duration::from_secs(4);
/// When the clocks of the machines begin.
const CLOCK_ZERO: u64 = 1_700_000_000_000;

/// Something that happens.
#[derive(Debug)]
pub(super) enum Event {
    Caller(usize),
    CallerWaited {
        request: usize,
    },
    CallerAsks {
        op: usize,
    },
    CallerAsksAgain {
        op: usize,
    },
    AtGateway {
        request: usize,
    },
    GatewayWaited {
        request: usize,
    },
    AnswerAtGateway {
        gateway: usize,
        attempt: u64,
        answer: Answer,
    },
    AtCaller {
        request: usize,
        answer: Answer,
    },
    Lost {
        gateway: usize,
        node: usize,
    },
    Found {
        gateway: usize,
        node: usize,
    },
    Listed {
        gateway: usize,
        node: usize,
        is_listed: bool,
    },
    /// At a node's process, which may be stopped.
    Node {
        node: usize,
        life: u64,
        what: AtNode,
    },
    AtLog {
        node: usize,
        life: u64,
        call: Call,
    },
    Prune,
    Fault(Fault),
}

/// What reaches a node's process.
#[derive(Debug)]
pub(super) enum AtNode {
    Step(Step),
    Seen { gateway: usize, members: Vec<(NodeId, f64)> },
    Gone { gateway: usize },
    Computed { sequence: usize, work: u64 },
    Appended { call: u64, results: Vec<(u16, Appended)> },
    Read { call: u64, wanted: Wanted, read: Read },
    Again { call: u64 },
    Poll,
    Keep,
    Drop { sequence: usize },
}

/// What reaches the log.
#[derive(Debug)]
pub(super) enum Call {
    Append { call: u64, appends: Vec<Append> },
    Read { call: u64, wanted: Wanted },
    Keep(Vec<State>),
}

/// What waits on a link that is cut.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) steps: Vec<Step>,
    pub(super) answers: Vec<(u64, usize, Answer)>,
}

/// A node's machine.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) name: NodeId,
    pub(super) process: Node,
    /// Which process; its number as a writer follows from that.
    pub(super) life: u64,
    pub(super) is_up: bool,
    pub(super) is_frozen: bool,
    /// What waits for the process to go on.
    stopped: Vec<AtNode>,
}

pub(super) struct World<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) now: Duration,
    pub(super) agenda: Agenda<Event>,
    pub(super) shards: Vec<u16>,
    pub(super) machines: Vec<Machine>,
    pub(super) gateways: Vec<Gateway>,
    pub(super) callers: Vec<Caller>,
    /// Links that are cut (gateway, node), with what waits on them.
    pub(super) cut: BTreeMap<(usize, usize), Held>,
    /// When the last message on each way arrives: they do not overtake each other.
    ways: BTreeMap<(usize, usize), Duration>,
    pub(super) attempts: u64,
    log: Log,
    is_log_down: bool,
    log_loses: u64,
    /// What waits for the log.
    held: Vec<(usize, u64, Call)>,
    pub(super) rng: Rng,
    pub(super) history: History,
}

/// Runs a scenario to its end.
#[must_use]
pub fn run(scenario: &Scenario) -> History {
    let mut world = World::new(scenario);
    world.begin();
    while let Some((at, event)) = world.agenda.next() {
        if at >= scenario.length + AFTER {
            break;
        }
        world.now = at;
        world.happen(event);
    }
    world.history.ended = world.now;
    world.history.log = world.log.all();
    world.history.kept = world.log.kept;
    world.history.fences += world.machines.iter().map(|machine| machine.process.fences).sum::<u64>();
    world.history
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let rng = Rng::seeded(scenario.seed).fork(18);
        // Few shards, so that sequences meet in them.
        let shards: Vec<u16> = (0..scenario.callers.len())
            .map(|sequence| shards::shard(["default", "taxi", &(sequence / 2).to_string()]))
            .collect();
        let machine = |node: usize| {
            let name = NodeId(format!("n{node}").into());
            let process = Node::new(name.clone(), shards.clone(), scenario.plant);
            Machine { name, process, life: 1, is_up: true, is_frozen: false, stopped: Vec::new() }
        };
        let machines: Vec<_> = (0..scenario.nodes).map(machine).collect();
        let callers = scenario.callers.iter().enumerate();
        Self {
            scenario,
            now: Duration::ZERO,
            agenda: Agenda::new(),
            machines,
            gateways: (0..scenario.gateways).map(|_| Gateway::new(scenario.nodes)).collect(),
            callers: callers
                .map(|(caller, spec)| Caller::new(*spec, rng.fork(100 + caller as u64)))
                .collect(),
            shards,
            cut: BTreeMap::new(),
            ways: BTreeMap::new(),
            attempts: 0,
            log: Log::default(),
            is_log_down: false,
            log_loses: 0,
            held: Vec::new(),
            rng,
            history: History::default(),
        }
    }

    fn begin(&mut self) {
        for &(at, fault) in &self.scenario.faults {
            self.agenda.plan(at, Event::Fault(fault));
        }
        for node in 0..self.machines.len() {
            self.begin_process(node);
        }
        for gateway in 0..self.gateways.len() {
            self.tell_nodes(gateway);
        }
        for caller in 0..self.callers.len() {
            let at = self.millis(5, 100);
            self.plan(at, Event::Caller(caller));
        }
        self.plan(PRUNE_PERIOD, Event::Prune);
    }

    fn begin_process(&mut self, node: usize) {
        for (what, period) in [(AtNode::Poll, POLL_PERIOD), (AtNode::Keep, KEEP_PERIOD)] {
            let at = period.mul_f64(self.rng.uniform());
            self.plan_at_node(node, at, what);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Caller(caller) => self.act(caller),
            Event::CallerWaited { request } => self.caller_waited(request),
            Event::CallerAsks { op } => self.ask(op),
            Event::CallerAsksAgain { op } => self.ask_again(op),
            Event::AtGateway { request } => self.at_gateway(request),
            Event::GatewayWaited { request } => self.gateway_waited(request),
            Event::AnswerAtGateway { gateway, attempt, answer } => {
                self.answer_at_gateway(gateway, attempt, answer);
            }
            Event::AtCaller { request, answer } => self.at_caller(request, answer),
            Event::Lost { gateway, node } => self.lost(gateway, node),
            Event::Found { gateway, node } => self.found(gateway, node),
            Event::Listed { gateway, node, is_listed } => self.listed(gateway, node, is_listed),
            Event::Node { node, life, what } => self.at_node(node, life, what),
            Event::AtLog { node, life, call } => self.at_log(node, life, call),
            Event::Prune => {
                self.plan(PRUNE_PERIOD, Event::Prune);
                let is_planted = self.scenario.plant == Some(Plant::PrunesUncopied);
                self.log.prune(self.now.saturating_sub(PRUNED_AFTER), is_planted);
            }
            Event::Fault(fault) => self.fault(fault),
        }
    }

    // A node's process.

    fn at_node(&mut self, node: usize, life: u64, what: AtNode) {
        let now = self.clock();
        let machine = &mut self.machines[node];
        if !machine.is_up || machine.life != life {
            return;
        }
        if machine.is_frozen {
            return machine.stopped.push(what);
        }
        let process = machine.process.at(now);
        match what {
            AtNode::Step(step) => process.step(step),
            AtNode::Seen { gateway, members } => {
                process.roles.seen(&gateway.to_string(), Some(members));
            }
            AtNode::Gone { gateway } => {
                process.roles.seen(&gateway.to_string(), None);
            }
            AtNode::Computed { sequence, work } => process.computed(sequence, work),
            AtNode::Appended { call, results } => process.appended(call, &results),
            AtNode::Read { call, wanted, read } => process.has_read(call, &wanted, &read),
            AtNode::Again { call } => process.again(call),
            AtNode::Poll => {
                process.poll();
                self.plan_at_node(node, POLL_PERIOD, AtNode::Poll);
            }
            AtNode::Keep => {
                process.keep();
                self.plan_at_node(node, KEEP_PERIOD, AtNode::Keep);
                let sequence = self.rng.below(self.shards.len() as u64) as usize;
                let after = self.millis(0, 700);
                self.plan_at_node(node, after, AtNode::Drop { sequence });
            }
            AtNode::Drop { sequence } => process.drop_state(sequence),
        }
        self.carry_out(node);
    }

    /// Does what a process wants done.
    fn carry_out(&mut self, node: usize) {
        let life = self.machines[node].life;
        for wanted in std::mem::take(&mut self.machines[node].process.out) {
            let call = match wanted {
                Do::Compute { sequence, work } => {
                    let takes = self.micros(20, 2_000);
                    self.plan_at_node(node, takes, AtNode::Computed { sequence, work });
                    continue;
                }
                Do::Answer { attempt, request, answer } => {
                    self.history.said.push(Answered { request, answer, at: self.now });
                    self.send_answer(node, attempt, request, answer);
                    continue;
                }
                Do::Append { call, appends } => Call::Append { call, appends },
                Do::Read { call, wanted } => Call::Read { call, wanted },
                Do::Keep(states) => Call::Keep(states),
            };
            if let Call::Append { call, .. } | Call::Read { call, .. } = &call {
                self.plan_at_node(node, CALL_TIMEOUT, AtNode::Again { call: *call });
            }
            // As long as things go wrong, one is late now and then, or lost where the log loses what it is sent.
            let is_late =
                self.now < self.scenario.calm && self.rng.below(50) == 0 && !self.scenario.is_orderly();
            let delay = if is_late { self.millis(1, 600) } else { self.micros(200, 3_000) };
            if !self.log_loses() {
                self.plan(delay, Event::AtLog { node, life, call });
            }
        }
    }

    pub(super) fn plan_at_node(&mut self, node: usize, after: Duration, what: AtNode) {
        let life = self.machines[node].life;
        self.plan(after, Event::Node { node, life, what });
    }

    // The log.

    fn at_log(&mut self, node: usize, life: u64, call: Call) {
        if self.is_log_down {
            return self.held.push((node, life, call));
        }
        let writer = node as u64 * 1_000 + life;
        let what = match call {
            Call::Append { call, appends } => {
                AtNode::Appended { call, results: self.log.append(writer, &appends, self.now) }
            }
            Call::Read { call, wanted } => {
                let read = self.log.read(&wanted);
                AtNode::Read { call, wanted, read }
            }
            Call::Keep(states) => return self.log.keep(&states),
        };
        // Who is stopped for long loses the connection, and what was on its way to him.
        let is_broken = self.machines[node].is_frozen && self.rng.below(3) == 0;
        if !self.log_loses() && !is_broken {
            let delay = self.micros(200, 3_000);
            self.plan(delay, Event::Node { node, life, what });
        }
    }

    fn log_loses(&mut self) -> bool {
        self.log_loses > 0 && self.rng.below(1_000) < self.log_loses
    }

    // Faults.

    fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Crash(node) if self.machines[node].is_up => {
                self.history.fences += std::mem::take(&mut self.machines[node].process.fences);
                let machine = &mut self.machines[node];
                (machine.is_up, machine.is_frozen) = (false, false);
                machine.stopped.clear();
                self.all_lose(node, 0..3);
            }
            Fault::Start(node) if !self.machines[node].is_up => {
                let machine = &mut self.machines[node];
                (machine.is_up, machine.life) = (true, machine.life + 1);
                machine.process = Node::new(machine.name.clone(), self.shards.clone(), self.scenario.plant);
                self.begin_process(node);
                self.all_find(node);
            }
            Fault::Freeze(node) if self.machines[node].is_up && !self.machines[node].is_frozen => {
                self.machines[node].is_frozen = true;
                self.all_lose(node, 1_000..1_200);
            }
            Fault::Thaw(node) if self.machines[node].is_frozen => self.thaw(node),
            Fault::Cut(gateway, node) => {
                self.cut.entry((gateway, node)).or_default();
                self.plan_loss(gateway, node, 1_000..1_200);
            }
            Fault::Mend(gateway, node) => {
                let held = self.cut.remove(&(gateway, node)).unwrap_or_default();
                for step in held.steps {
                    self.send_step(gateway, node, step);
                }
                for (attempt, request, answer) in held.answers {
                    self.send_answer(node, attempt, request, answer);
                }
                self.plan_found(gateway, node);
            }
            Fault::Withdraw(node) => self.list(node, false),
            Fault::Join(node) => self.list(node, true),
            Fault::LogDown => self.is_log_down = true,
            Fault::LogUp => {
                self.is_log_down = false;
                for (node, life, call) in std::mem::take(&mut self.held) {
                    self.at_log(node, life, call);
                }
            }
            Fault::LogLoses(share) => self.log_loses = share,
            Fault::GatewayDown(gateway) => self.gateway_down(gateway),
            Fault::GatewayUp(gateway) => self.gateway_up(gateway),
            Fault::Crash(_) | Fault::Start(_) | Fault::Freeze(_) | Fault::Thaw(_) => {}
        }
    }

    fn thaw(&mut self, node: usize) {
        self.machines[node].is_frozen = false;
        for what in std::mem::take(&mut self.machines[node].stopped) {
            self.plan_at_node(node, Duration::ZERO, what);
        }
        self.all_find(node);
    }

    fn all_lose(&mut self, node: usize, after: std::ops::Range<u64>) {
        for gateway in 0..self.gateways.len() {
            self.plan_loss(gateway, node, after.clone());
        }
    }

    fn plan_loss(&mut self, gateway: usize, node: usize, after: std::ops::Range<u64>) {
        let after = self.millis(after.start, after.end);
        self.plan(after, Event::Lost { gateway, node });
    }

    fn all_find(&mut self, node: usize) {
        for gateway in 0..self.gateways.len() {
            self.plan_found(gateway, node);
        }
    }

    fn plan_found(&mut self, gateway: usize, node: usize) {
        let after = self.millis(0, 600);
        self.plan(after, Event::Found { gateway, node });
    }

    /// The registry tells every gateway, each in its own time.
    fn list(&mut self, node: usize, is_listed: bool) {
        for gateway in 0..self.gateways.len() {
            let after = self.millis(0, 500);
            self.plan(after, Event::Listed { gateway, node, is_listed });
        }
    }

    /// Whether a gateway and a node reach each other.
    pub(super) fn is_linked(&self, gateway: usize, node: usize) -> bool {
        let machine = &self.machines[node];
        machine.is_up && !machine.is_frozen && !self.cut.contains_key(&(gateway, node))
    }

    // The network and the clock.

    pub(super) fn plan(&mut self, after: Duration, event: Event) {
        self.agenda.plan(self.now + after, event);
    }

    /// Plans what arrives on a way after all that was sent on it before.
    pub(super) fn plan_on_way(&mut self, way: (usize, usize), event: Event) {
        let delay = self.micros(100, 400);
        let last = self.ways.entry(way).or_default();
        *last = (self.now + delay).max(*last);
        self.agenda.plan(*last, event);
    }

    pub(super) fn micros(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_micros(low + self.rng.below(high - low))
    }

    pub(super) fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(low + self.rng.below(high - low))
    }

    /// What the clocks of all machines say.
    pub(super) fn clock(&self) -> UnixMillis {
        UnixMillis(CLOCK_ZERO + u64::try_from(self.now.as_millis()).unwrap_or(u64::MAX))
    }
}
