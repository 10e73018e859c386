//! What happened in many runs, in numbers.

use super::history::History;
use std::collections::BTreeMap;
use std::fmt;

/// What happened in many runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// Generations that were granted.
    pub generations: u64,
    /// Plans that were begun.
    pub plans: u64,
    /// Those that came to their end.
    pub done: u64,
    /// Those that ended before all nodes were done.
    pub stuck: u64,
    /// Orders that were given.
    pub orders: u64,
    /// Those that reached a node and were refused.
    pub refused: u64,
    /// Nodes that stopped because of an order.
    pub stops: u64,
    /// Lives of nodes that ended otherwise.
    pub crashes: u64,
}

impl Totals {
    /// Adds a run.
    pub fn add(&mut self, history: &History) {
        let last: BTreeMap<_, _> = history.written.iter().map(|own| (own.id, &own.kept.plan)).collect();
        let stops = history.stops().count() as u64;
        self.generations += history.grants.len() as u64;
        self.plans += last.len() as u64;
        self.stuck += last.values().filter(|plan| plan.stuck.is_some()).count() as u64;
        self.done += last.values().filter(|plan| plan.stuck.is_none() && plan.is_over()).count() as u64;
        self.orders += history.given.len() as u64;
        self.refused += history.heard.iter().filter(|heard| !heard.is_followed).count() as u64;
        self.stops += stops;
        self.crashes +=
            (history.lives.iter().filter(|life| life.left.is_some()).count() as u64).saturating_sub(stops);
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generations, plans, done, stuck, orders, refused, stops, crashes } = self;
        write!(f, "{generations} generations, {plans} plans ({done} done, {stuck} stuck), {orders} orders ")?;
        write!(f, "({refused} refused), {stops} nodes stopped, {crashes} crashed")
    }
}
