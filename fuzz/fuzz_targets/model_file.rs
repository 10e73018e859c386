//! Bytes as a model file whose checksum has been made right.

#![no_main]

#[allow(dead_code, reason = "each target uses its part")]
#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    bodies::model_file(bytes);
});
