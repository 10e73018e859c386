//! The Open Inference Protocol V2, as bytes and as our own types, and the link between gateway and node.
//!
//! **Only this crate knows wire types.** A request arrives as JSON, as JSON with binary tensors behind it or
//! as protobuf, and leaves as the same [`Call`]; an answer goes the other way from one [`InferReply`]. So the
//! rules on shapes, datatypes, names and parameters are written once, and the wires cannot disagree.
//!
//! Nothing here reads a socket or a clock: the functions take bytes and give bytes or a
//! [`Fault`](spinwell_core::Fault) that says what would have been right.

mod call;
mod catalogue;
mod files;
pub mod grpc;
mod link;
pub mod load_report;
pub mod node_service;
mod outputs;
mod parameters;
mod predictions;
pub mod rest;
mod separated;
mod sequence;
mod statistics;
pub mod status;
mod task;
mod tensor;
mod traffic;
mod values;

pub use call::Call;
pub use catalogue::{Catalogue, Entry, ModelDescription, ModelFacts};
pub use files::{
    BESIDE_BYTES_MAX, Beside, FILE_BYTES_MAX, FileAnswer, FileKey, FileOffer, FilePart, FileRequest,
    HeldFile, PART_BYTES_MAX,
};
pub use link::{
    Attempts, GpuLoad, IndexEntry, InferFuture, InferReply, InferRequest, LinkFuture, NodeLink, NodeLoad,
    NodeStanding, NodeStatus, RegionStatus, SequenceLoad, WaitingFor,
};
pub use outputs::{OutputName, Outputs, Packing, RequestedOutput};
pub use parameters::{ParameterValue, Parameters, RequestParameters};
pub use predictions::{OutputTensor, Predictions};
pub use separated::split as split_names;
pub use sequence::{
    SequenceCall, SequenceReply, StateAnswer, StateCall, StateRequest, checked_id as checked_sequence_id,
};
pub use spinwell_core::{Caller, Order};
pub use statistics::{Counts, Durations, ModelStatistics};
pub use task::{ForecastFacts, OutputFacts, Task};
pub use tensor::Datatype;
pub use traffic::{Part, Traffic};
pub use values::{OutputDatatype, Values};

/// The name under which this server presents itself.
pub const SERVER_NAME: &str = "spinwell";

/// The extensions of the protocol that this server offers; nothing stands here before it works.
pub const EXTENSIONS: &[&str] = &[
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "parameters",
    "schedule_policy",
    "sequence",
    "sequence(string_id)",
    "statistics",
];

/// Shortens what a caller wrote so that it can be repeated to him in a message.
#[must_use]
pub fn quoted(text: &str) -> String {
    const LONGEST: usize = 64;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// The reason that a library gives, shortened: it may repeat the whole of what a caller wrote.
#[must_use]
pub fn reason(error: &dyn std::fmt::Display) -> String {
    const LONGEST: usize = 256;
    let text = error.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
