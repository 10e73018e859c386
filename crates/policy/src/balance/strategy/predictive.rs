//! `predictive`: score = w ÷ predicted latency, as long as latency can be predicted at every candidate.
//!
//! The prediction is the node's own regression of latency on the rows of the request and the rows in flight before it
//! (`regressor`). Of a node that has ended fewer than 30 requests, or whose regression errs by more than half of the latency,
//! it is that of all nodes together, but not less than the node's mean latency. Where that errs too much as well, the request
//! is placed by `weighted_least_connections`, and the pick says so. Slowness needs no other correction here, for it is
//! what is predicted.

use crate::balance::view::View;

pub(in crate::balance) fn score(view: &View) -> Option<f64> {
    view.predicted.map(|seconds| view.weight / seconds.max(1e-6))
}
