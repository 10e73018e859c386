//! Bytes as the message of an inference request over gRPC.

#![no_main]

#[allow(dead_code, reason = "each target uses its part")]
#[path = "../wire.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    wire::grpc_message(bytes);
});
