//! How many nodes a control looks after, changed while it runs.
//!
//! What is wanted is written into the store before it is done, as a plan of the control's own: nobody else starts nodes on its machine, so no
//! lease is asked for. A control that starts goes on from what was wanted last, unless its configuration says another number than it did
//! then. Nodes that are wanted no more are [left over](crate::left_over), and a retirement sends them away.

use crate::control::Inner;
use serde_json::{Value, json};
use spinwell_core::{Code, Fault, Millis, NodeId, UnixMillis};
use spinwell_policy::sizing::{By, Failure, Next, Sizing};
use spinwell_runtime::clock;
use spinwell_store::{ControlStore, PlanChange, StoredPlan};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How often to look whether the nodes are there.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The most nodes that one control may look after.
pub(crate) const NODES_MAX: usize = 1_000;
/// How often a plan is begun again that somebody else was faster with.
const TRIES_MAX: usize = 5;

/// The kind of a plan by which the nodes of that control become others.
fn kind(control: &NodeId) -> String {
    format!("size {control}")
}

/// A sizing as it is kept.
struct Kept {
    sizing: Sizing,
    /// How many nodes the configuration asked for.
    configured: usize,
}

/// The nodes that a control looks after when it starts: those that were wanted last, or where its configuration has another number since, that
/// many.
///
/// # Errors
/// Where the store fails.
pub async fn wanted_at_start(
    store: &ControlStore,
    control: &NodeId,
    configured: Vec<NodeId>,
) -> Result<Vec<NodeId>, Fault> {
    let stored = store.plan(&kind(control)).await.map_err(|error| error.fault())?;
    let kept = stored.and_then(|stored| of_text(&stored.document));
    let kept = kept.filter(|kept| kept.configured == configured.len());
    Ok(kept.map_or(configured, |kept| kept.sizing.wanted))
}

impl Inner {
    /// Has the control look after so many nodes. Gives the plan.
    pub(crate) async fn resize(&self, count: usize, patience: Millis) -> Result<Value, Fault> {
        let wanted = self.parts.provisioner.names(count);
        wanted.iter().try_for_each(|node| self.parts.provisioner.can_have(node))?;
        for _ in 0..TRIES_MAX {
            if let Some(stored) = self.newest(&self.kind()).await?.filter(|stored| !stored.is_over) {
                match of_text(&stored.document) {
                    Some(kept) if kept.sizing.wanted == wanted => return self.size().await,
                    Some(kept) => {
                        let over = Kept { sizing: kept.sizing.superseded(clock::unix()), ..kept };
                        self.end(&stored, &to_json(&over)).await?;
                    }
                    // One of another release.
                    None => drop(self.end(&stored, &Value::String(stored.document.clone())).await?),
                }
            }
            let sizing = Sizing::new(self.wanted(), wanted.clone(), By::Operator, clock::unix(), patience);
            let document = to_json(&Kept { sizing, configured: self.parts.configured }).to_string();
            let begun = self.parts.store.begin_plan(&self.kind(), &document).await;
            if begun.map_err(|error| error.fault())? {
                tracing::info!(nodes = count, "this control is to look after so many nodes");
                self.look_after(wanted);
                return self.size().await;
            }
        }
        Err(Fault::new(Code::DatabaseFailed, "others change the number of nodes again and again; try again"))
    }

    /// The newest plan of its size, for operators.
    pub(crate) async fn size(&self) -> Result<Value, Fault> {
        let Some(stored) = self.newest(&self.kind()).await? else { return Ok(Value::Null) };
        let Some(kept) = of_text(&stored.document) else { return Ok(Value::Null) };
        let mut document = to_json(&kept);
        document["id"] = stored.id.into();
        document["is_over"] = stored.is_over.into();
        Ok(document)
    }

