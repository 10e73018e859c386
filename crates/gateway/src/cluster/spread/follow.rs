//! What is seen to without anybody asking for it: nodes that serve less than others, and what did not go well.
//!
//! A file that was not brought for a reason that may pass, a node that was brought a file and does not serve it yet, and a model of which a
//! node does not say what it holds, or holds what somebody is writing, are each tried again after pauses that grow
//! ([`Tries`]). A file that cannot be brought as it is waits until something of it changes: its bytes, or the life of one of
//! the two nodes. A load call tries everything at once.

use super::super::{Inner, Node, told};
use super::{Lives, Occasion};
use spinwell_core::{Fault, ModelHash, ModelName, ModelVersion, NodeId};
use spinwell_policy::spread::{Delivery, Held, Holdings, Tries, Trouble, Why};
use spinwell_protocol::node_service::{Answer, Request};
use spinwell_protocol::{Catalogue, IndexEntry};
use spinwell_runtime::clock;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// For how long nothing must have changed before what nodes serve is compared: they load a model one after the other.
const SETTLE: Duration = Duration::from_secs(1);

/// A node in one life of it.
type Life = (NodeId, u64);

/// A file on its way from one node to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) name: ModelName,
    pub(super) version: ModelVersion,
    pub(super) hash: ModelHash,
    /// What it is to take the place of.
    pub(super) why: Why,
    pub(super) from: Life,
    pub(super) to: Life,
}

impl Way {
    /// Nothing where one of the two nodes cannot be asked.
    pub(super) fn new(name: &ModelName, delivery: &Delivery, source: &NodeId, lives: &Lives) -> Option<Self> {
        let life = |id: &NodeId| lives.get(id).map(|life| (id.clone(), *life));
        let Delivery { node, version, hash, why, .. } = delivery;
        let (from, to) = (life(source)?, life(node)?);
        Some(Self { name: name.clone(), version: *version, hash: *hash, why: *why, from, to })
    }

    /// Whether the file is where it was to be brought.
    pub(super) fn has_arrived(&self, holdings: &[Holdings]) -> bool {
        let held = holdings.iter().find(|held| held.node == self.to.0);
        let file = held.and_then(|held| held.files.get(&self.version));
        matches!(file, Some(Held::Whole(copy)) if copy.hash == self.hash)
    }

    /// Whether it brings the same model's version to the same node.
    fn leads_to_the_same(&self, other: &Self) -> bool {
        (&self.name, self.version, &self.to) == (&other.name, other.version, &other.to)
    }

    /// Whether this is how a delivery of its model may be carried out.
    pub(super) fn is_of(&self, delivery: &Delivery) -> bool {
        let Delivery { node, version, hash, from, why, .. } = delivery;
        (self.version, self.hash, self.why) == (*version, *hash, *why)
            && self.to.0 == *node
            && from.contains(&self.from.0)
    }
}

/// What is to be tried again.
#[derive(Default)]
pub(super) struct Open {
    /// Files that were not brought.
    pub(super) ways: Tries<Way>,
    /// Models that nodes were brought files of and are to load.
    loads: Tries<(Life, ModelName)>,
    /// Models of which not everything could be seen.
    pub(super) looks: Tries<ModelName>,
}

impl Open {
    /// A file was brought: it is to be loaded. On a call the caller does so now, and whether it was is looked at in a while.
    pub(super) fn brought(&mut self, way: Way, occasion: Occasion, now: Instant) {
        // From wherever else it was to come.
        self.ways.retain(|other| !other.leads_to_the_same(&way));
        let load = (way.to, way.name);
        match occasion {
            Occasion::Call => self.loads.failed(load, Trouble::Passing, now),
            Occasion::Change => self.loads.owe(load, now),
        }
    }
}

/// Something that one node serves and another one does not: the node, and what it lacks.
type Missing = (Life, ModelName, ModelVersion, [u8; 32]);

impl Inner {
    /// What nodes do not serve of all that the region serves.
    fn missing(&self) -> BTreeSet<Missing> {
        let served = self.catalogue.read().unwrap_or_else(PoisonError::into_inner).clone();
        let nodes = self.reachable().into_iter();
        let nodes = nodes.filter(|(_, state)| state.exchanges_files && !state.is_leaving);
        nodes
            .flat_map(|(node, state)| {
                let lacking = lacking(&served, &state.catalogue).into_iter();
                lacking.map(move |(name, version, ModelHash(hash))| {
                    ((node.member.id.clone(), state.life), name, version, hash)
                })
            })
            .collect()
    }

    /// The models that are to be looked at again by now.
    fn due(&self, now: Instant) -> BTreeSet<ModelName> {
        let lives = self.exchanging();
        if lives.len() < 2 {
            return BTreeSet::new();
        }
        let open = self.spreading.open();
        let ways = open.ways.due(now).into_iter().filter(|way| are_there(&lives, [&way.from, &way.to]));
        ways.map(|way| way.name).chain(open.looks.due(now)).collect()
    }

