//! Nodes and gateways: they find each other in their own time, and nodes follow orders.

use super::history::{Heard, Life, Link};
use super::process::{Beat, Message};
use super::scenario::Plant;
use super::world::{Event, World};
use spinwell_core::Order;
use spinwell_policy::fence::Fence;
use std::collections::BTreeSet;
use std::time::Duration;

const BEAT_PERIOD: Duration = Duration::from_millis(250);
/// How long a node that is told to stop goes on at most, for those who have not noticed.
const LEAVES_MAX_MS: u64 = 3_000;
/// How long a gateway takes at most to find a node that has started, in milliseconds.
pub(super) const FOUND_MAX_MS: u64 = 2_500;
/// How long a control takes at most to connect to a node, in milliseconds.
const CONNECTED_MAX_MS: u64 = 700;
/// How long it takes at most until everybody has heard from the registry, in milliseconds.
const LISTED_MAX_MS: u64 = 500;

/// A node's machine.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) life: u64,
    pub(super) is_up: bool,
    is_leaving: bool,
    fence: Fence,
    /// Whether nobody starts it again.
    pub(super) is_left: bool,
    /// How long it takes when it starts next, where something holds it up.
    pub(super) held_up: Option<Duration>,
    /// When the connection of each control is there, where nothing is between them.
    connected: Vec<Duration>,
    /// The controls that it does not reach.
    cut: BTreeSet<usize>,
}

impl Machine {
    pub(super) fn new(controls: usize) -> Self {
        let (connected, cut) = (vec![Duration::ZERO; controls], BTreeSet::new());
        let (is_up, is_leaving, is_left, held_up) = (false, false, false, None);
        Self { life: 0, is_up, is_leaving, fence: Fence::default(), is_left, held_up, connected, cut }
    }
}

/// A gateway.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) life: u64,
    pub(super) is_up: bool,
}

