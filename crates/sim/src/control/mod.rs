//! Controls that lead a region and stop its nodes one after the other, while everything about them goes wrong.
//!
//! Controls, nodes and a store decide here with the very structs of [`spinwell_policy`]: each control with `leadership` and `rolling`, each
//! node with its `fence`. What is modelled is the rest: a store with a lease and plans, by the rules of `spinwell-store`; a network that
//! is late and loses; processes that crash, stand still and come again; gateways that find nodes in their own time; clocks that differ.
//!
//! ```
//! use spinwell_sim::{control, invariants};
//! let scenario = control::scenario(1);
//! let history = control::run(&scenario);
//! assert_eq!(invariants::check_control(&scenario, &history), []);
//! ```

mod history;
mod process;
mod region;
mod scenario;
mod store;
mod totals;
mod world;

pub use history::{Given, Heard, History, Life, Link, PlanId, Written};
pub use scenario::{Fault, Plant, Scenario, Wish, scenario};
pub use store::Kind;
pub use totals::Totals;
pub use world::run;
