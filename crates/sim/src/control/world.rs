//! The controls, the store and the way between them, and the loop that lets things happen to them.

use super::history::{Given, History};
use super::process::{Do, Message, Process};
use super::region::{Gateway, Machine};
use super::scenario::{Fault, Plant, Scenario, Wish};
use super::store::{Answer, Ask, Store};
use crate::agenda::Agenda;
use spinwell_core::{Rng, UnixMillis};
use spinwell_policy::rolling::Then;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long the store is waited for.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a control waits until a node takes notice of an order.
const ORDER_TIMEOUT: Duration = Duration::from_secs(1);
/// How late an order is at most where orders are late, in milliseconds: several leases.
const LATE_MAX_MS: u64 = 8_000;
/// What reached a control while it stood still it works off within so many milliseconds.
const THAWS_MAX_MS: u64 = 300;
/// How long after the last trouble plans may be under way at most, before the run ends with them.
pub(super) const PLANS_MAX: Duration = Duration::from_secs(600);
/// How long after everything is over a run goes on.
const AFTER: Duration = Duration::from_secs(3);
/// When the right clock begins.
const CLOCK_ZERO: i64 = 1_700_000_000_000;

/// Something that happens.
#[derive(Debug)]
pub(super) enum Event {
    /// At the process of a control in that life, which may stand still.
    Control {
        control: usize,
        life: u64,
        number: u64,
        message: Message,
    },
    AtStore {
        control: usize,
        life: u64,
        call: u64,
        ask: Ask,
    },
    AtNode {
        order: usize,
    },
    Beat {
        node: usize,
        life: u64,
    },
    NodeEnds {
        node: usize,
        life: u64,
    },
    NodeStarts(usize),
    Found {
        gateway: (usize, u64),
        node: (usize, u64),
    },
    Wish(usize, Wish),
    Fault(Fault),
}

/// A control's machine.
#[derive(Debug)]
pub(super) struct Machinery {
    process: Process,
    life: u64,
    is_up: bool,
    is_frozen: bool,
    /// What waits for the process to go on.
    stopped: Vec<(u64, Message)>,
    /// For how long it stands still when it gives its next order.
    holds: Option<Duration>,
    /// How many messages were sent to it.
    sent: u64,
    /// The newest message of each kind that tells of a node: an older one says nothing any more.
    newest: BTreeMap<(usize, Tells), u64>,
}

pub(super) struct World<'a> {
    pub(super) scenario: &'a Scenario,
    zero: Instant,
    pub(super) now: Duration,
    agenda: Agenda<Event>,
    pub(super) controls: Vec<Machinery>,
    pub(super) machines: Vec<Machine>,
    pub(super) gateways: Vec<Gateway>,
    /// The nodes that the registry has.
    pub(super) listed: Vec<bool>,
    /// The connections of gateways that are there, by their places in the history.
    pub(super) links: Vec<usize>,
    store: Store,
    is_store_down: bool,
    store_loses: u64,
    /// What waits for the store.
    held: Vec<(usize, u64, u64, Ask)>,
    /// Shares of orders that are lost and late, in thousandths.
    orders: (u64, u64),
    pub(super) rng: Rng,
    pub(super) history: History,
}