impl World<'_> {
    // Nodes.

    /// A node's process begins.
    pub(super) fn node_starts(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        if machine.is_up {
            return;
        }
        (machine.is_up, machine.is_leaving, machine.life) = (true, false, machine.life + 1);
        (machine.fence, machine.held_up) = (Fence::default(), None);
        let life = machine.life;
        self.history.lives.push(Life { node, life, began: self.now, left: None, ended: None });
        for control in 0..self.controls.len() {
            self.connects(control, node);
        }
        self.list(node, true);
        for gateway in 0..self.gateways.len() {
            self.plan_found(gateway, node);
        }
        self.plan(BEAT_PERIOD, Event::Beat { node, life });
    }

    /// It is over, and started again where anybody looks after it.
    pub(super) fn node_ends(&mut self, node: usize) {
        self.leaves(node);
        let Machine { life, is_left, held_up, .. } = self.machines[node];
        self.machines[node].is_up = false;
        let now = self.now;
        if let Some(own) = self.life_of(node) {
            own.ended = Some(now);
        }
        self.lose(|link| link.node == (node, life));
        for control in 0..self.controls.len() {
            let after = self.millis(0, 1_000);
            self.plan_at_control(control, after, Message::Lost { node, life });
        }
        if self.scenario.forgets {
            self.list(node, false);
        }
        if !is_left {
            let usual = self.scenario.start_max.mul_f64(self.rng.uniform());
            self.plan(held_up.unwrap_or(usual), Event::NodeStarts(node));
        }
    }

    /// It is about to stop, or has crashed.
    fn leaves(&mut self, node: usize) {
        self.machines[node].is_leaving = true;
        let now = self.now;
        if let Some(own) = self.life_of(node) {
            own.left = own.left.or(Some(now));
        }
    }

    fn life_of(&mut self, node: usize) -> Option<&mut Life> {
        let life = self.machines[node].life;
        self.history.lives.iter_mut().rfind(|own| own.node == node && own.life == life)
    }

    /// An order arrives, at whatever process of the node there is.
    pub(super) fn at_node(&mut self, order: usize) {
        let given = self.history.given[order];
        let (node, plant) = (given.node, self.scenario.plant);
        let machine = &mut self.machines[node];
        if !machine.is_up {
            return;
        }
        let life = machine.life;
        let meant = if plant == Some(Plant::LifeIgnored) { life } else { given.life };
        let wanted = Order { generation: given.generation, life: meant };
        let is_admitted = machine.fence.admit(wanted, life).is_ok();
        let is_followed = is_admitted || (plant == Some(Plant::FenceIgnored) && meant == life);
        let stops = is_followed && !machine.is_leaving;
        self.history.heard.push(Heard { at: self.now, order, life, is_followed, stops });
        if stops {
            self.leaves(node);
            let after = self.millis(50, LEAVES_MAX_MS);
            self.plan(after, Event::NodeEnds { node, life });
        }
        if !self.machines[node].cut.contains(&given.control) {
            let after = self.millis(1, 20);
            self.plan_at_control(given.control, after, Message::Obeyed { order });
        }
    }

    /// A node says that it is there, to everybody who is connected.
    pub(super) fn beat(&mut self, node: usize, life: u64) {
        let machine = &self.machines[node];
        if !machine.is_up || machine.life != life {
            return;
        }
        let own = self.links.iter().map(|link| self.history.links[*link]);
        let gateways = own.filter(|link| link.node == (node, life)).map(|link| link.gateway).collect();
        let beat = Beat { life, is_leaving: machine.is_leaving, gateways };
        for control in 0..self.controls.len() {
            let machine = &self.machines[node];
            if machine.connected[control] <= self.now && !machine.cut.contains(&control) {
                let after = self.millis(1, 20);
                self.plan_at_control(control, after, Message::Beat { node, beat: beat.clone() });
            }
        }
        self.plan(BEAT_PERIOD, Event::Beat { node, life });
    }

    // Connections of controls.

    /// A control connects to a node, some time from now.
    pub(super) fn connects(&mut self, control: usize, node: usize) {
        let after = self.millis(0, CONNECTED_MAX_MS);
        self.machines[node].connected[control] = self.now + after;
    }

    pub(super) fn cut(&mut self, control: usize, node: usize) {
        let life = self.machines[node].life;
        if self.machines[node].cut.insert(control) {
            let after = self.millis(1_000, 1_250);
            self.plan_at_control(control, after, Message::Lost { node, life });
        }
    }

    pub(super) fn mend(&mut self, control: usize, node: usize) {
        self.machines[node].cut.remove(&control);
        self.connects(control, node);
    }

    pub(super) fn is_cut(&self, control: usize, node: usize) -> bool {
        self.machines[node].cut.contains(&control)
    }

    /// The registry tells every control, each in its own time.
    fn list(&mut self, node: usize, is_listed: bool) {
        self.listed[node] = is_listed;
        for control in 0..self.controls.len() {
            let after = self.millis(0, LISTED_MAX_MS);
            self.plan_at_control(control, after, Message::Listed { node, is_listed });
        }
    }

    // Gateways.

    pub(super) fn plan_found(&mut self, gateway: usize, node: usize) {
        let (own, other) = (self.gateways[gateway].life, self.machines[node].life);
        let after = self.millis(0, FOUND_MAX_MS);
        self.plan(after, Event::Found { gateway: (gateway, own), node: (node, other) });
    }

    pub(super) fn found(&mut self, gateway: (usize, u64), node: (usize, u64)) {
        let (own, other) = (&self.gateways[gateway.0], &self.machines[node.0]);
        let is_there = own.is_up && own.life == gateway.1 && other.is_up && other.life == node.1;
        let mut known = self.links.iter().map(|link| self.history.links[*link]);
        if is_there && !known.any(|link| link.gateway == gateway && link.node == node) {
            self.links.push(self.history.links.len());
            self.history.links.push(Link { gateway, node, found: self.now, lost: None });
        }
    }

    /// Connections of gateways are lost.
    pub(super) fn lose(&mut self, which: impl Fn(&Link) -> bool) {
        for link in std::mem::take(&mut self.links) {
            let own = &mut self.history.links[link];
            if which(own) {
                own.lost = Some(self.now);
            } else {
                self.links.push(link);
            }
        }
    }

    pub(super) fn gateway_down(&mut self, gateway: usize) {
        self.gateways[gateway].is_up = false;
        self.lose(|link| link.gateway.0 == gateway);
    }

    pub(super) fn gateway_up(&mut self, gateway: usize) {
        let own = &mut self.gateways[gateway];
        if !own.is_up {
            (own.is_up, own.life) = (true, own.life + 1);
            for node in 0..self.machines.len() {
                self.plan_found(gateway, node);
            }
        }
    }
}
