//! One control of a region: it asks for the lease, and carries plans out while it holds it.
//!
//! Two loops. One asks for the lease twice a second, whether it leads or waits. The other, while it leads, looks at the plan that is under
//! way and at the nodes, and does the one next thing. Whatever it decides is written into the store before it is done, under the
//! revision and the generation of what it was decided from: another control goes on from there, and one that has lost the lease
//! without knowing it writes nothing. Nobody is asked to wait for control: predictions go on without it.

use crate::leadership::{Answer, Leadership, Terms};
use crate::restart::{self, InvalidPlan, Next, Restart, Seen};
use crate::running::Nodes;
use serde_json::{Value, json};
use spinwell_core::{Code, Fault, Millis, NodeId};
use spinwell_protocol::{NodeLink, Order};
use spinwell_runtime::shutdown::Shutdown;
use spinwell_runtime::{clock, telemetry};
use spinwell_store::{ControlStore, DatabaseError, PlanChange, StoredPlan};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// The lease that the leader holds.
const LEASE: &str = "control";
/// The kind of a plan by which all nodes start anew.
const RESTART: &str = "restart";
/// How often the leader looks at the plan and the nodes.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often to look whether a plan that cannot be carried out was set aside: for longer than it takes until another control leads.
const ASIDE_LOOKS_MAX: usize = 20;
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
}

/// A control; a cheap handle.
#[derive(Clone)]
pub struct Control {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Parts,
    /// By what the store knows this control: its name and its life, as the same name may come back soon.
    holder: String,
    leadership: Mutex<Leadership>,
    /// Who held the lease when it was last asked for.
    seen: Mutex<Holder>,
    lease_failures: AtomicU64,
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
    pub(crate) node_starts: u64,
}

