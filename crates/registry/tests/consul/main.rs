//! The registry against a real Consul, one agent of its own for each test.
//!
//! Nothing here asserts how long something takes: a test waits for a state, with a bound that a passing run never reaches.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod agent;
mod edge;
mod membership;
mod outages;
mod region;
mod rivals;
