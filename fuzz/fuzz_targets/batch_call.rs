//! Bytes as the JSON of a batch call.

#![no_main]

#[path = "../wire.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    wire::batch_call(bytes);
});
