//! Bytes as a token, as what an issuer has signed, and as a set of public keys.

#![no_main]

#[allow(dead_code, reason = "each target uses its part")]
#[path = "../credentials.rs"]
mod credentials;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    credentials::token(bytes);
});
