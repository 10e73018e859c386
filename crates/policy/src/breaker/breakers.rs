//! The breakers of all nodes, and who is there at all.

use super::Class;
use super::circuit::{Circuit, State};
use spinwell_core::{ModelName, NodeId, Rng};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// So long a node that had no room for a request is passed over for the model where others serve. Without it, one that refuses is the
/// least busy one of all, and gets what the others would have answered.
const FULL_PAUSE: Duration = Duration::from_millis(50);

/// What breakers are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// A node of which nothing was heard for longer is out. Nodes are heard of five times in it.
    pub silence_max: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { silence_max: Duration::from_secs(1) }
    }
}

/// Who may get a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Candidates {
    /// Nodes that are there and whose breakers are closed, by name.
    pub serving: Vec<NodeId>,
    /// Those of them that had no room a moment ago, by name: to be asked where no other serves.
    pub full: Vec<NodeId>,
    /// Nodes that are there and want a probe, by name. Balancing would not choose them.
    pub probing: Vec<NodeId>,
}

impl Candidates {
    /// Those of them that a request may go to. Where all that serve were full, those do.
    #[must_use]
    pub fn among(mut self, may: impl Fn(&NodeId) -> bool) -> Self {
        for nodes in [&mut self.serving, &mut self.full, &mut self.probing] {
            nodes.retain(&may);
        }
        if self.serving.is_empty() {
            self.serving = std::mem::take(&mut self.full);
        }
        self
    }

    /// The node that a request is to probe, if any. A probe may fail: it is made by a request that is at its first try and
    /// `can_go_elsewhere` then, or by any where nobody serves.
    pub fn probe(&self, can_go_elsewhere: bool, rng: &mut Rng) -> Option<&NodeId> {
        match (self.probing.len(), self.serving.is_empty()) {
            (0, _) => None,
            (count, false) if can_go_elsewhere => self.probing.get(rng.below(count as u64) as usize),
            (_, false) => None,
            (_, true) => self.probing.first(),
        }
    }

    /// How many they are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.serving.len() + self.full.len() + self.probing.len()
    }
}

/// How a node is, for those who watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It gets requests.
    Serving,
    /// Its breaker is open.
    Open,
    /// It gets probes.
    HalfOpen,
    /// It is not there: silent, unreachable, or withdrawn.
    Out,
}

/// Leave to send one request to a node. It is to be given back with its end.
#[derive(Debug)]
#[must_use = "a permit that is not ended keeps its probe for half a minute"]
pub struct Permit {
    node: NodeId,
    probe: Option<u64>,
}

impl Permit {
    /// For which node.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// Whether the request is a probe.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.probe.is_some()
    }
}

/// A node.
#[derive(Debug)]
struct Node {
    circuit: Circuit,
    /// When it was last heard of.
    heard: Instant,
    /// It refused a connection and was not heard of since.
    has_refused: bool,
    /// It has said that it goes.
    has_withdrawn: bool,
    /// Until when it is taken to have no room, by model. What is over is forgotten when another is full.
    full_until: BTreeMap<ModelName, Instant>,
}

impl Node {
    fn is_there(&self, now: Instant, silence_max: Duration) -> bool {
        let is_silent = now.saturating_duration_since(self.heard) > silence_max;
        !(is_silent || self.has_refused || self.has_withdrawn)
    }

    /// Its place among the ejected: who would come back first is let back first.
    fn comes_back(&self) -> Option<Instant> {
        match self.circuit.state() {
            State::Closed => None,
            State::Open { until } => Some(*until),
            State::HalfOpen { .. } => Some(self.heard),
        }
    }
}

/// The breakers of all nodes, as one observer sees them.
#[derive(Debug)]
pub struct Breakers {
    options: Options,
    nodes: BTreeMap<NodeId, Node>,
}

