//! Which nodes of a region are brought which files of a model.
//!
//! A version is a number, and what it holds is its bytes, named by their hash. Where every node has the same bytes under a number
//! there is nothing to do. Where some have none, or a file that is no model, they are brought the bytes that most nodes have:
//! the rule by which a gateway serves a version, so that what is spread is what is served. Where nodes hold different
//! bytes, the files' times decide: an older file gives way, a newer one stays where it is and is told of, since
//! somebody has put it there after the others and nobody knows whether by mistake. Files keep their times when they are brought somewhere,
//! so a copy is as old as what it is a copy of. Nothing gives way while a node is out of sight, which may hold what most have. What
//! somebody seems to be writing just now is nothing yet: neither is it brought anywhere, nor does it give way.
//!
//! ```
//! use spinwell_core::{ModelHash, ModelVersion, NodeId, UnixMillis};
//! use spinwell_policy::spread::{Copy, Held, Holdings, plan};
//! let file = Held::Whole(Copy { hash: ModelHash([7; 32]), modified: UnixMillis(1) });
//! let holds = |node: &str, files| Holdings { node: NodeId(node.into()), files };
//! let nodes = [holds("n1", [(ModelVersion(1), file)].into()), holds("n2", Default::default())];
//! let plan = plan(&nodes);
//! assert_eq!((&*plan.deliveries[0].node.0, &*plan.deliveries[0].from[0].0), ("n2", "n1"));
//! ```

mod again;
#[cfg(test)]
mod tests;

pub use again::{PAUSE, TRIES_MAX, Tries, Trouble};

use spinwell_core::{ModelHash, ModelVersion, NodeId, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};

/// A file that holds a whole model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copy {
    /// What its bytes are.
    pub hash: ModelHash,
    /// When they were written first.
    pub modified: UnixMillis,
}

/// What a node has in the place of a version's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// A whole model.
    Whole(Copy),
    /// Something that no model can be read from.
    Unreadable,
    /// The same, changed a moment ago: somebody may be writing it.
    Unsettled,
}

/// What a node has of one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holdings {
    /// The node.
    pub node: NodeId,
    /// Its versions.
    pub files: BTreeMap<ModelVersion, Held>,
}

/// Why a node is brought a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It has none.
    Missing,
    /// No model can be read from the one that it has.
    Unreadable,
    /// It has these bytes, which are not newer than what most nodes have.
    Older(ModelHash),
}

/// A file that a node is to be brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// To whom.
    pub node: NodeId,
    /// Under which number.
    pub version: ModelVersion,
    /// Which bytes.
    pub hash: ModelHash,
    /// Who has them, by name; one at least.
    pub from: Vec<NodeId>,
    /// Why.
    pub why: Why,
    /// Whether the node has every version once it has this one: what names versions can go along then, and not before.
    pub completes: bool,
}

/// A file that stays where it is though it is not what most nodes have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Where.
    pub node: NodeId,
    /// Under which number.
    pub version: ModelVersion,
    /// Its bytes.
    pub own: ModelHash,
    /// The bytes that most nodes have.
    pub most: ModelHash,
}

/// A file to look at again: somebody seems to be writing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsettled {
    /// Where.
    pub node: NodeId,
    /// Under which number.
    pub version: ModelVersion,
}

/// What is to be done so that every node has every version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Files to bring, by version and node.
    pub deliveries: Vec<Delivery>,
    /// Files to tell of, by version and node.
    pub kept: Vec<Kept>,
    /// Files to look at again, by version and node.
    pub unsettled: Vec<Unsettled>,
}

impl Plan {
    /// What may be done of it while a node of the region is out of sight: its bytes may be among those that most have. So no file gives
    /// way, and what is brought is what the region serves under that number, where it serves one.
    #[must_use]
    pub fn in_part(mut self, served: impl Fn(ModelVersion) -> Option<ModelHash>) -> Self {
        let is_served =
            |delivery: &Delivery| served(delivery.version).is_none_or(|hash| hash == delivery.hash);
        let gives_way = |delivery: &Delivery| matches!(delivery.why, Why::Older(_));
        let lacking: BTreeSet<NodeId> = self
            .deliveries
            .iter()
            .filter(|delivery| !is_served(delivery) && !gives_way(delivery))
            .map(|delivery| delivery.node.clone())
            .collect();
        self.deliveries.retain(|delivery| is_served(delivery) && !gives_way(delivery));
        self.set_completing(&lacking);
        self
    }

    /// Marks the last of each node's deliveries, but for nodes that lack something even then.
    fn set_completing(&mut self, lacking: &BTreeSet<NodeId>) {
        let mut later = lacking.clone();
        for delivery in self.deliveries.iter_mut().rev() {
            delivery.completes = later.insert(delivery.node.clone());
        }
    }
}

/// The bytes that most have; of those that equally many have, the ones with the highest hash, so that everybody decides alike.
#[must_use]
pub fn most(hashes: impl IntoIterator<Item = ModelHash>) -> Option<ModelHash> {
    let mut counts: BTreeMap<[u8; 32], usize> = BTreeMap::new();
    for ModelHash(hash) in hashes {
        *counts.entry(hash).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(hash, count)| (*count, *hash));
    most.map(|(hash, _)| ModelHash(hash))
}

/// What is to be done so that each of these nodes has every version that one of them has.
#[must_use]
pub fn plan(nodes: &[Holdings]) -> Plan {
    let versions: BTreeSet<ModelVersion> = nodes.iter().flat_map(|node| node.files.keys().copied()).collect();
    let mut plan = Plan::default();
    for version in versions {
        plan_version(nodes, version, &mut plan);
    }
    plan.set_completing(&BTreeSet::new());
    plan
}

fn plan_version(nodes: &[Holdings], version: ModelVersion, plan: &mut Plan) {
    let copies = || nodes.iter().filter_map(|node| Some((node, whole(node, version)?)));
    // Without a whole file anywhere there is nothing to bring.
    let Some(hash) = most(copies().map(|(_, copy)| copy.hash)) else { return };
    let same = || copies().filter(|(_, copy)| copy.hash == hash);
    let newest = same().map(|(_, copy)| copy.modified).max().unwrap_or_default();
    let mut from: Vec<NodeId> = same().map(|(node, _)| node.node.clone()).collect();
    from.sort();
    for node in nodes {
        let why = match node.files.get(&version) {
            Some(Held::Whole(copy)) if copy.hash == hash => continue,
            Some(Held::Whole(copy)) if copy.modified > newest => {
                let kept = Kept { node: node.node.clone(), version, own: copy.hash, most: hash };
                plan.kept.push(kept);
                continue;
            }
            Some(Held::Whole(copy)) => Why::Older(copy.hash),
            Some(Held::Unsettled) => {
                plan.unsettled.push(Unsettled { node: node.node.clone(), version });
                continue;
            }
            Some(Held::Unreadable) => Why::Unreadable,
            None => Why::Missing,
        };
        let (node, from) = (node.node.clone(), from.clone());
        plan.deliveries.push(Delivery { node, version, hash, from, why, completes: false });
    }
}

fn whole(node: &Holdings, version: ModelVersion) -> Option<Copy> {
    match node.files.get(&version)? {
        Held::Whole(copy) => Some(*copy),
        Held::Unreadable | Held::Unsettled => None,
    }
}
