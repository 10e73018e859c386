//! The nodes of a region, as one link.
//!
//! What is served is what the nodes serve together. A request without a sequence goes to one of the nodes that hold its model's
//! very bytes, and to another one where that is lost or has no room, as long as its deadline and the budget for such attempts
//! allow it; those of one batch call are divided over them at once. A step of a sequence goes to the node that keeps its shard and to no other: where that is away, it waits for it,
//! unless the nodes share a log; then the next node keeps the shard.

mod absence;
mod batch;
mod catalogue;
mod dial;
mod homes;
mod keepers;
mod peer;
mod request;
mod router;
mod routes;
mod spread;
mod step;
#[cfg(test)]
mod tests;

pub use routes::Routes;

use catalogue::merged;
use homes::{Homes, Keeping};
use keepers::{Candidate, Verdict};
use peer::{Failure, Peer, State, Terms};
use router::{Router, RouterOptions};
use spinwell_core::{BatchPlan, Code, Fault, Millis, ModelName, ModelVersion, NodeId, SequenceKey};
use spinwell_policy::breaker::Health;
use spinwell_policy::shards;
use spinwell_protocol::node_service::{Answer, Request};
use spinwell_protocol::{
    Catalogue, IndexEntry, InferFuture, InferRequest, LinkFuture, ModelDescription, NodeLink, NodeLoad,
    NodeStanding, NodeStatus, Order, RegionStatus, StateAnswer, StateCall, StateRequest, WaitingFor,
};
use spinwell_registry::ClusterName;
use spinwell_runtime::transport::Dial;
use spread::{Occasion, Spreading};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Notify;

/// When a caller should try again whose node is away: by then it is back, or given up.
const RETRY_AFTER: Millis = Millis(1000);

/// A node of the region, as the registry knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its name.
    pub id: NodeId,
    /// Where gateways reach it: host and port.
    pub address: String,
    /// How much work it takes in relation to the others, above 0.
    pub weight: f64,
    /// The processing cluster that it is part of, as far as the registry knows. The node says it itself when it is connected.
    pub cluster: ClusterName,
    /// Predictions a second that it can carry, where the registry knows. The node says that as well.
    pub capacity_per_second: Option<f64>,
}

/// What connections to nodes are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To send requests: nodes count this as a gateway, and hear which nodes it sees.
    Requests,
    /// To look and to give orders, as control does.
    Orders,
}

/// How nodes are reached.
#[derive(Clone)]
pub struct Options {
    /// The name that this gateway gives itself.
    pub gateway: NodeId,
    /// What the connections are for.
    pub purpose: Purpose,
    /// How connections come about.
    pub dial: Dial,
    /// How often a node says that it is alive.
    pub beat: Millis,
    /// How long a node may be silent before it is given up.
    pub silence: Millis,
    /// By when a request that got no answer must be somewhere else.
    pub failover: Millis,
    /// How nodes are chosen.
    pub routes: Routes,
    /// Whether nodes are brought the files of models that others have.
    pub spread_models: bool,
    /// Where the randomness begins: another number for each gateway, so that they do not choose alike. Nodes know this process's life
    /// by it.
    pub seed: u64,
}

/// The nodes of a region.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

struct Inner {
    terms: Terms,
    nodes: RwLock<BTreeMap<NodeId, Arc<Node>>>,
    catalogue: RwLock<Arc<Catalogue>>,
    router: Arc<Router>,
    homes: Homes,
    spreading: Spreading,
}

/// A member and the connection to it.
struct Node {
    member: Member,
    peer: Arc<Peer>,
}

