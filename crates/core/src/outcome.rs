//! The one record in which every request ends.
//!
//! Metrics, service levels, the audit trail and threat detection are readers of the outcome stream. They
//! agree because none of them counts for itself. **Each inference request produces exactly one outcome.**

use crate::{
    Code, Micros, ModelHash, ModelName, ModelVersion, NodeId, NumericProfile, SequenceId, TenantId, Trace,
};
use std::sync::Arc;

/// How the request arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// OIP REST with JSON tensors only.
    HttpJson,
    /// OIP REST with binary tensors.
    HttpBinary,
    /// OIP gRPC.
    Grpc,
    /// A request of a batch call.
    HttpBatch,
    /// A message of a gRPC stream.
    GrpcStream,
}

impl Protocol {
    /// The protocol as a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Protocol::HttpJson => "http_json",
            Protocol::HttpBinary => "http_binary",
            Protocol::Grpc => "grpc",
            Protocol::HttpBatch => "http_batch",
            Protocol::GrpcStream => "grpc_stream",
        }
    }
}

/// What a batch call is called: by the server, unlike a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BatchCallId(pub Arc<str>);

/// A batch call has begun or is over. Its requests have outcomes of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchCall {
    /// Which one.
    pub id: BatchCallId,
    /// Its place in a trace, where traces are kept; those of its requests lie under it.
    pub trace: Option<Trace>,
    /// Its requests.
    pub requests: usize,
    /// How they were divided over nodes, where there are nodes to choose from.
    pub plan: Option<Arc<BatchPlan>>,
    /// From its last byte in; to its answer's first byte out, once it is over.
    pub total: Micros,
    /// Whether it has begun or how it ended.
    pub phase: BatchCallPhase,
}

/// How the requests of a batch call were divided over nodes, before one was sent. Steps of sequences are not in it: they go where
/// their sequences are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchPlan {
    /// The strategy that it was divided by. Where models have strategies of their own: all that were used, with commas between
    /// them.
    pub strategy_used: String,
    /// When the slowest part should be done, from then on; nothing where of one of them nobody can say yet.
    pub estimated_completion_time: Option<Micros>,
    /// What each node gets, by name.
    pub parts: Vec<BatchPart>,
}

/// What a node gets of a batch call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchPart {
    /// The node.
    pub node: NodeId,
    /// How many requests.
    pub requests: usize,
}

/// Where a batch call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchCallPhase {
    /// Its requests are known, none has an answer.
    Started,
    /// It is over.
    Completed {
        /// Requests that were answered.
        answered: usize,
        /// Requests that were refused or failed.
        failed: usize,
        /// Requests that were under way when the caller went away.
        cancelled: usize,
    },
}

/// How the request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResultClass {
    /// Answered with a prediction.
    Answered,
    /// Refused or failed, with the code that the caller saw.
    Failed(Code),
    /// The caller went away before the answer.
    Cancelled,
}

/// Where the time went. A stage that was not reached is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    /// From the last byte in to the answer's first byte out.
    pub total: Micros,
    /// Decoding and validating the request.
    pub decode: Micros,
    /// Waiting in the node's queue.
    pub queue: Micros,
    /// The engine, for the whole batch it rode in.
    pub compute: Micros,
    /// Encoding the answer.
    pub encode: Micros,
}

/// The batch that a request rode in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchShare {
    /// Windows of all requests in the batch.
    pub windows: usize,
    /// Whether this request stands for the batch where batches are counted: exactly one of its requests does.
    pub counts: bool,
}

/// A step of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceStep {
    /// The sequence.
    pub id: SequenceId,
    /// Its number: the one that it was taken under or, where it was not, that the caller gave, if he gave one.
    pub number: Option<u64>,
}

/// What became of one inference request.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The caller's id of the request, cut where it is long, empty where none was given.
    pub request_id: String,
    /// Where it stands in a trace, where traces are kept.
    pub trace: Option<Trace>,
    /// Who asked; empty where nobody knows.
    pub principal: Arc<str>,
    /// Whose request it is.
    pub tenant: TenantId,
    /// The policies that let it in or kept it out, with commas between them; empty where none was asked.
    pub policy: Arc<str>,
    /// How the request arrived.
    pub protocol: Protocol,
    /// The batch call that it came in, where it did.
    pub batch_call: Option<BatchCallId>,
    /// The model asked for, where the name was readable.
    pub model: Option<ModelName>,
    /// The version that answered.
    pub version: Option<ModelVersion>,
    /// The bytes that answered.
    pub model_hash: Option<ModelHash>,
    /// The arithmetic that answered.
    pub profile: Option<NumericProfile>,
    /// The node that answered or refused.
    pub node: Option<NodeId>,
    /// The step of a sequence that it is, where it is one.
    pub step: Option<SequenceStep>,
    /// Windows in the request, 0 where it could not be read.
    pub windows: usize,
    /// The batch that it rode in, where the engine was reached.
    pub batch: Option<BatchShare>,
    /// Where the time went.
    pub timings: Timings,
    /// How it ended.
    pub result: ResultClass,
}
