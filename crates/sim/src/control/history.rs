//! What happened in a run, as far as invariants and figures want to know.

use super::store::Kind;
use spinwell_policy::rolling::Kept;
use std::time::Duration;

/// By what a plan is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlanId {
    /// What it is for.
    pub kind: Kind,
    /// Its number among all.
    pub number: u64,
}

/// A plan as it was written into the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// When.
    pub at: Duration,
    /// Which.
    pub id: PlanId,
    /// By whom, and what it says.
    pub kept: Kept,
}

/// An order as a control gave it: the moment after which it can take nothing back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// When.
    pub at: Duration,
    /// By which control.
    pub control: usize,
    /// The generation that it says.
    pub generation: u64,
    /// The generation under which the control led at that moment.
    pub leads: Option<u64>,
    /// For which plan.
    pub plan: PlanId,
    /// The node that is to stop.
    pub node: usize,
    /// In which of its lives.
    pub life: u64,
}

/// An order as it reached a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// When.
    pub at: Duration,
    /// Which, by its place among those that were given.
    pub order: usize,
    /// The life of the node that it reached.
    pub life: u64,
    /// Whether the node followed it.
    pub is_followed: bool,
    /// Whether the node stops because of it, and was not about to before.
    pub stops: bool,
}

/// The life of a node's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// Of which node.
    pub node: usize,
    /// Its number among those of that node, from 1.
    pub life: u64,
    /// When it began.
    pub began: Duration,
    /// When it was about to stop, or had crashed.
    pub left: Option<Duration>,
    /// When it was over.
    pub ended: Option<Duration>,
}

/// A gateway's connection to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The gateway, and the number of its life.
    pub gateway: (usize, u64),
    /// The node, and the number of its life.
    pub node: (usize, u64),
    /// When it came about.
    pub found: Duration,
    /// When it was lost.
    pub lost: Option<Duration>,
}

/// What happened in a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// Generations as the store granted them: when, to which holder.
    pub grants: Vec<(Duration, u64, u64)>,
    /// Who believes to lead, whenever somebody has been answered: controls with their generations.
    pub leaders: Vec<(Duration, Vec<(usize, u64)>)>,
    /// Plans as they were written.
    pub written: Vec<Written>,
    /// Orders as they were given.
    pub given: Vec<Given>,
    /// Orders as they reached nodes.
    pub heard: Vec<Heard>,
    /// Lives of nodes.
    pub lives: Vec<Life>,
    /// Connections of gateways.
    pub links: Vec<Link>,
    /// When the last event happened.
    pub ended: Duration,
}

impl History {
    /// Where nodes stopped because of orders: each with its order and its moment.
    pub fn stops(&self) -> impl Iterator<Item = (Duration, Given)> + Clone {
        self.heard.iter().filter(|heard| heard.stops).map(|heard| (heard.at, self.given[heard.order]))
    }
}
