//! The link between a gateway and a node.
//!
//! A gateway speaks to this trait only, never to a node: in one process the node implements it directly, in
//! a cluster a connection does. What crosses it is already checked, so a node may trust shapes and names.

use crate::{
    Catalogue, FileAnswer, FileRequest, ModelDescription, Outputs, Predictions, SequenceCall, SequenceReply,
};
use crate::{StateAnswer, StateCall, quoted};
use spinwell_core::{
    BatchPlan, BatchShare, Caller, Code, Fault, Micros, Millis, ModelName, ModelVersion, NodeId,
    NumericProfile, Order, Priority, SequenceKey, Series, TenantId,
};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

/// Something that a node does, when it is done.
pub type LinkFuture<T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + Send>>;

/// The answer of a node, when it comes.
pub type InferFuture = LinkFuture<InferReply>;

/// A way to the nodes that hold models.
pub trait NodeLink: Send + Sync + 'static {
    /// What is served, as of now.
    fn models(&self) -> Arc<Catalogue>;

    /// Predicts from each window. Dropping the future gives up on the answer.
    fn infer(&self, request: InferRequest) -> InferFuture;

    /// The same for the requests of one batch call, as they come: an answer for each, in their order, and how they were divided
    /// over nodes, where this has nodes to choose from. Takes all of them before it returns.
    fn infer_all(
        &self,
        requests: &mut dyn Iterator<Item = InferRequest>,
    ) -> (Vec<InferFuture>, Option<BatchPlan>) {
        (requests.map(|request| self.infer(request)).collect(), None)
    }

    /// Does something with the state of a sequence.
    fn sequence_state(&self, key: SequenceKey, call: StateCall) -> LinkFuture<StateAnswer>;

    /// Every version of every model that could be served, whether it is or not.
    fn index(&self) -> LinkFuture<Vec<IndexEntry>>;

    /// Serves a model's files as they are now: new and changed versions are tried out first and take the place of what is
    /// served in one step; requests under way keep the version that they began with. Comes with the versions that could not
    /// be loaded, beside those that are served now.
    fn load_model(&self, name: ModelName) -> LinkFuture<Vec<IndexEntry>>;

    /// Serves no version of a model any more, after the requests under way.
    fn unload_model(&self, name: ModelName) -> LinkFuture<()>;

    /// How busy the nodes are.
    fn load(&self) -> NodeLoad;

    /// The nodes behind this, and how they are chosen; nothing where it is a node itself.
    fn region(&self) -> Option<RegionStatus> {
        None
    }

    /// Has a node stop in good order; where a plan has it, by that order. It comes when the node has taken notice.
    fn drain(&self, node: NodeId, order: Option<Order>) -> LinkFuture<()> {
        let _ = order;
        let message = format!("this server has no nodes of their own, so {node} cannot be drained");
        Box::pin(async { Err(Fault::new(Code::NotOffered, message)) })
    }

    /// Chooses nodes by that strategy from now on: for the requests of a model, or, where none is named, of all that have none of
    /// their own.
    ///
    /// # Errors
    /// Where there is no strategy or no model of that name, or no nodes.
    fn choose_by(&self, strategy: &str, model: Option<&ModelName>) -> Result<(), Fault> {
        let _ = (strategy, model);
        Err(nothing_to_choose())
    }

    /// Chooses nodes for the requests of a model as for others again.
    ///
    /// # Errors
    /// Where it has no strategy of its own, or there are no nodes.
    fn choose_as_usual(&self, model: &ModelName) -> Result<(), Fault> {
        let _ = model;
        Err(nothing_to_choose())
    }

    /// Whether sequences are in a log that all nodes of the region share, so that another one can go on with them.
    fn shares_sequences(&self) -> bool {
        false
    }

    /// Whether this is a node with a folder of models, which can be asked for files and be brought some.
    fn exchanges_files(&self) -> bool {
        false
    }

    /// Does something with the files of a node.
    fn files(&self, request: FileRequest) -> LinkFuture<FileAnswer> {
        let _ = request;
        Box::pin(async { Err(Fault::new(Code::NotOffered, "this server keeps no files of models")) })
    }

    /// A gateway says which nodes it sees, with their weights, or that it is gone. Only a node that shares sequences minds.
    fn seen(&self, gateway: &str, nodes: Option<Vec<(NodeId, f64)>>) {
        let _ = (gateway, nodes);
    }
}

fn nothing_to_choose() -> Fault {
    Fault::new(Code::NotOffered, "this server has no nodes to choose from")
}

/// A version of a model that could be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// The model.
    pub name: ModelName,
    /// The version.
    pub version: ModelVersion,
    /// Whether it answers.
    pub is_ready: bool,
    /// Why it does not; empty where it does.
    pub reason: String,
}

impl IndexEntry {
    /// The protocol's word for whether it answers.
    #[must_use]
    pub fn state(&self) -> &'static str {
        if self.is_ready { "READY" } else { "UNAVAILABLE" }
    }
}

