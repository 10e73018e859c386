//! How a batch call is divided over nodes, and what becomes of the part of a node that fails.
//!
//! Each node gets a part in proportion to its share of capacity. Rounding down, as one would write it first, loses up to
//! one request a node; parts are therefore rounded by the largest remainder: all are rounded down, and what is left over goes
//! one by one to the nodes that rounding took most from (Hamilton's method; ties by order). Parts are runs of the batch in
//! its order, and sum up to it exactly.
//!
//! A batch that is under way ([`Course`]) knows of each request whether it has its result. Of a node that fails, the requests
//! without one are divided again among the others; where nobody is left they are refused. Every request ends in exactly
//! one result, and a result that comes twice is not taken twice.
//!
//! ```
//! use spinwell_core::NodeId;
//! use spinwell_policy::split::largest_remainder;
//! assert_eq!(largest_remainder(10, &[1.0, 1.0, 1.0]), [4, 3, 3]);
//! assert_eq!(largest_remainder(7, &[0.6, 0.3, 0.1]), [4, 2, 1]);
//! ```

use crate::balance::{Ask, Balancer, Strategy};
use spinwell_core::NodeId;
use std::time::{Duration, Instant};

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

/// Divides a batch, given as the rows of each request, among candidates. `None` where no candidate is known.
#[must_use]
pub fn plan(
    balancer: &Balancer,
    strategy: Strategy,
    rows: &[usize],
    candidates: &[NodeId],
    now: Instant,
) -> Option<Plan> {
    divide(balancer, strategy, rows, &(0..rows.len()).collect::<Vec<_>>(), candidates, now)
}

fn divide(
    balancer: &Balancer,
    strategy: Strategy,
    rows: &[usize],
    requests: &[usize],
    candidates: &[NodeId],
    now: Instant,
) -> Option<Plan> {
    let of = |requests: &[usize]| requests.iter().map(|&request| rows[request]).sum::<usize>();
    // Scored as what an equal part would be: a batch of thousands is not put off by a node that has one request.
    let each = of(requests) / candidates.len().max(1);
    let (strategy_used, shares) = balancer.shares(Ask { rows: each, strategy }, candidates, now);
    if shares.is_empty() {
        return None;
    }
    let counts =
        largest_remainder(requests.len(), &shares.iter().map(|&(_, share)| share).collect::<Vec<_>>());
    let mut left = requests;
    let mut parts = Vec::new();
    for ((node, _), count) in shares.into_iter().zip(counts) {
        let (own, others) = left.split_at(count.min(left.len()));
        left = others;
        if !own.is_empty() {
            parts.push(Part { node, requests: own.to_vec() });
        }
    }
    let takes = parts.iter().map(|part| balancer.expected(&part.node, of(&part.requests), now));
    let estimated_completion_time =
        takes.collect::<Option<Vec<Duration>>>().map(|takes| takes.into_iter().max().unwrap_or_default());
    Some(Plan { parts, strategy_used, estimated_completion_time })
}

/// Where a request of a batch is.
#[derive(Debug, Clone, PartialEq)]
enum Place<R> {
    At(NodeId),
    Done(R),
}

/// A batch under way.
#[derive(Debug)]
pub struct Course<R> {
    strategy: Strategy,
    rows: Vec<usize>,
    places: Vec<Place<R>>,
}

impl<R> Course<R> {
    /// A batch whose parts are sent, as planned.
    #[must_use]
    pub fn new(plan: &Plan, rows: Vec<usize>) -> Self {
        let nobody = NodeId("".into());
        let mut places: Vec<Place<R>> = rows.iter().map(|_| Place::At(nobody.clone())).collect();
        for part in &plan.parts {
            for &request in &part.requests {
                places[request] = Place::At(part.node.clone());
            }
        }
        Self { strategy: plan.strategy_used, rows, places }
    }

    /// The result of a request has come from a node. Whether it was taken: it is not where the request has one, or is not at
    /// that node any more.
    pub fn result(&mut self, node: &NodeId, request: usize, result: R) -> bool {
        let Some(place) = self.places.get_mut(request) else { return false };
        let is_taken = matches!(place, Place::At(at) if at == node);
        if is_taken {
            *place = Place::Done(result);
        }
        is_taken
    }

    /// A node has failed: what it had without results is divided among the candidates. `None` where it had nothing. Where
    /// nobody is left, `refusal` is the result of each.
    pub fn fail(
        &mut self,
        node: &NodeId,
        balancer: &Balancer,
        candidates: &[NodeId],
        now: Instant,
        refusal: impl Fn() -> R,
    ) -> Option<Plan> {
        let is_lost = |place: &Place<R>| matches!(place, Place::At(at) if at == node);
        let lost: Vec<usize> = (0..self.places.len()).filter(|&place| is_lost(&self.places[place])).collect();
        if lost.is_empty() {
            return None;
        }
        let others: Vec<NodeId> = candidates.iter().filter(|other| *other != node).cloned().collect();
        let plan = divide(balancer, self.strategy, &self.rows, &lost, &others, now);
        match &plan {
            Some(plan) => plan.parts.iter().for_each(|part| {
                part.requests.iter().for_each(|&request| self.places[request] = Place::At(part.node.clone()));
            }),
            None => lost.iter().for_each(|&request| self.places[request] = Place::Done(refusal())),
        }
        plan
    }

    /// Whether every request has its result.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.places.iter().all(|place| matches!(place, Place::Done(_)))
    }

    /// The results, in the order of the requests. Requests that have none get `missing`.
    #[must_use]
    pub fn results(self, missing: impl Fn() -> R) -> Vec<R> {
        let result = |place| match place {
            Place::Done(result) => result,
            Place::At(_) => missing(),
        };
        self.places.into_iter().map(result).collect()
    }
}

#[cfg(test)]
mod tests;
