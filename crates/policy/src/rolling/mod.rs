//! Nodes stop one after the other, to start anew or for good, and no request fails.
//!
//! What is decided here is pure: a plan, what is seen of the nodes and the time give the next thing to do. A node is told to stop only
//! while all others serve **and every gateway has found each of them**: a node that came back a moment ago, and that a gateway has not
//! found yet, is no replacement for the next one. The life of a node's process is written down before it is told to stop, so whoever goes
//! on with the plan knows whether the node has started anew since, and a word that is said twice stops nobody twice. Where something does
//! not come about in time, the plan ends and says why; nothing more is stopped then.
//!
//! ```
//! use spinwell_core::{Millis, NodeId, UnixMillis};
//! use spinwell_policy::rolling::{Next, Rolling, Seen, Then};
//! let node = |name: &str| NodeId(name.into());
//! let serves = |name, life| Seen { id: node(name), is_serving: true, is_leaving: false, life: Some(life), gateways: None, away: Millis(0) };
//! let plan = Rolling::new(Then::Anew, vec![node("a"), node("b")], Millis(60_000), UnixMillis(0));
//! let Next::Become(plan) = plan.next(&[serves("a", 1), serves("b", 2)], UnixMillis(5)) else { panic!() };
//! assert_eq!(plan.next(&[serves("a", 1), serves("b", 2)], UnixMillis(9)), Next::Drain(node("a"), 1));
//! ```

use spinwell_core::{Caller, Millis, NodeId, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};

/// How long whoever goes on with a plan looks before it ends it, at most: connections to the nodes have to come about. For as long a node
/// must not have been connected before it is taken to have stopped for good.
const LOOK: Millis = Millis(10_000);

/// Between looks that are further apart than this nobody knows what has happened.
const APART: Millis = Millis(2_000);

/// Nodes stop one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rolling {
    /// What becomes of each.
    pub then: Then,
    /// When it was asked for.
    pub begun: UnixMillis,
    /// Since when what is waited for now is waited for.
    pub since: UnixMillis,
    /// Since when whoever carries it out looks.
    pub looked_since: UnixMillis,
    /// How long anything may take before the plan ends.
    pub patience: Millis,
    /// The nodes, in the order in which they stop.
    pub nodes: Vec<Entry>,
    /// Why it has ended before all nodes were done.
    pub stuck: Option<String>,
}

/// What becomes of a node that has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Whoever looks after it starts it again, and it serves.
    Anew,
    /// Nobody looks after it.
    Gone,
}

/// A node of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub id: NodeId,
    /// How far it is.
    pub step: Step,
}

/// How far a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Its turn has not come.
    Waiting,
    /// It is told to stop, and then awaited.
    Draining {
        /// The life of its process that is to end.
        life: u64,
    },
    /// It has started anew and serves.
    Back {
        /// How long that took.
        took: Millis,
    },
    /// It has stopped for good.
    Gone {
        /// How long that took.
        took: Millis,
    },
    /// It has left the region before its turn came.
    Left,
}

impl Step {
    /// Whether nothing more is done for the node.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Step::Back { .. } | Step::Gone { .. } | Step::Left)
    }
}

/// What is seen of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub id: NodeId,
    /// Whether it gets requests.
    pub is_serving: bool,
    /// Whether it is about to stop.
    pub is_leaving: bool,
    /// The life of its process, while it is connected.
    pub life: Option<u64>,
    /// The gateways that have found it, where it tells.
    pub gateways: Option<Vec<Caller>>,
    /// How long it has not been connected, as far as [`Absences`] tell.
    pub away: Millis,
}

/// Since when a control misses nodes, whenever it looked. Who has just begun to look misses nobody for long: it may be its own connection
/// that is not there.
#[derive(Debug, Clone, Default)]
pub struct Absences {
    since: BTreeMap<NodeId, UnixMillis>,
    /// The look before.
    looked: UnixMillis,
}

