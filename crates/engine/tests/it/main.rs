//! Promises of the engine as its users see it: bad data, model files, states, honesty, forged bytes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod bad_data;
mod batches;
mod files;
mod forged;
#[cfg(feature = "gpu")]
mod gpu;
mod honesty;
mod memory;
mod states;
mod support;

/// What the fuzzer runs, run here on inputs that a seed makes.
#[path = "../../../../fuzz/bodies.rs"]
mod bodies;