impl Cluster {
    /// A region without nodes yet. Must be called within a tokio runtime.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let router = Arc::new(Router::new(RouterOptions {
            routes: options.routes,
            beat: options.beat.into(),
            silence: options.silence.into(),
            failover: options.failover.into(),
            seed: options.seed,
        }));
        let changed = Arc::new(Notify::new());
        let terms = Terms {
            gateway: options.gateway.to_string(),
            life: options.seed,
            purpose: options.purpose,
            dial: options.dial,
            silence: options.silence.into(),
            router: router.clone(),
            changed: changed.clone(),
        };
        let inner = Inner {
            terms,
            nodes: RwLock::default(),
            catalogue: RwLock::default(),
            router,
            homes: Homes::default(),
            spreading: Spreading::new(options.spread_models),
        };
        let inner = Arc::new(inner);
        if inner.spreading.is_on {
            tokio::spawn(spread::follow(Arc::downgrade(&inner), inner.spreading.due.clone()));
        }
        let weak = Arc::downgrade(&inner);
        tokio::spawn(async move {
            loop {
                changed.notified().await;
                let Some(inner) = weak.upgrade() else { return };
                inner.refresh();
                inner.spreading.due.notify_one();
            }
        });
        Self { inner }
    }

    /// These are the nodes from now on. Connections to those that stay where they were stay as they are.
    pub fn set_members(&self, members: Vec<Member>) {
        let inner = &self.inner;
        let mut nodes = inner.nodes.write().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *nodes);
        let mut gone = Vec::new();
        for member in members {
            let known = before.remove(&member.id);
            let stays = known.as_ref().filter(|node| node.member.address == member.address);
            let peer = match stays {
                Some(node) => node.peer.clone(),
                None => {
                    let last = known.as_ref().and_then(|node| node.peer.catalogue());
                    gone.extend(known);
                    Arc::new(Peer::start(member.clone(), inner.terms.clone(), last))
                }
            };
            inner.router.announced(&member);
            nodes.insert(member.id.clone(), Arc::new(Node { member, peer }));
        }
        drop(nodes);
        before.keys().for_each(|id| inner.router.left(id));
        // Requests under way may hold them for a while yet.
        gone.iter().chain(before.values()).for_each(|node| node.peer.end());
        inner.refresh();
    }

    /// Forks a sequence to an id that another node keeps. Somebody who begins the same sequence between the two looks at it
    /// loses it to the fork.
    fn fork(&self, from: SequenceKey, to: SequenceKey) -> LinkFuture<StateAnswer> {
        let own = self.clone();
        Box::pin(async move {
            let StateAnswer { state, .. } = own.sequence_state(from, StateRequest::Get.into()).await?;
            match own.sequence_state(to.clone(), StateRequest::Get.into()).await {
                Ok(_) => {
                    let message = format!("sequence {:?} is there already; remove it first", to.id.as_str());
                    Err(Fault::new(Code::SequenceExists, message))
                }
                Err(fault) if matches!(fault.code(), Code::SequenceUnknown | Code::SequenceExpired) => {
                    own.sequence_state(to, StateRequest::Put(state).into()).await
                }
                Err(fault) => Err(fault),
            }
        })
    }

    /// How many nodes can be asked just now.
    #[must_use]
    pub fn reachable_nodes(&self) -> usize {
        self.inner.reachable().len()
    }

    /// Comes when so many nodes have said what they serve.
    pub async fn has_nodes(&self, count: usize) {
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        while self.inner.reachable().len() < count {
            pause.tick().await;
        }
        // The catalogue follows the nodes a moment later.
        self.inner.refresh();
    }
}

