//! One node, as a balancer knows it.

use super::earned::Earned;
use super::load::Load;
use super::regressor::Regressor;
use std::sync::Arc;
use std::time::Instant;

/// A node, as it announces itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// What it can do, relative to others: above 0.
    pub weight: f64,
    /// The processing cluster that it is part of.
    pub cluster: Arc<str>,
}

/// A node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) member: Member,
    /// Which life of the node this is: what began in an earlier one says nothing of it.
    pub(super) life: u64,
    pub(super) load: Load,
    pub(super) earned: Earned,
    pub(super) regressor: Regressor,
    /// When its next turn comes, in rounds of round robin.
    pub(super) turn: f64,
}

impl Node {
    pub(super) fn new(member: Member, life: u64, now: Instant) -> Self {
        Self {
            member,
            life,
            load: Load::new(now),
            earned: Earned::new(now),
            regressor: Regressor::default(),
            turn: 0.0,
        }
    }

    /// Its announced weight, as something that can be counted with.
    pub(super) fn weight(&self) -> f64 {
        if self.member.weight.is_finite() { self.member.weight.max(1e-6) } else { 1.0 }
    }
}
