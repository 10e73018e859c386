//! Sequences across nodes, under views that diverge and everything else that goes wrong.
//!
//! Nodes, gateways and callers here share a log, and decide with the very structs of [`spinwell_policy::sequence`]: each node with
//! `Trial`, `Tails` and `Roles`, each gateway with `Homes`. What is modelled is the rest: a log that fences and now and then hangs or
//! loses its answers, a model that is a hash of all rows so far, ways that keep the order of what is sent on them, and callers who
//! send again, restart, and do wrong.
//!
//! ```
//! use spinwell_sim::{invariants, sequences};
//! let scenario = sequences::scenario(1);
//! let history = sequences::run(&scenario);
//! assert_eq!(invariants::check_sequences(&scenario, &history), []);
//! ```

mod callers;
mod gateways;
mod history;
mod log;
mod node;
mod scenario;
mod state;
mod totals;
mod turns;
mod world;

pub use history::{Answer, Answered, History, Op, Request};
pub use log::Written;
pub use scenario::{CallerSpec, Fault, Plant, Scenario, scenario};
pub use state::{Entry, State, fold};
pub use totals::Totals;
pub use world::run;
