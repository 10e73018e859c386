//! Where the nodes of a control run.

use spinwell_core::{Fault, NodeId};

/// Has nodes run, and looks after them.
pub trait Provisioner: Send + Sync {
    /// The names of so many nodes.
    fn names(&self, count: usize) -> Vec<NodeId>;

    /// Whether a node of that name can run here.
    ///
    /// # Errors
    /// Why it cannot, and what would be right.
    fn can_have(&self, node: &NodeId) -> Result<(), Fault>;

    /// Has these nodes run and looks after them from now on, and after no others, which go on by themselves. To say the same twice changes
    /// nothing. Must be called within a tokio runtime.
    fn look_after(&self, wanted: &[NodeId]);
}
