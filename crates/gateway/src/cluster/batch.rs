//! The requests of one batch call, and the nodes that they are sent to first.
//!
//! Those without a sequence are divided at once ([`spinwell_policy::split`]): the requests for each version apart, as another
//! version may be on other nodes, and later ones in sight of what the ones before them were given. From then on each is a
//! request like any other, which is tried elsewhere where its node fails, refuses or is late (`request`). Steps go to the nodes
//! that keep their sequences, in the order of the call.

use super::Inner;
use super::request::{self, Stateless};
use spinwell_core::{BatchPart, BatchPlan, ModelName, ModelVersion, NodeId};
use spinwell_policy::split::Plan;
use spinwell_protocol::{InferFuture, InferRequest};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A request and its place in the batch call.
type Placed = (usize, InferRequest);

/// Sends all of them, before this returns.
pub(super) fn infer(
    inner: &Arc<Inner>,
    requests: &mut dyn Iterator<Item = InferRequest>,
) -> (Vec<InferFuture>, Option<BatchPlan>) {
    let mut answers: Vec<Option<InferFuture>> = Vec::new();
    let mut groups: BTreeMap<(ModelName, ModelVersion), Vec<Placed>> = BTreeMap::new();
    for (place, request) in requests.enumerate() {
        let is_step = request.sequence.is_some();
        answers.push(None);
        if is_step {
            answers[place] = Some(request::infer(inner, request));
        } else {
            let version = (request.model.name.clone(), request.model.version);
            groups.entry(version).or_default().push((place, request));
        }
    }
    let mut plans = Vec::with_capacity(groups.len());
    for group in groups.into_values() {
        plans.extend(send(inner, group, &mut answers));
    }
    // None is missing: each was a step or is in one of the groups.
    (answers.into_iter().flatten().collect(), together(&plans))
}

/// Sends the requests for one version, and puts their answers to their places.
fn send(inner: &Arc<Inner>, group: Vec<Placed>, answers: &mut [Option<InferFuture>]) -> Option<Plan> {
    let (places, requests): (Vec<usize>, Vec<InferRequest>) = group.into_iter().unzip();
    let model = requests.first()?.model.clone();
    let mut begun: Vec<Stateless> =
        requests.into_iter().map(|request| Stateless::begin(inner, request)).collect();
    let wanted = begun.iter_mut().map(Stateless::wanted).collect();
    let (leaves, plan) = inner.router.leave_all(&inner.able(&model), wanted, &model.name);
    for ((place, begun), leave) in places.into_iter().zip(begun).zip(leaves) {
        answers[place] = Some(begun.answer(leave));
    }
    plan
}

/// The plans for several versions, as one: the last that is done ends the call.
fn together(plans: &[Plan]) -> Option<BatchPlan> {
    let mut strategies: Vec<&str> = Vec::new();
    let mut parts: BTreeMap<&NodeId, usize> = BTreeMap::new();
    for plan in plans {
        let name = plan.strategy_used.as_str();
        if !strategies.contains(&name) {
            strategies.push(name);
        }
        for part in &plan.parts {
            *parts.entry(&part.node).or_default() += part.requests.len();
        }
    }
    let times: Option<Vec<_>> = plans.iter().map(|plan| plan.estimated_completion_time).collect();
    let part = |(node, requests): (&NodeId, usize)| BatchPart { node: node.clone(), requests };
    (!plans.is_empty()).then(|| BatchPlan {
        strategy_used: strategies.join(","),
        estimated_completion_time: times.and_then(|times| Some(times.into_iter().max()?.into())),
        parts: parts.into_iter().map(part).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::Micros;
    use spinwell_policy::balance::Strategy;
    use spinwell_policy::split::Part;
    use std::time::Duration;

    fn plan(strategy_used: Strategy, ms: Option<u64>, parts: &[(&str, usize)]) -> Plan {
        let part = |&(node, requests): &(&str, usize)| Part {
            node: NodeId(node.into()),
            requests: (0..requests).collect(),
        };
        let estimated_completion_time = ms.map(Duration::from_millis);
        Plan { parts: parts.iter().map(part).collect(), strategy_used, estimated_completion_time }
    }

    /// Strategies, milliseconds, and what each node gets.
    type Told<'a> = (&'a str, Option<u64>, &'a [(&'a str, usize)]);

    #[test]
    fn plans_for_several_versions_are_told_as_one() {
        let check = |plans: &[Plan], wanted: Option<Told<'_>>| {
            let got = together(plans);
            let wanted = wanted.map(|(strategies, ms, parts)| BatchPlan {
                strategy_used: strategies.to_owned(),
                estimated_completion_time: ms.map(|ms| Micros(1000 * ms)),
                parts: parts
                    .iter()
                    .map(|&(node, requests)| BatchPart { node: NodeId(node.into()), requests })
                    .collect(),
            });
            assert_eq!(got, wanted);
        };
        let first = plan(Strategy::Predictive, Some(7), &[("b", 3), ("a", 2)]);
        let other = plan(Strategy::RoundRobin, Some(9), &[("c", 1), ("b", 1)]);
        let unknown = plan(Strategy::Predictive, None, &[("c", 4)]);
        check(&[], None);
        check(std::slice::from_ref(&first), Some(("predictive", Some(7), &[("a", 2), ("b", 3)])));
        check(
            &[first.clone(), other],
            Some(("predictive,round_robin", Some(9), &[("a", 2), ("b", 4), ("c", 1)])),
        );
        check(&[first, unknown], Some(("predictive", None, &[("a", 2), ("b", 3), ("c", 4)])));
    }
}
