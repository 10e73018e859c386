//! Control: the part of a region that looks after the others, and is in the way of no prediction.
//!
//! [`Supervisor`] starts node processes on this machine and takes them along, [`Guardian`] starts those that go on without it and finds
//! them again. [`Control`] leads while it holds a lease, and carries out plans that are kept in the store, such as a restart of all nodes,
//! one after the other. Both are decided by [`spinwell_policy`]: `leadership` and `rolling`. What an earlier one has left
//! running and nobody looks after, it [sends away](LeftOver).

mod api;
mod control;
mod document;
mod door;
mod guardian;
mod left_over;
mod metrics;
mod ops;
mod plans;
mod record;
mod running;
mod supervisor;

pub use control::{Control, Parts};
pub use door::Book;
pub use guardian::{Guardian, Home};
pub use left_over::LeftOver;
pub use ops::{Plane, router};
pub use record::{Claim, Record};
pub use running::{Nodes, Running};
pub use supervisor::Supervisor;
