//! The balancer itself: what it is told, and what it answers.

use super::Strategy;
use super::draw::{Scored, draw};
use super::load::Report;
use super::node::{Member, Node};
use super::regressor::Regressor;
use super::strategy::{latency_optimized, least_connections, predictive, resource_aware, round_robin};
use super::view::{Sight, View, plain_load, predict, views};
use crate::breaker::Class;
use spinwell_core::{NodeId, Rng};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Nodes that are looked at for one request. Of more, so many are drawn: the best of 32 is nearly the best of 500, and a
/// gateway's time does not grow with the cluster.
const LOOKED_AT_MAX: usize = 32;
/// Share of the newest request in the rows that one usually has.
const USUAL_NEWEST: f64 = 0.01;

/// What a balancer goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How often nodes report.
    pub report_period: Duration,
    /// After so many periods a report says nothing any more.
    pub report_periods_max: u32,
    /// How long a new node takes to get its whole weight.
    pub slow_start: Duration,
    /// The time in which latencies and failures fade.
    pub decay: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            report_period: Duration::from_secs(1),
            report_periods_max: 3,
            slow_start: Duration::from_secs(30),
            decay: Duration::from_secs(10),
        }
    }
}

/// A request that wants a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Rows in it.
    pub rows: usize,
    /// By which strategy.
    pub strategy: Strategy,
}

/// The node that was chosen, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Pick {
    /// The node.
    pub node: NodeId,
    /// Its processing cluster.
    pub cluster: Arc<str>,
    /// The strategy that chose it.
    pub strategy_used: Strategy,
    /// Why that is not the one that was asked for.
    pub fell_back: Option<FellBack>,
    /// Its score by that strategy, higher being better.
    pub score: f64,
    /// How many nodes were looked at.
    pub looked_at: usize,
    /// Among how many of those, which were nearly the best, it was drawn.
    pub drawn_from: usize,
}

/// Why another strategy was used than the one that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FellBack {
    /// Latency cannot be predicted well enough, or not yet.
    NotPredictable,
}

/// A request that is under way, to be given back with its end.
#[derive(Debug)]
#[must_use = "what is not ended counts as in flight for ever"]
pub struct Begun {
    node: NodeId,
    life: u64,
    rows: usize,
    /// Rows that were in flight there before it.
    before: f64,
    at: Instant,
}

/// Chooses nodes for requests, as one gateway knows them.
#[derive(Debug)]
pub struct Balancer {
    options: Options,
    nodes: BTreeMap<NodeId, Node>,
    lives: u64,
    /// Learned from all nodes, for those that are new.
    pool: Regressor,
    usual_rows: Option<f64>,
    /// The clock of round robin.
    clock: f64,
}

