//! Bringing the files of models to every node.
//!
//! When a model is to be loaded, and when nodes serve what others do not, the nodes are asked which files they hold, and those that
//! lack the bytes that most have are brought them from a node that has them, part by part over the connections that are there anyway. What is
//! brought to whom, [`policy::spread`](spinwell_policy::spread) decides; each node checks what it is brought by its hash. One model at
//! a time is spread by a gateway, and two gateways that do the same at once find each other's files in place.
//!
//! A node that has a file and does not serve it is left alone: somebody has unloaded the model, or the file cannot be served there.

use super::peer::Failure;
use super::{Inner, Node, nobody, senseless, told};
use spinwell_core::{Code, Fault, ModelHash, ModelName, ModelVersion, NodeId};
use spinwell_policy::spread::{Copy, Delivery, Held, Holdings, Kept, Why, plan};
use spinwell_protocol::node_service::{Answer, Request};
use spinwell_protocol::{
    Catalogue, FileAnswer, FileKey, FileOffer, FilePart, FileRequest, HeldFile, IndexEntry,
};
use spinwell_runtime::entropy;
use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Mutex, Notify};
use tokio::time::{sleep, timeout};

/// How long a node may take to say what it holds, or to take a part.
const PATIENCE: Duration = Duration::from_secs(30);
/// For how long nothing must have changed before what nodes serve is compared: they load a model one after the other.
const SETTLE: Duration = Duration::from_secs(1);
/// When to try again what has failed.
const RETRY: Duration = Duration::from_secs(30);

/// How files are spread.
#[derive(Default)]
pub(super) struct Spreading {
    /// Whether they are.
    pub(super) is_on: bool,
    /// Told when what nodes serve has changed.
    pub(super) due: Arc<Notify>,
    /// Held while a model is spread.
    one_at_a_time: Mutex<()>,
}

impl Spreading {
    pub(super) fn new(is_on: bool) -> Self {
        Self { is_on, ..Self::default() }
    }
}

/// What came of spreading a model.
#[derive(Default)]
pub(super) struct Spread {
    /// The nodes that have files now which they did not have.
    pub(super) brought: BTreeSet<NodeId>,
    /// Versions that are not the same everywhere, with the reason.
    pub(super) told: Vec<IndexEntry>,
    /// Whether another try may do what this one could not.
    pub(super) has_failed: bool,
}

/// Something that one node serves and another one does not: the node with a number of its life, and what it lacks.
type Missing = (NodeId, u64, ModelName, ModelVersion, [u8; 32]);

impl Inner {
    /// Brings the files of a model to every node that lacks them.
    pub(super) async fn spread(&self, name: &ModelName) -> Spread {
        if !self.spreading.is_on {
            return Spread::default();
        }
        let _turn = self.spreading.one_at_a_time.lock().await;
        let nodes = self.exchanging();
        if nodes.len() < 2 {
            return Spread::default();
        }
        let asked = nodes.iter().map(|node| async move { (node.member.id.clone(), held(node, name).await) });
        let mut spread = Spread::default();
        let mut holdings = Vec::new();
        for (id, answer) in futures::future::join_all(asked).await {
            match answer {
                Ok(files) => holdings.push(of_node(id, files)),
                // It is brought nothing and nothing is taken from it; the load itself says what is wrong with it.
                Err(fault) => {
                    tracing::warn!(node = %id, model = %name, %fault, "a node does not say which files it holds");
                    spread.has_failed = true;
                }
            }
        }
        let plan = match holdings.len() < self.sharers() {
            true => plan(&holdings).in_part(|version| self.served(name, version)),
            false => plan(&holdings),
        };
        for delivery in &plan.deliveries {
            self.carry_out(name, delivery, &mut spread).await;
        }
        for kept in &plan.kept {
            let Kept { node, version, own, most } = kept;
            tracing::warn!(model = %name, %version, %node, own = %own, %most, "a node holds other bytes that are newer, and keeps them");
            spread.told.push(entry(name, *version, &differs(kept)));
        }
        spread
    }

