//! Promises of the protocol about what strangers send.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop where it stands"
)]

mod forged;

/// What the fuzzer runs, run here on inputs that a seed makes.
#[path = "../../../../fuzz/wire.rs"]
mod wire;

/// What the fuzzer and the tests start from.
#[path = "../../../../fuzz/requests.rs"]
mod requests;