impl Breakers {
    /// Breakers of no nodes yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options, nodes: BTreeMap::new() }
    }

    /// A node is new, or has come again after it withdrew; then nothing that was counted before counts.
    pub fn join(&mut self, node: NodeId, now: Instant) {
        let fresh = Node {
            circuit: Circuit::new(now),
            heard: now,
            has_refused: false,
            has_withdrawn: false,
            full_until: BTreeMap::new(),
        };
        match self.nodes.get_mut(&node) {
            Some(known) if !known.has_withdrawn => known.heard = known.heard.max(now),
            Some(known) => *known = fresh,
            None => drop(self.nodes.insert(node, fresh)),
        }
    }

    /// A node's process is another one than before: nothing that was counted counts. Who has withdrawn stays withdrawn until
    /// it joins.
    pub fn restart(&mut self, node: &NodeId, now: Instant) {
        if let Some(node) = self.nodes.get_mut(node) {
            (node.circuit, node.heard, node.has_refused) = (Circuit::new(now), now, false);
            node.full_until.clear();
        }
    }

    /// A node is gone for good.
    pub fn leave(&mut self, node: &NodeId) {
        self.nodes.remove(node);
    }

    /// A node was heard of: a beat, or any answer.
    pub fn beat(&mut self, node: &NodeId, now: Instant) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.heard = node.heard.max(now);
            node.has_refused = false;
        }
    }

    /// A node has said that it goes: it is out until it joins again.
    pub fn withdraw(&mut self, node: &NodeId) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.has_withdrawn = true;
        }
    }

    /// A node refused the connection for a request: it is out until it is heard of again. Its breaker counts nothing, for who
    /// starts again should not have to wait for it.
    pub fn refuse(&mut self, permit: Permit, now: Instant, rng: &mut Rng) {
        if let Some(node) = self.nodes.get_mut(&permit.node) {
            node.has_refused = true;
        }
        self.end(permit, Class::Neutral, now, rng);
    }

    /// A node had no room for a request for the model. Its breaker counts nothing.
    pub fn full(&mut self, permit: Permit, model: &ModelName, now: Instant, rng: &mut Rng) {
        if let Some(node) = self.nodes.get_mut(&permit.node) {
            node.full_until.retain(|_, until| *until > now);
            node.full_until.insert(model.clone(), now + FULL_PAUSE);
        }
        self.end(permit, Class::Neutral, now, rng);
    }

    /// Who may get a request for the model.
    pub fn candidates(&mut self, model: &ModelName, now: Instant) -> Candidates {
        self.settle(now);
        let mut candidates = Candidates::default();
        for (id, node) in self.nodes.iter().filter(|(_, node)| node.is_there(now, self.options.silence_max)) {
            if node.circuit.is_closed() {
                let is_full = node.full_until.get(model).is_some_and(|until| *until > now);
                if is_full { &mut candidates.full } else { &mut candidates.serving }.push(id.clone());
            } else if node.circuit.has_probe() {
                candidates.probing.push(id.clone());
            }
        }
        candidates
    }

    /// Leave to send a request to a node; `None` where its breaker is open, all its probes are under way, or it is not there.
    pub fn begin(&mut self, node: &NodeId, now: Instant) -> Option<Permit> {
        let silence_max = self.options.silence_max;
        let own = self.nodes.get_mut(node).filter(|own| own.is_there(now, silence_max))?;
        own.circuit.advance(now);
        let probe = if own.circuit.is_closed() { None } else { Some(own.circuit.probe(now)?) };
        Some(Permit { node: node.clone(), probe })
    }

    /// A request has ended.
    pub fn end(&mut self, permit: Permit, class: Class, now: Instant, rng: &mut Rng) {
        let Permit { node: id, probe } = permit;
        let Some(node) = self.nodes.get_mut(&id) else { return };
        match probe {
            Some(number) => node.circuit.end_probe(number, class, now, rng),
            None => {
                if node.circuit.end(class, now) {
                    self.eject(&id, now, rng);
                }
            }
        }
    }

    /// How a node is; `None` where it is not known.
    #[must_use]
    pub fn health(&self, node: &NodeId, now: Instant) -> Option<Health> {
        let node = self.nodes.get(node)?;
        Some(match node.circuit.state() {
            _ if !node.is_there(now, self.options.silence_max) => Health::Out,
            State::Closed => Health::Serving,
            State::Open { until } if *until > now => Health::Open,
            State::Open { .. } | State::HalfOpen { .. } => Health::HalfOpen,
        })
    }

    /// Opens a node's breaker, where another node may be ejected.
    fn eject(&mut self, id: &NodeId, now: Instant, rng: &mut Rng) {
        let (there, ejected) = self.count(now);
        let is_there = self.nodes.get(id).is_some_and(|node| node.is_there(now, self.options.silence_max));
        if is_there && ejected >= ejected_max(there) {
            return;
        }
        if let Some(node) = self.nodes.get_mut(id) {
            node.circuit.open(now, rng);
        }
    }

    /// Lets time pass, and lets ejected nodes back where fewer nodes are there than when they were ejected.
    fn settle(&mut self, now: Instant) {
        self.nodes.values_mut().for_each(|node| node.circuit.advance(now));
        let silence_max = self.options.silence_max;
        let (there, mut ejected) = self.count(now);
        while ejected > ejected_max(there) {
            let back = self
                .nodes
                .values_mut()
                .filter(|node| node.is_there(now, silence_max))
                .filter_map(|node| Some((node.comes_back()?, node)))
                .min_by_key(|(when, _)| *when);
            let Some((_, node)) = back else { return };
            node.circuit.close(now);
            ejected -= 1;
        }
    }

    /// How many nodes are there, and how many of those are ejected.
    fn count(&self, now: Instant) -> (usize, usize) {
        let there = self.nodes.values().filter(|node| node.is_there(now, self.options.silence_max));
        there.fold((0, 0), |(there, ejected), node| {
            (there + 1, ejected + usize::from(!node.circuit.is_closed()))
        })
    }
}

/// How many of the nodes that are there may be ejected.
pub(super) fn ejected_max(there: usize) -> usize {
    (there / 3).max(1)
}
