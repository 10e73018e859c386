//! Bringing the files of models to every node.
//!
//! When a model is to be loaded, and when nodes serve what others do not, the nodes are asked which files they hold, and those that
//! lack the bytes that most have are brought them from a node that has them, part by part over the connections that are there anyway. What is
//! brought to whom, [`policy::spread`](spinwell_policy::spread) decides; each node checks what it is brought by its hash. One model at
//! a time is spread by a gateway, and two gateways that do the same at once find each other's files in place.
//!
//! A node that has a file and does not serve it is left alone: somebody has unloaded the model, or the file cannot be served there. One
//! that was brought the file from here is asked until it serves it. What did not go well is [tried again](follow).

mod follow;
#[cfg(test)]
mod tests;

pub(super) use follow::follow;

use super::peer::Failure;
use super::{Inner, Node, nobody, senseless, told};
use follow::{Open, Way};
use spinwell_core::{Code, Fault, ModelHash, ModelName, ModelVersion, NodeId};
use spinwell_policy::spread::{Copy, Delivery, Held, Holdings, Kept, Plan, Trouble, Unsettled, Why, plan};
use spinwell_protocol::node_service::{Answer, Request};
use spinwell_protocol::{FileAnswer, FileKey, FileOffer, FilePart, FileRequest, HeldFile, IndexEntry};
use spinwell_runtime::{clock, entropy};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex, Notify};
use tokio::time::timeout;

/// How long a node may take to say what it holds, or to take a part.
const PATIENCE: Duration = Duration::from_secs(30);

/// How files are spread.
#[derive(Default)]
pub(super) struct Spreading {
    /// Whether they are.
    pub(super) is_on: bool,
    /// Told when what nodes serve has changed.
    pub(super) due: Arc<Notify>,
    /// Held while a model is spread.
    one_at_a_time: Mutex<()>,
    /// What is to be tried again.
    open: std::sync::Mutex<Open>,
}

impl Spreading {
    pub(super) fn new(is_on: bool) -> Self {
        Self { is_on, ..Self::default() }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// On what occasion a model is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// Somebody has it loaded: everything is tried.
    Call,
    /// Something has changed: what went wrong before waits for its time.
    Change,
}

/// Whether what says how a model is served goes along with a file. It names versions: a node that has not all of them yet could not
/// serve by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settings {
    GoAlong,
    StayBehind,
}

/// The nodes that can be asked for files and be brought some, each with a number of its life.
type Lives = BTreeMap<NodeId, u64>;

/// What came of spreading a model.
#[derive(Default)]
pub(super) struct Spread {
    /// Versions that are not the same everywhere, with the reason.
    pub(super) told: Vec<IndexEntry>,
    /// The nodes that lack a version still that they were to be brought.
    lacking: BTreeSet<NodeId>,
}

impl Spread {
    /// A fault of the load that came after, with what may have led to it.
    pub(super) fn explaining(&self, fault: Fault) -> Fault {
        if self.told.is_empty() {
            return fault;
        }
        let reason = |entry: &IndexEntry| format!("version {}: {}", entry.version, entry.reason);
        let reasons: Vec<_> = self.told.iter().map(reason).collect();
        let message = format!("{} (before that, {})", fault.message(), reasons.join("; "));
        let explained = Fault::new(fault.code(), message);
        match fault.retry_after_hint() {
            Some(wait) => explained.retry_after(wait),
            None => explained,
        }
    }
}

impl Inner {
    /// Brings the files of a model to every node that lacks them.
    pub(super) async fn spread(&self, name: &ModelName, occasion: Occasion) -> Spread {
        if !self.spreading.is_on {
            return Spread::default();
        }
        let _turn = self.spreading.one_at_a_time.lock().await;
        let lives = self.exchanging();
        if lives.len() < 2 {
            return Spread::default();
        }
        let holdings = self.holdings(name, &lives).await;
        let plan = match holdings.len() < self.sharers() {
            true => plan(&holdings).in_part(|version| self.served(name, version)),
            false => plan(&holdings),
        };
        self.remember(name, &plan, &holdings, (occasion, &lives));
        let mut spread = Spread::default();
        for delivery in &plan.deliveries {
            self.carry_out(name, delivery, (occasion, &lives), &mut spread).await;
        }
        for kept in &plan.kept {
            let Kept { node, version, own, most } = kept;
            tracing::warn!(model = %name, %version, %node, own = %own, %most, "a node holds other bytes that are newer, and keeps them");
            spread.told.push(entry(name, *version, &differs(kept)));
        }
        spread.told.extend(plan.unsettled.iter().map(|file| entry(name, file.version, &is_unsettled(file))));
        if occasion == Occasion::Call {
            // Whoever follows does not know yet what is to be tried again, and when.
            self.spreading.due.notify_one();
        }
        spread
    }

    /// What nodes hold of a model. One that does not say is brought nothing and nothing is taken from it; the load itself says what is
    /// wrong with it.
    async fn holdings(&self, name: &ModelName, lives: &Lives) -> Vec<Holdings> {
        let nodes = lives.keys().filter_map(|id| self.node(id));
        let asked = nodes.map(|node| async move { (node.member.id.clone(), held(&node, name).await) });
        let mut holdings = Vec::new();
        for (id, answer) in futures::future::join_all(asked).await {
            match answer {
                Ok(files) => holdings.push(of_node(id, files)),
                Err(fault) => {
                    tracing::warn!(node = %id, model = %name, %fault, "a node does not say which files it holds");
                }
            }
        }
        holdings
    }

