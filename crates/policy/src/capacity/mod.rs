//! How many nodes a load needs.
//!
//! Utilisation alone does not answer that: at 80 % of three nodes one request in twenty waits longer than four service times, at 80 % of
//! twenty nodes hardly any waits. So the question is asked of a queueing model, in three steps. A [`ServiceCurve`] says how long a
//! node takes for how many requests at once; it is measured when a node warms up, and goes on being measured. A [`Queue`] says how
//! long requests wait at so many nodes. [`nodes_for`] looks for the fewest nodes that keep a [`Goal`].
//!
//! Beside it: [`survivable`], how busy nodes may be so that one of them may be lost, and [`Scalability`], what more nodes are worth where they
//! share something.
//!
//! ```
//! use spinwell_core::Ratio;
//! use spinwell_policy::capacity::{Goal, Load, Measure, PerSecond, Service, nodes_for};
//! use std::time::Duration;
//! let service = Service { time: Duration::from_millis(10), variability: 1.0, batch: 1.0, servers: 1 };
//! let load = Load { arrivals: PerSecond::new(240.0).unwrap(), variability: 1.0 };
//! let goal = Goal { percentile: Ratio::new(0.95).unwrap(), within: Duration::from_millis(25), of: Measure::Wait };
//! // Three nodes could do it, busy for 80 % of the time, but 5 % would wait for 43 ms and longer.
//! assert_eq!(nodes_for(load, &service, &goal, 20), Some(4));
//! ```

mod curve;
mod nodes;
mod queue;
mod scalability;
mod service;
#[cfg(test)]
mod tests;

pub use curve::{CurveError, Point, ServiceCurve};
pub use nodes::{Goal, HEADROOM, Measure, nodes_for, survivable, survivable_nodes};
pub use queue::Queue;
pub use scalability::{FitError, Measured, Scalability};
pub use service::{Load, PerSecond, Service};
