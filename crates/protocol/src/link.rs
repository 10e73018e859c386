//! The link between a gateway and a node.
//!
//! A gateway speaks to this trait only, never to a node: in one process the node implements it directly, in
//! a cluster a connection does. What crosses it is already checked, so a node may trust shapes and names.

use crate::{Catalogue, ModelDescription, Outputs, Predictions};
use spinwell_core::{BatchShare, Fault, Micros, NodeId, NumericProfile, Priority, Series, TenantId};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

/// The answer of a node, when it comes.
pub type InferFuture = Pin<Box<dyn Future<Output = Result<InferReply, Fault>> + Send>>;

/// A way to the nodes that hold models.
pub trait NodeLink: Send + Sync + 'static {
    /// What is served, as of now.
    fn models(&self) -> Arc<Catalogue>;

    /// Predicts from each window. Dropping the future gives up on the answer.
    fn infer(&self, request: InferRequest) -> InferFuture;

    /// How busy the nodes are.
    fn load(&self) -> NodeLoad;
}

/// Work for a node.
#[derive(Debug, Clone)]
pub struct InferRequest {
    /// The model and version to predict with, from the link's own catalogue.
    pub model: Arc<ModelDescription>,
    /// The windows: checked against the model, finite.
    pub series: Series,
    /// The outputs to answer with, of those that the model has.
    pub outputs: Outputs,
    /// When the answer is worth nothing any more.
    pub deadline: Instant,
    /// How urgent it is.
    pub priority: Priority,
    /// Whose it is.
    pub tenant: TenantId,
}

/// A node's answer to one request.
#[derive(Debug, Clone)]
pub struct InferReply {
    /// The model that answered.
    pub model: Arc<ModelDescription>,
    /// The node that answered.
    pub node: NodeId,
    /// The arithmetic that it answered with: usually the model's own, another where a device has failed.
    pub profile: NumericProfile,
    /// What it predicted: every output that the request named, each in the shape of the model's description.
    pub predictions: Predictions,
    /// How long the request waited in the node's queue.
    pub queue: Micros,
    /// How long the engine took for the batch that the request rode in.
    pub compute: Micros,
    /// The batch that the request rode in.
    pub batch: BatchShare,
}

/// How busy a node is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NodeLoad {
    /// Requests waiting.
    pub queue_len: usize,
    /// Requests that may wait at most.
    pub queue_len_max: usize,
    /// Batches in the engine right now.
    pub batches_executing: usize,
    /// The graphics cards whose driver tells; none elsewhere.
    pub gpus: Vec<GpuLoad>,
}

/// How busy a graphics card is, with all that runs on it.
#[derive(Debug, Clone, PartialEq)]
pub struct GpuLoad {
    /// The name that its maker gave this one card.
    pub uuid: String,
    /// Share of the last moments in which it worked, in [0, 1], where it tells.
    pub utilization: Option<f64>,
    /// Bytes of its memory, where it tells.
    pub memory_total_bytes: Option<u64>,
    /// Bytes of it in use, where it tells.
    pub memory_used_bytes: Option<u64>,
    /// What it draws, in watts, where it tells.
    pub power_watts: Option<f64>,
}