    /// Sees to it that the nodes are there that are wanted, and says when they are.
    pub(crate) async fn follow_size(&self) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (since, mut said) = (clock::unix(), None);
        loop {
            looks.tick().await;
            let failed = self.advance_size(since).await.err();
            if let Some(fault) = failed.as_ref().filter(|fault| said.as_ref() != Some(*fault)) {
                tracing::warn!(
                    code = fault.code().as_str(),
                    "the number of nodes is not followed: {}",
                    fault.message()
                );
            }
            said = failed;
        }
    }

    async fn advance_size(&self, since: UnixMillis) -> Result<(), Fault> {
        let Some(stored) = self.newest(&self.kind()).await?.filter(|stored| !stored.is_over) else {
            return Ok(());
        };
        let Some(kept) = of_text(&stored.document) else { return Ok(()) };
        if kept.configured != self.parts.configured {
            let over = Kept { sizing: kept.sizing.superseded(clock::unix()), ..kept };
            return self.end(&stored, &to_json(&over)).await.map(drop);
        }
        self.look_after(kept.sizing.wanted.clone());
        let seen = self.look();
        let serving: Vec<_> =
            seen.iter().filter(|node| node.is_serving).map(|node| node.id.clone()).collect();
        let connected = seen.iter().filter(|node| node.life.is_some()).map(|node| node.id.clone());
        let running = self.left_over().into_iter().map(|(id, _)| id);
        let there: Vec<_> = connected.chain(running).collect();
        match kept.sizing.next(&serving, &there, since, clock::unix()) {
            Next::Wait => Ok(()),
            Next::Become(sizing) => {
                let over = Kept { sizing, ..kept };
                if self.end(&stored, &to_json(&over)).await? {
                    tell(&over.sizing);
                }
                Ok(())
            }
        }
    }

    /// Writes that a plan is over. Not where somebody else has written meanwhile.
    async fn end(&self, stored: &StoredPlan, document: &Value) -> Result<bool, Fault> {
        let (kind, document) = (self.kind(), document.to_string());
        let StoredPlan { id, revision, generation, .. } = *stored;
        let change =
            PlanChange { lease: &kind, generation, id, revision, is_over: true, document: &document };
        self.parts.store.change_plan(change).await.map_err(|error| error.fault())
    }

    fn kind(&self) -> String {
        kind(&self.parts.id)
    }
}

fn tell(sizing: &Sizing) {
    let count = sizing.wanted.len();
    if sizing.failed.is_empty() {
        tracing::info!(nodes = count, "all nodes that are wanted serve, and no others are there");
    }
    for failure in &sizing.failed {
        match failure {
            Failure::NodeAdditionFailed(node) => {
                tracing::warn!(%node, "NodeAdditionFailed: it does not serve in its time, and is tried again");
            }
            Failure::NodeRemovalFailed(node) => {
                tracing::warn!(%node, "NodeRemovalFailed: it is there still, and is told again to stop");
            }
            Failure::Superseded => {}
        }
    }
}

fn to_json(Kept { sizing, configured }: &Kept) -> Value {
    let names = |nodes: &[NodeId]| nodes.iter().map(ToString::to_string).collect::<Vec<_>>();
    let failure = |failure: &Failure| match failure {
        Failure::NodeAdditionFailed(node) => json!({"what": "NodeAdditionFailed", "node": node.to_string()}),
        Failure::NodeRemovalFailed(node) => json!({"what": "NodeRemovalFailed", "node": node.to_string()}),
        Failure::Superseded => json!({"what": "Superseded"}),
    };
    json!({
        "configured": configured,
        "before": names(&sizing.before),
        "wanted": names(&sizing.wanted),
        "by": match sizing.by {
            By::Operator => "operator",
        },
        "begun_ms": sizing.begun.0,
        "patience_ms": sizing.patience.0,
        "ended_ms": sizing.ended.map(|ended| ended.0),
        "failed": sizing.failed.iter().map(failure).collect::<Vec<_>>(),
    })
}

/// What a text holds; nothing where it is none that this release knows.
fn of_text(text: &str) -> Option<Kept> {
    let document: Value = serde_json::from_str(text).ok()?;
    let name = |name: &Value| Some(NodeId(name.as_str()?.into()));
    let names = |member: &str| document[member].as_array()?.iter().map(name).collect::<Option<Vec<_>>>();
    let failure = |failure: &Value| match failure["what"].as_str()? {
        "NodeAdditionFailed" => Some(Failure::NodeAdditionFailed(name(&failure["node"])?)),
        "NodeRemovalFailed" => Some(Failure::NodeRemovalFailed(name(&failure["node"])?)),
        "Superseded" => Some(Failure::Superseded),
        _ => None,
    };
    let by = match document["by"].as_str()? {
        "operator" => By::Operator,
        _ => return None,
    };
    let begun = UnixMillis(document["begun_ms"].as_u64()?);
    let patience = Millis(document["patience_ms"].as_u64()?);
    let ended = document["ended_ms"].as_u64().map(UnixMillis);
    let failed = document["failed"].as_array()?.iter().map(failure).collect::<Option<_>>()?;
    let sizing =
        Sizing { ended, failed, ..Sizing::new(names("before")?, names("wanted")?, by, begun, patience) };
    Some(Kept { sizing, configured: usize::try_from(document["configured"].as_u64()?).ok()? })
}

#[cfg(test)]
#[path = "sizes_tests.rs"]
mod tests;
