//! What a gateway knows of its region, and what it can be told to do with it.

use super::{Asked, Client, not_the_protocol};
use serde_json::Value;
use spinwell_core::{Code, Fault};
use spinwell_protocol::Caller;

/// A region as a gateway sees it.
pub(crate) struct Region {
    /// The strategy by which nodes are chosen.
    pub(crate) strategy: String,
    /// Those of models that have one of their own, by model.
    pub(crate) routes: Vec<(String, String)>,
    /// Its nodes, by name.
    pub(crate) nodes: Vec<Node>,
    /// Its processing clusters, by name.
    pub(crate) clusters: Vec<ProcessingCluster>,
    /// What it can carry.
    pub(crate) capacity: Capacity,
    /// All of it, as it came.
    pub(crate) document: Value,
}

/// A node as a gateway sees it.
pub(crate) struct Node {
    /// Its name.
    pub(crate) id: String,
    /// Whether it gets requests, in a word.
    pub(crate) state: String,
    /// Why it cannot be reached, while that is so.
    pub(crate) unreachable: Option<String>,
    /// Where it is reached.
    pub(crate) address: String,
    /// The processing cluster that it is part of.
    pub(crate) cluster: String,
    /// How much work it takes in relation to the others.
    pub(crate) weight: f64,
    /// Which life of its process this is, while it is connected.
    pub(crate) life: Option<u64>,
    /// The gateways that have found it, where it tells.
    pub(crate) gateways: Option<Vec<Caller>>,
    /// Whether another node can go on with its sequences.
    pub(crate) shares_sequences: bool,
    /// Requests waiting, while it is connected.
    pub(crate) queue_len: Option<u64>,
    /// The share of its processors that nobody uses, in [0, 1].
    pub(crate) cpu_free: Option<f64>,
    /// Sequences in its memory.
    pub(crate) sequences: Option<u64>,
}

/// A processing cluster as a gateway sees it.
pub(crate) struct ProcessingCluster {
    /// Its name.
    pub(crate) name: String,
    /// Its nodes that get requests, and all of them.
    pub(crate) nodes: (u64, u64),
    /// Predictions a second with all its serving nodes busy.
    pub(crate) total_per_second: f64,
    /// Predictions a second at the target utilisation.
    pub(crate) effective_per_second: f64,
}

/// What a region can carry, in predictions a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Capacity {
    /// With all serving nodes busy.
    pub(crate) total: f64,
    /// At the target utilisation.
    pub(crate) effective: f64,
    /// When the largest processing cluster fails.
    pub(crate) without_largest: f64,
}

impl Node {
    /// Whether it gets requests.
    pub(crate) fn is_serving(&self) -> bool {
        self.state == "serving"
    }

    /// Whether it is about to stop.
    pub(crate) fn is_leaving(&self) -> bool {
        self.state == "leaving"
    }
}

fn life(told: &Value) -> Option<u64> {
    told.as_str().and_then(|digits| u64::from_str_radix(digits, 16).ok())
}

fn caller(told: &Value) -> Caller {
    Caller { name: told["name"].as_str().unwrap_or_default().to_owned(), life: life(&told["life"]) }
}

fn cluster(told: &Value) -> ProcessingCluster {
    let count = |count: &Value| count.as_u64().unwrap_or_default();
    let all = told["nodes"].as_object().into_iter().flat_map(|nodes| nodes.values()).map(count).sum();
    ProcessingCluster {
        name: told["name"].as_str().unwrap_or_default().to_owned(),
        nodes: (count(&told["nodes"]["serving"]), all),
        total_per_second: told["total_per_second"].as_f64().unwrap_or_default(),
        effective_per_second: told["effective_per_second"].as_f64().unwrap_or_default(),
    }
}

impl Client {
    /// The nodes of the region; asked of a gateway's operations plane.
    ///
    /// # Errors
    /// The server's own fault, or unreachable.
    pub(crate) fn region(&self) -> Result<Region, Fault> {
        let asked = self.document(Asked::get("/v1/admin/cluster"));
        let document = asked.map_err(|fault| self.is_no_gateway(fault))?;
        let nodes =
            document["nodes"].as_array().ok_or_else(|| not_the_protocol("its region has no nodes"))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let node = |node: &Value| Node {
            id: text(&node["id"]),
            state: text(&node["state"]),
            unreachable: node["unreachable"].as_str().map(str::to_owned),
            address: text(&node["address"]),
            cluster: text(&node["processing_cluster"]),
            weight: node["weight"].as_f64().unwrap_or_default(),
            life: life(&node["life"]),
            // A gateway of a release before this one says nothing of them.
            gateways: node["gateways"].as_array().map(|all| all.iter().map(caller).collect()),
            shares_sequences: node["shares_sequences"].as_bool().unwrap_or_default(),
            queue_len: node["load"]["queue_len"].as_u64(),
            cpu_free: node["load"]["cpu_free"].as_f64(),
            sequences: node["load"]["sequences_in_memory"].as_u64(),
        };
        let nodes = nodes.iter().map(node).collect();
        let routes = document["routes"].as_object().into_iter().flatten();
        let routes = routes.map(|(model, strategy)| (model.clone(), text(strategy))).collect();
        // A gateway of a release before this one says nothing of either.
        let clusters = document["processing_clusters"].as_array();
        let clusters = clusters.into_iter().flatten().map(cluster).collect();
        let per_second = |kind: &str| document["capacity"][kind].as_f64().unwrap_or_default();
        let capacity = Capacity {
            total: per_second("total_per_second"),
            effective: per_second("effective_per_second"),
            without_largest: per_second("without_largest_per_second"),
        };
        Ok(Region { strategy: text(&document["strategy"]), routes, nodes, clusters, capacity, document })
    }

    /// Has a node stop in good order, unless it is the last one that serves.
    ///
    /// # Errors
    /// The server's own fault, or unreachable.
    pub(crate) fn drain(&self, node: &str) -> Result<(), Fault> {
        self.drained(&format!("{node}/drain"))
    }

    /// Has a node stop in good order, also where it is the last one that serves.
    ///
    /// # Errors
    /// The server's own fault, or unreachable.
    pub(crate) fn drain_anyway(&self, node: &str) -> Result<(), Fault> {
        self.drained(&format!("{node}/drain?force=true"))
    }

    fn drained(&self, what: &str) -> Result<(), Fault> {
        let asked = self.send(Asked::post(format!("/v1/admin/cluster/nodes/{what}")));
        asked.map(drop).map_err(|fault| self.is_no_gateway(fault))
    }

    /// What is said of a plane that knows nothing of a region.
    fn is_no_gateway(&self, fault: Fault) -> Fault {
        if fault.code() != Code::PathNotFound {
            return fault;
        }
        let what = match self.is_control() {
            Ok(true) => "is a control, which can be asked for a restart alone",
            _ => "is no operations plane of a gateway, perhaps the one for inference requests",
        };
        let message = format!(
            "{} {what}; ask a gateway's operations plane (ops.address, port 8002)",
            self.server.shown()
        );
        Fault::new(Code::PathNotFound, message)
    }
}
