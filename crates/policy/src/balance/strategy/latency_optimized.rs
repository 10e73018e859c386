//! `latency_optimized`: score = w ÷ (P · (L ÷ u + 1)).
//!
//! P is the peak EWMA of the node's latency (a rise counts at once, a fall with time), L the rows in flight there and u the
//! rows that a request usually has, so that L ÷ u + 1 is the request's place in the queue. A failure counts as four times the
//! latency that was usual at the node.

use crate::balance::view::View;

pub(in crate::balance) fn score(view: &View) -> f64 {
    view.weight / (view.peak * (view.load / view.usual_rows.max(1.0) + 1.0))
}
