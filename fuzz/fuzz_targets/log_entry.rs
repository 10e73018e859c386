//! Bytes as an entry of the step log, and as a state that is brought back.

#![no_main]

#[path = "../node.rs"]
mod node;

use node::{sequences, settings, start_up};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    start_up::log_entry(bytes);
});