    /// Remembers whether a model is to be looked at again, and forgets what was to be brought and is not any more. What has arrived
    /// though nobody said so, the answer being lost, is to be loaded like the rest.
    fn remember(
        &self,
        name: &ModelName,
        plan: &Plan,
        holdings: &[Holdings],
        (occasion, lives): (Occasion, &Lives),
    ) {
        let mut open = self.spreading.open();
        let arrived = open.ways.keys().filter(|way| way.name == *name && way.has_arrived(holdings));
        for way in arrived.cloned().collect::<Vec<_>>() {
            open.brought(way, occasion, clock::now());
        }
        match holdings.len() < lives.len() || !plan.unsettled.is_empty() {
            true => open.looks.failed(name.clone(), Trouble::Passing, clock::now()),
            false => open.looks.done(name),
        }
        let has_said = |id: &NodeId| holdings.iter().any(|held| held.node == *id);
        open.ways.retain(|way| {
            let is_known = way.name == *name && has_said(&way.to.0) && has_said(&way.from.0);
            !is_known || plan.deliveries.iter().any(|delivery| way.is_of(delivery))
        });
    }

    /// Brings one file to one node, from whoever can give it.
    async fn carry_out(
        &self,
        name: &ModelName,
        delivery: &Delivery,
        (occasion, lives): (Occasion, &Lives),
        spread: &mut Spread,
    ) {
        let Delivery { node, version, hash, from, why, completes } = delivery;
        let settings = match *completes && !spread.lacking.contains(node) {
            true => Settings::GoAlong,
            false => Settings::StayBehind,
        };
        let mut failed = None;
        for source in from {
            let Some(way) = Way::new(name, delivery, source, lives) else { continue };
            let is_due = self.spreading.open().ways.may(&way, clock::now());
            if occasion == Occasion::Change && !is_due {
                continue;
            }
            let Err(fault) = self.carry(&way, settings).await else {
                tracing::info!(model = %name, %version, %hash, %node, %source, ?why, "a model was brought to a node");
                return self.spreading.open().brought(way, occasion, clock::now());
            };
            let trouble = trouble(&fault);
            tracing::warn!(model = %name, %version, %hash, %node, %source, %fault, ?trouble, "a model was not brought to a node");
            self.spreading.open().ways.failed(way, trouble, clock::now());
            failed = Some(fault);
        }
        spread.lacking.insert(node.clone());
        if let Some(fault) = failed {
            let message = format!("it was not brought to {node}: {}", fault.message());
            spread.told.push(entry(name, *version, &Fault::new(fault.code(), message)));
        }
    }

    /// Takes a file from one node to another, a part at a time.
    async fn carry(&self, way: &Way, settings: Settings) -> Result<(), Fault> {
        let Way { name, version, hash, why, from, to } = way;
        let source = self.node(&from.0).ok_or_else(nobody)?;
        let target = self.node(&to.0).ok_or_else(nobody)?;
        let key = FileKey { name: name.clone(), version: *version, hash: *hash };
        let FilePart { bytes: mut part, whole, beside } = read(&source, &key, 0).await?;
        let replaces = match why {
            Why::Older(own) => Some(*own),
            Why::Missing | Why::Unreadable => None,
        };
        let transfer = entropy::seed();
        let mut beside = beside.unwrap_or_default();
        if settings == Settings::StayBehind {
            beside.settings = None;
        }
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
    fn exchanging(&self) -> Lives {
        let nodes = self.reachable().into_iter();
        let nodes = nodes.filter(|(_, state)| state.exchanges_files && !state.is_leaving);
        nodes.map(|(node, state)| (node.member.id.clone(), state.life)).collect()
    }

    /// How many nodes there are that have files to share, those among them that are away just now.
    fn sharers(&self) -> usize {
        let shares = |node: &&Arc<Node>| node.peer.state().is_none_or(|state| state.exchanges_files);
        self.nodes().iter().filter(shares).count()
    }

    /// The bytes that the region serves under a number.
    fn served(&self, name: &ModelName, version: ModelVersion) -> Option<ModelHash> {
        let served = self.catalogue.read().unwrap_or_else(PoisonError::into_inner).clone();
        served.find(name.as_str(), Some(&version.to_string())).ok().map(|model| model.hash)
    }
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
        let held = match file.hash {
            Some(hash) => Held::Whole(Copy { hash, modified: file.modified }),
            None if file.is_unsettled => Held::Unsettled,
            None => Held::Unreadable,
        };
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

/// What is said of a file that somebody seems to be writing.
fn is_unsettled(file: &Unsettled) -> Fault {
    let node = &file.node;
    let message = format!(
        "the file under this number on {node} is no model yet and changed a moment ago; it is looked at again by itself"
    );
    Fault::new(Code::FileUnsettled, message)
}

/// Whether waiting helps against a fault.
fn trouble(fault: &Fault) -> Trouble {
    if fault.code().retryable() { Trouble::Passing } else { Trouble::Lasting }
}

fn entry(name: &ModelName, version: ModelVersion, fault: &Fault) -> IndexEntry {
    IndexEntry {
        name: name.clone(),
        version,
        is_ready: false,
        reason: format!("{}: {}", fault.code(), fault.message()),
    }
}
