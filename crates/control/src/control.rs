//! One control of a region: it asks for the lease, and carries plans out while it holds it.
//!
//! Three loops. One asks for the lease twice a second, whether it leads or waits. The [second](crate::plans), while it leads, carries plans
//! out. The [third](crate::left_over) asks for a plan where nodes run on this machine that are not looked after. Nobody is asked to wait
//! for control: predictions go on without it.

use crate::left_over::LeftOver;
use crate::plans::{RESTART, RETIREMENT};
use crate::running::Nodes;
use crate::{Provisioner, Record};
use serde_json::{Value, json};
use spinwell_core::{Code, Fault, Millis, NodeId, UnixMillis};
use spinwell_policy::leadership::{Answer, Leadership, Terms};
use spinwell_policy::rolling::{Rolling, Seen, Then};
use spinwell_protocol::{NodeLink, NodeStatus};
use spinwell_runtime::shutdown::Shutdown;
use spinwell_runtime::{clock, telemetry};
use spinwell_store::{ControlStore, DatabaseError};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// The lease that the leader holds.
pub(crate) const LEASE: &str = "control";
/// How long giving the lease back may take. Where it does not get through, the others wait for no longer than the lease runs.
const LAST_WORD: Duration = Duration::from_secs(1);

/// What a control is made of.
pub struct Parts {
    /// Its name.
    pub id: NodeId,
    /// A number of its process's life.
    pub life: u64,
    /// Where leases and plans are.
    pub store: ControlStore,
    /// The way to the nodes of the region.
    pub region: Arc<dyn NodeLink>,
    /// The node processes that it looks after.
    pub nodes: watch::Receiver<Nodes>,
    /// How often it has started one.
    pub node_starts: Arc<AtomicU64>,
    /// Where nodes may run that it does not look after any more.
    pub left_over: LeftOver,
    /// What has its nodes run.
    pub provisioner: Arc<dyn Provisioner>,
    /// Those that it looks after to begin with.
    pub wanted: Vec<NodeId>,
    /// How many its configuration asks for.
    pub configured: usize,
}

/// A control; a cheap handle.
#[derive(Clone)]
pub struct Control {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) parts: Parts,
    /// By what the store knows this control: its name and its life, as the same name may come back soon.
    holder: String,
    leadership: Mutex<Leadership>,
    /// Who held the lease when it was last asked for.
    seen: Mutex<Holder>,
    lease_failures: AtomicU64,
    /// The nodes that it looks after.
    wanted: Mutex<Vec<NodeId>>,
}

/// Who holds the lease.
#[derive(Debug, Clone, Default)]
struct Holder {
    id: Option<String>,
    generation: u64,
}

/// What is shown as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) leads: bool,
    pub(crate) generation: u64,
    pub(crate) lease_failures: u64,
    pub(crate) nodes: usize,
    pub(crate) nodes_wanted: usize,
    pub(crate) node_starts: u64,
    pub(crate) left_over: usize,
    /// When the process started.
    pub(crate) started: UnixMillis,
}

impl Control {
    /// A control that does nothing yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let holder = format!("{} {:016x}", parts.id, parts.life);
        let leadership = Mutex::new(Leadership::new(Terms::default()));
        let (seen, lease_failures) = (Mutex::default(), AtomicU64::new(0));
        let wanted = Mutex::new(parts.wanted.clone());
        Self { inner: Arc::new(Inner { parts, holder, leadership, seen, lease_failures, wanted }) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> NodeId {
        self.inner.parts.id.clone()
    }

    /// Leads where nobody else does, and carries plans out, until `stop`; then it gives the lease back, where the store answers soon.
    pub async fn run(&self, stop: Shutdown) {
        let (mut ends, inner) = (stop.clone(), &self.inner);
        inner.parts.provisioner.look_after(&inner.wanted());
        let carrying_out = async {
            tokio::select! {
                () = inner.carry_out() => {}
                () = inner.send_left_over_away() => {}
                () = inner.follow_size() => {}
                () = ends.wait() => {}
            }
        };
        tokio::join!(inner.ask_for_the_lease(stop), carrying_out);
        inner.resign().await;
    }

    /// Has all nodes start anew, one after the other, each within `patience`; where that is under way already, nothing changes.
    /// Gives the plan.
    ///
    /// # Errors
    /// Where there are fewer than two nodes, or the store fails.
    pub async fn restart(&self, patience: Millis) -> Result<Value, Fault> {
        let inner = &self.inner;
        let nodes = inner.to_start_anew();
        if nodes.len() < 2 {
            let message = format!(
                "a node alone cannot start anew without a gap, and this control knows {} of them; add another one first",
                nodes.len()
            );
            return Err(Fault::new(Code::InsufficientNodes, message));
        }
        if inner.begin(&Rolling::new(Then::Anew, nodes, patience, clock::unix())).await? {
            tracing::info!("all nodes are to start anew, one after the other");
        }
        inner.plan(RESTART).await
    }

    /// Looks after so many nodes from now on: starts those that are missing, and has those that are too many sent away, one after the other.
    /// Each may take `patience`. Where another number was wanted that has not come about, this one takes its place. Gives the plan.
    ///
    /// # Errors
    /// Where a node cannot run here, or the store fails.
    pub async fn resize(&self, count: usize, patience: Millis) -> Result<Value, Fault> {
        self.inner.resize(count, patience).await
    }

    /// Who leads, what is looked after and what no more, and the newest plans.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn status(&self) -> Result<Value, Fault> {
        let inner = &self.inner;
        let (leads, seen) = (inner.leads(), inner.seen().clone());
        let nodes: Vec<Value> = inner.parts.nodes.borrow().iter().map(supervised).collect();
        let left_over: Vec<_> = inner.left_over().iter().map(|(id, _)| id.to_string()).collect();
        let holder = leads.map(|_| inner.parts.id.to_string()).or(seen.id);
        Ok(json!({
            "id": inner.parts.id.to_string(),
            "leads": leads.is_some(),
            "generation": leads.unwrap_or(seen.generation),
            "holder": holder,
            "nodes": nodes,
            "left_over": left_over,
            "plan": inner.plan(RESTART).await?,
            "retirement": inner.plan(RETIREMENT).await?,
            "size": inner.size().await?,
        }))
    }