    /// How long it is until something is to be tried again that can be.
    fn pause(&self, now: Instant) -> Option<Duration> {
        let lives = self.exchanging();
        let open = self.spreading.open();
        let ways = open.ways.next(|way| are_there(&lives, [&way.from, &way.to]));
        let loads = open.loads.next(|(node, _)| are_there(&lives, [node]));
        let looks = open.looks.next(|_| lives.len() > 1);
        let next = [ways, loads, looks].into_iter().flatten().min()?;
        Some(next.saturating_duration_since(now))
    }

    /// Forgets what was to be done with nodes that have gone, or have begun another life.
    fn forget_gone(&self) {
        let lives = |life: &Life| {
            let node = self.node(&life.0);
            node.is_some_and(|node| node.peer.state().is_none_or(|state| state.life == life.1))
        };
        let mut open = self.spreading.open();
        open.ways.retain(|way| lives(&way.from) && lives(&way.to));
        open.loads.retain(|(node, _)| lives(node));
    }

    /// Has nodes serve what they were brought. One that lacks nothing by now is not asked.
    async fn load_brought(&self) {
        let due = self.spreading.open().loads.due(clock::now());
        let (lives, missing) = (self.exchanging(), self.missing());
        for load in due.into_iter().filter(|(node, _)| are_there(&lives, [node])) {
            let (life, name) = &load;
            let is_lacking = missing.iter().any(|(node, lacked, ..)| node == life && lacked == name);
            let is_done = match self.node(&life.0).filter(|_| is_lacking) {
                Some(node) => loads(&node, name).await,
                None => true,
            };
            let mut open = self.spreading.open();
            match is_done {
                true => open.loads.done(&load),
                false => open.loads.failed(load, Trouble::Passing, clock::now()),
            }
        }
        self.refresh();
    }
}

/// Whether all of them can be asked, and live as they did.
fn are_there<const N: usize>(lives: &Lives, all: [&Life; N]) -> bool {
    all.iter().all(|(id, life)| lives.get(id) == Some(life))
}

/// Has a node serve a model's files as they are now; whether it serves all of them.
async fn loads(node: &Node, name: &ModelName) -> bool {
    let id = &node.member.id;
    match node.peer.ask(&Request::Load(name.clone())).answer().await {
        Ok(Answer::Loaded(left_out)) => {
            for IndexEntry { version, reason, .. } in &left_out {
                tracing::warn!(node = %id, model = %name, %version, reason, "a model that was brought is not served");
            }
            left_out.is_empty()
        }
        Ok(_) => {
            tracing::warn!(node = %id, model = %name, "a node answered something else than it was asked");
            false
        }
        Err(failure) => {
            let fault: Fault = told(id, failure, "it may have loaded the model");
            tracing::warn!(node = %id, model = %name, %fault, "a model that was brought was not loaded");
            false
        }
    }
}

/// Sees to it that nodes which serve less than others are brought what they lack, as long as there is a region.
pub(crate) async fn follow(region: Weak<Inner>, due: Arc<Notify>) {
    // What was looked at and could not be changed is not looked at again until something else is, or its time has come.
    let mut looked_at = (BTreeSet::new(), Lives::new());
    loop {
        let Some(pause) = region.upgrade().map(|inner| inner.pause(clock::now())) else { return };
        match pause {
            Some(pause) => drop(timeout(pause, due.notified()).await),
            None => due.notified().await,
        }
        sleep(SETTLE).await;
        let Some(inner) = region.upgrade() else { return };
        inner.forget_gone();
        let there = inner.reachable().into_iter().map(|(node, state)| (node.member.id.clone(), state.life));
        let now = (inner.missing(), there.collect());
        let mut names = inner.due(clock::now());
        if now != looked_at {
            names.extend(now.0.iter().map(|(_, name, ..)| name.clone()));
        }
        for name in &names {
            inner.spread(name, Occasion::Change).await;
            inner.load_brought().await;
        }
        inner.load_brought().await;
        looked_at = now;
    }
}

/// The versions of a region that a node does not serve with the same bytes.
fn lacking(served: &Catalogue, own: &Catalogue) -> Vec<(ModelName, ModelVersion, ModelHash)> {
    let has = |name: &str, version: &str, hash: ModelHash| {
        own.find(name, Some(version)).is_ok_and(|held| held.hash == hash)
    };
    let all = served.ready().into_iter();
    let lacking = all.filter(|model| !has(model.name.as_str(), model.version_text(), model.hash));
    lacking.map(|model| (model.name.clone(), model.version, model.hash)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::catalogue::tests::node;
    use super::*;

    #[test]
    fn a_node_lacks_what_it_does_not_serve_with_the_same_bytes() {
        let check = |served: &[(u32, u8)], own: &[(u32, u8)], wanted: &[(u32, u8)]| {
            let lacking = lacking(&node(served, None), &node(own, None));
            let got: Vec<_> = lacking.iter().map(|(_, version, hash)| (version.0, hash.0[0])).collect();
            assert_eq!(got, wanted, "{served:?} {own:?}");
        };
        check(&[], &[(1, 1)], &[]);
        check(&[(1, 1), (2, 2)], &[(1, 1)], &[(2, 2)]);
        check(&[(1, 1)], &[(1, 2)], &[(1, 1)]);
        // What is broken everywhere can be brought to nobody; what is broken here can.
        check(&[(1, 0)], &[], &[]);
        check(&[(1, 1)], &[(1, 0)], &[(1, 1)]);
    }
}
