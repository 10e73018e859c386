//! What gateways and nodes say to each other.
//!
//! A connection carries one exchange of messages: requests with numbers in one direction, answers with the same numbers in
//! the other, in whatever order they are ready. One stream and not a call for each request, because steps of a sequence must
//! arrive in the order in which they were sent, because a stream costs less than a call, and because the node's signs of life
//! come on the same way as its answers: where they stop, so have the answers.
//!
//! Models are described once on a connection and have numbers from then on ([`Describer`], [`Described`]). A number stays what
//! it is, so that a request means the version that its gateway had in mind, whatever the node has loaded since.

mod answers;
mod files;
mod models;
mod requests;

pub use answers::{Answer, answer_of, beat_of, callers_of, encode_answer, encode_beat};
pub use models::{Described, Describer};
pub use requests::{Request, encode_request, request_of};

use spinwell_core::{Code, Fault};

/// The messages and the service as generated from `proto/node.proto`.
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
    tonic::include_proto!("spinwell.node.v1");
}

/// The longest message between our own processes. Bodies are bounded where they come in; in JSON a number may be two bytes that
/// are eight here.
pub const MESSAGE_BYTES_MAX: usize = 1 << 30;

/// The other side of a connection between our own processes said what makes no sense.
fn senseless(what: impl std::fmt::Display) -> Fault {
    Fault::new(Code::Internal, format!("between gateway and node: {what}"))
}

fn whole(number: u64) -> Result<usize, Fault> {
    usize::try_from(number).map_err(|_| senseless("a number that is too large"))
}

#[cfg(test)]
mod tests;
