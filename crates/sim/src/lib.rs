//! A cluster on a virtual clock.
//!
//! Gateways and nodes here have no threads, sockets or clocks, but they decide with the very structs of `spinwell-policy` that
//! serve real requests: each gateway its balancer, its breakers, its retry budget and its timeouts, each node its queue. What
//! is modelled is the rest: a network that delays, executors that take time, and faults. A run is fixed by its scenario,
//! the seed among it, so that what went wrong once goes wrong again.
//!
//! Sequences across nodes are another model, with a log and callers in it: [`sequences`]. Controls that lead, and that stop nodes one after
//! the other, are a third, with a store in it: [`control`]. Days of a region that grows and shrinks are a fourth, of flows instead of requests:
//! [`elastic`].
//!
//! After each run invariants are checked ([`invariants`]): promises that must hold whatever happens. That the harness finds
//! what breaks them is shown by planted bugs ([`scenario::Plant`]).
//!
//! ```
//! use spinwell_sim::{faults, invariants, world};
//! let scenario = faults::scenario(7, &faults::Kind::ALL, faults::Size::SMALL);
//! let history = world::run(&scenario);
//! assert_eq!(invariants::check(&scenario, &history), []);
//! ```

mod agenda;
pub mod compare;
pub mod control;
pub mod elastic;
pub mod faults;
mod figures;
mod gateway;
mod history;
pub mod invariants;
mod node;
pub mod scenario;
pub mod sequences;
pub mod traces;
pub mod world;

pub use figures::Figures;
pub use history::History;