impl Absences {
    /// Takes note of a look, and adds to it how long nodes have been away.
    pub fn note(&mut self, seen: &mut [Seen], now: UnixMillis) {
        let is_new = now.0.abs_diff(self.looked.0) > APART.0;
        self.since.retain(|id, _| !is_new && seen.iter().any(|node| node.id == *id && node.life.is_none()));
        self.looked = now;
        for node in seen.iter_mut().filter(|node| node.life.is_none()) {
            let since = *self.since.entry(node.id.clone()).or_insert(now);
            node.away = Millis(now.0.saturating_sub(since.0));
        }
    }
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The plan is this one from now on; it has to be written before anything else is done for it.
    Become(Rolling),
    /// A node is to be told to stop, in that life of its process.
    Drain(NodeId, u64),
    /// Nothing, for now or for good.
    Wait,
}

/// A plan as it is kept where all controls find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Of the leader that wrote last; 0 where none has taken it up.
    pub generation: u64,
    /// What it says.
    pub plan: Rolling,
}

impl Kept {
    /// What the leader of a generation does for it next: it writes down that it goes on with it before it does anything else.
    #[must_use]
    pub fn next(&self, generation: u64, seen: &[Seen], now: UnixMillis) -> Next {
        if self.generation > generation {
            // Another leads by now.
            return Next::Wait;
        }
        if self.plan.is_over() {
            return Next::Become(self.plan.clone());
        }
        if self.generation < generation {
            return Next::Become(self.plan.clone().taken_up(now));
        }
        self.plan.next(seen, now)
    }
}

/// The plan whose turn it is: where several are under way, the one that waits for a node that it has stopped. Never are nodes stopped
/// for two.
#[must_use]
pub fn due<P>(under_way: &[P], is_midway: impl Fn(&P) -> bool) -> Option<&P> {
    under_way.iter().find(|plan| is_midway(plan)).or_else(|| under_way.first())
}

impl Rolling {
    /// A plan that nobody has begun to carry out.
    #[must_use]
    pub fn new(then: Then, nodes: Vec<NodeId>, patience: Millis, now: UnixMillis) -> Self {
        let nodes = nodes.into_iter().map(|id| Entry { id, step: Step::Waiting }).collect();
        Self { then, begun: now, since: now, looked_since: now, patience, nodes, stuck: None }
    }

