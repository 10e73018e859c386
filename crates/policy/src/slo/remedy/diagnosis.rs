//! What the figures point at.
//!
//! Something is to blame where it explains at least half of what is bad and is at least three times as bad as the rest beside it. That is
//! a comparison within one window, so it needs no model of the service. Where nothing stands out and the nodes are busy, there are too
//! few of them; where there can be no more, what matters least has to wait.

use super::super::counts::Counts;
use super::super::objective::ObjectiveName;
use super::super::rules::Severity;
use super::decision::Action;
use spinwell_core::{Millis, ModelName, ModelVersion, NodeId};

/// Bad events below which nobody is to blame.
const BAD_MIN: u64 = 20;
/// How many times as bad as the rest something must be.
const TIMES: u64 = 3;
/// The utilisation from which on nodes are too few, in per cent.
const BUSY_PERCENT: u32 = 80;
/// The utilisation that there should be, in per cent.
const TARGET_PERCENT: u64 = 66;

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// It gets requests.
    Serving,
    /// It gets none because it was ejected.
    Ejected,
    /// It gets none for another reason: it starts, stops or is gone.
    Out,
}

/// What is seen of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSeen {
    /// Its name.
    pub id: NodeId,
    /// How it is.
    pub state: NodeState,
    /// The objective's events in the last short window that it had a hand in.
    pub counts: Counts,
}

/// A version of a model that began to answer a while ago.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// The model.
    pub model: ModelName,
    /// The new version.
    pub from: ModelVersion,
    /// The version that answered before and is still there.
    pub to: ModelVersion,
    /// The objective's events in the last short window that the new version had a hand in.
    pub counts: Counts,
}

/// What is seen when an alert of an objective fires or has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Situation {
    /// The objective.
    pub objective: ObjectiveName,
    /// The gravest of its alerts that fire.
    pub firing: Option<Severity>,
    /// The short window of that alert.
    pub short: Millis,
    /// The objective's events in the last short window.
    pub counts: Counts,
    /// Whether it can be kept better by more nodes: latency and throughput can.
    pub is_about_capacity: bool,
    /// The nodes of the region.
    pub nodes: Vec<NodeSeen>,
    /// How many there may be.
    pub nodes_max: u32,
    /// How busy those are that serve, in per cent, where that is known.
    pub utilisation_percent: Option<u32>,
    /// Whether low priority is refused already.
    pub is_shedding: bool,
    /// Versions that began to answer a while ago.
    pub rollouts: Vec<Rollout>,
}

/// An action that the figures point at, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) action: Action,
    pub(super) reason: String,
}

/// What the figures point at, the most pointed first.
pub(super) fn candidates(seen: &Situation) -> Vec<Candidate> {
    let mut all = Vec::new();
    for Rollout { model, from, to, counts } in &seen.rollouts {
        if let Some(blame) = blame(*counts, seen.counts) {
            let action = Action::RollBackModel { model: model.clone(), from: *from, to: *to };
            all.push(Candidate { action, reason: format!("version {from} of {model} is to blame: {blame}") });
        }
    }
    for node in &seen.nodes {
        let action = match node.state {
            NodeState::Serving => Action::EjectNode(node.id.clone()),
            NodeState::Ejected => Action::RestartNode(node.id.clone()),
            NodeState::Out => continue,
        };
        let blame = blame(node.counts, seen.counts);
        let reason = blame.map(|blame| format!("node {} is to blame: {blame}", node.id));
        all.extend(reason.map(|reason| Candidate { action, reason }));
    }
    all.extend(capacity(seen));
    all
}

/// Why a part of all events is to blame, where it is.
fn blame(part: Counts, all: Counts) -> Option<String> {
    let rest = all.without(part);
    let (bad, bad_of_rest) = (part.bad(), rest.bad());
    let explains_half = bad >= BAD_MIN && 2 * bad >= all.bad();
    // bad / part > TIMES · bad of rest / rest, in whole numbers. With no rest there is nothing to compare with.
    let product = |one: u64, other: u64| u128::from(one) * u128::from(other);
    let stands_out = product(bad, rest.total) > u128::from(TIMES) * product(bad_of_rest, part.total);
    let text = || format!("{bad} of its {} were bad, {bad_of_rest} of the other {}", part.total, rest.total);
    (explains_half && rest.total > 0 && stands_out).then(text)
}

/// More nodes where they are busy, and less work where there can be no more.
fn capacity(seen: &Situation) -> Option<Candidate> {
    let serving = seen.nodes.iter().filter(|node| node.state == NodeState::Serving).count() as u64;
    let busy = seen.utilisation_percent.filter(|percent| *percent >= BUSY_PERCENT);
    let busy = busy.filter(|_| seen.is_about_capacity && serving > 0)?;
    let reason = format!("{serving} nodes are {busy} % busy");
    let room = u64::from(seen.nodes_max).saturating_sub(seen.nodes.len() as u64);
    if room > 0 {
        let wanted = (serving * u64::from(busy)).div_ceil(TARGET_PERCENT);
        let nodes = u32::try_from(wanted.saturating_sub(serving).clamp(1, room)).unwrap_or(u32::MAX);
        return Some(Candidate { action: Action::ScaleUp { nodes }, reason });
    }
    let reason = format!("{reason} and there can be no more");
    (!seen.is_shedding).then_some(Candidate { action: Action::ShedLowPriority, reason })
}
