//! Plans, carried out by the control that leads.
//!
//! It looks at the plan whose turn it is and at the nodes, and does the one next thing. Whatever it decides is written into the store before
//! it is done, under the revision and the generation of what it was decided from: another control goes on from there, and one that has lost
//! the lease without knowing it writes nothing. Plans of two kinds may be under way; nodes are stopped for one of them at a time.

use crate::control::{Inner, LEASE};
use crate::document::{self, InvalidPlan};
use serde_json::{Value, json};
use spinwell_core::{Code, Fault};
use spinwell_policy::rolling::{self, Absences, Kept, Next, Rolling, Then};
use spinwell_protocol::Order;
use spinwell_runtime::clock;
use spinwell_store::{PlanChange, StoredPlan};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// The kind of a plan by which all nodes start anew.
pub(crate) const RESTART: &str = "restart";
/// The kind of a plan by which nodes stop that are not looked after any more.
pub(crate) const RETIREMENT: &str = "retirement";
/// How often the leader looks at the plan and the nodes.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often to look whether a plan that cannot be carried out was set aside: for longer than it takes until another control leads.
const ASIDE_LOOKS_MAX: usize = 20;

impl Inner {
    /// Carries out what is under way, while this control leads.
    pub(crate) async fn carry_out(&self) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut said, mut absences) = (None, Absences::default());
        loop {
            looks.tick().await;
            let Some(generation) = self.leads() else { continue };
            let failed = self.advance(generation, &mut absences).await.err();
            if let Some(fault) = failed.as_ref().filter(|fault| said.as_ref() != Some(*fault)) {
                tracing::warn!(code = fault.code().as_str(), "a plan does not come on: {}", fault.message());
            }
            said = failed;
        }
    }

    /// Does the one next thing.
    async fn advance(&self, generation: u64, absences: &mut Absences) -> Result<(), Fault> {
        let Some(stored) = self.due().await? else { return Ok(()) };
        if stored.generation > generation {
            // Another leads by now.
            return Ok(());
        }
        let plan = match plan_of(&stored) {
            Ok(plan) => plan,
            Err(why) => return self.set_aside(&stored, generation, why).await,
        };
        let (mut seen, now) = (self.look(), clock::unix());
        absences.note(&mut seen, now);
        let kept = Kept { generation: stored.generation, plan };
        match kept.next(generation, &seen, now) {
            Next::Become(next) => self.write(&stored, generation, &next).await,
            // The store may have taken its time.
            Next::Drain(..) if self.leads() != Some(generation) => Ok(()),
            Next::Drain(node, life) => self.parts.region.drain(node, Some(Order { generation, life })).await,
            Next::Wait => Ok(()),
        }
    }

    /// The plan whose turn it is.
    async fn due(&self) -> Result<Option<StoredPlan>, Fault> {
        let under_way = self.under_way().await?;
        let is_midway = |stored: &StoredPlan| plan_of(stored).is_ok_and(|plan| plan.is_midway());
        Ok(rolling::due(&under_way, is_midway).cloned())
    }

    /// The plans that are not over.
    pub(crate) async fn under_way(&self) -> Result<Vec<StoredPlan>, Fault> {
        let mut under_way = Vec::new();
        for kind in [RETIREMENT, RESTART] {
            under_way.extend(self.newest(kind).await?.filter(|stored| !stored.is_over));
        }
        Ok(under_way)
    }

    /// The newest plan of a kind.
    pub(crate) async fn newest(&self, kind: &str) -> Result<Option<StoredPlan>, Fault> {
        self.parts.store.plan(kind).await.map_err(|error| error.fault())
    }

    /// Writes what a plan has become. Where somebody else has written meanwhile, the next look sees it.
    async fn write(&self, stored: &StoredPlan, generation: u64, plan: &Rolling) -> Result<(), Fault> {
        let (document, is_over) = (document::to_json(plan).to_string(), plan.is_over());
        let StoredPlan { id, revision, .. } = *stored;
        let change = PlanChange { lease: LEASE, generation, id, revision, is_over, document: &document };
        if !self.parts.store.change_plan(change).await.map_err(|error| error.fault())? {
            return Ok(());
        }
        let then = match plan.then {
            Then::Anew => "started anew",
            Then::Gone => "gone",
        };
        match &plan.stuck {
            Some(why) => tracing::warn!(plan = id, why, "not all nodes of a plan have {then}"),
            None if is_over => tracing::info!(plan = id, "all nodes of a plan have {then}"),
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

    /// Begins a plan, unless one of its kind is under way. Whether it has.
    pub(crate) async fn begin(&self, plan: &Rolling) -> Result<bool, Fault> {
        let kind = match plan.then {
            Then::Anew => RESTART,
            Then::Gone => RETIREMENT,
        };
        let document = document::to_json(plan).to_string();
        for _ in 0..ASIDE_LOOKS_MAX {
            let begun = self.parts.store.begin_plan(kind, &document).await;
            if begun.map_err(|error| error.fault())? {
                return Ok(true);
            }
            if self.newest(kind).await?.is_some_and(|stored| !stored.is_over && plan_of(&stored).is_ok()) {
                return Ok(false);
            }
            // It is over by now, or cannot be carried out: then whoever leads sets it aside at its next look.
            sleep(LOOK_EVERY).await;
        }
        let message =
            "a plan that cannot be carried out is under way, and no control leads that would set it aside";
        Err(Fault::new(Code::DatabaseFailed, message))
    }

    /// The newest plan of a kind, for operators.
    pub(crate) async fn plan(&self, kind: &str) -> Result<Value, Fault> {
        let Some(stored) = self.newest(kind).await? else { return Ok(Value::Null) };
        let plan = match plan_of(&stored) {
            Ok(plan) => plan,
            Err(why) => {
                return Ok(json!({
                    "id": stored.id,
                    "kind": kind,
                    "generation": stored.generation,
                    "is_over": stored.is_over,
                    "nodes": [],
                    "stuck": why.to_string(),
                    "waits_for": null,
                }));
            }
        };
        let mut document = document::to_json(&plan);
        document["id"] = stored.id.into();
        document["kind"] = kind.into();
        document["generation"] = stored.generation.into();
        document["is_over"] = stored.is_over.into();
        document["waits_for"] = plan.obstacle(&self.look()).into();
        Ok(document)
    }
}

/// What is in a plan as it is kept.
pub(crate) fn plan_of(stored: &StoredPlan) -> Result<Rolling, InvalidPlan> {
    let document: Value = serde_json::from_str(&stored.document).unwrap_or_default();
    document::from_json(&document)
}
