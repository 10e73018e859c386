//! Bytes as something encrypted, and as the record of a key.

#![no_main]

#[allow(dead_code, reason = "each target uses its part")]
#[path = "../credentials.rs"]
mod credentials;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    credentials::envelope(bytes);
});
