//! How a batch call is divided over nodes.
//!
//! Each node gets a part in proportion to its share of capacity. Rounding down, as one would write it first, loses up to
//! one request a node; parts are therefore rounded by the largest remainder: all are rounded down, and what is left over goes
//! one by one to the nodes that rounding took most from (Hamilton's method; ties by order). Parts are runs of the batch in
//! its order, and sum up to it exactly.
//!
//! The largest remainder alone would send what is left over of each batch to the same nodes, and the few requests of a small
//! batch to the same few, from all gateways that know the same. So the order is drawn at random, and a batch of fewer
//! requests than there are nodes is divided among as many nodes, which are drawn as for single requests. A node that wants a
//! probe gets one request, as it would of single ones; otherwise a region that is only sent batches would never try it again.
//!
//! A plan says where requests go first. What becomes of one whose node fails, refuses or is late is decided for it alone, as
//! for a request that came alone ([`attempts`](crate::attempts)): within its own deadline, and within what the cluster can
//! bear. A batch that went on as a whole would need the same deadlines, budgets and memory of who was tried a second time.
//!
//! ```
//! use spinwell_policy::split::largest_remainder;
//! assert_eq!(largest_remainder(10, &[1.0, 1.0, 1.0]), [4, 3, 3]);
//! assert_eq!(largest_remainder(7, &[0.6, 0.3, 0.1]), [4, 2, 1]);
//! ```

use crate::balance::{Ask, Balancer, Strategy};
use crate::breaker::Candidates;
use spinwell_core::{NodeId, Rng};
use std::time::{Duration, Instant};

/// What is to be divided.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The rows of each request.
    pub rows: &'a [usize],
    /// By which strategy.
    pub strategy: Strategy,
}

/// How a batch is divided.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What each node gets. Nobody gets nothing.
    pub parts: Vec<Part>,
    /// The strategy whose scores the batch was divided by.
    pub strategy_used: Strategy,
    /// When the slowest part should be done, from the start; `None` where of one of them nobody can say.
    pub estimated_completion_time: Option<Duration>,
}

/// What a node gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The node.
    pub node: NodeId,
    /// Its requests, by their places in the batch.
    pub requests: Vec<usize>,
}

/// Divides `total` in proportion to shares, in whole numbers that sum up to it. Shares that are not above zero get nothing,
/// unless none is: then all count the same. Of no shares nothing comes.
#[must_use]
pub fn largest_remainder(total: usize, shares: &[f64]) -> Vec<usize> {
    let number = |share: &f64| if share.is_finite() { share.max(0.0) } else { 0.0 };
    let mut shares: Vec<f64> = shares.iter().map(number).collect();
    // Numbers near the largest would sum up to infinity.
    let largest = shares.iter().copied().fold(0.0, f64::max);
    shares.iter_mut().for_each(|share| *share = if largest > 0.0 { *share / largest } else { 1.0 });
    let sum: f64 = shares.iter().sum();
    let exact: Vec<f64> = shares.iter().map(|share| total as f64 * share / sum).collect();
    let mut parts: Vec<usize> = exact.iter().map(|exact| exact.floor() as usize).collect();
    let mut order: Vec<usize> = (0..parts.len()).filter(|&place| shares[place] > 0.0).collect();
    order.sort_by(|&a, &b| {
        (exact[b] - exact[b].floor()).total_cmp(&(exact[a] - exact[a].floor())).then(a.cmp(&b))
    });
    let mut given: usize = parts.iter().sum();
    // Rounding of the arithmetic itself may have given one too many of a very large total.
    for &place in order.iter().rev().cycle().take_while(|_| !order.is_empty()) {
        if given <= total {
            break;
        }
        if parts[place] > 0 {
            parts[place] -= 1;
            given -= 1;
        }
    }
    let left = total - given.min(total);
    order.iter().cycle().take(left).for_each(|&place| parts[place] += 1);
    parts
}

/// Divides a batch among candidates. Where none of them serves, only probes are sent, and the plan may lack requests; `None`
/// where it would lack all.
#[must_use]
pub fn plan(
    balancer: &mut Balancer,
    batch: Batch<'_>,
    candidates: &Candidates,
    now: Instant,
    rng: &mut Rng,
) -> Option<Plan> {
    let Batch { rows, strategy } = batch;
    let requests: Vec<usize> = (0..rows.len()).collect();
    let (probes, rest) = requests.split_at(candidates.probing.len().min(rows.len()));
    let of = |requests: &[usize]| requests.iter().map(|&request| rows[request]).sum::<usize>();
    let part = |node: NodeId, requests: &[usize]| Part { node, requests: requests.to_vec() };
    let mut parts: Vec<Part> =
        candidates.probing.iter().zip(probes).map(|(node, probe)| part(node.clone(), &[*probe])).collect();
    // Scored as what an equal part would be: a batch of thousands is not put off by a node that has one request.
    let count = candidates.serving.len().min(rest.len());
    let ask = Ask { rows: of(rest) / count.max(1), strategy };
    let nodes = drawn(balancer, ask, &candidates.serving, count, now, rng);
    let (strategy_used, shares) = balancer.shares(ask, &nodes, now);
    let counts = largest_remainder(rest.len(), &shares.iter().map(|&(_, share)| share).collect::<Vec<_>>());
    let mut left = rest;
    for ((node, _), count) in shares.into_iter().zip(counts) {
        let (own, others) = left.split_at(count);
        left = others;
        if !own.is_empty() {
            parts.push(part(node, own));
        }
    }
    let takes = parts.iter().map(|part| {
        // Its last request, behind all others: what one request with all their rows would take was never seen.
        let last = part.requests.last().map_or(0, |&last| rows[last]);
        balancer.expected(&part.node, last, of(&part.requests) - last, now)
    });
    let estimated_completion_time =
        takes.collect::<Option<Vec<Duration>>>().map(|takes| takes.into_iter().max().unwrap_or_default());
    (!parts.is_empty()).then_some(Plan { parts, strategy_used, estimated_completion_time })
}

/// So many of the nodes: all of them in any order, or else some that are drawn as for single requests.
fn drawn(
    balancer: &mut Balancer,
    ask: Ask,
    nodes: &[NodeId],
    count: usize,
    now: Instant,
    rng: &mut Rng,
) -> Vec<NodeId> {
    let mut left = nodes.to_vec();
    let mut drawn = Vec::with_capacity(count);
    while drawn.len() < count {
        let place = match count < nodes.len() {
            true => {
                let Some(pick) = balancer.pick(ask, &left, now, rng) else { break };
                left.iter().position(|node| *node == pick.node).unwrap_or_default()
            }
            false => rng.below(left.len() as u64) as usize,
        };
        drawn.push(left.swap_remove(place));
    }
    drawn
}

#[cfg(test)]
mod tests;
