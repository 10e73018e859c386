//! Control: the part of a region that looks after the others, and is in the way of no prediction.
//!
//! [`Supervisor`] starts node processes on this machine and takes them along, [`Guardian`] starts those that go on without it and finds
//! them again. [`Control`] leads while it holds the lease of [`leadership`](Leadership), and carries out plans that are kept in the
//! store, such as a [rolling](rolling) restart of all nodes. What an earlier one has left
//! running and nobody looks after, it [sends away](LeftOver).

mod api;
mod control;
mod guardian;
mod leadership;
mod left_over;
mod metrics;
mod ops;
mod plans;
mod record;
pub mod rolling;
mod running;
mod supervisor;

pub use control::{Control, Parts};
pub use guardian::{Guardian, Home};
pub use leadership::{Answer, Ask, Leadership, Terms};
pub use left_over::LeftOver;
pub use ops::router;
pub use record::{Claim, Record};
pub use running::{Nodes, Running};
pub use supervisor::Supervisor;
