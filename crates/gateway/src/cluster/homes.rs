//! Where the steps of each shard go, where nodes share a log.

use super::Node;
use super::keepers::Verdict;
use spinwell_core::{NodeId, SequenceKey, UnixMillis};
use spinwell_policy::{sequence, shards};
use spinwell_runtime::clock;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::Notify;

/// The nodes of a region in which each can go on with the sequences of the others.
pub(super) struct Keeping {
    /// Those that get steps.
    pub(super) nodes: Vec<Arc<Node>>,
    /// Those that may still answer: they, nodes that are about to stop, and such as lack something.
    pub(super) reachable: BTreeSet<NodeId>,
    /// Those that could be among them and are not, and why.
    pub(super) left_out: BTreeMap<NodeId, Verdict>,
}

/// The nodes that keep sequences, and the steps on their way to them.
#[derive(Default)]
pub(super) struct Homes {
    keeping: RwLock<Option<Arc<Keeping>>>,
    homes: Mutex<sequence::Homes>,
    /// Told when steps that wait should look again.
    moved: Notify,
    /// Told when other nodes are left out than before.
    set: Notify,
}

/// A step on its way, to this node.
pub(super) struct Stay {
    pub(super) node: Arc<Node>,
    stay: sequence::Stay,
}

impl Homes {
    /// These nodes keep sequences from now on; nothing where each keeps its own.
    pub(super) fn set(&self, keeping: Option<Keeping>) {
        let before = self.keeping();
        let left_out =
            |keeping: Option<&Keeping>, node| keeping.and_then(|own| own.left_out.get(node).copied());
        for (node, verdict) in keeping.iter().flat_map(|keeping| &keeping.left_out) {
            if left_out(before.as_deref(), node) != Some(*verdict) {
                tracing::warn!(%node, why = verdict.as_str(), "a node gets no steps of sequences just now");
            }
        }
        let others = |keeping: Option<&Keeping>| keeping.map(|own| own.left_out.clone()).unwrap_or_default();
        let is_news = others(keeping.as_ref()) != others(before.as_deref());
        *self.keeping.write().unwrap_or_else(PoisonError::into_inner) = keeping.map(Arc::new);
        self.moved.notify_waiters();
        // Every step under way listens.
        if is_news {
            self.set.notify_waiters();
        }
    }

    /// The nodes that keep sequences, if each can go on with those of the others.
    pub(super) fn keeping(&self) -> Option<Arc<Keeping>> {
        self.keeping.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The time that a request is given which has just come.
    pub(super) fn stamp(&self, shard: u16, begins: bool) -> UnixMillis {
        self.lock().stamp(shard, begins, clock::unix())
    }

    /// The same for what is done with a sequence beside its steps; nothing where no other node could overtake it.
    pub(super) fn stamped(&self, key: &SequenceKey, begins: bool) -> Option<UnixMillis> {
        let shard = shards::shard([&key.tenant.0, key.model.as_str(), key.id.as_str()]);
        self.keeping().map(|_| self.stamp(shard, begins))
    }

    /// Lets a step begin its way to the owner of its shard.
    ///
    /// # Errors
    /// Its place in line, where steps are under way at the owner before, or where there is no owner.
    pub(super) fn begin(&self, shard: u16) -> Result<Stay, sequence::Place> {
        let keeping = self.keeping();
        let owner = keeping.and_then(|keeping| keeping.owner(shard).map(|node| (keeping, node)));
        let mut homes = self.lock();
        let Some((keeping, node)) = owner else { return Err(homes.wait(shard)) };
        let is_gone = keeping.is_gone(homes.of(shard));
        homes.begin(shard, &node.member.id, is_gone).map(|stay| Stay { node, stay })
    }

    /// Comes when a step that waits may begin its way. It must be given up when nobody waits for it any more.
    pub(super) async fn go_on(&self, shard: u16, place: &sequence::Place) -> Stay {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            // Before it looks: what changes from here on wakes it.
            moved.as_mut().enable();
            let keeping = self.keeping();
            if let Some((keeping, node)) = keeping.and_then(|all| all.owner(shard).map(|node| (all, node))) {
                let mut homes = self.lock();
                let is_gone = keeping.is_gone(homes.of(shard));
                if let Some(stay) = homes.go_on(place, &node.member.id, is_gone) {
                    drop(homes);
                    self.moved.notify_waiters();
                    return Stay { node, stay };
                }
            }
            moved.await;
        }
    }

    /// Comes when steps under way at a node are to be given up, because the store does not hear of them.
    pub(super) async fn gives_up(&self, node: &NodeId) {
        loop {
            let set = self.set.notified();
            tokio::pin!(set);
            // Before it looks: what changes from here on wakes it.
            set.as_mut().enable();
            let keeping = self.keeping();
            if keeping.is_some_and(|keeping| keeping.left_out.get(node) == Some(&Verdict::IsDeaf)) {
                return;
            }
            set.await;
        }
    }

    /// A step was lost with its node, or not taken there, and is to be sent again: its place is in front of all that came after it.
    pub(super) fn again(&self, stay: &Stay) -> sequence::Place {
        self.lock().again(&stay.stay)
    }

    /// Gives up a place in line.
    pub(super) fn leave(&self, place: &sequence::Place) {
        if self.lock().leave(place) {
            self.moved.notify_waiters();
        }
    }

    /// A step is answered or given up.
    pub(super) fn end(&self, stay: &Stay) {
        if self.lock().end(&stay.stay) {
            self.moved.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, sequence::Homes> {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeping {
    /// The owner of a shard.
    fn owner(&self, shard: u16) -> Option<Arc<Node>> {
        let members: Vec<_> = self
            .nodes
            .iter()
            .map(|node| shards::Member { id: &node.member.id.0, weight: node.member.weight })
            .collect();
        let owner = shards::keepers(shard, &members)?.owner;
        self.nodes.iter().find(|node| *node.member.id.0 == *owner).cloned()
    }

    /// Whether nothing can come back from the node to which a shard's steps went.
    fn is_gone(&self, node: Option<&NodeId>) -> bool {
        node.is_none_or(|node| !self.reachable.contains(node))
    }
}
