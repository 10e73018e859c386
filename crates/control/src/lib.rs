//! Control: the part of a region that looks after the others, and is in the way of no prediction.
//!
//! It begins with supervision: [`Supervisor`] starts node processes on this machine and starts them again when they end.

mod supervisor;

pub use supervisor::{Nodes, Running, Supervisor};
