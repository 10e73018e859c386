//! `weighted_least_connections`, the default: score = w · pace ÷ (L + r).
//!
//! L are the rows in flight at the node, r those of the request, w its weight, less for being new or failing, and *pace*
//! what slowness leaves of that. Rows and not requests, because they are what a node's time grows with.
//!
//! Without the pace a slow node would get the same share as others as long as little is in flight: least connections only
//! notices slowness by the queue that it makes.

use crate::balance::view::View;

pub(in crate::balance) fn score(view: &View) -> f64 {
    view.weight * view.pace / (view.load + view.rows).max(1.0)
}