    /// Whether nothing more is done for it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.stuck.is_some() || self.nodes.iter().all(|entry| entry.step.is_over())
    }

    /// Whether a node was told to stop and is awaited.
    #[must_use]
    pub fn is_midway(&self) -> bool {
        self.current().is_some_and(|index| matches!(self.nodes[index].step, Step::Draining { .. }))
    }

    /// The same plan, as somebody else goes on with it. What was waited for is waited for since then, whoever leads: leaders that
    /// change do not keep a plan from its end. Clocks of two machines may differ.
    #[must_use]
    pub fn taken_up(self, now: UnixMillis) -> Self {
        Self { since: self.since.min(now), looked_since: now, ..self }
    }

    /// What is to be done next.
    #[must_use]
    pub fn next(&self, seen: &[Seen], now: UnixMillis) -> Next {
        let Some(index) = self.current() else { return Next::Wait };
        let past = |since: UnixMillis| Millis(now.0.saturating_sub(since.0));
        let waited = past(self.since);
        let Entry { id, step } = &self.nodes[index];
        let own = seen.iter().find(|node| node.id == *id);
        let Some(obstacle) = self.obstacle(seen) else {
            return match (step, own.and_then(|own| own.life)) {
                (Step::Draining { .. }, _) => {
                    let step = match self.then {
                        Then::Anew => Step::Back { took: waited },
                        Then::Gone => Step::Gone { took: waited },
                    };
                    self.with(index, step, now)
                }
                (_, Some(life)) => self.with(index, Step::Draining { life }, now),
                // Who serves is connected, and has told its life.
                (_, None) => Next::Wait,
            };
        };
        match step {
            Step::Waiting if own.is_none() && !seen.is_empty() => self.with(index, Step::Left, now),
            _ if waited >= self.patience && past(self.looked_since) >= self.patience.min(LOOK) => {
                let stuck = Some(format!("{obstacle} after {} s", self.patience.0.div_ceil(1000)));
                Next::Become(Self { stuck, since: now, ..self.clone() })
            }
            // Others may be away by now that served when this was written.
            Step::Draining { life }
                if own.is_some_and(|own| own.life == Some(*life) && !own.is_leaving)
                    && self.others(id, seen).is_none() =>
            {
                Next::Drain(id.clone(), *life)
            }
            _ => Next::Wait,
        }
    }

    /// What is waited for before the plan can go on; nothing where it can, or is over.
    #[must_use]
    pub fn obstacle(&self, seen: &[Seen]) -> Option<String> {
        let Entry { id, step } = &self.nodes[self.current()?];
        let own = seen.iter().find(|node| node.id == *id);
        if let (Step::Draining { life }, Then::Gone) = (step, self.then)
            && own.is_none_or(|own| own.life.map_or(own.away >= LOOK, |other| other != *life))
        {
            return None;
        }
        let Some(own) = own else { return Some(format!("{id} is not in the region")) };
        match step {
            Step::Draining { life } if own.life == Some(*life) => {
                let others = self.others(id, seen).filter(|_| !own.is_leaving);
                return Some(others.unwrap_or_else(|| format!("{id} has not stopped")));
            }
            Step::Draining { .. } if self.then == Then::Gone => {
                return Some(format!("{id} is not connected, and may still run"));
            }
            Step::Draining { .. } if !own.is_serving => return Some(format!("{id} has not come back")),
            _ => {}
        }
        if !own.is_serving {
            return Some(format!("{id} does not serve"));
        }
        self.others(id, seen).or_else(|| unfound(seen, |_| true))
    }

    /// Why a node must not be stopped, as far as others are concerned. Those that have stopped for good are not missed: the registry may
    /// have them for a while yet.
    fn others(&self, own: &NodeId, seen: &[Seen]) -> Option<String> {
        let is_gone = |node: &&Seen| {
            let entry = self.nodes.iter().find(|entry| entry.id == node.id);
            entry.is_some_and(|entry| matches!(entry.step, Step::Gone { .. }))
        };
        let seen: Vec<Seen> = seen.iter().filter(|node| !is_gone(node)).cloned().collect();
        others(own, &seen)
    }

    /// The first node that is not done.
    fn current(&self) -> Option<usize> {
        let open = self.nodes.iter().position(|entry| !entry.step.is_over());
        open.filter(|_| self.stuck.is_none())
    }

    fn with(&self, index: usize, step: Step, now: UnixMillis) -> Next {
        let mut next = Self { since: now, ..self.clone() };
        next.nodes[index].step = step;
        Next::Become(next)
    }
}

/// Why a node must not be stopped, as far as others are concerned: they are to serve meanwhile, every gateway each of them.
#[must_use]
pub fn others(own: &NodeId, seen: &[Seen]) -> Option<String> {
    let mut others = seen.iter().filter(|node| node.id != *own);
    if let Some(away) = others.clone().find(|node| !node.is_serving) {
        return Some(format!("{} does not serve", away.id));
    }
    if others.next().is_none() {
        return Some(format!("no other node serves in the place of {own}"));
    }
    unfound(seen, |node| node != own)
}

/// A gateway that some node has heard of and one of those has not, of the nodes that tell.
fn unfound(seen: &[Seen], of: impl Fn(&NodeId) -> bool) -> Option<String> {
    let told = || seen.iter().filter_map(|node| Some((&node.id, node.gateways.as_ref()?)));
    let all: BTreeSet<&Caller> = told().flat_map(|(_, gateways)| gateways).collect();
    told().filter(|(node, _)| of(node)).find_map(|(node, gateways)| {
        let missing = all.iter().find(|gateway| !gateways.iter().any(|known| known.may_be(gateway)));
        missing.map(|gateway| format!("gateway {} has not found {node}", gateway.name))
    })
}

#[cfg(test)]
mod tests;
