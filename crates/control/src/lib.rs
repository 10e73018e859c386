//! Control: the part of a region that looks after the others, and is in the way of no prediction.
//!
//! [`Supervisor`] starts node processes on this machine and takes them along, [`Guardian`] starts those that go on without it and finds
//! them again. [`Control`] leads while it holds a lease, and carries out plans that are kept in the store, such as a restart of all nodes,
//! one after the other. Both are decided by [`spinwell_policy`]: `leadership` and `rolling`. What an earlier one has left
//! running and nobody looks after, it [sends away](LeftOver). How many it looks after can be changed while it runs. Of what is promised and
//! whether it is kept, [`ServiceLevels`] knows by the pages that gateways show.

mod api;
mod control;
mod document;
mod door;
mod guardian;
mod left_over;
mod levels;
mod metrics;
mod ops;
mod plans;
mod provisioner;
mod record;
mod running;
mod sizes;
mod supervisor;

pub use control::{Control, Parts};
pub use door::Book;
pub use guardian::{Guardian, Home};
pub use left_over::LeftOver;
pub use levels::{PageError, ServiceLevels, Sight, service_level_event};
pub use ops::{Plane, router};
pub use provisioner::Provisioner;
pub use record::{Claim, Record};
pub use running::{Nodes, Running};
pub use sizes::wanted_at_start;
pub use supervisor::Supervisor;
