//! What the processes of a region know each other and their orders by.

/// A gateway that is connected to a node, as the node knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Caller {
    /// What it calls itself.
    pub name: String,
    /// A number of its process's life; nothing where the node's release does not tell.
    pub life: Option<u64>,
}

impl Caller {
    /// Whether both may be one gateway: two of one name are two, as far as their lives are known.
    #[must_use]
    pub fn may_be(&self, other: &Self) -> bool {
        let is_another = self.life.zip(other.life).is_some_and(|(own, other)| own != other);
        self.name == other.name && !is_another
    }
}

/// By what a node knows a plan's order that comes too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Of the leader that gives it. A node refuses orders of an older one than it has heard of.
    pub generation: u64,
    /// The life of the node's process that is meant: one that has begun since refuses it.
    pub life: u64,
}