/// Runs a scenario to its end.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "any instant will do as the virtual clock's zero")]
pub fn run(scenario: &Scenario) -> History {
    let mut world = World::new(scenario, Instant::now());
    world.begin();
    let mut quiet = scenario.calm;
    while let Some((at, event)) = world.agenda.next() {
        if world.store.is_busy() {
            quiet = at.max(scenario.calm);
        }
        if at >= quiet + AFTER || at >= scenario.calm + PLANS_MAX {
            break;
        }
        world.now = at;
        world.happen(event);
    }
    world.history.ended = world.now;
    world.history.grants = world.store.grants;
    world.history.written = world.store.written;
    world.history
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario, zero: Instant) -> Self {
        let all: Vec<usize> = (0..scenario.nodes).collect();
        let control = |control: usize| Machinery {
            process: Process::new(holder(control, 1), &all, scenario.plant, zero),
            life: 1,
            is_up: true,
            is_frozen: false,
            stopped: Vec::new(),
            holds: None,
            sent: 0,
            newest: BTreeMap::new(),
        };
        let controls: Vec<_> = (0..scenario.controls.len()).map(control).collect();
        Self {
            scenario,
            zero,
            now: Duration::ZERO,
            agenda: Agenda::new(),
            machines: all.iter().map(|_| Machine::new(controls.len())).collect(),
            controls,
            gateways: (0..scenario.gateways).map(|_| Gateway { life: 1, is_up: true }).collect(),
            listed: vec![true; scenario.nodes],
            links: Vec::new(),
            store: Store::new(scenario.plant == Some(Plant::WritesBlindly)),
            is_store_down: false,
            store_loses: 0,
            held: Vec::new(),
            orders: (0, 0),
            rng: Rng::seeded(scenario.seed).fork(22),
            history: History::default(),
        }
    }

    fn begin(&mut self) {
        for &(at, fault) in &self.scenario.faults {
            self.agenda.plan(at, Event::Fault(fault));
        }
        for (at, control, wish) in self.scenario.wishes.clone() {
            self.agenda.plan(at, Event::Wish(control, wish));
        }
        for node in 0..self.machines.len() {
            self.node_starts(node);
        }
        for control in 0..self.controls.len() {
            self.begin_process(control);
        }
    }

    fn begin_process(&mut self, control: usize) {
        for message in [Message::Renew, Message::Look] {
            let after = self.millis(0, 500);
            self.plan_at_control(control, after, message);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Control { control, life, number, message } => {
                self.at_control(control, life, number, message);
            }
            Event::AtStore { control, life, call, ask } => self.at_store(control, life, call, ask),
            Event::AtNode { order } => self.at_node(order),
            Event::Beat { node, life } => self.beat(node, life),
            Event::NodeEnds { node, life } => {
                if self.machines[node].is_up && self.machines[node].life == life {
                    self.node_ends(node);
                }
            }
            Event::NodeStarts(node) => self.node_starts(node),
            Event::Found { gateway, node } => self.found(gateway, node),
            Event::Wish(control, wish) => self.wish(control, wish),
            Event::Fault(fault) => self.fault(fault),
        }
    }

    fn wish(&mut self, control: usize, mut wish: Wish) {
        match wish.then {
            Then::Gone => wish.nodes.iter().for_each(|node| self.machines[*node].is_left = true),
            Then::Anew => wish.nodes.retain(|node| !self.machines[*node].is_left),
        }
        self.plan_at_control(control, Duration::ZERO, Message::Wish(wish));
    }

    // Controls.

    fn at_control(&mut self, control: usize, life: u64, number: u64, message: Message) {
        let own = &mut self.controls[control];
        if !own.is_up || own.life != life {
            return;
        }
        if own.is_frozen {
            return own.stopped.push((number, message));
        }
        if let Some(about) = tells(&message) {
            let newest = own.newest.entry(about).or_default();
            if number < std::mem::replace(newest, number.max(*newest)) {
                return;
            }
        }
        let wall = CLOCK_ZERO + self.now.as_millis() as i64 + self.scenario.controls[control];
        let is_answer = matches!(message, Message::Answered { .. });
        own.process.at(self.zero + self.now, UnixMillis(wall.cast_unsigned())).take(message);
        if is_answer {
            self.look_who_leads();
        }
        self.carry_out(control);
    }

    fn leads(&self, control: usize) -> Option<u64> {
        let own = &self.controls[control];
        own.process.leadership.generation(self.zero + self.now).filter(|_| own.is_up)
    }

    fn look_who_leads(&mut self) {
        let all = 0..self.controls.len();
        let leaders: Vec<_> = all.filter_map(|own| Some((own, self.leads(own)?))).collect();
        if self.history.leaders.last().is_none_or(|(_, last)| *last != leaders) {
            self.history.leaders.push((self.now, leaders));
        }
    }

    /// Does what a control's process wants done.
    fn carry_out(&mut self, control: usize) {
        let life = self.controls[control].life;
        for wanted in std::mem::take(&mut self.controls[control].process.out) {
            match wanted {
                Do::Later(after, message) => self.plan_at_control(control, after, message),
                Do::Call { call, ask } => {
                    self.plan_at_control(control, STORE_TIMEOUT, Message::Answered { call, answer: None });
                    if !self.is_lost(self.store_loses) {
                        let delay = self.delay();
                        self.plan(delay, Event::AtStore { control, life, call, ask });
                    }
                }
                Do::Order { plan, generation, node, life } => {
                    let (at, leads) = (self.now, self.leads(control));
                    self.send(Given { at, control, generation, leads, plan, node, life });
                }
            }
        }
    }

    /// An order leaves its control.
    fn send(&mut self, given: Given) {
        let Given { control, node, .. } = given;
        let order = self.history.given.len();
        self.history.given.push(given);
        self.plan_at_control(control, ORDER_TIMEOUT, Message::Obeyed { order });
        let own = &mut self.controls[control];
        if let Some(held) = own.holds.take() {
            own.is_frozen = true;
            self.plan(held, Event::Fault(Fault::Thaw(control)));
            return self.plan(held, Event::AtNode { order });
        }
        let (lost, late) = self.orders;
        if self.is_cut(control, node) || self.is_lost(lost) {
            return;
        }
        let delay = if self.is_lost(late) { self.millis(20, LATE_MAX_MS) } else { self.millis(1, 20) };
        self.plan(delay, Event::AtNode { order });
    }

    // The store.

    fn at_store(&mut self, control: usize, life: u64, call: u64, ask: Ask) {
        if self.is_store_down {
            return self.held.push((control, life, call, ask));
        }
        let answer: Answer = self.store.answer(ask, self.now);
        let own = self.controls[control].life == life;
        if own && !self.is_lost(self.store_loses) {
            let delay = self.delay();
            self.plan_at_control(control, delay, Message::Answered { call, answer: Some(answer) });
        }
    }

    /// How long something takes to the store or back. As long as things go wrong, it is late now and then.
    fn delay(&mut self) -> Duration {
        let is_late = self.now < self.scenario.calm && self.rng.below(30) == 0;
        if is_late { self.millis(20, 4_000) } else { self.millis(1, 20) }
    }

    fn is_lost(&mut self, share: u64) -> bool {
        share > 0 && self.rng.below(1_000) < share
    }

    // Faults.

    fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::CrashControl(control) => self.end_process(control),
            Fault::StopControl(control) => {
                let life = self.controls[control].life;
                self.at_control(control, life, 0, Message::Resign);
                self.end_process(control);
            }
            Fault::StartControl(control) => self.start_process(control),
            Fault::Freeze(control) => self.controls[control].is_frozen = self.controls[control].is_up,
            Fault::Thaw(control) => self.thaw(control),
            Fault::HoldOrder(control, held) => self.controls[control].holds = Some(held),
            Fault::StoreDown => self.is_store_down = true,
            Fault::StoreUp => {
                self.is_store_down = false;
                for (control, life, call, ask) in std::mem::take(&mut self.held) {
                    self.at_store(control, life, call, ask);
                }
            }
            Fault::StoreLoses(share) => self.store_loses = share,
            Fault::Orders(lost, late) => self.orders = (lost, late),
            Fault::CrashNode(node) if self.machines[node].is_up => self.node_ends(node),
            Fault::CrashNode(_) => {}
            Fault::SlowStart(node, takes) => self.machines[node].held_up = Some(takes),
            Fault::Never(node) => self.machines[node].is_left = true,
            Fault::Lose(gateway, node) => {
                self.lose(|link| link.gateway.0 == gateway && link.node.0 == node);
            }
            Fault::Find(gateway, node) => self.plan_found(gateway, node),
            Fault::Cut(control, node) => self.cut(control, node),
            Fault::Mend(control, node) => self.mend(control, node),
            Fault::GatewayDown(gateway) => self.gateway_down(gateway),
            Fault::GatewayUp(gateway) => self.gateway_up(gateway),
        }
    }

    fn end_process(&mut self, control: usize) {
        let own = &mut self.controls[control];
        (own.is_up, own.is_frozen, own.holds) = (false, false, None);
        own.stopped.clear();
    }

    fn start_process(&mut self, control: usize) {
        let listed: Vec<usize> = (0..self.machines.len()).filter(|node| self.listed[*node]).collect();
        let own = &mut self.controls[control];
        if own.is_up {
            return;
        }
        (own.is_up, own.life) = (true, own.life + 1);
        own.process = Process::new(holder(control, own.life), &listed, self.scenario.plant, self.zero);
        for node in 0..self.machines.len() {
            self.connects(control, node);
        }
        self.begin_process(control);
    }

    /// A control goes on, and works off whatever has reached it meanwhile.
    fn thaw(&mut self, control: usize) {
        let own = &mut self.controls[control];
        own.is_frozen = false;
        let (life, stopped) = (own.life, std::mem::take(&mut own.stopped));
        for (number, message) in stopped {
            let after = self.millis(0, THAWS_MAX_MS);
            self.plan(after, Event::Control { control, life, number, message });
        }
    }

    // The network and the clock.

    pub(super) fn plan(&mut self, after: Duration, event: Event) {
        self.agenda.plan(self.now + after, event);
    }

    pub(super) fn plan_at_control(&mut self, control: usize, after: Duration, message: Message) {
        let own = &mut self.controls[control];
        own.sent += 1;
        let (life, number) = (own.life, own.sent);
        self.plan(after, Event::Control { control, life, number, message });
    }

    pub(super) fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(low + self.rng.below(high - low))
    }
}

/// What a message tells of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tells {
    State,
    Membership,
}

fn tells(message: &Message) -> Option<(usize, Tells)> {
    match message {
        Message::Beat { node, .. } | Message::Lost { node, .. } => Some((*node, Tells::State)),
        Message::Listed { node, .. } => Some((*node, Tells::Membership)),
        _ => None,
    }
}

/// By what the store knows a control in that life.
fn holder(control: usize, life: u64) -> u64 {
    control as u64 * 1_000 + life
}