    /// Brings one file to one node, from whoever can give it.
    async fn carry_out(&self, name: &ModelName, delivery: &Delivery, spread: &mut Spread) {
        let Delivery { node, version, hash, from, why } = delivery;
        let mut failed = nobody();
        for source in from {
            match self.carry(name, delivery, source).await {
                Ok(()) => {
                    tracing::info!(model = %name, %version, %hash, %node, %source, ?why, "a model was brought to a node");
                    spread.brought.insert(node.clone());
                    return;
                }
                Err(fault) => {
                    tracing::warn!(model = %name, %version, %hash, %node, %source, %fault, "a model was not brought to a node");
                    failed = fault;
                }
            }
        }
        spread.has_failed = true;
        let message = format!("it was not brought to {node}: {}", failed.message());
        spread.told.push(entry(name, *version, &Fault::new(failed.code(), message)));
    }

    /// Takes a file from one node to another, a part at a time.
    async fn carry(&self, name: &ModelName, delivery: &Delivery, source: &NodeId) -> Result<(), Fault> {
        let Delivery { node, version, hash, why, .. } = delivery;
        let source = self.node(source).ok_or_else(nobody)?;
        let target = self.node(node).ok_or_else(nobody)?;
        let key = FileKey { name: name.clone(), version: *version, hash: *hash };
        let FilePart { bytes: mut part, whole, beside } = read(&source, &key, 0).await?;
        let replaces = match why {
            Why::Older(own) => Some(*own),
            Why::Missing | Why::Unreadable => None,
        };
        let (transfer, beside) = (entropy::seed(), beside.unwrap_or_default());
        let offer = FileOffer { key: key.clone(), transfer, whole, replaces, beside };
        let mut is_placed = placed(&target, FileRequest::Offer(offer)).await?;
        let mut offset = 0;
        while !is_placed {
            if part.is_empty() {
                let message = format!("the file on {} has become shorter on its way", source.member.id);
                return Err(Fault::new(Code::FileTruncated, message));
            }
            let length = part.len() as u64;
            is_placed = placed(&target, FileRequest::Part { transfer, offset, bytes: part }).await?;
            offset += length;
            if !is_placed && offset >= whole {
                return Err(senseless(&target.member.id));
            }
            part = if is_placed { bytes::Bytes::new() } else { read(&source, &key, offset).await?.bytes };
        }
        Ok(())
    }

    /// The nodes that can be asked for files and be brought some.
    fn exchanging(&self) -> Vec<Arc<Node>> {
        let nodes = self.reachable().into_iter();
        nodes.filter(|(_, state)| state.exchanges_files && !state.is_leaving).map(|(node, _)| node).collect()
    }

    /// How many nodes there are that have files to share, those among them that are away just now.
    fn sharers(&self) -> usize {
        let shares = |node: &&Arc<Node>| node.peer.state().is_none_or(|state| state.exchanges_files);
        self.nodes().iter().filter(shares).count()
    }

    /// The bytes that the region serves under a number.
    fn served(&self, name: &ModelName, version: ModelVersion) -> Option<ModelHash> {
        let served = self.catalogue.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        served.find(name.as_str(), Some(&version.to_string())).ok().map(|model| model.hash)
    }

    /// What nodes do not serve of all that the region serves.
    fn missing(&self) -> BTreeSet<Missing> {
        let served = self.catalogue.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let nodes = self.reachable().into_iter();
        let nodes = nodes.filter(|(_, state)| state.exchanges_files && !state.is_leaving);
        nodes
            .flat_map(|(node, state)| {
                let lacking = lacking(&served, &state.catalogue).into_iter();
                lacking.map(move |(name, version, ModelHash(hash))| {
                    (node.member.id.clone(), state.life, name, version, hash)
                })
            })
            .collect()
    }

    /// Has these nodes serve a model's files as they are now.
    async fn load_on(&self, nodes: &BTreeSet<NodeId>, name: &ModelName) {
        for node in nodes.iter().filter_map(|id| self.node(id)) {
            match node.peer.ask(&Request::Load(name.clone())).answer().await {
                Ok(Answer::Loaded(left_out)) => {
                    for IndexEntry { version, reason, .. } in left_out {
                        tracing::warn!(node = %node.member.id, model = %name, %version, reason, "a model that was brought is not served");
                    }
                }
                Ok(_) => {
                    tracing::warn!(node = %node.member.id, model = %name, "a node answered something else than it was asked");
                }
                Err(failure) => {
                    let fault = told(&node.member.id, failure, "it may have loaded the model");
                    tracing::warn!(node = %node.member.id, model = %name, %fault, "a model that was brought was not loaded");
                }
            }
        }
        self.refresh();
    }
}

