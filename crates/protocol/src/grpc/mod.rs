//! The protocol over gRPC.

mod codec;
mod convert;
mod metadata;

/// The messages and the service as generated from `proto/inference.proto`.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::needless_pass_by_value,
    clippy::semicolon_if_nothing_returned,
    clippy::redundant_closure_for_method_calls,
    reason = "generated code"
)]
pub mod wire {
    tonic::include_proto!("inference");
}

pub use codec::{CountingCodec, CountingDecoder, read_request};
pub use convert::{decode, encode, streamed, streamed_error};
pub use metadata::{
    NOT_LOADED_KEY, checked_repository_parameters, config, index, model, not_loaded, server, statistics,
};
