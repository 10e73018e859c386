//! Which nodes get no requests for a while, because too many of those that they got have failed.
//!
//! Three classes of ends are told apart. A *success* and a *failure* say something about the node. A *neutral* end does not:
//! the client was wrong, or the node was full and said so. Where such answers count as failures, one client opens the
//! breakers of a whole cluster, and a node that sheds load gets none when it is idle again.
//!
//! * *One breaker a node* (`circuit`): closed → open on 5 failures in a row, or where at least half of at least 20 ends in 10
//!   s were failures → open for 10 s · 2^k, ± 20 %, at most 300 s → half-open, with 1, then 2, then 4 probes, all of which
//!   must succeed → closed. A failed probe opens it again, with k one higher. k begins anew once the breaker was closed
//!   for as long as it had been open.
//! * *All breakers together* ([`Breakers`]): of the nodes that pass their checks, breakers eject at most max(1, ⌊n/3⌋).
//!   Whoever would be one too many stays, and balancing sends it less. Fractions that suit hundreds of hosts (10 %) would
//!   protect nobody in a cluster of three.
//! * *Nodes that are not there* need no statistics: who refuses connections, is silent for 1 s or has withdrawn is out at
//!   once and without a cap.
//! * *Nodes that had no room* are passed over for that model for 50 ms where others serve: a node that refuses at once has nothing in flight, and
//!   would be taken for the one that has the most room.
//!
//! Where nobody is left, nobody is chosen: the request is refused. Sending it to nodes that are known to be bad ("panic
//! routing") delays its failure and theirs.
//!
//! ```
//! use spinwell_core::{ModelName, NodeId, Rng};
//! use spinwell_policy::breaker::{Breakers, Class, Options};
//! # #[allow(clippy::disallowed_methods)]
//! # let now = std::time::Instant::now();
//! let (mut breakers, mut rng) = (Breakers::new(Options::default()), Rng::seeded(1));
//! let nodes = ["a", "b", "c"].map(|name| NodeId(name.into()));
//! nodes.iter().for_each(|node| breakers.join(node.clone(), now));
//! for _ in 0..5 {
//!     let permit = breakers.begin(&nodes[0], now).unwrap();
//!     breakers.end(permit, Class::Failure, now, &mut rng);
//! }
//! let model: ModelName = "demand".parse().unwrap();
//! assert_eq!(breakers.candidates(&model, now).serving, nodes[1..]);
//! ```

mod breakers;
mod circuit;
#[cfg(test)]
mod tests;

pub use breakers::{Breakers, Candidates, Health, Options, Permit};

/// What the end of an attempt says about the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// It did its work.
    Success,
    /// Nothing: the client was wrong or went away, or the node was full and said so.
    Neutral,
    /// It did not do its work: an error of its own, a broken connection, no answer in time.
    Failure,
}
