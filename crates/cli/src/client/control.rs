//! What a control says of itself, and what it can be told to do.

use super::{Asked, Client, not_the_protocol};
use serde_json::Value;
use spinwell_core::{Code, Fault};
use std::time::Duration;

/// A restart of all nodes, as a control knows it.
pub(crate) struct Plan {
    /// Its number.
    pub(crate) id: u64,
    /// Whether nothing more is done for it.
    pub(crate) is_over: bool,
    /// Why it has ended before all nodes were done.
    pub(crate) stuck: Option<String>,
    /// What is waited for.
    pub(crate) waits_for: Option<String>,
    /// The nodes, in order.
    pub(crate) nodes: Vec<PlannedNode>,
}

/// A node that is to start anew.
pub(crate) struct PlannedNode {
    /// Its name.
    pub(crate) id: String,
    /// Whether its turn is over.
    pub(crate) is_over: bool,
    /// How long it took, where it has started anew.
    pub(crate) took: Option<Duration>,
}

/// The number of nodes that a control looks after, as it is to be.
pub(crate) struct Size {
    /// The number of the plan.
    pub(crate) id: u64,
    /// Whether nothing more is waited for.
    pub(crate) is_over: bool,
    /// The nodes that are wanted.
    pub(crate) wanted: Vec<String>,
    /// What has not come about, in words.
    pub(crate) failed: Vec<String>,
    /// All of it, as it came.
    pub(crate) document: Value,
}

impl Client {
    /// Whether this is a control, and not a gateway.
    ///
    /// # Errors
    /// The server's own fault, or unreachable.
    pub(crate) fn is_control(&self) -> Result<bool, Fault> {
        match self.document(Asked::get("/v1/admin/control")) {
            Ok(_) => Ok(true),
            Err(fault) if fault.code() == Code::PathNotFound => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// Has all nodes start anew, one after the other, each within so long; where that is under way already, it is that.
    ///
    /// # Errors
    /// The server's own fault, or unreachable.
    pub(crate) fn begin_restart(&self, timeout: Duration) -> Result<Plan, Fault> {
        let path = format!("/v1/admin/control/restart?timeout_s={}", timeout.as_secs());
        plan_of(&self.document(Asked::post(path))?)
    }

    /// Has a control look after so many nodes, each of which may take so long to come or to go.
    ///
    /// # Errors
    /// The server's own fault, or unreachable.
    pub(crate) fn begin_size(&self, count: usize, timeout: Duration) -> Result<Size, Fault> {
        let path = format!("/v1/admin/control/nodes?count={count}&timeout_s={}", timeout.as_secs());
        size_of(self.document(Asked::post(path))?)
    }

    /// The newest number of nodes.
    ///
    /// # Errors
    /// The server's own fault, or unreachable.
    pub(crate) fn size(&self) -> Result<Size, Fault> {
        size_of(self.document(Asked::get("/v1/admin/control"))?["size"].take())
    }

    /// Which service levels are promised, and whether they are kept: the dashboard, as it came.
    ///
    /// # Errors
    /// The server's own fault, or unreachable.
    pub(crate) fn service_levels(&self) -> Result<Value, Fault> {
        self.document(Asked::get("/v1/admin/slo"))
    }

    /// The newest restart of all nodes.
    ///
    /// # Errors
    /// The server's own fault, or unreachable.
    pub(crate) fn plan(&self) -> Result<Plan, Fault> {
        plan_of(&self.document(Asked::get("/v1/admin/control"))?["plan"])
    }
}

fn size_of(document: Value) -> Result<Size, Fault> {
    let senseless = || not_the_protocol("its size is none");
    let names = document["wanted"].as_array().ok_or_else(senseless)?;
    let failed = document["failed"].as_array().into_iter().flatten().map(|failure| {
        let text = |member: &str| failure[member].as_str().unwrap_or_default();
        format!("{} {}", text("what"), text("node")).trim_end().to_owned()
    });
    Ok(Size {
        id: document["id"].as_u64().ok_or_else(senseless)?,
        is_over: document["is_over"].as_bool().ok_or_else(senseless)?,
        wanted: names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect(),
        failed: failed.collect(),
        document,
    })
}

fn plan_of(plan: &Value) -> Result<Plan, Fault> {
    let senseless = || not_the_protocol("its plan is none");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let node = |node: &Value| {
        let took = node["took_ms"].as_u64().map(Duration::from_millis);
        Some(PlannedNode { id: text(&node["id"])?, is_over: took.is_some() || node["step"] == "left", took })
    };
    let nodes = plan["nodes"].as_array().ok_or_else(senseless)?;
    Ok(Plan {
        id: plan["id"].as_u64().ok_or_else(senseless)?,
        is_over: plan["is_over"].as_bool().ok_or_else(senseless)?,
        stuck: text(&plan["stuck"]),
        waits_for: text(&plan["waits_for"]),
        nodes: nodes.iter().map(node).collect::<Option<_>>().ok_or_else(senseless)?,
    })
}