/// Sees to it that nodes which serve less than others are brought what they lack, as long as there is a region.
pub(super) async fn follow(region: Weak<Inner>, due: Arc<Notify>) {
    // What was looked at and could not be changed is not looked at again until something else is.
    let mut looked_at = (BTreeSet::new(), BTreeSet::new());
    let mut has_failed = false;
    loop {
        match has_failed {
            true => drop(timeout(RETRY, due.notified()).await),
            false => due.notified().await,
        }
        sleep(SETTLE).await;
        let Some(inner) = region.upgrade() else { return };
        let missing = inner.missing();
        let there: BTreeSet<_> =
            inner.reachable().into_iter().map(|(node, state)| (node.member.id.clone(), state.life)).collect();
        let now = (missing, there);
        if now == looked_at && !has_failed {
            continue;
        }
        has_failed = false;
        let names: BTreeSet<ModelName> = now.0.iter().map(|(_, _, name, ..)| name.clone()).collect();
        for name in names {
            let spread = inner.spread(&name).await;
            has_failed |= spread.has_failed;
            if !spread.brought.is_empty() {
                inner.load_on(&spread.brought, &name).await;
            }
        }
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

async fn held(node: &Node, name: &ModelName) -> Result<Vec<HeldFile>, Fault> {
    match ask(node, FileRequest::Held(name.clone())).await? {
        FileAnswer::Held(files) => Ok(files),
        _ => Err(senseless(&node.member.id)),
    }
}

async fn read(node: &Node, key: &FileKey, offset: u64) -> Result<FilePart, Fault> {
    match ask(node, FileRequest::Read(key.clone(), offset)).await? {
        FileAnswer::Part(part) => Ok(part),
        _ => Err(senseless(&node.member.id)),
    }
}

async fn placed(node: &Node, request: FileRequest) -> Result<bool, Fault> {
    match ask(node, request).await? {
        FileAnswer::Placed(is_placed) => Ok(is_placed),
        _ => Err(senseless(&node.member.id)),
    }
}

async fn ask(node: &Node, request: FileRequest) -> Result<FileAnswer, Fault> {
    const LOST: &str = "its files are as they were";
    let id = &node.member.id;
    match timeout(PATIENCE, node.peer.ask(&Request::Files(request)).answer()).await {
        Ok(Ok(Answer::Files(answer))) => Ok(answer),
        Ok(Ok(_)) => Err(senseless(id)),
        Ok(Err(failure)) => Err(told(id, failure, LOST)),
        Err(_) => Err(told(id, Failure::Silent(PATIENCE), LOST)),
    }
}

fn of_node(node: NodeId, files: Vec<HeldFile>) -> Holdings {
    let file = |file: HeldFile| {
        let held =
            file.hash.map_or(Held::Unreadable, |hash| Held::Whole(Copy { hash, modified: file.modified }));
        (file.version, held)
    };
    Holdings { node, files: files.into_iter().map(file).collect() }
}

/// What is said of a file that stays where it is.
fn differs(kept: &Kept) -> Fault {
    let Kept { node, own, most, .. } = kept;
    let message = format!(
        "{node} holds other bytes under this number ({own}) that are newer than those that most nodes hold ({most}), and \
         keeps them; push them under another number, or remove them there"
    );
    Fault::new(Code::VersionExists, message)
}

fn entry(name: &ModelName, version: ModelVersion, fault: &Fault) -> IndexEntry {
    IndexEntry {
        name: name.clone(),
        version,
        is_ready: false,
        reason: format!("{}: {}", fault.code(), fault.message()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::tests::node;
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

    #[test]
    fn what_is_told_of_a_version_names_the_node_and_both_bytes() {
        let (own, most) = (ModelHash([1; 32]), ModelHash([2; 32]));
        let kept = Kept { node: NodeId("n2".into()), version: ModelVersion(7), own, most };
        let IndexEntry { version, is_ready, reason, .. } =
            entry(&"m".parse().unwrap(), kept.version, &differs(&kept));
        assert_eq!((version.0, is_ready), (7, false));
        for word in ["SPW-VERSION-EXISTS", "n2", &own.to_string(), &most.to_string()] {
            assert!(reason.contains(word), "{word} is missing in {reason}");
        }
    }
}
