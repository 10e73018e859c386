//! Decisions without clock, threads or I/O.
//!
//! What decides here is a value that is told the time. The same values run in production, in property tests and in
//! simulations.

pub mod accuracy;
pub mod attempts;
pub mod balance;
pub mod batch;
pub mod breaker;
pub mod capacity;
pub mod fence;
pub mod leadership;
pub mod quota;
pub mod refused_acts;
pub mod rolling;
pub mod scale;
pub mod sequence;
pub mod shards;
pub mod sizing;
pub mod slo;
pub mod split;
pub mod spread;
pub mod threat;
pub mod traffic;