impl Inner {
    fn nodes(&self) -> Vec<Arc<Node>> {
        self.nodes.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// How each node is reached.
    fn standings(&self) -> Vec<NodeStanding> {
        self.nodes().into_iter().map(|node| self.standing(&node, node.peer.state().as_ref())).collect()
    }

    fn standing(&self, node: &Node, state: Option<&State>) -> NodeStanding {
        let id = node.member.id.clone();
        NodeStanding {
            is_connected: state.is_some(),
            is_leaving: state.is_some_and(|state| state.is_leaving),
            is_trusted: self.router.health(&id) == Some(Health::Serving),
            id,
        }
    }

    /// What is known of a node.
    fn status(&self, node: &Node) -> NodeStatus {
        let state = node.peer.state();
        let said = node.peer.said();
        let cluster = said.cluster.as_ref().unwrap_or(&node.member.cluster);
        NodeStatus {
            standing: self.standing(node, state.as_ref()),
            address: node.member.address.clone(),
            weight: node.member.weight,
            cluster: cluster.to_string(),
            capacity_per_second: said.capacity_per_second.or(node.member.capacity_per_second),
            life: state.as_ref().map(|state| state.life),
            shares_sequences: state.as_ref().is_some_and(|state| state.shares_sequences),
            gateways: state.as_ref().and_then(|state| state.gateways.clone()),
            unreachable: if state.is_none() { node.peer.why_not() } else { None },
            load: state.map(|state| state.load),
        }
    }

    /// Looks again at what is served.
    fn refresh(&self) {
        // Held meanwhile: of two that look at the same time, the one that saw less must not come last.
        let mut catalogue = self.catalogue.write().unwrap_or_else(PoisonError::into_inner);
        let catalogues: Vec<_> = self.nodes().iter().filter_map(|node| node.peer.catalogue()).collect();
        *catalogue = Arc::new(merged(&catalogues));
        self.homes.set(self.keeping());
    }

    /// The nodes that can keep sequences, if another can go on with each one's: of those that can be reached the ones that have what
    /// steps need. Told to all of them as well. While nobody can be reached, steps wait for those that come, if those before shared a
    /// log.
    fn keeping(&self) -> Option<Keeping> {
        let told: Vec<bool> =
            self.nodes().iter().filter_map(|node| node.peer.said().shares_sequences).collect();
        let sharing = told.iter().filter(|shares| **shares).count();
        // A node that was started without the store must not undo what the others promise, and one that was started with it not what
        // the others hold. Those that are away count as they were.
        let is_shared = match told.is_empty() {
            true => self.homes.keeping().is_some(),
            false => sharing > 0 && 2 * sharing >= told.len(),
        };
        if !is_shared {
            return None;
        }
        let reachable = self.reachable();
        let (reachable, apart): (Vec<_>, Vec<_>) =
            reachable.into_iter().partition(|(_, state)| state.shares_sequences);
        let staying: Vec<_> = reachable.iter().filter(|(_, state)| !state.is_leaving).collect();
        let candidate = |(_, State { catalogue, store, .. }): &&(Arc<Node>, State)| Candidate {
            catalogue: catalogue.clone(),
            store: *store,
        };
        let verdicts = Verdict::of_all(&staying.iter().map(candidate).collect::<Vec<_>>());
        let id = |(node, _): &(Arc<Node>, State)| node.member.id.clone();
        let mut left_out: BTreeMap<_, _> = apart.iter().map(|node| (id(node), Verdict::IsApart)).collect();
        let mut nodes = Vec::new();
        for ((node, _), verdict) in staying.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Keeps => nodes.push(node.clone()),
                verdict => drop(left_out.insert(node.member.id.clone(), verdict)),
            }
        }
        let view = nodes.iter().map(|node| (node.member.id.clone(), node.member.weight)).collect();
        reachable.iter().for_each(|(node, _)| node.peer.tell(&view));
        let reachable = reachable.iter().map(id).collect();
        Some(Keeping { nodes, reachable, left_out })
    }

    /// The node that keeps a sequence: among those that can be reached, where each can go on with the sequences of the others, or
    /// else among all that the registry knows.
    fn keeper(&self, key: &SequenceKey) -> Result<Arc<Node>, Fault> {
        let nodes = match self.homes.keeping() {
            Some(keeping) => keeping.nodes.clone(),
            None => self.nodes(),
        };
        let shard = shards::shard([&key.tenant.0, key.model.as_str(), key.id.as_str()]);
        let members: Vec<_> = nodes
            .iter()
            .map(|node| shards::Member { id: &node.member.id.0, weight: node.member.weight })
            .collect();
        let owner = shards::keepers(shard, &members).map(|keepers| keepers.owner);
        let owner = owner.and_then(|owner| nodes.iter().find(|node| *node.member.id.0 == *owner));
        owner.cloned().ok_or_else(|| {
            Fault::new(Code::NodeUnreachable, "no node is known that could keep sequences")
                .retry_after(RETRY_AFTER)
        })
    }

    /// The nodes that can be asked, each with its state.
    fn reachable(&self) -> Vec<(Arc<Node>, State)> {
        let nodes = self.nodes().into_iter();
        nodes.filter_map(|node| node.peer.state().map(|state| (node, state))).collect()
    }

    /// The nodes that hold a model's very bytes, of those that can be asked.
    fn able(&self, model: &ModelDescription) -> Vec<NodeId> {
        let states: Vec<_> =
            self.reachable().into_iter().map(|(node, state)| (node.member.id.clone(), state)).collect();
        router::able(&states, |state| catalogue::holds(&state.catalogue, model))
    }

    /// Whether the region serves a model's very bytes.
    fn serves(&self, model: &ModelDescription) -> bool {
        let catalogue = self.catalogue.read().unwrap_or_else(PoisonError::into_inner);
        catalogue::holds(&catalogue, model)
    }

    fn node(&self, id: &NodeId) -> Option<Arc<Node>> {
        self.nodes.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Asks every node that can be asked, at the same time.
    async fn ask_all(&self, request: &Request) -> Vec<(NodeId, Result<Answer, Failure>)> {
        let asked: Vec<_> = self
            .reachable()
            .iter()
            .map(|(node, _)| (node.member.id.clone(), node.peer.ask(request)))
            .collect();
        let answers = asked.into_iter().map(|(id, mut asked)| async move { (id, asked.answer().await) });
        futures::future::join_all(answers).await
    }

    /// Has every node do something, and comes with the answers of those that could: that a node has no such model matters only
    /// where none has it.
    async fn all_do(&self, request: Request, lost: &str) -> Result<Vec<(NodeId, Answer)>, Fault> {
        let (mut done, mut unknown) = (Vec::new(), None);
        for (id, answer) in self.ask_all(&request).await {
            match answer {
                Ok(answer) => done.push((id, answer)),
                Err(Failure::Refused(fault)) if fault.code() == Code::ModelNotFound => unknown = Some(fault),
                Err(failure) => return Err(told(&id, failure, lost)),
            }
        }
        // Whoever changed what is served asks for it next.
        self.refresh();
        match unknown {
            _ if !done.is_empty() => Ok(done),
            Some(fault) => Err(fault),
            None => Err(nobody()),
        }
    }
}

