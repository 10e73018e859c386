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
