//! The protocol over REST.

mod body;
mod decode;
mod encode;
mod metadata;
pub(crate) mod numbers;

pub use decode::{Framing, HEADER_LENGTH, decode};
#[cfg(test)]
pub(crate) use encode::tests::{asked, reply};
pub use encode::{Encoded, encode};
pub use metadata::{config, model, server};
