//! Bytes as the text of a model's `serving.toml`.

#![no_main]

#[path = "../node.rs"]
mod node;

use node::{sequences, settings, start_up};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    start_up::serving_toml(bytes);
});