/// No node is there.
fn nobody() -> Fault {
    let message = "no node can be reached that could answer; try again";
    Fault::new(Code::NodeUnreachable, message).retry_after(RETRY_AFTER)
}

/// A failure as the caller learns of it; `lost` says what became of the request where nobody knows.
fn told(id: &NodeId, failure: Failure, lost: &str) -> Fault {
    match failure {
        Failure::Refused(fault) | Failure::NotSent(fault) => fault,
        Failure::Lost => {
            let message = format!("node {id} was lost before it had answered; {lost}");
            Fault::new(Code::NodeUnreachable, message).retry_after(RETRY_AFTER)
        }
        Failure::Silent(limit) => {
            let message = format!("node {id} did not answer within {} ms; {lost}", limit.as_millis());
            Fault::new(Code::NodeUnreachable, message).retry_after(RETRY_AFTER)
        }
    }
}

/// The lists that nodes answered with, as one.
fn entries(answers: Vec<(NodeId, Answer)>) -> Result<Vec<IndexEntry>, Fault> {
    let lists = answers.into_iter().map(|(id, answer)| match answer {
        Answer::Index(list) | Answer::Loaded(list) => Ok((id, list)),
        _ => Err(senseless(&id)),
    });
    Ok(catalogue::merged_index(lists.collect::<Result<_, Fault>>()?))
}

fn senseless(id: &NodeId) -> Fault {
    Fault::new(Code::Internal, format!("node {id} answered something else than it was asked"))
}

