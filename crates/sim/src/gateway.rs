//! A gateway: the real balancer, breakers, retry budget and timeouts, wired as the service does it.

use crate::node::model;
use crate::scenario::{Plant, Scenario};
use spinwell_core::{ModelName, NodeId, Rng};
use spinwell_policy::attempts::{Budget, BudgetOptions, End, Outlook, Patience, TimeoutOptions, Timeouts};
use spinwell_policy::balance::{Ask, Balancer, Begun, Member, Options, Report, Strategy};
use spinwell_policy::breaker::{self, Breakers, Class, Permit};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often nodes say how busy they are.
pub(crate) const REPORT_PERIOD: Duration = Duration::from_millis(200);

/// A gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    strategy: Strategy,
    plant: Option<Plant>,
    balancer: Balancer,
    breakers: Breakers,
    pub(crate) budget: Budget,
    timeouts: Timeouts,
    lives: BTreeMap<NodeId, u64>,
    model: ModelName,
    rng: Rng,
}

/// An attempt, as its gateway has to remember it.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) node: NodeId,
    permit: Permit,
    begun: Begun,
    pub(crate) patience: Patience,
    pub(crate) fell_back: bool,
}

impl Gateway {
    pub(crate) fn new(scenario: &Scenario, nodes: &[NodeId], rng: Rng, now: Instant) -> Self {
        let mut gateway = Self {
            strategy: scenario.strategy,
            plant: scenario.plant,
            balancer: Balancer::new(Options { report_period: REPORT_PERIOD, ..Options::default() }),
            breakers: Breakers::new(breaker::Options::default()),
            budget: Budget::new(BudgetOptions::default(), now),
            timeouts: Timeouts::new(TimeoutOptions::default()),
            lives: BTreeMap::new(),
            model: model(),
            rng,
        };
        for (node, spec) in nodes.iter().zip(&scenario.nodes) {
            gateway.balancer.join(node.clone(), Member { weight: spec.weight, cluster: "c1".into() }, now);
            gateway.breakers.join(node.clone(), now);
        }
        gateway
    }

    /// Chooses a node at which the request was not tried, and sends it there. `None` where there is none.
    pub(crate) fn send(
        &mut self,
        rows: usize,
        course: &spinwell_policy::attempts::Course,
        now: Instant,
    ) -> Option<Sent> {
        let may = |id: &NodeId| !course.untried(std::slice::from_ref(id)).is_empty();
        let candidates = self.breakers.candidates(&self.model, now).among(may);
        let (node, fell_back) = match candidates.probe(course.is_fresh(), &mut self.rng) {
            Some(probing) => (probing.clone(), false),
            None => {
                let ask = Ask { rows, strategy: self.strategy };
                let pick = self.balancer.pick(ask, &candidates.serving, now, &mut self.rng)?;
                (pick.node, pick.fell_back.is_some())
            }
        };
        let permit = self.breakers.begin(&node, now)?;
        let begun = self.balancer.begin(&node, rows, now);
        let patience = self.timeouts.patience(Outlook {
            model: &self.model,
            node: &node,
            left: course.deadline().saturating_duration_since(now),
            expected: self.balancer.expected(&node, rows, 0, now).unwrap_or_default(),
            is_first: course.attempts() == 0,
            is_last: candidates.count() <= 1 || course.is_last(),
        });
        Some(Sent { node, permit, begun, patience, fell_back })
    }

    /// An attempt has ended.
    pub(crate) fn end(&mut self, sent: Sent, end: End, took: Duration, now: Instant) {
        let Sent { node, permit, begun, .. } = sent;
        match end {
            End::Refused => self.breakers.refuse(permit, now, &mut self.rng),
            End::BackPressure => self.breakers.full(permit, &self.model, now, &mut self.rng),
            _ => self.breakers.end(permit, end.class(), now, &mut self.rng),
        }
        self.balancer.end(begun, end.class(), now);
        match end {
            End::Answered => self.timeouts.observe(&self.model, &node, took, true, now),
            End::TimedOut => self.timeouts.observe(&self.model, &node, took, false, now),
            End::ClientError | End::BackPressure | End::Declined | End::Refused | End::Failed => {}
        }
    }

    /// An attempt whose request has had its answer from another one, after it `took` so long: where that one was asked because of it,
    /// it is slow.
    pub(crate) fn overtaken(&mut self, sent: Sent, took: Duration, now: Instant) {
        if sent.patience.hedge.is_some_and(|hedge| hedge <= took) {
            return self.end(sent, End::TimedOut, took, now);
        }
        self.breakers.end(sent.permit, Class::Neutral, now, &mut self.rng);
        self.balancer.end(sent.begun, Class::Neutral, now);
    }

    /// What an answer usually takes.
    pub(crate) fn usual(&self) -> Duration {
        self.timeouts.usual(&self.model)
    }

    /// A node was heard of, in that life.
    pub(crate) fn beat(&mut self, node: &NodeId, life: u64, now: Instant) {
        let known = self.lives.insert(node.clone(), life);
        if known.is_some_and(|known| known != life) {
            self.balancer.restart(node, now);
            self.breakers.restart(node, now);
        }
        self.breakers.beat(node, now);
    }

    pub(crate) fn report(&mut self, node: &NodeId, report: Report, made: Instant, now: Instant) {
        self.balancer.report(node, report, made, now);
    }

    /// A node withdraws.
    pub(crate) fn withdraw(&mut self, node: &NodeId) {
        if self.plant != Some(Plant::RoutesToDrained) {
            self.breakers.withdraw(node);
        }
    }

    /// A node is there again after it withdrew.
    pub(crate) fn join(&mut self, node: &NodeId, life: u64, now: Instant) {
        self.lives.insert(node.clone(), life);
        self.balancer.restart(node, now);
        self.breakers.join(node.clone(), now);
    }

    /// Rows that it counts as in flight.
    pub(crate) fn rows_in_flight(&self, nodes: &[NodeId]) -> f64 {
        nodes.iter().map(|node| self.balancer.rows_in_flight(node)).sum()
    }
}
