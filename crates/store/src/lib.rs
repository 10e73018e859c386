//! What outlives a process: the step log, and records in SQL.
//!
//! A [`Log`] is where the truth of sequences is kept first: entries are on the disk before anybody is told that they
//! are taken. A [`Database`] holds what is looked up later, such as where each sequence stands. Both are opened by one
//! process at a time, which [`Lock`] sees to. What several processes share is in [`postgres::Postgres`]. Who leads and what is under
//! way is in one or the other, which a [`ControlStore`] hides. A [`ledger::Writer`] keeps a log of the audit trail.

mod control;
mod database;
mod leases;
pub mod ledger;
mod lock;
pub mod log;
mod plans;
pub mod postgres;
mod sequences;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use control::ControlStore;
pub use database::{Database, DatabaseError};
pub use leases::Lease;
pub use lock::{Lock, LockError};
pub use log::{Follows, Log, LogError, Position};
pub use plans::{PlanChange, StoredPlan};
pub use sequences::{SequencePhase, SequenceRow, Swept};
