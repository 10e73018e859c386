//! Bytes as a signed checkpoint, as the text of one, and as a key of a log.

#![no_main]

#[allow(dead_code, reason = "each target uses its part")]
#[path = "../ledger.rs"]
mod ledger;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ledger::checkpoint(bytes);
});
