//! The nodes that run, as whoever starts them knows.

use spinwell_core::NodeId;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// A node that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Its name.
    pub id: NodeId,
    /// Where gateways reach it.
    pub address: SocketAddr,
    /// Where its metrics are.
    pub ops: SocketAddr,
    /// Its process.
    pub pid: u32,
    /// Whether it was found running: a control before this one has started it.
    pub is_adopted: bool,
}

/// The nodes that run, by name.
pub type Nodes = Arc<Vec<Running>>;

/// Where the nodes that run hang for everybody to see.
#[derive(Debug)]
pub(crate) struct Board(watch::Sender<Nodes>);

impl Board {
    /// Nobody runs yet; and who watches that.
    pub(crate) fn new() -> (Self, watch::Receiver<Nodes>) {
        let (sender, nodes) = watch::channel(Nodes::default());
        (Self(sender), nodes)
    }

    pub(crate) fn come(&self, node: Running) {
        self.0.send_modify(|nodes| {
            let nodes = Arc::make_mut(nodes);
            nodes.push(node);
            nodes.sort_by(|a, b| a.id.cmp(&b.id));
        });
    }

    pub(crate) fn gone(&self, id: &NodeId) {
        self.0.send_modify(|nodes| Arc::make_mut(nodes).retain(|node| node.id != *id));
    }
}
