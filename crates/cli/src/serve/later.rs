//! A node that has not started yet.
//!
//! A node loads its models, tries them out and brings sequences back before there is one, which takes seconds where there are
//! thousands of models; and a probe that finds nobody listening takes the process for dead. So the gateway is there first, with this
//! in its node's place, refuses what needs models by the process's phase, and finds the node here as soon as there is one.

use spinwell_core::{Code, Fault, ModelName, NodeId, SequenceKey};
use spinwell_node::Node;
use spinwell_protocol::{
    Catalogue, FileAnswer, FileRequest, IndexEntry, InferFuture, InferReply, InferRequest, LinkFuture,
    NodeLink, NodeLoad, StateAnswer, StateCall,
};
use std::sync::{Arc, OnceLock};

/// The place of a node.
#[derive(Default)]
pub(super) struct LaterNode(OnceLock<Arc<Node>>);

impl LaterNode {
    /// The node has started. Once.
    pub(super) fn set(&self, node: Arc<Node>) {
        let is_first = self.0.set(node).is_ok();
        debug_assert!(is_first, "a process has one node");
    }

    /// Stops the node, where it has started. Blocks, on a thread that may.
    pub(super) fn stop(&self) {
        if let Some(node) = self.0.get() {
            node.stop();
        }
    }

    /// What the node does, or that there is none yet.
    fn ask<T: Send + 'static>(&self, ask: impl FnOnce(&Node) -> LinkFuture<T>) -> LinkFuture<T> {
        match self.0.get() {
            Some(node) => ask(node),
            None => Box::pin(std::future::ready(Err(Fault::new(
                Code::Starting,
                "the node is starting and takes no requests yet",
            )))),
        }
    }
}

impl NodeLink for LaterNode {
    fn models(&self) -> Arc<Catalogue> {
        self.0.get().map(|node| node.models()).unwrap_or_default()
    }

    fn infer(&self, request: InferRequest) -> InferFuture {
        self.ask::<InferReply>(|node| node.infer(request))
    }

    fn sequence_state(&self, key: SequenceKey, call: StateCall) -> LinkFuture<StateAnswer> {
        self.ask(|node| node.sequence_state(key, call))
    }

    fn index(&self) -> LinkFuture<Vec<IndexEntry>> {
        self.ask(|node| node.index())
    }

    fn load_model(&self, name: ModelName) -> LinkFuture<Vec<IndexEntry>> {
        self.ask(|node| node.load_model(name))
    }

    fn unload_model(&self, name: ModelName) -> LinkFuture<()> {
        self.ask(|node| node.unload_model(name))
    }

    fn load(&self) -> NodeLoad {
        self.0.get().map(|node| node.load()).unwrap_or_default()
    }

    fn exchanges_files(&self) -> bool {
        self.0.get().is_some_and(|node| node.exchanges_files())
    }

    fn files(&self, request: FileRequest) -> LinkFuture<FileAnswer> {
        self.ask(|node| node.files(request))
    }

    fn shares_sequences(&self) -> bool {
        self.0.get().is_some_and(|node| node.shares_sequences())
    }

    fn seen(&self, gateway: &str, nodes: Option<Vec<(NodeId, f64)>>) {
        if let Some(node) = self.0.get() {
            node.seen(gateway, nodes);
        }
    }
}
