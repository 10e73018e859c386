//! What is done about a breach, by itself, and what keeps that from doing harm.
//!
//! A remedy that is wrong makes an outage of a hiccup. So each follows from figures that point at it (`diagnosis`), passes guards, is tried
//! alone and is taken back when it did not help:
//! * *Only pages* lead to anything, and for an objective one thing is tried at a time.
//! * *Rates*: each kind of action only so often, and all together only so often a day; after that, people decide.
//! * *Blast radius*: never more than a third of the nodes are out, whoever took them out.
//! * *Review*: when one short window of the alert lies behind an action and the burn rate has not fallen, it is undone and not tried
//!   again for a while.
//! * *Dry run*: all of this is decided and written down, and nothing is done.
//!
//! A decision is a value: what was seen, what follows, why, and which guard stood in the way. Whoever carries it out chooses nothing.
//!
//! ```
//! use spinwell_core::{Millis, NodeId, UnixMillis};
//! use spinwell_policy::slo::remedy::{Action, Guards, Mode, NodeSeen, NodeState, Remedy, RemedyPast, Situation, Step};
//! use spinwell_policy::slo::{Counts, ObjectiveName, Severity};
//! let node = |name: &str, bad| NodeSeen {
//!     id: NodeId(name.into()),
//!     state: NodeState::Serving,
//!     counts: Counts::with_bad(bad, 1_000),
//! };
//! let seen = Situation {
//!     objective: ObjectiveName::new("availability").unwrap(),
//!     firing: Some(Severity::Page),
//!     short: Millis(300_000),
//!     counts: Counts::with_bad(303, 3_000),
//!     is_about_capacity: false,
//!     nodes: vec![node("a", 1), node("b", 300), node("c", 2)],
//!     nodes_max: 20,
//!     utilisation_percent: None,
//!     is_shedding: false,
//!     rollouts: Vec::new(),
//! };
//! let mut remedy = Remedy::new(Guards { mode: Mode::Act, ..Guards::default() }, RemedyPast::default());
//! let decided = remedy.look(&seen, UnixMillis(1_795_824_000_000));
//! assert_eq!(decided[0].step, Step::Do(Action::EjectNode(NodeId("b".into()))));
//! assert_eq!(decided[0].reason, "node b is to blame: 300 of its 1000 were bad, 3 of the other 2000");
//! ```

mod decision;
mod diagnosis;
mod guards;
mod state;
#[cfg(test)]
mod tests;

pub use decision::{Action, Decision, Guard, Kind, Step, Verdict};
pub use diagnosis::{NodeSeen, NodeState, Rollout, Situation};
pub use guards::{Guards, Mode, Rate};
pub use state::{DECISIONS_MAX, Effect, Remedy, RemedyPast};
