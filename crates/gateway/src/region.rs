//! The region, as operators see and change it: its nodes, draining one, and the strategy by which they are chosen.

use crate::api::{Content, Operation, Route, Schema};
use crate::http::{fault_response, json_response};
use crate::ops::Operations;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Value, json};
use spinwell_core::{Code, Fault, NodeId};
use spinwell_protocol::{NodeStatus, RegionStatus};

/// The routes.
pub(crate) fn routes() -> Vec<Route<Operations>> {
    let status = Operation::new("region", "The nodes of the region")
        .about("What this gateway knows of them: whether they can be asked, how busy they are, and by which strategy they are chosen.")
        .gives(Content::json(Schema::named("Region"), example()))
        .fails(&[Code::NotOffered]);
    let drain = Operation::new("drainNode", "Has a node stop in good order")
        .about("It takes nothing new, answers what it has, copies its sequences and ends. Whoever looks after it may start it again.")
        .gives(Content::json(Schema::map(Schema::any(""), "Which node."), json!({"draining": "n1"})))
        .fails(&[Code::NotOffered, Code::NodeUnknown, Code::NodeUnreachable, Code::QueueFull]);
    let choose = Operation::new("chooseStrategy", "Chooses nodes by another strategy from now on")
        .about("At this gateway, until it ends: `round_robin`, `weighted_least_connections`, `resource_aware`, `predictive`, `latency_optimized`.")
        .gives(Content::json(Schema::map(Schema::any(""), "Which strategy."), json!({"strategy": "predictive"})))
        .fails(&[Code::NotOffered, Code::RequestInvalid]);
    vec![
        Route::get("/v1/admin/cluster", region, status),
        Route::post("/v1/admin/cluster/nodes/{node}/drain", drain_node, drain),
        Route::put("/v1/admin/cluster/strategy/{strategy}", choose_strategy, choose),
    ]
}

async fn region(State(operations): State<Operations>) -> Response {
    match operations.gateway().nodes().region() {
        Some(region) => json_response(&document(&region)),
        None => fault_response(&Fault::new(
            Code::NotOffered,
            "this server is one process and has no nodes of their own",
        )),
    }
}

async fn drain_node(State(operations): State<Operations>, Path(node): Path<String>) -> Response {
    match operations.gateway().nodes().drain(NodeId(node.as_str().into())).await {
        Ok(()) => {
            tracing::info!(node, "a node was asked to stop in good order");
            json_response(&json!({"draining": node}))
        }
        Err(fault) => fault_response(&fault),
    }
}

async fn choose_strategy(State(operations): State<Operations>, Path(strategy): Path<String>) -> Response {
    match operations.gateway().nodes().choose_by(&strategy) {
        Ok(()) => {
            tracing::info!(strategy, "nodes are chosen by another strategy");
            json_response(&json!({"strategy": strategy}))
        }
        Err(fault) => fault_response(&fault),
    }
}

fn document(region: &RegionStatus) -> Value {
    let nodes: Vec<Value> = region.nodes.iter().map(node).collect();
    json!({"strategy": region.strategy, "nodes": nodes})
}

/// The state of a node in a word.
fn state(node: &NodeStatus) -> &'static str {
    let standing = &node.standing;
    match (standing.is_connected, standing.is_leaving, standing.is_trusted) {
        (false, ..) => "unreachable",
        (true, true, _) => "leaving",
        (true, false, false) => "distrusted",
        (true, false, true) => "serving",
    }
}

fn node(node: &NodeStatus) -> Value {
    let load = node.load.as_ref().map(|load| {
        json!({
            "queue_len": load.queue_len,
            "batches_executing": load.batches_executing,
            "executors": load.executors,
            "cpu_free": load.cpu_free,
            "memory_free": load.memory_free,
            "sequences_in_memory": load.sequences.in_memory,
        })
    });
    json!({
        "id": node.standing.id.to_string(),
        "state": state(node),
        "address": node.address,
        "processing_cluster": node.cluster,
        "weight": node.weight,
        // As text: a number of 64 bits is more than many readers of JSON keep.
        "life": node.life.map(|life| format!("{life:016x}")),
        "shares_sequences": node.shares_sequences,
        "load": load,
    })
}

fn example() -> Value {
    json!({"strategy": "weighted_least_connections", "nodes": [{
        "id": "n1", "state": "serving", "address": "127.0.0.1:8104", "processing_cluster": "default", "weight": 1.0,
        "life": "00c0ffee00c0ffee", "shares_sequences": true,
        "load": {"queue_len": 0, "batches_executing": 1, "executors": 2, "cpu_free": 0.5, "memory_free": 0.8,
            "sequences_in_memory": 17}}]})
}