impl NodeLink for Cluster {
    fn models(&self) -> Arc<Catalogue> {
        self.inner.catalogue.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn infer(&self, request: InferRequest) -> InferFuture {
        request::infer(&self.inner, request)
    }

    fn infer_all(
        &self,
        requests: &mut dyn Iterator<Item = InferRequest>,
    ) -> (Vec<InferFuture>, Option<BatchPlan>) {
        batch::infer(&self.inner, requests)
    }

    fn sequence_state(&self, key: SequenceKey, mut call: StateCall) -> LinkFuture<StateAnswer> {
        let lost = "look at the state before you try again";
        if let StateRequest::Fork { to } = &call.request {
            let to = SequenceKey { id: to.clone(), ..key.clone() };
            let homes = self.inner.keeper(&key).and_then(|own| Ok((own, self.inner.keeper(&to)?)));
            match homes {
                Ok((own, other)) if own.member.id != other.member.id => return self.fork(key, to),
                Err(fault) => return Box::pin(async { Err(fault) }),
                Ok(_) => {}
            }
        }
        call.sent = self.inner.homes.stamped(&key, matches!(call.request, StateRequest::Put(_)));
        let asked = self.inner.keeper(&key).map(|node| {
            let asked = node.peer.ask(&Request::State(key, call));
            (node, asked)
        });
        Box::pin(async move {
            let (node, mut asked) = asked?;
            match asked.answer().await {
                Ok(Answer::State(answer)) => Ok(answer),
                Ok(_) => Err(senseless(&node.member.id)),
                Err(failure) => Err(told(&node.member.id, failure, lost)),
            }
        })
    }

    fn region(&self) -> Option<RegionStatus> {
        let inner = &self.inner;
        let nodes = inner.nodes().iter().map(|node| inner.status(node)).collect();
        let Routes { usual, own } = inner.router.routes();
        let routes = own.into_iter().map(|(model, strategy)| (model, strategy.as_str().to_owned())).collect();
        Some(RegionStatus { strategy: usual.as_str().to_owned(), routes, nodes })
    }

    fn drain(&self, node: NodeId, order: Option<Order>) -> LinkFuture<()> {
        let found = self.inner.node(&node).ok_or_else(|| {
            let known: Vec<_> = self.inner.nodes().iter().map(|node| node.member.id.to_string()).collect();
            let message =
                format!("there is no node {:?}; this gateway knows {}", node.to_string(), known.join(", "));
            Fault::new(Code::NodeUnknown, message)
        });
        Box::pin(async move {
            let own = found?;
            match own.peer.ask(&Request::Drain(order)).answer().await {
                Ok(Answer::Done) => Ok(()),
                Ok(_) => Err(senseless(&node)),
                Err(failure) => Err(told(&node, failure, "it may have begun to stop")),
            }
        })
    }

    fn choose_by(&self, strategy: &str, model: Option<&ModelName>) -> Result<(), Fault> {
        let strategy = routes::strategy(strategy)?;
        // Of a model that nobody serves the name is misspelt.
        if let Some(model) = model
            && let Err(fault) = self.models().find(model.as_str(), None)
            && fault.code() == Code::ModelNotFound
        {
            return Err(fault);
        }
        self.inner.router.change_routes(|routes| match model {
            Some(model) => drop(routes.own.insert(model.clone(), strategy)),
            None => routes.usual = strategy,
        });
        Ok(())
    }

    fn choose_as_usual(&self, model: &ModelName) -> Result<(), Fault> {
        self.inner.router.change_routes(|routes| routes.forget(model))
    }

    fn index(&self) -> LinkFuture<Vec<IndexEntry>> {
        let inner = self.inner.clone();
        Box::pin(async move { entries(inner.all_do(Request::Index, "try again").await?) })
    }

    fn load_model(&self, name: ModelName) -> LinkFuture<Vec<IndexEntry>> {
        let inner = self.inner.clone();
        Box::pin(async move {
            let spread = inner.spread(&name, Occasion::Call).await;
            let loaded = inner.all_do(Request::Load(name), "it may have loaded the model").await;
            let answers = loaded.map_err(|fault| spread.explaining(fault))?;
            let mut left_out = entries(answers)?;
            left_out.extend(spread.told);
            Ok(left_out)
        })
    }

    fn unload_model(&self, name: ModelName) -> LinkFuture<()> {
        let inner = self.inner.clone();
        Box::pin(async move {
            inner.all_do(Request::Unload(name), "it may serve the model still").await.map(|_| ())
        })
    }

    fn load(&self) -> NodeLoad {
        let mut all = NodeLoad::default();
        let mut waiting: BTreeMap<(ModelName, ModelVersion), usize> = BTreeMap::new();
        for model in self.models().ready() {
            waiting.insert((model.name.clone(), model.version), 0);
        }
        for (_, State { load, .. }) in self.inner.reachable() {
            all.queue_len += load.queue_len;
            all.queue_len_max += load.queue_len_max;
            all.batches_executing += load.batches_executing;
            all.executors += load.executors;
            all.sequences.in_memory += load.sequences.in_memory;
            all.sequences.copied += load.sequences.copied;
            all.sequences.expired += load.sequences.expired;
            all.sequences.lost += load.sequences.lost;
            all.sequences.fenced += load.sequences.fenced;
            all.sequences.followed += load.sequences.followed;
            all.gpus.extend(load.gpus);
            for WaitingFor { model, version, requests } in load.waiting {
                *waiting.entry((model, version)).or_default() += requests;
            }
        }
        let waiting = waiting.into_iter();
        all.nodes = self.inner.standings();
        all.attempts = self.inner.router.attempts();
        all.waiting =
            waiting.map(|((model, version), requests)| WaitingFor { model, version, requests }).collect();
        all
    }
}