impl Control {
    /// A control that does nothing yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let holder = format!("{} {:016x}", parts.id, parts.life);
        let leadership = Mutex::new(Leadership::new(Terms::default()));
        let (seen, lease_failures) = (Mutex::default(), AtomicU64::new(0));
        Self { inner: Arc::new(Inner { parts, holder, leadership, seen, lease_failures }) }
    }

    /// Leads where nobody else does, and carries plans out, until `stop`; then it gives the lease back, where the store answers soon.
    pub async fn run(&self, stop: Shutdown) {
        let (mut ends, inner) = (stop.clone(), &self.inner);
        let carrying_out = async {
            tokio::select! {
                () = inner.carry_out() => {}
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
        let nodes: Vec<_> = inner.look().into_iter().map(|node| node.id).collect();
        if nodes.len() < 2 {
            let message = format!(
                "a node alone cannot start anew without a gap, and this control knows {} of them; add another one first",
                nodes.len()
            );
            return Err(Fault::new(Code::InsufficientNodes, message));
        }
        let plan = restart::to_json(&Restart::new(nodes, patience, clock::unix())).to_string();
        if inner.begin(&plan).await? {
            tracing::info!("all nodes are to start anew, one after the other");
        }
        inner.plan().await
    }

    /// Who leads, what is looked after, and the newest plan.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn status(&self) -> Result<Value, Fault> {
        let inner = &self.inner;
        let (leads, seen) = (inner.leads(), inner.seen().clone());
        let nodes: Vec<Value> = inner.parts.nodes.borrow().iter().map(supervised).collect();
        let holder = leads.map(|_| inner.parts.id.to_string()).or(seen.id);
        Ok(json!({
            "id": inner.parts.id.to_string(),
            "leads": leads.is_some(),
            "generation": leads.unwrap_or(seen.generation),
            "holder": holder,
            "nodes": nodes,
            "plan": inner.plan().await?,
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
            node_starts: inner.parts.node_starts.load(Ordering::Relaxed),
        }
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
    fn leads(&self) -> Option<u64> {
        self.leadership().generation(clock::now())
    }

    /// The nodes, as this control sees them.
    fn look(&self) -> Vec<Seen> {
        let region = self.parts.region.region();
        region.map(|region| region.nodes.into_iter().map(Seen::from).collect()).unwrap_or_default()
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

    /// Carries out what is under way, while this control leads.
    async fn carry_out(&self) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut said = None;
        loop {
            looks.tick().await;
            let Some(generation) = self.leads() else { continue };
            let failed = self.advance(generation).await.err();
            if let Some(fault) = failed.as_ref().filter(|fault| said.as_ref() != Some(*fault)) {
                tracing::warn!(code = fault.code().as_str(), "a plan does not come on: {}", fault.message());
            }
            said = failed;
        }
    }

    /// Does the one next thing.
    async fn advance(&self, generation: u64) -> Result<(), Fault> {
        let stored = self.parts.store.plan(RESTART).await.map_err(|error| error.fault())?;
        let Some(stored) = stored.filter(|stored| !stored.is_over) else { return Ok(()) };
        if stored.generation > generation {
            // Another leads by now.
            return Ok(());
        }
        let plan = match plan_of(&stored) {
            Ok(plan) => plan,
            Err(why) => return self.set_aside(&stored, generation, why).await,
        };
        let now = clock::unix();
        if plan.is_over() {
            return self.write(&stored, generation, &plan).await;
        }
        if stored.generation < generation {
            return self.write(&stored, generation, &plan.taken_up(now)).await;
        }
        match plan.next(&self.look(), now) {
            Next::Become(next) => self.write(&stored, generation, &next).await,
            // The store may have taken its time.
            Next::Drain(..) if self.leads() != Some(generation) => Ok(()),
            Next::Drain(node, life) => self.parts.region.drain(node, Some(Order { generation, life })).await,
            Next::Wait => Ok(()),
        }
    }

    /// Writes what a plan has become. Where somebody else has written meanwhile, the next look sees it.
    async fn write(&self, stored: &StoredPlan, generation: u64, plan: &Restart) -> Result<(), Fault> {
        let (document, is_over) = (restart::to_json(plan).to_string(), plan.is_over());
        let StoredPlan { id, revision, .. } = *stored;
        let change = PlanChange { lease: LEASE, generation, id, revision, is_over, document: &document };
        if !self.parts.store.change_plan(change).await.map_err(|error| error.fault())? {
            return Ok(());
        }
        match &plan.stuck {
            Some(why) => tracing::warn!(plan = id, why, "not all nodes have started anew"),
            None if is_over => tracing::info!(plan = id, "all nodes have started anew"),
            None => tracing::info!(plan = id, generation, steps = document, "a plan comes on"),
        }
        Ok(())
    }

    /// Ends a plan that cannot be carried out, so that another one can begin. What it says stays in the store.
    async fn set_aside(&self, stored: &StoredPlan, generation: u64, why: InvalidPlan) -> Result<(), Fault> {
        let StoredPlan { id, revision, ref document, .. } = *stored;
        let change = PlanChange { lease: LEASE, generation, id, revision, is_over: true, document };
        if self.parts.store.change_plan(change).await.map_err(|error| error.fault())? {
            tracing::warn!(plan = id, why = why.to_string(), "a plan is set aside and stops no more nodes");
        }
        Ok(())
    }

    /// Begins a plan, unless one is under way. Whether it has.
    async fn begin(&self, plan: &str) -> Result<bool, Fault> {
        let store = &self.parts.store;
        for _ in 0..ASIDE_LOOKS_MAX {
            if store.begin_plan(RESTART, plan).await.map_err(|error| error.fault())? {
                return Ok(true);
            }
            let under_way = store.plan(RESTART).await.map_err(|error| error.fault())?;
            if under_way.is_some_and(|stored| !stored.is_over && plan_of(&stored).is_ok()) {
                return Ok(false);
            }
            // It is over by now, or cannot be carried out: then whoever leads sets it aside at its next look.
            sleep(LOOK_EVERY).await;
        }
        let message =
            "a plan that cannot be carried out is under way, and no control leads that would set it aside";
        Err(Fault::new(Code::DatabaseFailed, message))
    }

    /// The newest plan, for operators.
    async fn plan(&self) -> Result<Value, Fault> {
        let stored = self.parts.store.plan(RESTART).await.map_err(|error| error.fault())?;
        let Some(stored) = stored else { return Ok(Value::Null) };
        let plan = match plan_of(&stored) {
            Ok(plan) => plan,
            Err(why) => {
                return Ok(json!({
                    "id": stored.id,
                    "kind": RESTART,
                    "generation": stored.generation,
                    "is_over": stored.is_over,
                    "nodes": [],
                    "stuck": why.to_string(),
                    "waits_for": null,
                }));
            }
        };
        let mut document = restart::to_json(&plan);
        document["id"] = stored.id.into();
        document["kind"] = RESTART.into();
        document["generation"] = stored.generation.into();
        document["is_over"] = stored.is_over.into();
        document["waits_for"] = plan.obstacle(&self.look()).into();
        Ok(document)
    }
}

/// The name in a holder of the lease.
fn name_of(holder: &str) -> &str {
    holder.rsplit_once(' ').map_or(holder, |(name, _)| name)
}

fn plan_of(stored: &StoredPlan) -> Result<Restart, InvalidPlan> {
    let document: Value = serde_json::from_str(&stored.document).unwrap_or_default();
    restart::from_json(&document)
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
