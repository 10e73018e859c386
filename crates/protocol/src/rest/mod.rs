//! The protocol over REST.

mod body;
mod decode;
mod encode;
mod metadata;
pub(crate) mod numbers;

pub use decode::{Framing, HEADER_LENGTH, decode};
#[cfg(test)]
pub(crate) use encode::tests::outputs_and_reply;
pub use encode::{Encoded, encode};
pub(crate) use encode::{extend_little_endian, values};
pub use metadata::{config, model, server};