    pub(crate) fn figures(&self) -> Figures {
        let inner = &self.inner;
        let leads = inner.leads();
        Figures {
            leads: leads.is_some(),
            generation: leads.unwrap_or_else(|| inner.seen().generation),
            lease_failures: inner.lease_failures.load(Ordering::Relaxed),
            nodes: inner.parts.nodes.borrow().len(),
            nodes_wanted: inner.wanted().len(),
            node_starts: inner.parts.node_starts.load(Ordering::Relaxed),
            left_over: inner.left_over().len(),
            started: clock::started(),
        }
    }
}

/// What plans want to know of a node.
fn seen(node: NodeStatus) -> Seen {
    let standing = node.standing;
    Seen {
        is_serving: standing.is_connected && !standing.is_leaving && standing.is_trusted,
        is_leaving: standing.is_leaving,
        id: standing.id,
        life: node.life,
        gateways: node.gateways,
        away: Millis(0),
    }
}

fn supervised(node: &crate::Running) -> Value {
    json!({
        "id": node.id.to_string(),
        "pid": node.pid,
        "address": node.address.to_string(),
        "ops": node.ops.to_string(),
        "adopted": node.is_adopted,
    })
}

impl Inner {
    fn leadership(&self) -> MutexGuard<'_, Leadership> {
        self.leadership.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, Holder> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The generation under which this control leads just now.
    pub(crate) fn leads(&self) -> Option<u64> {
        self.leadership().generation(clock::now())
    }

    /// The nodes, as this control sees them.
    pub(crate) fn look(&self) -> Vec<Seen> {
        let region = self.parts.region.region();
        region.map(|region| region.nodes.into_iter().map(seen).collect()).unwrap_or_default()
    }

    /// The nodes that somebody starts again when they have stopped, as far as this control knows.
    fn to_start_anew(&self) -> Vec<NodeId> {
        let left_over = self.left_over();
        let is_left_over = |node: &Seen| {
            left_over.iter().any(|(id, record)| *id == node.id && node.life == Some(record.life))
        };
        self.look().into_iter().filter(|node| !is_left_over(node)).map(|node| node.id).collect()
    }

    /// The nodes that are looked after.
    pub(crate) fn wanted(&self) -> Vec<NodeId> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks after these from now on.
    pub(crate) fn look_after(&self, nodes: Vec<NodeId>) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        self.parts.provisioner.look_after(&nodes);
        *wanted = nodes;
    }

    /// Those that run on this machine and are not looked after.
    pub(crate) fn left_over(&self) -> Vec<(NodeId, Record)> {
        self.parts.left_over.find(&self.wanted())
    }

    async fn ask_for_the_lease(&self, mut stop: Shutdown) {
        let mut turns = interval(Terms::default().renew_every);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut led = None;
        // Of an outage the log speaks once.
        let mut has_failed = false;
        loop {
            tokio::select! {
                _ = turns.tick() => {}
                () = stop.wait() => return,
            }
            // What the store is asked in this moment it may still grant: then the others wait until the lease has run out.
            let asked = tokio::select! {
                asked = self.ask() => asked,
                () = stop.wait() => return,
            };
            match asked {
                Ok(()) => has_failed = false,
                Err(error) => {
                    self.lease_failures.fetch_add(1, Ordering::Relaxed);
                    if !std::mem::replace(&mut has_failed, true) {
                        tracing::warn!(error = telemetry::chain(&error), "the lease cannot be asked for");
                    }
                }
            }
            let leads = self.leads();
            match (led, leads) {
                (_, Some(generation)) if led != leads => tracing::info!(generation, "this control leads"),
                (Some(generation), None) => tracing::warn!(generation, "this control leads no more"),
                _ => {}
            }
            led = leads;
        }
    }

    /// Asks for the lease once, and where another one holds it, who that is.
    async fn ask(&self) -> Result<(), DatabaseError> {
        let store = &self.parts.store;
        let (ask, length) = {
            let mut leadership = self.leadership();
            (leadership.ask(clock::now()), leadership.terms().length_ms())
        };
        let taken = store.take_lease(LEASE, &self.holder, length).await?;
        let answer = taken.map_or(Answer::Denied, Answer::Granted);
        self.leadership().answered(ask, answer);
        let holder = match taken {
            Some(generation) => Holder { id: Some(self.parts.id.to_string()), generation },
            None => store.lease(LEASE).await?.map_or_else(Holder::default, |lease| Holder {
                id: lease.is_valid.then(|| name_of(&lease.holder).to_owned()),
                generation: lease.generation,
            }),
        };
        *self.seen() = holder;
        Ok(())
    }

    async fn resign(&self) {
        self.leadership().resign();
        match timeout(LAST_WORD, self.parts.store.release_lease(LEASE, &self.holder)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = telemetry::chain(&error), "the lease could not be given back");
            }
            Err(_) => tracing::warn!("the lease could not be given back: the store is silent"),
        }
    }
}

/// The name in a holder of the lease.
fn name_of(holder: &str) -> &str {
    holder.rsplit_once(' ').map_or(holder, |(name, _)| name)
}

#[cfg(test)]
#[path = "control_tests.rs"]
pub(crate) mod tests;