impl Balancer {
    /// A balancer of no nodes yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let pool = Regressor::default();
        Self { options, nodes: BTreeMap::new(), lives: 0, pool, usual_rows: None, clock: 0.0 }
    }

    /// A node is new. Of one that is known, what it announces is exchanged and nothing begins anew.
    pub fn join(&mut self, node: NodeId, member: Member, now: Instant) {
        if let Some(known) = self.nodes.get_mut(&node) {
            known.member = member;
            return;
        }
        self.lives += 1;
        self.nodes.insert(node, Node::new(member, self.lives, now));
    }

    /// A node is gone. What it still has in flight may end or not.
    pub fn leave(&mut self, node: &NodeId) {
        self.nodes.remove(node);
    }

    /// A node began a new life: it starts slowly, and nothing that was learned of it counts.
    pub fn restart(&mut self, node: &NodeId, now: Instant) {
        if let Some(known) = self.nodes.remove(node) {
            self.join(node.clone(), known.member, now);
        }
    }

    /// A node's report of its load, made at `made` on this gateway's clock.
    pub fn report(&mut self, node: &NodeId, report: Report, made: Instant, now: Instant) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.load.report(report, made, now);
        }
    }

    /// A request is sent to a node.
    pub fn begin(&mut self, node: &NodeId, rows: usize, now: Instant) -> Begun {
        let usual = self.usual_rows.get_or_insert(rows as f64);
        *usual += USUAL_NEWEST * (rows as f64 - *usual);
        let oldest = self.oldest(now);
        let (life, before) = match self.nodes.get_mut(node) {
            Some(known) => {
                let before = plain_load(known, oldest);
                known.load.begin(rows, now);
                (known.life, before)
            }
            None => (0, 0.0),
        };
        Begun { node: node.clone(), life, rows, before, at: now }
    }

    /// A request has ended.
    pub fn end(&mut self, begun: Begun, class: Class, now: Instant) {
        let Begun { node, life, rows, before, at } = begun;
        let Some(node) = self.nodes.get_mut(&node).filter(|node| node.life == life) else { return };
        let took = now.saturating_duration_since(at).as_secs_f64();
        node.load.end(rows, now);
        node.earned.end(class, took, self.options.decay, now);
        if class == Class::Success {
            node.regressor.learn(rows as f64, before, took);
            self.pool.learn(rows as f64, before, took);
        }
    }

    /// Chooses a node among candidates; `None` where none of them is known.
    pub fn pick(&mut self, ask: Ask, candidates: &[NodeId], now: Instant, rng: &mut Rng) -> Option<Pick> {
        let looked_at = looked_at(candidates, rng);
        let known: Vec<(&NodeId, &Node)> =
            looked_at.iter().filter_map(|id| self.nodes.get_key_value(*id)).collect();
        let nodes: Vec<&Node> = known.iter().map(|&(_, node)| node).collect();
        let views = views(&nodes, self.sight(ask.rows, now));
        let (strategy_used, scored, clock) = self.score(ask.strategy, &nodes, &views);
        let (place, drawn_from) = draw(&scored, rng)?;
        let (id, node) = known[place];
        let pick = Pick {
            node: id.clone(),
            cluster: Arc::clone(&node.member.cluster),
            strategy_used,
            fell_back: (strategy_used != ask.strategy).then_some(FellBack::NotPredictable),
            score: scored[place].score,
            looked_at: nodes.len(),
            drawn_from,
        };
        if let Some(clock) = clock {
            let turn = round_turns(&nodes[place..=place], &views[place..=place])[0];
            let next = turn.after(self.clock);
            self.clock = clock;
            if let Some(node) = self.nodes.get_mut(&pick.node) {
                node.turn = next;
            }
        }
        Some(pick)
    }

    /// What each candidate should get of a batch, relative to the others: its score for a request of `ask.rows`, which should be
    /// an equal part of the batch. Also by which strategy.
    #[must_use]
    pub fn shares(&self, ask: Ask, candidates: &[NodeId], now: Instant) -> (Strategy, Vec<(NodeId, f64)>) {
        let known: Vec<(&NodeId, &Node)> =
            candidates.iter().filter_map(|id| self.nodes.get_key_value(id)).collect();
        let nodes: Vec<&Node> = known.iter().map(|&(_, node)| node).collect();
        let views = views(&nodes, self.sight(ask.rows, now));
        if ask.strategy == Strategy::RoundRobin {
            let shares =
                known.iter().zip(&views).map(|((id, _), view)| ((*id).clone(), view.weight * view.pace));
            return (ask.strategy, shares.collect());
        }
        let (strategy, scored, _) = self.score(ask.strategy, &nodes, &views);
        (strategy, known.iter().zip(scored).map(|((id, _), scored)| ((*id).clone(), scored.score)).collect())
    }

    /// How long a request of so many rows, sent to a node now, is expected to take, where `ahead` rows more are sent there before it;
    /// `None` while nobody can say.
    #[must_use]
    pub fn expected(&self, node: &NodeId, rows: usize, ahead: usize, now: Instant) -> Option<Duration> {
        let node = self.nodes.get(node)?;
        let load = plain_load(node, self.oldest(now)) + ahead as f64;
        Duration::try_from_secs_f64(predict(node, self.sight(rows, now), load)?).ok()
    }

    /// Rows that this gateway has in flight at a node.
    #[must_use]
    pub fn rows_in_flight(&self, node: &NodeId) -> f64 {
        self.nodes.get(node).map_or(0.0, |node| node.load.own())
    }

    fn oldest(&self, now: Instant) -> Option<Instant> {
        now.checked_sub(self.options.report_period * self.options.report_periods_max)
    }

    fn sight(&self, rows: usize, now: Instant) -> Sight<'_> {
        let rows = rows as f64;
        let usual_rows = self.usual_rows.unwrap_or(rows);
        Sight { options: &self.options, pool: &self.pool, rows, usual_rows, now }
    }

    /// Scores by a strategy, or by the default where it cannot say; for round robin also where its clock goes.
    fn score(
        &self,
        strategy: Strategy,
        nodes: &[&Node],
        views: &[View],
    ) -> (Strategy, Vec<Scored>, Option<f64>) {
        let by = |score: fn(&View) -> f64| -> Vec<Scored> {
            views.iter().map(|view| Scored { score: score(view), weight: view.weight * view.pace }).collect()
        };
        match strategy {
            Strategy::RoundRobin => {
                let (clock, scored) = round_robin::scores(&round_turns(nodes, views), self.clock);
                (strategy, scored, Some(clock))
            }
            Strategy::WeightedLeastConnections => (strategy, by(least_connections::score), None),
            Strategy::ResourceAware => (strategy, by(resource_aware::score), None),
            Strategy::LatencyOptimized => (strategy, by(latency_optimized::score), None),
            Strategy::Predictive => {
                let scores: Option<Vec<f64>> = views.iter().map(predictive::score).collect();
                match scores {
                    Some(scores) => {
                        let both = views.iter().zip(scores);
                        let scored = both.map(|(view, score)| Scored { score, weight: view.weight });
                        (strategy, scored.collect(), None)
                    }
                    None => (Strategy::default(), by(least_connections::score), None),
                }
            }
        }
    }
}

/// All candidates, or so many of them as are looked at.
fn looked_at<'a>(candidates: &'a [NodeId], rng: &mut Rng) -> Vec<&'a NodeId> {
    let mut all: Vec<&NodeId> = candidates.iter().collect();
    if all.len() > LOOKED_AT_MAX {
        for place in 0..LOOKED_AT_MAX {
            let other = place + rng.below((all.len() - place) as u64) as usize;
            all.swap(place, other);
        }
        all.truncate(LOOKED_AT_MAX);
    }
    all
}

fn round_turns(nodes: &[&Node], views: &[View]) -> Vec<round_robin::Turn> {
    let both = nodes.iter().zip(views);
    both.map(|(node, view)| round_robin::Turn { turn: node.turn, weight: view.weight * view.pace }).collect()
}
