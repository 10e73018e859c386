//! `predictive`: score = w ÷ predicted latency, as long as every candidate's prediction can be trusted.
//!
//! The prediction is the node's own regression of latency on the rows of the request and the rows in flight before it
//! (`regressor`); of a node that has ended fewer than 30 requests, the regression over all nodes. While the relative error of
//! one of them is above a half, the request is placed by `weighted_least_connections`, and the pick says so. Slowness needs
//! no other correction here, for it is what is predicted.

use crate::balance::view::View;

pub(in crate::balance) fn score(view: &View) -> Option<f64> {
    view.predicted.map(|seconds| view.weight / seconds.max(1e-6))
}