/// Checks a parameter of a load or unload, from either wire. `untrue` gives its value as text, where that is neither true
/// nor false; it is asked only where that matters, as a value may be a whole file.
///
/// # Errors
/// [`Code::NotOffered`] where it brings a model's files or configuration along: models come from the models folder.
/// [`Code::RequestInvalid`] where it has to be true or false and is not.
pub(crate) fn checked_repository_parameter(
    name: &str,
    untrue: impl FnOnce() -> Option<String>,
) -> Result<(), Fault> {
    if name == "unload_dependents"
        && let Some(value) = untrue()
    {
        let message = format!("parameter {name} must be true or false, it is {}", quoted(&value));
        return Err(Fault::new(Code::RequestInvalid, message));
    }
    if name == "config" || name.starts_with("file:") {
        let message =
            "a model is loaded from the models folder; put its file there instead of sending it along";
        return Err(Fault::new(Code::NotOffered, message));
    }
    Ok(())
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
    /// Whether nobody waits for the answer, so that it runs only in time that nobody else wants.
    pub is_spare: bool,
    /// Whose it is.
    pub tenant: TenantId,
    /// The sequence that it is a step of; then there is one window, and its rows are fed to the sequence's state.
    pub sequence: Option<SequenceCall>,
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
    /// What became of its sequence, where it is a step of one.
    pub sequence: Option<SequenceReply>,
    /// What its record in the ledger is asked for by: of the gateway, where there is a ledger.
    pub receipt: Option<String>,
}

/// How busy a node is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NodeLoad {
    /// Requests waiting.
    pub queue_len: usize,
    /// Requests that may wait at most.
    pub queue_len_max: usize,
    /// The requests waiting by the version that they wait for; of every version that is served.
    pub waiting: Vec<WaitingFor>,
    /// Batches in the engine right now.
    pub batches_executing: usize,
    /// How long rows have waited and run since the start, in microseconds, each row by itself. What is added in a while,
    /// divided by that while, is how many rows were in flight on average (Little 1961, "A proof for the queuing formula").
    pub row_micros: u64,
    /// Batches that could be in the engine at once.
    pub executors: usize,
    /// The share of the processors' time that nobody used lately, in [0, 1], where it is known.
    pub cpu_free: Option<f64>,
    /// The share of the memory that is not in use, in [0, 1], where it is known.
    pub memory_free: Option<f64>,
    /// The sequences that the node keeps.
    pub sequences: SequenceLoad,
    /// The graphics cards whose driver tells; none elsewhere.
    pub gpus: Vec<GpuLoad>,
    /// Where this is the load of several nodes: how each of them is reached.
    pub nodes: Vec<NodeStanding>,
    /// Where requests are sent to nodes: what was counted of that.
    pub attempts: Attempts,
}

/// What a gateway knows of its region.
#[derive(Debug, Clone, PartialEq)]
pub struct RegionStatus {
    /// The name of the strategy by which nodes are chosen.
    pub strategy: String,
    /// Those of models that have one of their own.
    pub routes: BTreeMap<ModelName, String>,
    /// Its nodes, by name.
    pub nodes: Vec<NodeStatus>,
}

/// What a gateway knows of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeStatus {
    /// How it is reached.
    pub standing: NodeStanding,
    /// Where.
    pub address: String,
    /// How much work it takes in relation to the others.
    pub weight: f64,
    /// The processing cluster that it is part of.
    pub cluster: String,
    /// Predictions a second that it can carry, where it says so.
    pub capacity_per_second: Option<f64>,
    /// A number of its process's life, while it is connected.
    pub life: Option<u64>,
    /// Whether another node can go on with its sequences.
    pub shares_sequences: bool,
    /// Why it cannot be reached, while that is so and known.
    pub unreachable: Option<String>,
    /// How busy it is, while it is connected.
    pub load: Option<NodeLoad>,
    /// The gateways that are connected to it, where it tells.
    pub gateways: Option<Vec<Caller>>,
}

/// A node as the gateway sees it that sends it requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStanding {
    /// Its name.
    pub id: NodeId,
    /// Whether it can be asked.
    pub is_connected: bool,
    /// Whether it is about to stop.
    pub is_leaving: bool,
    /// Whether its breaker lets requests through.
    pub is_trusted: bool,
}

/// What was counted of attempts at nodes since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attempts {
    /// All of them.
    pub all: u64,
    /// Those that were not the first of their request.
    pub retries: u64,
    /// Those that were given up, because nothing was heard in time.
    pub timeouts: u64,
    /// Choices of a node, or of several for a batch, by another strategy than the one that was asked for, which cannot say yet.
    pub fell_back: u64,
}

/// Requests that wait for a version of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingFor {
    /// The model.
    pub model: ModelName,
    /// The version.
    pub version: ModelVersion,
    /// How many.
    pub requests: usize,
}

/// The sequences of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SequenceLoad {
    /// Those in memory.
    pub in_memory: u64,
    /// States that were copied to the disk, since the start.
    pub copied: u64,
    /// Those that expired, since the start.
    pub expired: u64,
    /// Those that cannot be made again of what the disk holds, at the last copy.
    pub lost: u64,
    /// Changes that a shared log has refused because another node had written, since the start.
    pub fenced: u64,
    /// Changes by other nodes that were read along, since the start.
    pub followed: u64,
    /// For how long a shared log has not answered what it was asked; nothing where it has.
    pub store_silent: Option<Millis>,
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
