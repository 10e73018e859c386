//! Whether, when and where a request is tried again.
//!
//! Only the gateway tries again, and nobody else does: where three layers try three times each, a slow node gets 27 requests
//! for one. What may be tried again is decided in three parts:
//! * *Is there a point?* ([`Course`]) A wrong request is wrong everywhere. One that failed, or found its node full, goes to a
//!   node that it was not at, if enough time is left for an answer.
//! * *Can the cluster bear it?* ([`Budget`]) Retries are at most 20 % of the requests of the newest 10 s (and a few a second
//!   where there are hardly any), and at most 20 % of those under way at a time. Otherwise a cluster that fails because it is
//!   overloaded gets the load of all retries on top. A request that finds the budget spent waits for it, as long as it has
//!   time: when a node is lost, everything it had in flight comes at once.
//! * *When is an attempt given up?* ([`Timeouts`]) After a multiple of the P99 that answers took lately, at most a quarter of
//!   the failover timeout: who waits for that cannot try again within a request's deadline. Where that may be most of the time
//!   that there is, another node is asked beside it after half of the time.
//!
//! ```
//! use spinwell_core::NodeId;
//! use spinwell_policy::attempts::{Budget, BudgetOptions, Course, CourseOptions, End, Next};
//! use std::time::Duration;
//! # #[allow(clippy::disallowed_methods)]
//! # let now = std::time::Instant::now();
//! let mut budget = Budget::new(BudgetOptions::default(), now);
//! let mut course = Course::new(CourseOptions::default(), now + Duration::from_secs(1));
//! budget.begin(now);
//! course.begin(NodeId("a".into()));
//! let next = course.next(End::Failed, Duration::from_millis(10), now, &mut budget);
//! assert_eq!(next, Next::Retry);
//! assert_eq!(course.untried(&[NodeId("a".into()), NodeId("b".into())]), [NodeId("b".into())]);
//! ```

mod budget;
mod course;
mod quantiles;
#[cfg(test)]
mod tests;
mod timeouts;

pub use budget::{Budget, BudgetOptions};
pub use course::{Course, CourseOptions, End, GiveUp, Next};
pub use timeouts::{Outlook, Patience, TimeoutOptions, Timeouts};
