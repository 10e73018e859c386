//! The protocol over REST.

mod body;
mod decode;
mod encode;
mod metadata;
pub(crate) mod numbers;
mod observations;
mod predictions;

pub(crate) use body::ENTRIES_MAX;
pub use decode::{Framing, HEADER_LENGTH, decode};
#[cfg(test)]
pub(crate) use encode::tests::{asked, reply};
pub use encode::{Encoded, encode};
pub use metadata::{
    config, index, loaded, model, read_index_request, read_repository_request, server, statistics,
};
pub use observations::{
    LiveComparison, LiveVersion, Observation, ObservationCall, Observed, ObservedPlace, encode_observed,
    live_accuracy,
};
pub use predictions::{BatchCall, BatchedAnswer, BatchedRequest, encode_answers};
